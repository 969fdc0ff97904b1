"""Connections that fail, fall silent or clear: what is sent again, how long is waited, and what is told."""

import asyncio
import base64
import json
import math
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.plan import Plan
from cdp_image_mcp.openai.wire import pacing
from cdp_image_mcp.openai.wire.pacing import Pace, Tries, full_jitter
from cdp_image_mcp.openai.wire.payload import RequestBody, make_body
from cdp_image_mcp.request import WorkState
from fixtures.images_api import (
    ImagesApi,
    Play,
    Request,
    Response,
    cut,
    draw,
    error,
    html_page,
    png,
    raw,
    redirect,
    silence,
)
from tests.clock import leap
from tests.openai.doubles import KEY, DiskReport, MakeBackend, MakeReport, ask, no_jitter
from tests.openai.wire.ways import forget_certificates

pytestmark = pytest.mark.anyio


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were asked for, in order; they are waited as well, for limits clear by the clock."""
    asked: list[float] = []
    sleep = anyio.sleep

    async def noted(delay: float) -> None:
        asked.append(delay)
        await sleep(delay)

    monkeypatch.setattr("cdp_image_mcp.openai.generation.anyio.sleep", noted)
    return asked


async def failure(backend: ApiBackend, report: DiskReport, **fields: Any) -> ImageError:
    report.limit = fields.get("timeout_seconds", report.limit)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(**fields), report)
    return caught.value


async def test_where_secrets_of_connections_are_to_be_written_is_not_asked_for(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left over from a look into a browser's connections; where it cannot be written, no request could be made."""
    forget_certificates()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "not there" / "keys"))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert len(report.pictures) == 1


