"""Jobs that belong to the process: waiting, joining, cancelling, falling back, and what is left after an end."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from tests.clock import leap
from tests.studio.leaving import sent, sent_then_hangs
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio


def asking(prompt: str = "a bear", **arguments: object) -> GenerateImage:
    return GenerateImage(prompt=prompt, **arguments)  # type: ignore[arg-type]


async def test_a_picture_is_saved_and_its_record_says_so(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        standing = await studio.generate(asking())
    assert standing.record.state == "saved"
    assert Path(standing.record.images[0].path).read_bytes() == png(0)
    assert standing.record.submitted is True


async def test_a_call_that_waits_too_short_leaves_the_job_running_and_it_can_be_collected(tmp_path: Path) -> None:
    go_on = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        await go_on.wait()
        await draw(request, report)

    backend = Scripted(slow)
    async with studio_with(tmp_path, backend) as studio:
        first = await studio.generate(asking(wait_seconds=0.05))
        assert not first.record.finished
        go_on.set()
        later = await studio.wait(first.record.generation_id)
        again = await studio.wait(first.record.generation_id, 0)
    assert later.record.state == again.record.state == "saved"
    assert backend.started == ["a bear"]


async def test_a_cancelled_call_leaves_the_job_running(tmp_path: Path) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        begun.set()
        await go_on.wait()
        await draw(request, report)

    backend = Scripted(slow)
    async with studio_with(tmp_path, backend) as studio:
        async with anyio.create_task_group() as call:
            call.start_soon(studio.generate, asking())
            await begun.wait()
            call.cancel_scope.cancel()
        go_on.set()
        standing = await studio.wait(None)
    assert standing.record.state == "saved"


async def test_an_identical_call_joins_a_generation_nobody_waits_for(tmp_path: Path) -> None:
    go_on = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        await go_on.wait()
        await draw(request, report)

    backend = Scripted(slow)
    async with studio_with(tmp_path, backend) as studio:
        first = await studio.generate(asking(wait_seconds=0.05))
        go_on.set()
        second = await studio.generate(asking(wait_seconds=10))
        await studio.fetched(second)
        third = await studio.generate(asking(wait_seconds=10))
    assert second.joined
    assert second.record.generation_id == first.record.generation_id
    # The second call was answered with the picture, so a third one is a new wish.
    assert not third.joined
    assert len(backend.started) == 2


async def test_a_generation_hears_which_messages_and_conversations_are_those_of_others(tmp_path: Path) -> None:
    """By them alone it tells its own question at the site from the same words of another."""
    heard: list[frozenset[str]] = []

    async def play(request: ImageRequest, report: Report) -> None:
        heard.append(await report.taken_ids())
        mark = request.prompt[-1]
        ids = {"user_message_id": f"message {mark}", "used_message_ids": [f"earlier {mark}"]}
        await report.state("submitting", submitted="unknown", conversation_id=f"chat {mark}", **ids)
        heard.append(await report.taken_ids())
        await report.save(png(len(heard)), source={"file_id": mark})

    async with studio_with(tmp_path, Scripted(play)) as studio:
        for prompt in ("a", "b", "c"):
            await studio.generate(asking(prompt))
    of_a, of_b = ({f"message {mark}", f"earlier {mark}", f"chat {mark}"} for mark in "ab")
    assert heard == [set(), set(), of_a, of_a, of_a | of_b, of_a | of_b]


async def test_a_call_that_is_given_up_while_it_registers_is_joined_by_the_same_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        await go_on.wait()
        await draw(request, report)

    backend, joined = Scripted(slow), list[bool]()
    async with studio_with(tmp_path, backend) as studio, anyio.create_task_group() as group:
        register, first = studio.library.claim_or_register, anyio.CancelScope()

        async def again() -> None:
            joined.append((await studio.generate(asking())).joined)

        async def given_up_meanwhile(*arguments: Any, **more: Any) -> Any:
            monkeypatch.undo()
            claim = await register(*arguments, **more)
            first.cancel()
            group.start_soon(again)
            await anyio.wait_all_tasks_blocked()
            return claim

        monkeypatch.setattr(studio.library, "claim_or_register", given_up_meanwhile)
        with first:
            await studio.generate(asking())
        go_on.set()
    assert joined == [True]
    assert backend.started == ["a bear"]


async def test_two_identical_calls_open_at_the_same_time_are_two_generations(tmp_path: Path) -> None:
    backend = Scripted(draw)
    ids: list[str] = []
    async with studio_with(tmp_path, backend) as studio, anyio.create_task_group() as group:

        async def one() -> None:
            ids.append((await studio.generate(asking())).record.generation_id)

        group.start_soon(one)
        group.start_soon(one)
    assert len(set(ids)) == 2
    assert len(backend.started) == 2


async def test_one_web_prompt_at_a_time(tmp_path: Path) -> None:
    async def takes_a_moment(request: ImageRequest, report: Report) -> None:
        await anyio.sleep(0.05)
        await draw(request, report)

    backend = Scripted(takes_a_moment)
    async with studio_with(tmp_path, backend) as studio, anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(studio.generate, asking(f"bear {number}"))
    assert len(backend.started) == 5
    assert backend.most == 1


async def test_cancel_stops_the_job_keeps_its_pictures_and_can_be_repeated(tmp_path: Path) -> None:
    saved = anyio.Event()
    stop_wanted: list[bool] = []

    async def one_then_hangs(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(png(7))
        saved.set()
        try:
            await anyio.sleep_forever()
        finally:
            stop_wanted.append(report.stop_wanted)

    async with studio_with(tmp_path, Scripted(one_then_hangs)) as studio:
        started = await studio.generate(asking(n=2, wait_seconds=0.05))
        await saved.wait()
        cancelled = await studio.cancel(started.record.generation_id)
        again = await studio.cancel(started.record.generation_id)
    assert stop_wanted == [True]
    assert cancelled.record.state == again.record.state == "cancelled"
    assert len(cancelled.record.images) == 1
    assert cancelled.record.error is not None
    assert cancelled.record.error["submitted"] is True


async def test_a_fault_in_taking_leave_of_one_generation_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first_told = anyio.Event(), anyio.Event()

    async def play(request: ImageRequest, report: Report) -> None:
        if request.prompt == "a fox":
            out.set()
            await first_told.wait()
        await draw(request, report)

    async def faulty(_generation_id: str) -> None:
        raise RuntimeError("can't start new thread")

    async with studio_with(tmp_path, api=Scripted(play), backend="api", api_key="test-key") as studio:
        fox = await studio.generate(asking("a fox", wait_seconds=0))
        await out.wait()
        monkeypatch.setattr(studio.library, "let_go", faulty)
        bear = await studio.generate(asking("a bear"))
        first_told.set()
        fox = await studio.wait(fox.record.generation_id)
    assert (bear.record.state, fox.record.state) == ("saved", "saved")


def after(came: anyio.Event) -> Scripted:
    """Draws once a person has come."""

    async def needs_a_person(request: ImageRequest, report: Report) -> None:
        await report.waiting_for_person()
        await report.state("needs_sign_in")
        await came.wait()
        await draw(request, report)

    return Scripted(needs_a_person)


async def test_waiting_for_a_person_stops_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came = anyio.Event()
    async with studio_with(tmp_path, after(came)) as studio:
        first = await studio.generate(asking(timeout_seconds=60))
        assert first.record.state == "needs_sign_in"
        leap(monkeypatch, 120)
        came.set()
        standing = await studio.wait(first.record.generation_id)
    assert standing.record.state == "saved"


async def test_whoever_looks_on_is_told_of_a_person_once_and_then_waits(tmp_path: Path) -> None:
    came = anyio.Event()

    async def comes() -> None:
        await anyio.wait_all_tasks_blocked()
        came.set()

    async with studio_with(tmp_path, after(came)) as studio:
        identity = (await studio.generate(asking(), seconds=0)).record.generation_id
        assert (await studio.wait(identity, 600, onlooker=True)).record.state == "needs_sign_in"
        async with anyio.create_task_group() as group:
            group.start_soon(comes)
            assert (await studio.wait(identity, 600, onlooker=True)).record.state == "saved"


async def test_what_was_told_to_whoever_looks_on_is_news_for_whoever_asked(tmp_path: Path) -> None:
    async with studio_with(tmp_path, after(anyio.Event())) as studio:
        identity = (await studio.generate(asking(), seconds=0)).record.generation_id
        assert (await studio.wait(identity, 600, onlooker=True)).record.state == "needs_sign_in"
        assert (await studio.wait(identity, 600)).record.state == "needs_sign_in"


async def test_after_a_shutdown_the_next_studio_collects_what_the_site_finished(tmp_path: Path) -> None:
    async def collects(_request: ImageRequest, report: Report) -> None:
        assert report.facts["conversation_id"] == "1"
        await report.save(png(3), source={"file_id": "file_3"})

    first = Scripted(sent_then_hangs)
    async with studio_with(tmp_path, first) as studio:
        started = await sent(studio)
    second = Scripted(draw, collects)
    async with studio_with(tmp_path, second) as studio:
        standing = await studio.wait(started.record.generation_id)
    assert standing.record.state == "saved"
    assert second.started == []
    assert Path(standing.record.images[0].path).read_bytes() == png(3)


async def test_what_was_never_sent_ends_as_interrupted_and_is_not_collected(tmp_path: Path) -> None:
    async def hangs(_request: ImageRequest, report: Report) -> None:
        await report.state("starting")
        await anyio.sleep_forever()

    async with studio_with(tmp_path, Scripted(hangs)) as studio:
        started = await studio.generate(asking(wait_seconds=0.2))
    backend = Scripted(draw)
    async with studio_with(tmp_path, backend) as studio:
        standing = await studio.wait(started.record.generation_id)
    assert standing.record.state == "interrupted"
    assert backend.collected == []
    assert standing.record.error is not None
    assert standing.record.error["submitted"] is False


async def test_auto_changes_the_back_end_only_before_anything_was_submitted(tmp_path: Path) -> None:
    async def no_credit(_request: ImageRequest, _report: Report) -> None:
        raise ImageError("billing", "no credit left")

    async def half_way(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        raise ImageError("service_error", "broke after it was sent", submitted=True)

    for play, state, ran in ((no_credit, "saved", 1), (half_way, "failed", 0)):
        web = Scripted(draw)
        async with studio_with(tmp_path / str(ran), web, Scripted(play), backend="auto", api_key="test-key") as studio:
            standing = await studio.generate(asking())
        assert standing.record.state == state
        assert len(web.started) == ran
        if state == "saved":
            assert (standing.record.fallback_from, standing.record.fallback_reason) == ("api", "billing")


async def test_pictures_saved_before_a_failure_make_a_partial_result(tmp_path: Path) -> None:
    async def one_of_two(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(png(1))
        raise ImageError("refused", "the second one was refused", submitted=True)

    async with studio_with(tmp_path, Scripted(one_of_two)) as studio:
        standing = await studio.generate(asking(n=2))
    assert standing.record.state == "partial"
    assert [failure.index for failure in standing.record.failures] == [2]


async def test_the_same_file_is_saved_once(tmp_path: Path) -> None:
    async def twice(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        for _ in range(2):
            await report.save(png(1), source={"file_id": "file_1"})

    async with studio_with(tmp_path, Scripted(twice)) as studio:
        standing = await studio.generate(asking())
    assert len(standing.record.images) == 1


async def test_an_unknown_generation_is_not_found(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        with pytest.raises(ImageError) as caught:
            await studio.wait("0" * 32)
    assert caught.value.code == "not_found"
