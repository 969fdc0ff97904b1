"""The connection, on a fake peer."""

import asyncio
import time
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp.cdp.connection import Connection, connect
from cdp_image_mcp.cdp.errors import (
    BrowserGone,
    CDPError,
    CommandTimeout,
    PageCrashed,
    ProtocolError,
    SessionClosed,
)
from cdp_image_mcp.cdp.protocol import TargetList
from cdp_image_mcp.cdp.wire import MAX_MESSAGE
from tests.cdp.peer import attach_session, connected, fake_browser

pytestmark = pytest.mark.anyio


def waiting(connection: Connection) -> int:
    """Commands that wait for their answers; one that is never forgotten would be a leak."""
    return len(connection._waiters._all)  # pyright: ignore[reportPrivateUsage]


async def test_an_answer_reaches_the_command_it_belongs_to_whatever_the_order() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"A.one", "A.two"}
            got: dict[str, Any] = {}

            async def ask(method: str) -> None:
                got[method] = await connection.browser.call(method, reply=dict)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "A.one")
                tasks.start_soon(ask, "A.two")
                one, two = await peer.command("A.one"), await peer.command("A.two")
                await peer.send({"id": two["id"], "result": {"is": "two"}})
                await peer.send({"id": one["id"], "result": {"is": "one"}})
            assert got == {"A.one": {"is": "one"}, "A.two": {"is": "two"}}


async def test_parameters_go_out_as_given_and_the_session_with_them() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            await session.call("Input.insertText", {"text": "“é” 😀\n"})
            command = await peer.command("Input.insertText")
            assert command["params"] == {"text": "“é” 😀\n"}
            assert command["sessionId"] == "S1"
            await connection.browser.call("Browser.getVersion")
            assert "sessionId" not in await peer.command("Browser.getVersion")


async def test_an_error_answer_names_code_message_data_and_method() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.answers["Page.nonsense"] = {"error": {"code": -32601, "message": "wasn't found", "data": "more"}}
            with pytest.raises(ProtocolError) as caught:
                await connection.browser.call("Page.nonsense")
            assert (caught.value.code, caught.value.message) == (-32601, "wasn't found")
            assert str(caught.value) == "Page.nonsense: wasn't found (-32601): more"
            assert caught.value.unknown_method


@pytest.mark.parametrize("message", ["Inspected target navigated or closed", "Cannot find context with specified id"])
async def test_errors_told_apart_by_their_wording_only(message: str) -> None:
    assert ProtocolError(-32000, message).document_gone
    assert not ProtocolError(-32000, "something else").document_gone


async def test_a_command_without_an_answer_ends_at_its_deadline_and_leaves_nothing_behind() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"Slow.one"}
            with pytest.raises(CommandTimeout, match=r"Slow\.one"):
                await connection.browser.call("Slow.one", timeout=0.05)
            late = await peer.command("Slow.one")
            await peer.send({"id": late["id"], "result": {"late": True}})
            await peer.settle(connection)
            assert connection.gone is None
            assert waiting(connection) == 0


async def test_a_cancelled_wait_is_forgotten_and_its_late_answer_ignored() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"Slow.one"}
            tasks = anyio.create_task_group()
            async with tasks:
                tasks.start_soon(connection.browser.call, "Slow.one")
                await peer.command("Slow.one")
                tasks.cancel_scope.cancel()
            sent = await peer.command("Slow.one")
            assert waiting(connection) == 0
            await peer.send({"id": sent["id"], "result": {}})
            await peer.settle(connection)


async def test_a_pipeline_sends_all_before_the_first_answer_and_keeps_the_order() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"A.one", "A.three"}
            peer.answers["A.two"] = {"error": {"code": -32000, "message": "no"}}
            answers: list[Any] = []

            async def ask() -> None:
                answers.extend(await connection.browser.pipeline([("A.one", None), ("A.two", None), ("A.three", None)]))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                three, one = await peer.command("A.three"), await peer.command("A.one")
                await peer.send({"id": three["id"], "result": {"n": 3}})
                await peer.send({"id": one["id"], "result": {"n": 1}})
            assert msgspec.json.decode(answers[0]) == {"n": 1}
            assert isinstance(answers[1], ProtocolError)
            assert msgspec.json.decode(answers[2]) == {"n": 3}


