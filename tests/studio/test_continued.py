"""What a call goes on from: the picture that it names, whatever else stands in the conversation by then, and once."""

from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import MOST_REFERENCES, ImageRequest, Report
from cdp_image_mcp.studio.studio import Studio
from tests.studio.leaving import asking, sent, sent_then_hangs
from tests.studio.scripted import Scripted, png, studio_with

pytestmark = pytest.mark.anyio

BLUE = "make it blue"


class Site:
    """One conversation, in which each prompt's pictures follow those that stand there; a prompt may be held up behind
    its first picture, once that is saved."""

    def __init__(self, *, ends: bool = False) -> None:
        self.asked: list[ImageRequest] = []
        self.first = anyio.Event()
        self.go = anyio.Event()
        self.more = 0
        """Pictures that the first prompt brings and nobody asked for."""
        self._ends = ends

    async def draw(self, request: ImageRequest, report: Report) -> None:
        beginning = not self.asked
        self.asked.append(request)
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        for number in range(request.n + (self.more if beginning else 0)):
            width = 10 * len(self.asked) + number
            await report.save(png(width), source={"file_id": f"file_{width}"}, ends={} if self._ends else None)
            if beginning:
                self.first.set()
                await self.go.wait()

    @property
    def shown(self) -> list[list[str]]:
        """Which pictures went up with each prompt behind the first."""
        return [[picture.sha256 for picture in request.reference_images] for request in self.asked[1:]]


async def drawn(studio: Studio, continue_from: str, prompt: str = BLUE) -> str:
    """Go on, to the end, and be told of it; the id."""
    standing = await studio.generate(asking(prompt, continue_from=continue_from))
    await studio.fetched(standing)
    assert standing.record.state == "saved", standing.record.error
    return standing.record.generation_id


async def begun(studio: Studio, site: Site, n: int = 1) -> str:
    """Ask for the first, and see its first picture saved; the id."""
    identity = (await studio.generate(asking(n=n, wait_seconds=0))).record.generation_id
    await site.first.wait()
    return identity


async def test_any_of_several_pictures_can_be_gone_on_from(tmp_path: Path) -> None:
    asked: list[ImageRequest] = []

    async def draws(request: ImageRequest, report: Report) -> None:
        asked.append(request)
        await report.state("generating", submitted=True)
        for width in range(20, 20 + request.n):
            await report.save(png(width))

    async with studio_with(tmp_path, api=Scripted(draws), backend="api", api_key="test-key") as studio:
        made = (await studio.generate(asking(n=3))).record
        for name in (made.generation_id, f"{made.generation_id}/3"):
            await studio.generate(asking("make it blue", continue_from=name))
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking("make it blue", continue_from=f"{made.generation_id}/4"))
    used = [request.continue_image.sha256 for request in asked[1:] if request.continue_image is not None]
    assert used == [made.images[0].sha256, made.images[2].sha256]
    assert (caught.value.code, caught.value.submitted) == ("invalid_input", False)


async def test_another_picture_than_the_newest_is_shown_to_the_site_once_more(tmp_path: Path) -> None:
    """The site goes on from the newest in the conversation, whichever is named to us."""
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking(n=3))).record
        newest = await drawn(studio, f"{made.generation_id}/3")
        for name in (made.generation_id, f"{made.generation_id}/2", f"{made.generation_id}/3", newest):
            await drawn(studio, name)
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking(BLUE, continue_from=f"{made.generation_id}/4"))
        blue = await studio.library.find(newest)
    assert blue is not None
    first, second, third = ([picture.sha256] for picture in made.images)
    assert site.shown == [[], first, second, third, [blue.record.images[0].sha256]]
    assert {request.continue_url for request in site.asked[1:]} == {"http://site/c/1"}
    assert (caught.value.code, caught.value.submitted) == ("invalid_input", False)


async def test_going_on_twice_from_the_same_picture_shows_it_to_the_site_that_has_drawn_another_since(
    tmp_path: Path,
) -> None:
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking())).record
        blue = await drawn(studio, made.generation_id)
        await drawn(studio, made.generation_id, "make it red")
    assert site.shown == [[], [made.images[0].sha256]]
    # A page that stands where the first one ended is behind.
    assert [request.continue_from for request in site.asked[1:]] == [made.generation_id, blue]


