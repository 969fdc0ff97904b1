"""Cancelling what another process works on, by a file in its folder."""

import errno
import os
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Owner
from cdp_image_mcp.request import ImageRequest, Report
from tests.library.making import end, other_process
from tests.studio.leaving import asking, interrupted, left, sent, sent_then_hangs
from tests.studio.scripted import Scripted, draw, studio_with

pytestmark = pytest.mark.anyio

OWNS = """
import sys
from pathlib import Path
from cdp_image_mcp.library.attendance import Attendance
here = Attendance(Path(sys.argv[1]), print)
here.enter()
print(here.token, flush=True)
sys.stdin.readline()
"""


def failing(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """From now on the disk fails at this method of the file's path; grows with each time."""
    real = getattr(Path, name)
    failed: list[str] = []

    def fails(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name == ".cancel":
            failed.append(name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, *arguments, **more)

    monkeypatch.setattr(Path, name, fails)
    return failed


async def test_a_folder_that_cannot_be_looked_into_does_not_end_what_is_being_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing(monkeypatch, "stat")
    monkeypatch.setattr("cdp_image_mcp.studio.jobs.stopfile.LOOK_SECONDS", 0.02)

    async def draws(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        while len(failed) < 2:  # noqa: ASYNC110 - counted by another thread
            await anyio.sleep(0.02)
        await draw(request, report)

    async with studio_with(tmp_path, api=Scripted(draws), backend="api", api_key="test-key") as studio:
        standing = await studio.generate(asking())
    assert standing.record.state == "saved"


async def test_a_wish_that_cannot_be_taken_away_is_heard_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "unlink")
    async with studio_with(tmp_path, Scripted(sent_then_hangs)) as studio:
        started = await studio.generate(asking(wait_seconds=0))
        Path(started.folder, ".cancel").touch()
        standing = await studio.wait(started.record.generation_id)
    assert standing.record.state == "cancelled"


async def test_what_is_being_collected_can_be_cancelled_by_another_process(tmp_path: Path) -> None:
    collecting = anyio.Event()

    async def hangs(_request: ImageRequest, _report: Report) -> None:
        collecting.set()
        await anyio.sleep_forever()

    late = await interrupted(tmp_path)
    async with studio_with(tmp_path, Scripted(draw, hangs)) as studio:
        started = await studio.wait(late.generation_id, 0)
        await collecting.wait()
        Path(started.folder, ".cancel").touch()
        standing = await studio.wait(late.generation_id, 5)
    assert standing.record.state == "cancelled"


async def test_a_wish_that_cannot_be_left_says_what_is_known_of_the_generation_and_not_of_the_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with studio_with(tmp_path, Scripted(sent_then_hangs)) as owner:
        identity = (await sent(owner)).record.generation_id
        async with studio_with(tmp_path, Scripted(draw)) as studio:
            while (await studio.wait(identity, 0)).record.submitted is not True:  # until it stands on the disk, too
                await anyio.lowlevel.checkpoint()
            failing(monkeypatch, "touch")
            with pytest.raises(ImageError, match="could not be left") as caught:
                await studio.cancel(identity)
            monkeypatch.undo()
        assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("disk", True, "unknown")


async def test_a_process_that_dies_before_it_heard_the_wish_leaves_nothing_behind(tmp_path: Path) -> None:
    owner = other_process(OWNS, str(tmp_path / "output"))
    assert owner.stdout is not None
    try:
        token = (await anyio.to_thread.run_sync(owner.stdout.readline)).strip()
        record = await left(tmp_path, owner=Owner(token=token, pid=owner.pid, started=0, host="here"))
        async with studio_with(tmp_path, Scripted(draw)) as studio:
            entry = await studio.library.find(record.generation_id)
            assert entry is not None
            told: list[str] = []

            async def cancels() -> None:
                told.append((await studio.cancel(record.generation_id)).record.state)

            async with anyio.create_task_group() as group:
                group.start_soon(cancels)
                while not Path(entry.folder.path, ".cancel").exists():  # noqa: ASYNC110 - no event of a file
                    await anyio.sleep(0.02)
                end(owner)
    finally:
        end(owner)
    assert told == ["cancelled"]