async def test_a_session_exists_before_its_first_event_is_read() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            seen: list[str] = []

            def look(event: Any) -> None:
                session = connection._sessions["S9"]  # pyright: ignore[reportPrivateUsage]
                session.listen(lambda inner: seen.append(inner.method), "Page.first")

            connection.browser.listen(look, "Target.attachedToTarget")
            await peer.settle(connection)
            await peer.event(
                "Target.attachedToTarget", {"sessionId": "S9", "targetInfo": {"targetId": "T9", "type": "page"}}
            )
            await peer.event("Page.first", session="S9")
            await peer.settle(connection)
            assert seen == ["Page.first"]


async def test_two_sessions_to_one_target_are_independent() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            first = await attach_session(peer, connection, "S1", "T1")
            second = await attach_session(peer, connection, "S2", "T1")
            with first.subscribe("A.event") as ours, second.subscribe("A.event") as theirs:
                await peer.event("A.event", {"for": 2}, session="S2")
                await peer.settle(connection)
                assert len(ours) == 0
                assert (await theirs.next()).decode(dict) == {"for": 2}


async def test_a_crash_fails_what_waits_and_what_comes_but_lets_navigation_through() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            peer.silent = {"Runtime.evaluate", "Page.navigate"}
            failures: list[CDPError] = []
            navigated: list[Any] = []

            async def evaluate() -> None:
                try:
                    await session.call("Runtime.evaluate")
                except CDPError as error:
                    failures.append(error)

            async def navigate() -> None:
                navigated.append(await session.call("Page.navigate", {"url": "x"}))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(evaluate)
                tasks.start_soon(navigate)
                await peer.command("Runtime.evaluate")
                sent = await peer.command("Page.navigate")
                await peer.event("Inspector.targetCrashed", session="S1")
                await peer.settle(connection)
                assert [type(error) for error in failures] == [PageCrashed]
                assert session.crashed
                with pytest.raises(PageCrashed):
                    await session.call("DOM.focus")
                await peer.send({"id": sent["id"], "result": {}, "sessionId": "S1"})
            assert navigated
            await peer.event("Inspector.targetReloadedAfterCrash", session="S1")
            await peer.settle(connection)
            assert not session.crashed
            await session.call("DOM.focus")


async def test_a_crash_of_one_page_does_not_touch_another() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await attach_session(peer, connection, "S1", "T1")
            other = await attach_session(peer, connection, "S2", "T2")
            await peer.event("Inspector.targetCrashed", session="S1")
            await peer.settle(connection)
            await other.call("Runtime.evaluate")


@pytest.mark.parametrize(
    ("method", "params", "session"),
    [
        ("Target.detachedFromTarget", {"sessionId": "S1"}, None),
        ("Inspector.detached", {"reason": "Render process gone."}, "S1"),
    ],
)
async def test_a_closed_target_fails_what_waits_and_what_comes(
    method: str, params: dict[str, Any], session: str | None
) -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            attached = await attach_session(peer, connection)
            peer.silent = {"Runtime.evaluate"}
            failures: list[CDPError] = []

            async def evaluate() -> None:
                try:
                    await attached.call("Runtime.evaluate")
                except CDPError as error:
                    failures.append(error)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(evaluate)
                await peer.command("Runtime.evaluate")
                await peer.event(method, params, session)
            assert [type(error) for error in failures] == [SessionClosed]
            with pytest.raises(SessionClosed):
                await attached.call("Runtime.evaluate")
            assert connection.gone is None


async def test_an_unknown_session_in_an_answer_is_a_closed_session() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            peer.answers["DOM.focus"] = {"error": {"code": -32001, "message": "Session with given id not found."}}
            with pytest.raises(SessionClosed):
                await session.call("DOM.focus")


