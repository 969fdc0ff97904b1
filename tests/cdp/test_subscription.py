"""Events: never lost between a command and its wait, bounded, in order."""

import anyio
import pytest

from cdp_image_mcp.cdp.errors import EventOverflow, EventTimeout, PageCrashed, ProtocolError, SessionClosed
from cdp_image_mcp.cdp.protocol import LifecycleEvent
from tests.cdp.peer import attach_session, connected

pytestmark = pytest.mark.anyio


async def test_an_event_that_comes_before_the_answer_is_there_for_the_wait_after_it() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            peer.before["Page.navigate"] = [
                {"method": "Page.loadEventFired", "params": {"timestamp": 1}, "sessionId": "S1"}
            ]
            with session.subscribe("Page.loadEventFired") as events:
                await session.call("Page.navigate", {"url": "x"})
                assert (await events.next()).decode(dict) == {"timestamp": 1}


async def test_events_come_in_their_order_and_only_those_asked_for() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one", "A.two") as events:
                await peer.settle(connection)
                for number in range(300):
                    await peer.event(("A.one", "A.two", "A.three")[number % 3], {"n": number})
                await peer.settle(connection)
                numbers = [(await events.next()).decode(dict[str, int])["n"] for _ in range(200)]
                assert numbers == [number for number in range(300) if number % 3 != 2]
                assert events.poll() is None


async def test_a_queue_that_is_not_read_closes_with_an_error_after_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cdp_image_mcp.cdp.session.DEFAULT_QUEUE", 3)
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one") as events:
                await peer.settle(connection)
                for number in range(5):
                    await peer.event("A.one", {"n": number})
                await peer.settle(connection)
                assert [(await events.next()).decode(dict)["n"] for _ in range(3)] == [0, 1, 2]
                with pytest.raises(EventOverflow):
                    await events.next()
            assert connection.gone is None


async def test_a_slow_reader_does_not_hold_up_the_answers() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one") as events:
                await peer.settle(connection)
                for number in range(1000):
                    await peer.event("A.one", {"n": number})
                await peer.settle(connection)
                assert len(events) == 1000


async def test_waiting_ends_at_its_timeout_and_the_next_event_is_not_lost() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one") as events:
                with pytest.raises(EventTimeout, match=r"A\.one"):
                    await events.next(0.01)
                await peer.settle(connection)
                await peer.event("A.one")
                assert (await events.next()).method == "A.one"


async def test_a_cancelled_wait_loses_no_event() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one") as events:
                await peer.settle(connection)
                with anyio.move_on_after(0.01):
                    await events.next()
                await peer.event("A.one", {"n": 1})
                assert (await events.next()).decode(dict) == {"n": 1}


async def test_a_crash_is_told_once_in_its_place_and_the_queue_goes_on() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            with session.subscribe("A.one") as events:
                await peer.event("A.one", {"n": 1}, "S1")
                await peer.event("Inspector.targetCrashed", session="S1")
                await peer.event("A.one", {"n": 2}, "S1")
                assert (await events.next()).decode(dict) == {"n": 1}
                with pytest.raises(PageCrashed):
                    await events.next()
                assert (await events.next()).decode(dict) == {"n": 2}


async def test_a_waiting_reader_is_woken_by_a_crash() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            with session.subscribe("A.one") as events:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(peer.event, "Inspector.targetCrashed", None, "S1")
                    with pytest.raises(PageCrashed):
                        await events.next()


async def test_a_closed_session_ends_the_queue_after_what_it_holds() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            with session.subscribe("A.one") as events:
                await peer.event("A.one", {}, "S1")
                await peer.event("Target.detachedFromTarget", {"sessionId": "S1"})
                assert (await events.next()).method == "A.one"
                with pytest.raises(SessionClosed):
                    await events.next()
                with pytest.raises(SessionClosed):
                    session.subscribe("A.one").poll()


async def test_iteration_ends_without_an_error_when_its_owner_closes() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            events = connection.browser.subscribe("A.one")
            seen: list[str] = []

            async def read() -> None:
                seen.extend([event.method async for event in events])

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await peer.settle(connection)
                await peer.event("A.one")
                await peer.settle(connection)
                await anyio.wait_all_tasks_blocked()
                events.close()
            assert seen == ["A.one"]
            assert connection.browser._listeners == {}  # pyright: ignore[reportPrivateUsage]


async def test_a_second_reader_is_a_fault() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.one") as events:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(events.next)
                    await peer.settle(connection)
                    with pytest.raises(RuntimeError):
                        await events.next()
                    tasks.cancel_scope.cancel()


async def test_only_who_asked_for_an_event_meets_its_odd_shape() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            with connection.browser.subscribe("A.odd") as events:
                await peer.settle(connection)
                await peer.send({"method": "A.unasked", "params": [1]})
                await peer.send({"method": "A.odd", "params": [1]})
                await peer.settle(connection)
                event = await events.next()
                with pytest.raises(ProtocolError, match=r"A\.odd.*another shape"):
                    event.decode(LifecycleEvent)
            assert connection.gone is None
