"""A back end that has what was asked for and still watches its turn: the call is answered, the turn stays taken."""

from pathlib import Path

import anyio
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from tests.studio.leaving import left
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio


def on_disk(folder: str) -> Record:
    return msgspec.json.decode((Path(folder) / "metadata.json").read_bytes(), type=Record)


class Watching:
    """Saves the picture, which is the end, and brings another one when it may."""

    def __init__(self) -> None:
        self.go_on = anyio.Event()
        self.over = anyio.Event()
        self.failing: ImageError | None = None

    async def __call__(self, request: ImageRequest, report: Report) -> None:
        await draw(request, report, ends={})
        await self.go_on.wait()
        if self.failing is not None:
            raise self.failing
        await report.save(png(9), source={"file_id": "late"})
        await report.state("generating", quota_seen=3)
        self.over.set()


async def test_the_answer_comes_with_the_asked_picture_and_what_follows_is_listed_later(tmp_path: Path) -> None:
    watching = Watching()
    async with studio_with(tmp_path, Scripted(watching)) as studio:
        first = await studio.generate(GenerateImage(prompt="a bear"))
        assert first.record.state == on_disk(first.folder).state == "saved"
        assert len(first.record.images) == 1
        await studio.fetched(first)
        watching.go_on.set()
        await watching.over.wait()
    record = on_disk(first.folder)
    assert (record.state, len(record.images), record.fetched) == ("saved", 2, True)
    assert record.finished_at == first.record.finished_at
    assert record.elapsed_seconds == first.record.elapsed_seconds
    assert record.facts["quota_seen"] == 3
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        later = await studio.wait(first.record.generation_id)
        assert len(later.record.images) == 2
        assert not (await studio.generate(GenerateImage(prompt="a bear"))).joined


async def test_who_was_told_the_end_by_another_process_gets_a_new_picture_the_next_time(tmp_path: Path) -> None:
    """The one that made it still watches its turn then, and goes on writing the record."""
    watching = Watching()
    async with studio_with(tmp_path, Scripted(watching)) as maker, studio_with(tmp_path, Scripted(draw)) as other:
        first = await maker.generate(GenerateImage(prompt="a bear"))  # the client gave up
        told = await other.generate(GenerateImage(prompt="a bear"))
        assert (told.joined, told.record.generation_id) == (True, first.record.generation_id)
        await other.fetched(told)
        watching.go_on.set()
        await watching.over.wait()
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        assert not (await studio.generate(GenerateImage(prompt="a bear"))).joined
    record = on_disk(first.folder)
    assert (record.fetched, len(record.images), record.facts["quota_seen"]) == (True, 2, 3)


async def test_nobody_takes_a_picture_that_a_turn_still_brings_to_one_who_took_it_up(tmp_path: Path) -> None:
    """The client that asked for it is gone, so nothing but who works on it keeps others from what lies there."""
    watching = Watching()
    orphan = await left(tmp_path)
    async with studio_with(tmp_path, Scripted(draw, watching)) as maker, studio_with(tmp_path, Scripted(draw)) as other:
        first = await maker.wait(orphan.generation_id)
        part = Path(first.folder) / ".image.1-1.part"
        part.write_bytes(png(9))  # as far as the other process sees it: named in the next moment
        assert len((await other.wait(orphan.generation_id)).record.images) == 1
        assert part.exists()
        watching.go_on.set()
        await watching.over.wait()
        part.unlink()
    assert [Path(image.path).name for image in on_disk(first.folder).images] == ["image-01.png", "image-02.png"]


async def test_the_next_prompt_waits_until_the_turn_is_given_back(tmp_path: Path) -> None:
    watching = Watching()
    backend = Scripted(watching)
    async with studio_with(tmp_path, backend) as studio:
        await studio.generate(GenerateImage(prompt="a bear"))
        second = await studio.generate(GenerateImage(prompt="a fox", wait_seconds=0.1))
        assert second.record.state == "queued"
        assert backend.started == ["a bear"]
        watching.go_on.set()
        await studio.wait(second.record.generation_id)
    assert backend.started == ["a bear", "a fox"]


@pytest.mark.parametrize("failing", [True, False])
async def test_nothing_that_comes_after_the_asked_picture_takes_its_end_back(tmp_path: Path, failing: bool) -> None:
    watching = Watching()
    if failing:
        watching.failing = ImageError("service_error", "The site broke.", submitted=True)
    async with studio_with(tmp_path, Scripted(watching)) as studio:
        first = await studio.generate(GenerateImage(prompt="a bear"))
        if failing:
            watching.go_on.set()
        else:
            assert (await studio.cancel(first.record.generation_id)).record.state == "saved"
    assert (on_disk(first.folder).state, on_disk(first.folder).error) == ("saved", None)


async def test_a_turn_with_a_picture_missing_is_not_over(tmp_path: Path) -> None:
    async def too_early(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(png(0), ends={})
        raise ImageError("text_only", "Only words came.", submitted=True)

    async with studio_with(tmp_path, Scripted(too_early)) as studio:
        standing = await studio.generate(GenerateImage(prompt="a bear", n=2))
    assert standing.record.state == "partial"


async def test_a_picture_that_was_moved_away_gives_its_name_to_no_later_one(tmp_path: Path) -> None:
    """Whoever asked for it often moves it to where it belongs, while the turn may still bring another."""
    watching = Watching()
    async with studio_with(tmp_path, Scripted(watching)) as studio:
        first = await studio.generate(GenerateImage(prompt="a bear"))
        Path(first.record.images[0].path).rename(tmp_path / "hero.png")
        watching.go_on.set()
        await watching.over.wait()
        later = await studio.wait(first.record.generation_id)
    assert [Path(image.path).name for image in later.record.images] == ["image-01.png", "image-02.png"]
    assert [Path(image.path).exists() for image in later.record.images] == [False, True]
