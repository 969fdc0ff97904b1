"""A time limit ends what has not been sent, and stops the waiting, never a request that may have been paid."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.ending import ADVICE
from cdp_image_mcp.studio.jobs import places
from cdp_image_mcp.studio.jobs.clock import Clock
from cdp_image_mcp.studio.studio import Standing, Studio
from tests import clock
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio

API: dict[str, Any] = {"backend": "api", "api_key": "test-key"}
LIMIT = 60.0
"""Seconds; a leap beyond it is all that ends it."""


def asking(prompt: str = "a bear", **arguments: Any) -> GenerateImage:
    fields: dict[str, Any] = {"timeout_seconds": LIMIT, "wait_seconds": 0, **arguments}
    return GenerateImage(prompt=prompt, **fields)


class Slow:
    """Sent at once, drawn when it may be."""

    def __init__(self) -> None:
        self.sent, self.drawn = anyio.Event(), anyio.Event()
        self.cancelled = False

    async def __call__(self, _request: ImageRequest, report: Report) -> None:
        await report.state("submitting", submitted="unknown")
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        self.sent.set()
        try:
            await self.drawn.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled = True
            raise
        await report.save(png(1), source={"file_id": "1"})


@pytest.fixture
def leap(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    return partial(clock.leap, monkeypatch)


async def settled() -> None:
    """Timers that are due have fired, and everybody has done what follows at once."""
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def over_time(studio: Studio, first: Standing, slow: Slow, leap: Callable[[float], None]) -> Standing:
    """The standing once its time is over."""
    await slow.sent.wait()
    leap(LIMIT)
    while not (standing := await studio.wait(first.record.generation_id, 0)).record.over_time:  # noqa: ASYNC110
        await anyio.sleep(0.01)
    return standing


@pytest.mark.parametrize("way", ["api", "chatgpt-web"])
async def test_what_was_sent_goes_on_over_its_time_and_is_saved_when_it_comes(
    tmp_path: Path, way: str, leap: Callable[[float], None]
) -> None:
    slow = Slow()
    backend = Scripted(slow)
    web, at_api = (None, backend) if way == "api" else (backend, None)
    async with studio_with(tmp_path, web, at_api, **(API if way == "api" else {})) as studio:
        standing = await over_time(studio, await studio.generate(asking()), slow, leap)
        assert (standing.record.finished, standing.record.error) == (False, None)
        slow.drawn.set()
        saved = await studio.wait(standing.record.generation_id)
    assert (saved.record.state, len(saved.record.images), saved.record.error) == ("saved", 1, None)
    assert len(backend.started) == 1


@pytest.mark.parametrize("way", ["api", "chatgpt-web"])
async def test_what_was_not_sent_is_not_sent_any_more(tmp_path: Path, way: str, leap: Callable[[float], None]) -> None:
    begun = anyio.Event()

    async def never_sends(_request: ImageRequest, report: Report) -> None:
        await report.state("starting")
        await report.state("submitting", submitted=False)
        begun.set()
        await anyio.sleep_forever()

    backend = Scripted(never_sends)
    web, at_api = (None, backend) if way == "api" else (backend, None)
    async with studio_with(tmp_path, web, at_api, **(API if way == "api" else {})) as studio:
        first = await studio.generate(asking())
        await begun.wait()
        leap(LIMIT)
        record = (await studio.wait(first.record.generation_id)).record
    assert record.error is not None
    assert (record.state, record.error["code"]) == ("failed", "timeout")
    assert (record.submitted, record.spent, record.error["retryable"]) == (False, False, True)


async def test_after_its_time_no_further_prompt_goes_out(tmp_path: Path, leap: Callable[[float], None]) -> None:
    slow = Slow()
    sent: list[int] = []

    async def one_by_one(request: ImageRequest, report: Report) -> None:
        for number in range(request.n):
            await report.state("submitting", submitted="unknown", turn_pressed=True)
            sent.append(number)
            await report.state("generating", submitted=True, conversation_url="http://site/c/1")
            slow.sent.set()
            await slow.drawn.wait()
            await report.save(png(number), source={"file_id": str(number)})
            await report.state("generating", turn_pressed=False)

    async with studio_with(tmp_path, Scripted(one_by_one)) as studio:
        first = await over_time(studio, await studio.generate(asking(n=3)), slow, leap)
        slow.drawn.set()
        record = (await studio.wait(first.record.generation_id)).record
    assert sent == [0]
    # Nothing of it is out, so there is nothing to be collected either.
    assert (record.state, len(record.images)) == ("partial", 1)
    assert record.error is not None
    assert record.error["next_step"].endswith(ADVICE["rest"])
    assert [(failure.index, failure.code) for failure in record.failures] == [(2, "timeout"), (3, "timeout")]


async def test_the_next_prompt_waits_for_a_turn_that_is_over_its_time_and_not_for_ever(
    tmp_path: Path, leap: Callable[[float], None]
) -> None:
    slow = Slow()
    web = Scripted(slow)
    async with studio_with(tmp_path, web) as studio:
        late = await over_time(studio, await studio.generate(asking("late")), slow, leap)
        queued = await studio.generate(asking())
        assert (queued.record.state, web.started) == ("queued", ["late"])
        web.play = draw
        slow.drawn.set()
        assert (await studio.wait(queued.record.generation_id)).record.state == "saved"
        assert (await studio.wait(late.record.generation_id)).record.state == "saved"
    hanging = Slow()
    async with studio_with(tmp_path, Scripted(hanging)) as studio:
        late = await over_time(studio, await studio.generate(asking("a fox")), hanging, leap)
        leap(places.LATE_SECONDS)
        record = (await studio.wait(late.record.generation_id)).record
    assert hanging.cancelled
    assert record.error is not None
    assert (record.state, record.error["code"], record.collectable) == ("interrupted", "timeout", True)


async def test_a_machine_that_slept_beyond_all_limits_waits_a_while_for_what_is_out(
    tmp_path: Path, leap: Callable[[float], None]
) -> None:
    slow = Slow()
    async with studio_with(tmp_path, Scripted(slow)) as studio:
        first = await studio.generate(asking())
        await slow.sent.wait()
        leap(1500)
        await settled()
        assert not slow.cancelled
        late = await over_time(studio, first, slow, leap)
        await settled()
        leap(1500)
        await settled()
        slow.drawn.set()
        assert (await studio.wait(late.record.generation_id)).record.state == "saved"


async def test_a_person_who_is_waited_for_while_the_time_runs_over_uses_up_none_of_what_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit, later = Clock(LIMIT), anyio.Event()

    async def runs_over() -> None:
        await limit.over()
        limit.stop()  # the person is asked while that is written down
        await limit.over(120)
        later.set()

    async with anyio.create_task_group() as group:
        group.start_soon(runs_over)
        await settled()
        clock.leap(monkeypatch, LIMIT)
        await settled()
        clock.leap(monkeypatch, 130)
        await settled()
        assert not later.is_set()
        limit.run()
        clock.leap(monkeypatch, 119)
        await settled()
        assert not later.is_set()
        clock.leap(monkeypatch, 1)
        await later.wait()


async def test_waiting_in_the_queue_and_for_a_person_uses_up_no_time(
    tmp_path: Path, leap: Callable[[float], None]
) -> None:
    person, came = anyio.Event(), anyio.Event()

    async def asks(request: ImageRequest, report: Report) -> None:
        if not person.is_set():
            await report.state("needs_sign_in")
            await report.waiting_for_person()
            came.set()
            await person.wait()
        await draw(request, report)

    async with studio_with(tmp_path, Scripted(asks)) as studio:
        first = await studio.generate(asking())
        await came.wait()
        second = await studio.generate(asking("a fox"))
        leap(2 * LIMIT)
        person.set()
        states = [(await studio.wait(each.record.generation_id)).record.state for each in (first, second)]
    assert states == ["saved", "saved"]


async def test_a_cancelled_generation_that_is_over_its_time_is_cancelled(
    tmp_path: Path, leap: Callable[[float], None]
) -> None:
    slow = Slow()
    async with studio_with(tmp_path, api=Scripted(slow), **API) as studio:
        late = await over_time(studio, await studio.generate(asking()), slow, leap)
        record = (await studio.cancel(late.record.generation_id)).record
    assert (record.state, record.submitted, record.spent) == ("cancelled", True, "unknown")


async def test_time_used_up_by_one_way_is_not_given_to_the_other_again(
    tmp_path: Path, leap: Callable[[float], None]
) -> None:
    left: list[float] = []

    async def slow_refusal(_request: ImageRequest, report: Report) -> None:
        left.append(report.time_left)
        leap(LIMIT / 2)
        raise ImageError("api_key_invalid", "The key is not taken.")

    async def then_draws(request: ImageRequest, report: Report) -> None:
        left.append(report.time_left)
        await draw(request, report)

    auto: dict[str, Any] = {"backend": "auto", "api_key": "test-key"}
    async with studio_with(tmp_path, Scripted(then_draws), Scripted(slow_refusal), **auto) as studio:
        first = await studio.generate(asking())
        assert (await studio.wait(first.record.generation_id, 10 * LIMIT)).record.state == "saved"
    assert LIMIT / 2 < left[0] <= LIMIT
    assert left[1] <= left[0] - LIMIT / 2
