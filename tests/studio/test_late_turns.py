"""Turns the site was still drawing when their time was over: one worker each, and no prompt beside them."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.library import Entry
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from tests.studio.scripted import Scripted, draw, png, studio_with
from tests.studio.test_left_behind import asking, collects, interrupted, sent_then_hangs

pytestmark = pytest.mark.anyio


async def late_on_disk(folder: Path) -> str:
    """A generation of a process that is gone, whose time was over while the site was drawing."""
    error = ImageError("timeout", "420 s were over.", submitted=True)
    record = await interrupted(folder, error=error.as_dict(), conversation_url="http://site/c/1")
    return record.generation_id


async def test_a_late_turn_asked_for_while_the_next_prompt_takes_it_up_is_collected_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = await late_on_disk(tmp_path)
    looked, began, taken_again = anyio.Event(), anyio.Event(), anyio.Event()

    async def collecting(_request: ImageRequest, report: Report) -> None:
        began.set()
        with anyio.move_on_after(1):
            await taken_again.wait()
            while studio._runner.jobs[late].position is None:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]
                await anyio.sleep(0.02)
        await report.save(png(len(web.collected)))

    async def draws(request: ImageRequest, report: Report) -> None:
        assert web.collected == [late]
        await draw(request, report)

    web = Scripted(draws, collecting)
    async with studio_with(tmp_path, web) as studio, anyio.create_task_group() as group:
        find, adopt, collectable = studio.library.find, studio.library.adopt, studio.library.collectable

        async def finds_slowly(generation_id: str) -> Entry | None:
            entry = await find(generation_id)
            if generation_id == late and not looked.is_set():
                looked.set()
                with anyio.move_on_after(1):
                    await began.wait()
            return entry

        async def adopts(generation_id: str, *, mine_idle: bool = False) -> Entry | None:
            entry = await adopt(generation_id, mine_idle=mine_idle)
            if began.is_set():
                taken_again.set()
            return entry

        async def then_collectable(seconds: float | None = None) -> list[Entry]:
            await looked.wait()
            return await collectable(seconds)

        monkeypatch.setattr(studio.library, "find", finds_slowly)
        monkeypatch.setattr(studio.library, "adopt", adopts)
        monkeypatch.setattr(studio.library, "collectable", then_collectable)
        next_one = await studio.generate(asking(wait_seconds=0))
        group.start_soon(studio.wait, late)
        assert (await studio.wait(next_one.record.generation_id)).record.state == "saved"
        standing = await studio.wait(late)
        assert (standing.record.state, len(standing.record.images), web.collected) == ("saved", 1, [late])


async def test_a_prompt_stands_back_for_a_late_turn_that_waits_behind_it_in_the_queue(tmp_path: Path) -> None:
    drawing, go_on = anyio.Event(), anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        drawing.set()
        await go_on.wait()
        await draw(request, report)

    web = Scripted(slow, collects)
    async with studio_with(tmp_path, web) as studio:
        first = await studio.generate(asking(wait_seconds=0))
        await drawing.wait()
        next_one = await studio.generate(asking("a fox", wait_seconds=0))
        while (await studio.wait(next_one.record.generation_id, 0)).position is None:  # noqa: ASYNC110 - no news of it
            await anyio.sleep(0.02)
        late = await late_on_disk(tmp_path)
        assert not (await studio.wait(late, 0)).record.finished

        async def after(request: ImageRequest, report: Report) -> None:
            assert web.collected == [late]
            await draw(request, report)

        web.play = after
        go_on.set()
        states = [(await studio.wait(x.record.generation_id)).record.state for x in (first, next_one)]
    assert states == ["saved", "saved"]


async def test_the_turn_is_given_back_only_when_the_end_of_a_late_one_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Folder.write
    sent, queued, next_began = anyio.Event(), anyio.Event(), anyio.Event()

    async def writes_slowly(self: Folder, record: Record) -> None:
        if record.prompt == "late" and record.state == "interrupted":
            with anyio.move_on_after(1):
                await next_began.wait()
        await write(self, record)

    async def too_long(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        sent.set()
        await queued.wait()
        raise ImageError("timeout", "1 s was over.", submitted=True)

    async def after(request: ImageRequest, report: Report) -> None:
        next_began.set()
        assert web.collected == [late.record.generation_id]
        await draw(request, report)

    monkeypatch.setattr(Folder, "write", writes_slowly)
    web = Scripted(too_long, collects)
    async with studio_with(tmp_path, web) as studio:
        late = await studio.generate(asking("late", wait_seconds=0))
        await sent.wait()
        web.play = after
        next_one = await studio.generate(asking(wait_seconds=0))
        while (await studio.wait(next_one.record.generation_id, 0)).position is None:  # noqa: ASYNC110 - no news of it
            await anyio.sleep(0.02)
        queued.set()
        standing = await studio.wait(next_one.record.generation_id)
    assert standing.record.state == "saved"


async def test_a_wait_for_a_late_turn_that_was_cut_short_does_not_count_as_the_one_it_gets(tmp_path: Path) -> None:
    looking = anyio.Event()

    async def goes_on(_request: ImageRequest, _report: Report) -> None:
        looking.set()
        await anyio.sleep_forever()

    web = Scripted(sent_then_hangs, goes_on)
    async with studio_with(tmp_path, web) as studio:
        late = await studio.generate(GenerateImage(prompt="late", timeout_seconds=1))
        await studio.fetched(late)
        waiting = await studio.generate(asking(wait_seconds=0))
        await looking.wait()
        await studio.cancel(waiting.record.generation_id)
        cut_short = await studio.library.find(late.record.generation_id)
        web.collecting = collects
        web.play = draw
        await studio.generate(asking("a fox"))
        collected = await studio.library.find(late.record.generation_id)
    assert cut_short is not None
    error: dict[str, Any] = cut_short.record.error or {}
    assert (error["code"], error["submitted"]) == ("timeout", True)
    assert "were over" not in error["message"]
    assert collected is not None
    assert (collected.record.state, len(web.collected)) == ("saved", 2)