async def test_a_lost_connection_fails_all_that_waits_with_its_cause_and_the_last_lines() -> None:
    with anyio.fail_after(10):
        async with fake_browser() as peer, connect(peer.url, last_lines=lambda: ["FATAL: out of memory"]) as connection:
            peer.silent = {"A.one"}
            failures: list[BrowserGone] = []

            async def ask() -> None:
                try:
                    await connection.browser.call("A.one")
                except BrowserGone as error:
                    failures.append(error)

            with connection.browser.subscribe("A.event") as events:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(ask)
                    await peer.command("A.one")
                    await peer.event("A.event")
                    await peer.settle(connection)
                    await peer.drop()
                gone = await connection.wait_gone()
                assert "lost" in str(gone)
                assert "FATAL: out of memory" in str(failures[0])
                assert "A.one" in str(failures[0])
                assert (await events.next()).method == "A.event"
                with pytest.raises(BrowserGone):
                    await events.next()
            with pytest.raises(BrowserGone):
                await connection.browser.call("A.two")


async def test_an_end_that_was_asked_for_is_no_loss() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await peer.settle(connection)
            connection.expect_end()
            await peer.drop()
            assert str(await connection.wait_gone()) == "the browser was closed"


async def test_nothing_listening_is_told_with_the_address() -> None:
    with anyio.fail_after(10):
        with pytest.raises(BrowserGone, match=r"127\.0\.0\.1:1/"):
            async with connect("ws://127.0.0.1:1/devtools/browser/none"):
                pass


async def test_answers_of_more_than_a_mebibyte_and_of_a_hundred_arrive_whole() -> None:
    with anyio.fail_after(60):
        async with connected() as (peer, connection):
            for size in (3 * 1024 * 1024, 100 * 1024 * 1024):
                peer.answers["Big.one"] = {"result": {"body": "x" * size}}
                raw = await connection.browser.call("Big.one")
                assert len(bytes(raw)) == size + len('{"body":""}')
                del raw
            peer.answers.clear()


async def test_a_message_that_the_browser_would_choke_on_is_refused_before_it_is_sent() -> None:
    with anyio.fail_after(30):
        async with connected() as (peer, connection):
            with pytest.raises(CDPError, match="not sent"):
                await connection.browser.call("Big.one", {"text": "x" * MAX_MESSAGE})
            await peer.settle(connection)
            assert [command["method"] for command in peer.commands] == ["Browser.getVersion"]


async def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await peer.settle(connection)


async def test_no_origin_and_no_compression_are_asked_for() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await peer.settle(connection)
            names = {name.lower() for name in peer.headers}
            assert "origin" not in names
            assert "sec-websocket-extensions" not in names


async def test_an_exception_in_the_block_comes_out_as_itself_with_its_cause() -> None:
    with anyio.fail_after(10):
        async with fake_browser() as peer:
            with pytest.raises(LookupError) as caught:
                async with connect(peer.url):
                    raise LookupError("mine") from KeyError("why")
            assert isinstance(caught.value.__cause__, KeyError)


async def test_clean_up_in_a_cancelled_block_can_still_talk_to_the_browser() -> None:
    with anyio.fail_after(10):
        async with fake_browser() as peer:
            said = False
            with anyio.CancelScope() as scope:
                async with connect(peer.url) as connection:
                    try:
                        scope.cancel()
                        await anyio.sleep_forever()
                    finally:
                        with anyio.CancelScope(shield=True):
                            await connection.browser.call("Browser.close")
                            said = True
            assert said
            assert scope.cancelled_caught


async def test_a_listener_that_raises_is_called_no_more_and_nobody_else_notices() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            failures: list[CDPError] = []
            calls: list[Any] = []

            def fault(event: Any) -> None:
                calls.append(event)
                raise ZeroDivisionError("a fault of ours")

            connection.browser.listen(fault, "A.event", "B.event", failed=failures.append)
            with connection.browser.subscribe("A.event", "B.event") as events:
                await peer.settle(connection)
                await peer.event("A.event")
                await peer.event("B.event")
                assert [(await events.next()).method for _ in range(2)] == ["A.event", "B.event"]
            assert len(calls) == 1
            assert "ZeroDivisionError" in str(failures[0])
            assert connection.gone is None


