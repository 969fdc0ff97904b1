"""What a call goes on from: the picture that it names, handed down with what the site knows it by where it is the last
of its own generation. Whether it is shown to the site once more is decided there."""

import shutil
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import AtSite, ImageRequest, Report
from cdp_image_mcp.studio.studio import Studio
from tests.library.making import ago
from tests.studio.leaving import asking, interrupted, sent, sent_then_hangs
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
        told = {"conversation_url": "http://site/c/1", "user_message_id": f"message-{len(self.asked)}"}
        await report.state("generating", submitted=True, **told)
        for number in range(request.n + (self.more if beginning else 0)):
            width = 10 * len(self.asked) + number
            await report.save(png(width), source={"file_id": f"file_{width}"}, ends={} if self._ends else None)
            if beginning:
                self.first.set()
                await self.go.wait()

    @property
    def named(self) -> list[tuple[str | None, AtSite | None]]:
        """The picture that each prompt behind the first goes on from, and what the site knows it by."""
        pictures = [(request.continue_image, request.continue_at) for request in self.asked[1:]]
        return [(picture.sha256 if picture is not None else None, at) for picture, at in pictures]


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


async def test_only_the_last_picture_of_its_generation_can_stand_last_at_the_site(tmp_path: Path) -> None:
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
    first, second, third = (picture.sha256 for picture in made.images)
    last, newest_there = AtSite("message-1", "file_12"), AtSite("message-2", "file_20")
    drawn_blue = (blue.record.images[0].sha256, newest_there)
    assert site.named == [(third, last), (first, None), (second, None), (third, last), drawn_blue]
    assert {request.continue_url for request in site.asked[1:]} == {"http://site/c/1"}
    assert (caught.value.code, caught.value.submitted) == ("invalid_input", False)


async def test_a_page_that_stands_where_the_named_picture_was_drawn_is_behind_one_that_was_drawn_there_since(
    tmp_path: Path,
) -> None:
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking())).record
        blue = await drawn(studio, made.generation_id)
        await drawn(studio, made.generation_id, "make it red")
    assert site.named == [(made.images[0].sha256, AtSite("message-1", "file_10"))] * 2
    assert [request.continue_from for request in site.asked[1:]] == [made.generation_id, blue]


async def test_that_no_record_tells_of_a_later_one_says_nothing_of_what_stands_last_at_the_site(tmp_path: Path) -> None:
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking())).record
        blue = await studio.library.find(await drawn(studio, made.generation_id))
        assert blue is not None
        shutil.rmtree(blue.folder.path)
        await drawn(studio, made.generation_id, "make it red")
    assert site.named == [(made.images[0].sha256, AtSite("message-1", "file_10"))] * 2


@pytest.mark.parametrize("number", [1, 2])
async def test_a_picture_that_was_moved_away_is_missed_only_where_it_would_have_to_be_shown(
    tmp_path: Path, number: int
) -> None:
    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        made = (await studio.generate(asking(n=2))).record
        for image in made.images:
            Path(image.path).unlink()
        blue = (await studio.generate(asking(BLUE, continue_from=f"{made.generation_id}/{number}"))).record
    if number == 2:
        assert (blue.state, site.named) == ("saved", [(None, AtSite("message-1", "file_11"))])
    else:
        assert blue.error is not None
        assert (blue.error["code"], blue.submitted, site.named) == ("invalid_input", False, [])


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
    assert site.named == [(entry.record.images[0].sha256, None)] * 2


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
    assert (blue.record.state, site.named) == ("saved", [(entry.record.images[0].sha256, None)])
    assert {one.record.generation_id for one in again} == {blue.record.generation_id}