async def test_what_stands_in_the_conversation_counts_when_the_turn_comes_and_not_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    site = Site(ends=True)
    site.more = 1
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = await begun(studio, site)
        waiting = [
            await studio.generate(asking(prompt, continue_from=made, wait_seconds=0)) for prompt in (BLUE, "red")
        ]
        site.go.set()  # the site gives another one behind the answer
        states = [(await studio.wait(one.record.generation_id)).record.state for one in waiting]
        entry = await studio.library.find(made)
    assert entry is not None
    assert (states, len(entry.record.images)) == (["saved", "saved"], 2)
    assert site.shown == [[entry.record.images[0].sha256]] * 2


async def test_of_two_that_wait_to_go_on_from_one_picture_the_second_shows_it(tmp_path: Path) -> None:
    site = Site(ends=True)
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = await begun(studio, site)
        waiting = [
            await studio.generate(asking(prompt, continue_from=made, wait_seconds=0)) for prompt in (BLUE, "red")
        ]
        site.go.set()
        for one in waiting:
            await studio.wait(one.record.generation_id)
        entry = await studio.library.find(made)
    assert entry is not None
    assert site.shown == [[], [entry.record.images[0].sha256]]


async def test_one_of_several_that_are_still_being_drawn_is_gone_on_from_and_the_same_call_joins(
    tmp_path: Path,
) -> None:
    site = Site()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = await begun(studio, site, n=3)
        with pytest.raises(ImageError, match="not finished") as caught:
            await studio.generate(asking(BLUE, continue_from=f"{made}/2"))
        waits = await studio.generate(asking(BLUE, continue_from=made, wait_seconds=0))
        site.go.set()
        blue = await studio.wait(waits.record.generation_id)
        again = [await studio.generate(asking(BLUE, continue_from=name)) for name in (made, f"{made}/1")]
        entry = await studio.library.find(made)
    assert entry is not None
    assert (caught.value.code, "wait_for_image" in (caught.value.next_step or "")) == ("invalid_input", True)
    assert (blue.record.state, site.shown) == ("saved", [[entry.record.images[0].sha256]])
    assert {one.record.generation_id for one in again} == {blue.record.generation_id}


async def test_one_whose_last_turn_was_not_seen_to_end_may_have_another_picture_at_the_site(tmp_path: Path) -> None:
    async def breaks(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", turn_pressed=True)
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        await report.save(png(1))
        raise ImageError("network", "The connection broke.", submitted=True)

    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(breaks)) as studio:
        made = (await studio.generate(asking(n=2))).record
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        await drawn(studio, made.generation_id)
    assert [[picture.sha256 for picture in one.reference_images] for one in site.asked] == [[made.images[0].sha256]]


async def test_what_was_answered_in_words_is_gone_on_from_without_a_picture(tmp_path: Path) -> None:
    async def asks_back(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        raise ImageError("text_only", "Which colour?", submitted=True, spent=False)

    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(asks_back)) as studio:
        words = (await studio.generate(asking())).record.generation_id
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        await drawn(studio, words, "blue")
    assert [request.reference_images for request in site.asked] == [()]


async def test_a_picture_too_many_for_the_site_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking())).record
        theirs = {"reference_images": [made.images[0].path] * MOST_REFERENCES, "continue_from": made.generation_id}
        fits = (await studio.generate(asking(BLUE, **theirs))).record
        beyond = (await studio.generate(asking("red", **theirs))).record
    assert (fits.state, beyond.state, beyond.submitted, len(site.asked)) == ("saved", "failed", False, 2)
    assert beyond.error is not None
    assert (beyond.error["code"], beyond.error["details"]["field"]) == ("invalid_input", "reference_images")
    assert "more than 16" in beyond.error["message"]


@pytest.mark.parametrize("backend", ["api", "chatgpt-web"])
async def test_going_on_from_one_that_is_still_being_drawn_is_told_to_wait_for_it(tmp_path: Path, backend: str) -> None:
    scripted = Scripted(sent_then_hangs)
    async with studio_with(tmp_path, scripted, scripted, backend=backend, api_key="test-key") as studio:
        drawn = (await sent(studio)).record.generation_id
        with pytest.raises(ImageError, match="not finished") as refused:
            await studio.generate(asking("make it blue", continue_from=drawn))
    assert (refused.value.code, "wait_for_image" in (refused.value.next_step or "")) == ("invalid_input", True)