async def test_a_subscription_whose_choice_fails_ends_with_that_reason() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.event", where=lambda event: bool(1 / 0 and event)) as events:
                await peer.settle(connection)
                await peer.event("A.event")
                with pytest.raises(CDPError, match="ZeroDivisionError"):
                    await events.next()
            await peer.settle(connection)


async def test_an_event_in_another_shape_is_passed_over_and_the_next_is_heard() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            heard: list[int] = []
            connection.browser.listen(lambda event: heard.append(event.decode(dict[str, int])["n"]), "A.event")
            await peer.settle(connection)
            await peer.event("A.event", {"n": "no number"})
            await peer.event("Target.attachedToTarget", {"sessionId": 5})
            await peer.event("A.event", {"n": 2})
            await peer.settle(connection)
            assert heard == [2]


async def test_an_answer_in_another_shape_is_an_error_of_its_command() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.answers["Target.getTargets"] = {"result": {"targetInfos": "none"}}
            with pytest.raises(ProtocolError, match=r"Target\.getTargets.*another shape"):
                await connection.browser.call("Target.getTargets", reply=TargetList)
            assert connection.gone is None


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"no JSON", id="no JSON"),
        pytest.param(b'{"method": "A.event", "params": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="endless nesting"),
        pytest.param(b'{"method": 5}', id="another shape"),
    ],
)
async def test_a_message_that_cannot_be_read_is_passed_over(wrong: bytes) -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await peer.settle(connection)
            await peer.send_raw(wrong)
            await peer.settle(connection)
            assert connection.gone is None


async def test_an_answer_that_cannot_be_read_fails_its_command_alone() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            peer.silent = {"A.one", "A.two"}
            failures: list[ProtocolError] = []
            answers: list[Any] = []

            async def ask(method: str) -> None:
                try:
                    answers.append(await connection.browser.call(method, reply=dict))
                except ProtocolError as error:
                    failures.append(error)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "A.one")
                tasks.start_soon(ask, "A.two")
                one, two = await peer.command("A.one"), await peer.command("A.two")
                await peer.send_raw(b'{"id":%d,"result":{' % one["id"])
                await peer.send({"id": two["id"], "result": {"n": 2}})
            assert [str(error).partition(":")[0] for error in failures] == ["A.one"]
            assert answers == [{"n": 2}]


@pytest.mark.parametrize(
    ("wire", "told"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"a\udE00b", "a\ufffdb"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\ud83d\\ude00", "\ufffd\\ude00"),
        (rb"\\ud83d", "\\ud83d"),
        (b"\xff", "\ufffd"),
    ],
)
async def test_half_characters_are_mended_and_nothing_else_is_touched(wire: bytes, told: str) -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.event") as events:
                await peer.settle(connection)
                # The second text makes sure that the message as a whole is refused before it is mended.
                await peer.send_raw(b'{"method": "A.event", "params": {"text": "%b", "half": "\\ud800"}}' % wire)
                assert (await events.next()).decode(dict) == {"text": told, "half": "\ufffd"}


async def test_text_that_is_half_a_character_is_not_sent() -> None:
    with anyio.fail_after(10):
        async with connected() as (_peer, connection):
            with pytest.raises(CDPError, match="not sent"):
                await connection.browser.call("Input.insertText", {"text": "\ud83d"})


async def test_commands_in_flight_by_the_hundred_all_find_their_answers() -> None:
    with anyio.fail_after(20):
        async with connected() as (_peer, connection):
            await asyncio.gather(*(connection.browser.call("A.one") for _ in range(500)))
            assert waiting(connection) == 0


async def test_a_stalled_loop_does_not_cost_the_connection() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            await peer.settle(connection)
            time.sleep(0.3)  # noqa: ASYNC251 - the stall is what is tested
            await peer.settle(connection)