async def test_one_whose_last_turn_was_not_seen_to_end_may_have_another_picture_at_the_site(tmp_path: Path) -> None:
    async def breaks(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", turn_pressed=True)
        told = {"conversation_url": "http://site/c/1", "user_message_id": "message"}
        await report.state("generating", submitted=True, **told)
        await report.save(png(1), source={"file_id": "file_1"})
        raise ImageError("network", "The connection broke.", submitted=True)

    site = Site()
    site.go.set()
    async with studio_with(tmp_path, Scripted(breaks)) as studio:
        made = (await studio.generate(asking(n=2))).record
    async with studio_with(tmp_path, Scripted(site.draw)) as studio:
        await drawn(studio, made.generation_id)
    (asked,) = site.asked
    assert asked.continue_image is not None
    assert (asked.continue_image.sha256, asked.continue_at) == (made.images[0].sha256, None)


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
    assert [(request.continue_number, request.continue_image) for request in site.asked] == [(None, None)]


@pytest.mark.parametrize("backend", ["api", "chatgpt-web"])
async def test_going_on_from_one_that_is_still_being_drawn_is_told_to_wait_for_it(tmp_path: Path, backend: str) -> None:
    scripted = Scripted(sent_then_hangs)
    async with studio_with(tmp_path, scripted, scripted, backend=backend, api_key="test-key") as studio:
        drawn = (await sent(studio)).record.generation_id
        with pytest.raises(ImageError, match="not finished") as refused:
            await studio.generate(asking("make it blue", continue_from=drawn))
    assert (refused.value.code, "wait_for_image" in (refused.value.next_step or "")) == ("invalid_input", True)


@pytest.mark.parametrize("told", [False, True])
async def test_what_is_collected_behind_a_call_is_gone_on_from_only_when_it_was_told(
    tmp_path: Path, told: bool
) -> None:
    """Whoever says "make it blue" means what was seen last."""
    asked, collected = list[ImageRequest](), anyio.Event()

    async def draws(request: ImageRequest, report: Report) -> None:
        asked.append(request)
        await report.state("generating", submitted=True, conversation_url="http://site/c/cat")
        await report.save(png(len(asked)))

    async def collects(_request: ImageRequest, report: Report) -> None:
        await report.save(png(100), ends={})
        collected.set()

    pressed = ago(hours=20)
    sent_before = {"created_at": pressed, "facts": {"submitted_at": pressed}}
    fox = await interrupted(tmp_path, conversation_url="http://site/c/fox", **sent_before)
    async with studio_with(tmp_path, Scripted(draws, collects)) as studio:
        cat = await studio.generate(asking("a cat"))
        await studio.fetched(cat)
        await collected.wait()
        if told:
            assert await studio.fetched(await studio.wait(fox.generation_id))
        await studio.generate(asking(BLUE, conversation_mode="continue"))
    wanted = (fox.generation_id, "http://site/c/fox") if told else (cat.record.generation_id, "http://site/c/cat")
    assert (asked[1].continue_from, asked[1].continue_url) == wanted


# --- made with another profile -------------------------------------------------------------------------------------


def profile_in(folder: Path, number: int, account: str | None = None) -> tuple[Path, Scripted]:
    """A profile that is in use, and the site as the account sees it that is signed in there: it has conversations of
    its own and no others. Where nothing is known of it they are the profile's."""
    profile = folder / f"profile {number}"
    (profile / "Default").mkdir(parents=True, exist_ok=True)
    own = f"http://site/c/{account or number}/"

    async def draws(request: ImageRequest, report: Report) -> None:
        url = request.continue_url or f"{own}{request.prompt}"
        if not url.startswith(own):
            raise ImageError("service_error", "The conversation was not found.")
        told = {"profile_dir": str(profile), "conversation_url": url, "account": account}
        await report.state("generating", submitted=True, **told)
        await report.save(png(number))

    return profile, Scripted(draws)


ONWARD = {"conversation_mode": "continue"}


async def test_what_another_account_made_last_is_not_gone_on_from_where_this_one_made_something(
    tmp_path: Path,
) -> None:
    """Two clients with one output root and a profile each."""
    mine, site = profile_in(tmp_path, 1, "a1")
    theirs, their_site = profile_in(tmp_path, 2, "b2")
    async with (
        studio_with(tmp_path, site, profile_dir=mine) as studio,
        studio_with(tmp_path, their_site, profile_dir=theirs) as other,
    ):
        with pytest.raises(ImageError, match="no finished generation"):
            await studio.generate(asking(BLUE, **ONWARD))
        await studio.generate(asking("a fox"))
        last = (await other.generate(asking("a hen"))).record
        with pytest.raises(ImageError, match="another account or workspace than the one that sent last") as caught:
            await studio.generate(asking(BLUE, continue_from=last.generation_id))
        blue = (await studio.generate(asking(BLUE, **ONWARD))).record
        red = (await other.generate(asking("make it red", **ONWARD))).record
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("configuration", False, False)
    assert caught.value.details == {"profile_dir": str(theirs)}
    assert (blue.state, blue.conversation_url) == ("saved", "http://site/c/a1/a fox")
    assert (red.state, red.conversation_url) == ("saved", "http://site/c/b2/a hen")


async def test_what_the_same_account_made_with_another_profile_is_gone_on_from(tmp_path: Path) -> None:
    """Two clients run at once have a profile each, and a person may have signed in to a new one."""
    mine, site = profile_in(tmp_path, 1, "a1")
    theirs, their_site = profile_in(tmp_path, 2, "a1")
    async with (
        studio_with(tmp_path, site, profile_dir=mine) as studio,
        studio_with(tmp_path, their_site, profile_dir=theirs) as other,
    ):
        await studio.generate(asking("a fox"))
        hen = (await other.generate(asking("a hen"))).record
        named = (await studio.generate(asking(BLUE, continue_from=hen.generation_id))).record
        await other.generate(asking("a crow"))
        newest = (await studio.generate(asking("make it red", **ONWARD))).record
    assert (named.state, named.conversation_url) == ("saved", "http://site/c/a1/a hen")
    assert (newest.state, newest.conversation_url) == ("saved", "http://site/c/a1/a crow")


@pytest.mark.parametrize("which", [ONWARD, "continue_from"], ids=["the last", "one that is named"])
async def test_whether_the_account_has_it_is_left_to_the_site_where_that_is_not_known(
    tmp_path: Path, which: dict[str, str] | str
) -> None:
    theirs, their_site = profile_in(tmp_path, 1, "a1")
    mine, site = profile_in(tmp_path, 2, "a1")
    async with studio_with(tmp_path, their_site, profile_dir=theirs) as other:
        fox = (await other.generate(asking("a fox"))).record
    async with studio_with(tmp_path, site, profile_dir=mine) as studio:
        onward = {which: fox.generation_id} if isinstance(which, str) else which
        blue = (await studio.generate(asking(BLUE, **onward))).record
    assert (blue.state, blue.conversation_url) == ("saved", "http://site/c/a1/a fox")


async def test_the_profile_of_a_conversation_may_have_been_moved_or_be_named_in_another_way(tmp_path: Path) -> None:
    mine, site = profile_in(tmp_path, 1)
    async with studio_with(tmp_path, site, profile_dir=mine) as studio:
        made = (await studio.generate(asking())).record
    named = tmp_path / "link"
    named.symlink_to(mine)
    moved = tmp_path / "moved"
    for profile in (named, moved):
        if profile == moved:
            named.unlink()
            mine.rename(moved)
        async with studio_with(tmp_path, site, profile_dir=profile) as studio:
            record = (await studio.generate(asking(f"{profile}", conversation_mode="continue"))).record
        assert (record.state, record.conversation_url) == ("saved", made.conversation_url)
