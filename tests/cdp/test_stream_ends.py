"""How a stream ends, told by a scripted browser: whole, cut, or never complete."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cdp import live_streams
from cdp_image_mcp.cdp.errors import StreamFailed
from cdp_image_mcp.cdp.session import DEFAULT_TIMEOUT
from cdp_image_mcp.cdp.streams import LiveStream
from tests.cdp.peer import attach_session, connected
from tests.clock import leap

pytestmark = pytest.mark.anyio


async def read(stream: LiveStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


REFUSED: dict[str, Any] = {"error": {"code": -32000, "message": "the request is over"}}
SHAPELESS: dict[str, Any] = {"result": {"body": "no base64!", "base64Encoded": True}}
Told = tuple[str, dict[str, Any]]
ENDED: Told = ("Network.loadingFinished", {})
FAILED: Told = ("Network.loadingFailed", {"errorText": "net::ERR_FAILED"})
SOME: Told = ("Network.dataReceived", {"dataLength": 8})
REST: Told = ("Network.dataReceived", {"dataLength": 8, "data": "dGhlIHJlc3Q="})


@asynccontextmanager
async def streamed(*events: Told, head: Any, body: Any = REFUSED) -> AsyncGenerator[LiveStream]:
    """A response of which the browser tells ``events`` before it answers with its ``head`` (None: not at all)."""
    async with connected() as (peer, connection):
        session = await attach_session(peer, connection)
        command = "Network.streamResourceContent"
        peer.before[command] = [
            {"method": method, "params": {"requestId": "1", **params}, "sessionId": "S1"} for method, params in events
        ]
        peer.answers |= {command: head, "Network.getResponseBody": body}
        if head is None:
            peer.silent.add(command)
        page: Any = SimpleNamespace(connection=connection, session=session, target_id="T1")
        with await live_streams(page, lambda _request: True) as streams:
            asked = {"url": "http://127.0.0.1/sse", "method": "POST"}
            await peer.event("Network.requestWillBeSent", {"requestId": "1", "request": asked}, "S1")
            stream = await streams.next(10)
            await peer.command(command)
            await peer.settle(connection)
            yield stream


@pytest.mark.parametrize("events", [[SOME, ENDED], [REST, ENDED], [FAILED], []])
async def test_a_response_whose_beginning_is_not_told_in_time_is_never_complete(
    events: list[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(120):
        async with streamed(*events, head=None) as stream:
            leap(monkeypatch, DEFAULT_TIMEOUT)
            with pytest.raises(StreamFailed):
                await read(stream)
            assert stream.received == 0


@pytest.mark.parametrize("body", [REFUSED, SHAPELESS])
@pytest.mark.parametrize("events", [[SOME, ENDED], [FAILED], []])
async def test_a_response_whose_body_is_gone_is_never_complete(body: dict[str, Any], events: list[Told]) -> None:
    with anyio.fail_after(60):
        async with streamed(*events, head=REFUSED, body=body) as stream:
            with pytest.raises(StreamFailed):
                await read(stream)


async def test_a_response_without_any_body_is_complete() -> None:
    with anyio.fail_after(60):
        async with streamed(ENDED, head=REFUSED) as stream:
            assert await read(stream) == b""


async def test_a_response_that_was_over_before_it_could_be_streamed_is_whole() -> None:
    with anyio.fail_after(60):
        whole = {"result": {"body": "words", "base64Encoded": False}}
        async with streamed(SOME, ENDED, head=REFUSED, body=whole) as stream:
            assert await read(stream) == b"words"
