"""How often a job writes its record: each writing waits for the disk, and the answer for each writing."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder, new_folder, write_record
from cdp_image_mcp.library.record import Record, new_record
from cdp_image_mcp.request import ImageRequest, SavedImage, WorkState
from cdp_image_mcp.studio.jobs.job import Job
from tests.clock import leap
from tests.studio.scripted import png

pytestmark = pytest.mark.anyio


class Ending:
    """Ends a job whose pictures are all there, as the studio does."""

    async def end_done(self, job: Job, /) -> None:
        await job.finish("saved")

    async def taken(self, _generation_id: str, /) -> frozenset[str]:
        return frozenset()

    async def reserve(self, _job: Job, _usd: float, /) -> None:
        return


@pytest.fixture
def written() -> list[tuple[str, int]]:
    """State and number of pictures of each record that went to the disk."""
    return []


@pytest.fixture
async def job(tmp_path: Path, written: list[tuple[str, int]]) -> Job:
    request = ImageRequest(prompt="a bear", backend="chatgpt-web")
    record = new_record("a" * 32, request, requested="auto", asked={})
    path, _ = new_folder(tmp_path, record)

    def writes(folder: Path, record: Record) -> None:
        write_record(folder, record)
        written.append((record.state, len(record.images)))

    return Job(request, record, Folder(path, writes), Ending())


async def test_the_last_picture_and_the_end_are_one_writing(job: Job, written: list[tuple[str, int]]) -> None:
    await job.state("generating", submitted=True)
    await job.save(png(1), source={"file_id": "one"}, ends={"capture": "network"})
    assert written == [("generating", 0), ("saved", 1)]
    assert (job.answered.is_set(), job.facts["capture"]) == (True, "network")


async def test_what_may_be_out_may_count_and_what_did_not_go_out_does_not(job: Job) -> None:
    told: list[object] = []
    for submitted in ("unknown", False, True, "unknown", False):
        await job.state("submitting" if submitted == "unknown" else "starting", submitted=submitted)
        told.append(job.record.spent)
    assert told == ["unknown", False, "unknown", "unknown", False]


async def test_where_it_cannot_be_written_that_something_goes_out_nothing_does_and_nothing_says_so(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `auto` would not change its way, and the caller hear of a picture that may be there."""
    await job.state("starting", submitted=False, window="shown")

    async def full(_folder: Folder, _record: Record) -> None:
        raise ImageError("disk", "No space left.")

    monkeypatch.setattr(Folder, "write", full)
    with pytest.raises(ImageError, match="No space left"):
        await job.state("submitting", submitted="unknown", sent_prompt="a bear", window="hidden", user_message_id="m")
    record = job.record
    assert (record.state, record.submitted, record.spent) == ("starting", False, False)
    assert record.facts == {"window": "shown"}


async def test_what_is_given_up_before_it_is_written_that_something_goes_out_was_not_sent(
    job: Job, written: list[tuple[str, int]]
) -> None:
    """It waits for the disk, and for who writes just then; its end tells what the record says."""
    await job.state("starting", submitted=False)
    with anyio.CancelScope() as given_up:
        given_up.cancel()
        await job.state("submitting", submitted="unknown", sent_prompt="a bear", turn_pressed=True)
    record, told = job.record, job.timed_out()
    assert (record.state, record.submitted, record.spent, record.facts) == ("starting", False, False, {})
    assert (told.submitted, written) == (False, [("starting", 0)])


async def test_a_picture_that_is_there_already_is_an_end_as_well(job: Job, written: list[tuple[str, int]]) -> None:
    await job.save(png(1), source={"file_id": "one"})
    await job.save(png(1), source={"file_id": "one"}, ends={})
    assert written == [("queued", 1), ("saved", 1)]


async def test_of_several_that_wait_for_the_disk_one_writes_for_all(job: Job, written: list[tuple[str, int]]) -> None:
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(lambda number=number: job.state("generating", **{f"fact_{number}": number}))
    assert len(written) <= 2
    assert {f"fact_{number}" for number in range(5)} <= set(job.facts)
    kept = (job.folder.path / "metadata.json").read_text()
    assert all(f"fact_{number}" in kept for number in range(5))


async def test_the_parts_of_its_time_come_to_the_whole(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Folder.add_picture

    async def slowly(*given: Any) -> SavedImage:
        leap(monkeypatch, 100)
        return await add(*given)

    monkeypatch.setattr(Folder, "add_picture", slowly)
    states: tuple[WorkState, ...] = ("starting", "submitting", "generating", "saving")
    for state in states:
        await job.state(state)
        leap(monkeypatch, 10)
    await job.save(png(1))
    await job.finish("saved")
    parts = msgspec.structs.asdict(job.record.timings)
    assert sum(parts.values()) == pytest.approx(job.record.elapsed_seconds, abs=0.1)
    assert {name: round(part, -1) for name, part in parts.items()} == {
        "queue": 0,
        "browser": 10,
        "submit": 10,
        "generate": 10,
        "save": 110,
    }