@pytest.mark.parametrize(
    "fault", [OSError(24, "Too many open files"), ModuleNotFoundError("No module named 'certifi'")]
)
async def test_what_keeps_a_connection_from_being_made_has_sent_and_spent_nothing(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def unmade(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("cdp_image_mcp.openai.wire.exchange.open_client", unmade)
    told = await failure(backend, report)
    assert (told.code, told.submitted, told.spent) == ("configuration", False, False)
    assert str(fault) in told.message
    assert (report.facts["submitted"], report.facts["spent"]) == (False, False)
    assert api.posts == []


async def test_a_limit_that_clears_is_waited_for_as_long_as_the_server_says(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, pauses: list[float]
) -> None:
    api.play(error("rate", {"retry-after-ms": "300"}), error("slow_down", {"retry-after": "0.2"}))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    # What is left of a pause after it was waited, by the grain of the clock, is waited too.
    assert [pause for pause in pauses if pause > 0.1] == [0.3, 0.2]
    assert len(api.posts) == 3
    assert len(report.pictures) == 1
    assert any("Sent again" in sentence for sentence in report.sentences)


async def test_a_wait_in_the_sentence_is_obeyed_too(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, pauses: list[float]
) -> None:
    api.play(error("rate"))  # "try again in 467ms"
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert pauses[0] == pytest.approx(0.467)


async def test_a_limit_beyond_the_deadline_is_told_at_once(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = error("rate", {"retry-after": "3600"})
    found = await failure(backend, report)
    assert (found.code, found.retryable, found.submitted) == ("rate_limited", True, False)
    assert found.retry_after_seconds == 3600
    assert found.reset_at is not None
    assert len(api.posts) == 1


async def test_what_is_left_of_the_time_counts_and_not_what_the_request_began_with(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    report.limit = 20.0
    api.always = error("rate", {"retry-after": "30"})
    with anyio.fail_after(20), pytest.raises(ImageError):
        await backend.generate(ask(timeout_seconds=1800), report)
    assert len(api.posts) == 1


@pytest.mark.parametrize(("n", "posts"), [(1, 1), (2, 3)])
async def test_what_is_kept_for_another_way_is_used_once_something_was_paid(
    n: int, posts: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """No other way may follow then."""
    report.another_way = True
    report.limit = report.time_kept + 0.1
    api.play(error("rate", {"retry-after-ms": "200"}))
    with anyio.fail_after(20):
        if n == 1:
            assert (await failure(backend, report)).code == "rate_limited"
        else:
            await backend.generate(ask(n=n, quality="high"), report)  # each in a request of its own
    assert (len(api.posts), len(report.pictures)) == (posts, n - 1 and n)


async def test_a_limit_met_by_one_request_holds_the_next(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, make_report: MakeReport
) -> None:
    api.play(error("rate", {"retry-after-ms": "400"}))
    other = make_report()
    held = anyio.Event()
    original = report.progress

    def progress(message: str) -> None:
        original(message)
        held.set()

    async def later() -> None:
        await held.wait()
        await backend.generate(ask(), other)

    report.progress = progress

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), report)
            group.start_soon(later)
    assert any("asked for a pause" in sentence for sentence in other.sentences)
    assert len(api.posts) == 3


@pytest.mark.parametrize("over", [True, False])
async def test_a_limit_that_another_met_and_that_lasts_too_long_does_not_keep_the_next_from_asking(
    over: bool, api: ImagesApi, backend: ApiBackend, make_report: MakeReport
) -> None:
    """It may have been raised meanwhile, and a way that is named is asked: to be turned away costs nothing."""
    long = make_report()
    long.limit = 1000.0
    waits = anyio.Event()
    original = long.progress

    def progress(message: str) -> None:
        original(message)
        if "Sent again" in message:
            waits.set()

    long.progress = progress
    api.play(error("rate", {"retry-after": "500"}), *([] if over else [error("rate", {"retry-after": "490"})]))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), long)
            await waits.wait()
            report = make_report()
            if over:
                await backend.generate(ask("another"), report)
                assert report.pictures == [png()]
            else:
                found = await failure(backend, report)
                assert (found.code, found.submitted, found.retry_after_seconds) == ("rate_limited", False, 490)
            group.cancel_scope.cancel()
    assert len(api.posts) == 2


async def test_an_account_without_credit_may_be_asked_again_at_once(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, make_report: MakeReport
) -> None:
    api.play(error("quota"))
    await failure(backend, report)
    with anyio.fail_after(10):
        await backend.generate(ask(), make_report())


async def test_a_server_that_recovers_is_asked_again(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(error("server"), html_page(502))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert report.pictures == [png()]
    assert report.known["spent"] is True


async def test_what_a_failed_server_may_have_done_stays_unknown_while_waiting_and_at_the_end(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(error("server", {"retry-after-ms": "20"}), error("size"))
    found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent) == ("invalid_input", "unknown", False)
    assert (report.known["submitted"], report.known["spent"]) == ("unknown", False)
    waiting = [facts for state, facts in report.history if state == "submitting"][1]
    assert waiting == {"submitted": "unknown", "spent": False}


async def test_a_generation_stopped_in_the_pause_after_a_failed_server_says_unknown(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(error("server", {"retry-after": "10"}))
    with anyio.fail_after(20):
        with anyio.CancelScope() as scope:
            original = report.progress

            def progress(message: str) -> None:
                original(message)
                scope.cancel()

            report.progress = progress
            await backend.generate(ask(), report)
    assert (report.known["submitted"], report.known["spent"]) == ("unknown", False)


async def test_one_stopped_while_money_is_set_aside_to_send_it_again_says_that_it_may_be_paid(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(20), anyio.CancelScope() as scope:

        async def reserve(_usd: float) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        monkeypatch.setattr(report, "reserve", reserve)
        api.play(cut("headers"))
        await make_backend(resend_unclear=True).generate(ask(), report)
    assert scope.cancelled_caught
    assert (report.known["submitted"], report.known["spent"]) == (True, "unknown")
    assert report.unclear_usd > 0


async def test_refused_connections_are_tried_again_and_then_told_as_nothing_sent(
    make_backend: MakeBackend, report: DiskReport
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = taken.getsockname()[1]
        backend = make_backend(base_url=f"http://127.0.0.1:{port}/v1")
        found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent, found.retryable) == ("network", False, False, True)
    assert sum("Sent again" in sentence for sentence in report.sentences) == 2
    assert report.known["submitted"] is False


async def test_a_host_without_an_address_is_a_network_error_of_nothing_sent(
    make_backend: MakeBackend, report: DiskReport
) -> None:
    found = await failure(make_backend(base_url="http://nowhere.invalid/v1"), report)
    assert (found.code, found.submitted) == ("network", False)


async def test_a_connection_cut_after_the_request_is_not_sent_again(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, make_report: MakeReport
) -> None:
    for where in ("before", "headers"):
        api.play(cut(where))
        report = make_report()
        found = await failure(backend, report)
        assert (found.code, found.submitted, found.spent) == ("network", True, "unknown")
        assert "paying twice" in found.next_step
        assert report.unclear_usd > 0
    assert len(api.posts) == 2


@pytest.mark.parametrize("quality", ["low", "high"], ids=["plain", "streamed"])
async def test_a_silence_that_is_too_long_is_a_timeout_that_may_be_paid(
    quality: str, api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.openai.generation.PATIENCE", 0.0)
    api.play(silence())
    found = await failure(backend, report, quality=quality, timeout_seconds=3.0)
    assert (found.code, found.submitted, found.spent) == ("timeout", True, "unknown")
    assert len(api.posts) == 1


async def test_a_stream_may_be_silent_for_as_long_as_a_picture_may_be_drawn(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing need be sent between its beginning and its one picture: previews are not asked for."""
    begun, drawn = anyio.Event(), threading.Event()

    def told(_message: str) -> None:
        begun.set()

    monkeypatch.setattr(report, "progress", told)

    async def slow(request: Request, response: Response) -> None:
        await response.start(200, {"content-type": "text/event-stream"})
        await response.send(b": drawing\n\n")
        await asyncio.to_thread(drawn.wait, 20)
        event = {"type": "image_generation.completed", "b64_json": base64.b64encode(png()).decode()}
        await response.send(f"data: {json.dumps(event)}\n\n".encode())
        await response.end()

    async def drawing() -> None:
        await anyio.sleep(540)
        drawn.set()

    async def time_passes() -> None:
        await begun.wait()
        leap(monkeypatch, 550)

    api.play(slow)
    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(drawing)
            group.start_soon(time_passes)
            await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png()]


@pytest.mark.parametrize("begun", [False, True], ids=["before its answer", "within it"])
async def test_an_answer_that_comes_after_the_machine_has_slept_longer_than_anybody_waits_is_read(
    begun: bool, api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lid was closed over it, and the clock counts that time on Windows; what came meanwhile is sent again."""
    body = json.dumps({"data": [{"b64_json": base64.b64encode(png()).decode()}]}).encode()
    loop = asyncio.get_running_loop()

    async def slept_over(request: Request, response: Response) -> None:
        if begun:
            await response.start(200, {"content-type": "application/json"})
            await response.send(body[:100])
        while not any("arriving" in said for said in report.sentences) if begun else report.states[-1] != "generating":
            await anyio.lowlevel.checkpoint()
        awake = threading.Event()
        loop.call_soon_threadsafe(leap, monkeypatch, 3600.0)
        # Two turns of the loop, in which all that was due meanwhile is done.
        loop.call_soon_threadsafe(lambda: loop.call_soon(loop.call_soon, awake.set))
        await asyncio.to_thread(awake.wait, 20)
        if not begun:
            await response.start(200, {"content-type": "application/json"})
        await response.send(body[100:] if begun else body)
        await response.end()

    api.play(slept_over)
    with anyio.fail_after(7200):
        await backend.generate(ask(), report)
    assert report.pictures == [png()]


async def test_a_picture_that_is_to_be_seen_elsewhere_at_the_api_is_waited_for_there(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """Modal answers so after 150 s, and again as long as it is drawn."""
    whole = json.dumps({"data": [{"b64_json": base64.b64encode(png()).decode()}]}).encode()
    drawn = api.file("/drawn", raw(200, whole))
    api.play(redirect(api.file("/waiting", redirect("/drawn", 303)), 303))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert (report.pictures, len(api.posts)) == ([png()], 1)
    assert [request.path for request in api.log[1:]] == ["/waiting", "/drawn"]
    assert {request.headers.get("authorization") for request in api.log} == {f"Bearer {KEY}"}
    assert drawn.endswith("/drawn")


@pytest.mark.parametrize(("faults", "had"), [(3, True), (4, False)])
async def test_a_fault_of_the_network_on_the_way_there_costs_no_picture(
    faults: int, had: bool, api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look there once more costs nothing, and each of up to twenty looks hangs for minutes at Modal."""
    monkeypatch.setattr("cdp_image_mcp.openai.wire.exchange.LOOK_AGAIN", (0.0, 0.0, 0.0))
    whole = json.dumps({"data": [{"b64_json": base64.b64encode(png()).decode()}]}).encode()
    looks = [cut()] * faults + [raw(200, whole)]

    async def play(request: Request, response: Response) -> None:
        await looks.pop(0)(request, response)

    api.always = redirect(api.file("/drawn", play), 303)
    if had:
        with anyio.fail_after(20):
            await backend.generate(ask(), report)
    else:
        found = await failure(backend, report)
        assert (found.code, found.submitted, found.spent) == ("network", True, "unknown")
    assert (report.pictures, len(api.posts)) == ([png()] if had else [], 1)


async def test_a_page_to_sign_in_that_is_shown_there_leads_to_the_address_of_the_api(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.always = redirect(api.file("/login", html_page(200)), 303)
    found = await failure(backend, report)
    assert (found.submitted, found.spent, found.retryable, len(api.posts)) == (True, "unknown", False, 1)
    assert "OPENAI_BASE_URL" in found.next_step


@pytest.mark.parametrize(
    "play", [error("rate"), error("server"), error("size"), error("response_format"), html_page(404)]
)
async def test_what_is_answered_there_in_its_place_is_told_and_nothing_sent_again(
    play: Play, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """Whether it is of the request or of the address nobody knows; the request was taken."""
    api.always = redirect(api.file("/drawn", play), 303)
    found = await failure(backend, report)
    assert (found.submitted, found.spent, found.retryable, len(api.posts)) == (True, "unknown", False, 1)


@pytest.mark.parametrize("place", ["http://localhost:9/drawn", "http://[", "/endless"])
async def test_one_that_is_to_be_seen_at_another_host_or_nowhere_may_be_paid(
    place: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.file("/endless", redirect("/endless", 303))
    api.always = redirect(place, 303)
    found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent, found.retryable) == ("service_error", True, "unknown", False)
    assert "OPENAI_BASE_URL" in found.next_step
    assert len(api.posts) == 1


async def stopped_once_posted(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), report)
            while not api.posts:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


async def test_a_stop_at_the_callers_deadline_is_recorded_as_perhaps_paid(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(silence())
    await stopped_once_posted(api, backend, report)
    assert (report.known["submitted"], report.known["spent"]) == (True, "unknown")


async def test_a_stop_between_the_last_byte_and_the_word_of_it_is_recorded_as_perhaps_paid(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lingering(RequestBody):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in super().__aiter__():
                yield piece
            await anyio.sleep_forever()

    def lingering(plan: Plan) -> RequestBody:
        body = make_body(plan)
        return Lingering(body.content_type, body.parts)

    monkeypatch.setattr("cdp_image_mcp.openai.generation.make_body", lingering)
    await stopped_once_posted(api, backend, report)
    assert (report.known["submitted"], report.known["spent"]) == (True, "unknown")
    assert report.known["booked_usd"] > 0


@pytest.mark.parametrize(("pieces", "told"), [(1, (True, "unknown")), (2, (False, False))], ids=["last", "not last"])
async def test_a_server_that_stops_reading_may_have_got_the_whole_request_only_with_its_last_piece(
    pieces: int,
    told: tuple[bool, bool | str],
    make_backend: MakeBackend,
    report: DiskReport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is still in this process's hands may go out while the connection is being let go."""

    def long(_plan: Plan) -> RequestBody:
        return RequestBody("application/json", [bytes(64 << 20)] * pieces)  # more than systems keep between programs

    monkeypatch.setattr("cdp_image_mcp.openai.wire.exchange.WRITE_TIMEOUT", 0.2)
    monkeypatch.setattr("cdp_image_mcp.openai.generation.make_body", long)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        backend = make_backend(base_url=f"http://127.0.0.1:{deaf.getsockname()[1]}/v1")
        found = await failure(backend, report, timeout_seconds=0.0)  # nothing is sent again
    assert (found.submitted, found.spent) == told


@pytest.mark.parametrize("before", [(), ("rate",)], ids=["at once", "after a limit"])
async def test_while_a_request_leaves_the_record_does_not_say_that_nothing_was_sent(
    before: tuple[str, ...], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """The program may be killed, or the disk be full, before the record can be written again."""
    left = anyio.Event()
    original = report.state
    times: list[None] = []
    on_disk: dict[str, Any] = {}

    async def state(state: WorkState, /, **facts: Any) -> None:
        if state == "generating":
            times.append(None)
            if len(times) > len(before):
                left.set()
                await anyio.sleep_forever()
        await original(state, **facts)

    report.state = state
    api.play(*(error(name, {"retry-after-ms": "20"}) for name in before))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(), report)
            await left.wait()
            on_disk |= report.known
            report.state = original
            group.cancel_scope.cancel()
    assert (on_disk["submitted"], on_disk["spent"]) == ("unknown", "unknown")


async def test_a_picture_that_came_whole_is_saved_although_the_generation_is_being_stopped(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    picture = png(64, 64)
    api.play(draw([picture]))
    original = report.progress
    with anyio.fail_after(20), anyio.CancelScope() as scope:

        def progress(message: str) -> None:
            original(message)
            if "arriving" in message:
                scope.cancel()

        async def state(state: WorkState, /, **facts: Any) -> None:
            await anyio.lowlevel.checkpoint()
            await told(state, **facts)

        told, report.state, report.progress = report.state, state, progress
        await backend.generate(ask(), report)
    assert report.pictures == [picture]
    assert report.known["spent"] is True


async def test_slow_bytes_are_no_failure(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(draw([png(64, 64)], piece=40, pause=0.005))
    with anyio.fail_after(30):
        await backend.generate(ask(), report)
    assert report.pictures == [png(64, 64)]


async def test_tries_end_and_never_wait_past_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "full_jitter", no_jitter)
    tries = Tries(lambda: 10)
    assert [tries.delay("service", None) for _ in range(3)] == [0.0, 0.0, None]
    assert [tries.delay("limit", 4.0) for _ in range(2)] == [4.0, 4.0]
    assert tries.delay("limit", 11.0) is None
    endless = Tries(lambda: math.inf)
    assert [endless.delay("limit", 1e9) for _ in range(9)] == [1e9] * 8 + [None]


async def test_jitter_is_full_without_a_stated_wait_and_only_adds_to_a_stated_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert all(0 <= full_jitter(3.0) <= 3 for _ in range(100))

    def top(most: float) -> float:
        return most

    monkeypatch.setattr(pacing, "full_jitter", top)
    tries = Tries(lambda: math.inf)
    delays = [tries.delay("limit", None) for _ in range(8)]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]
    assert Tries(lambda: math.inf).delay("limit", 10.0) == 11.0


async def test_a_pause_only_grows() -> None:
    pace = Pace()
    assert pace.left == 0
    pace.hold(5)
    pace.hold(1)
    assert 4 < pace.left <= 5
