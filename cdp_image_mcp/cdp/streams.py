"""Responses read while they arrive (SSE by fetch), and websocket frames of the page."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .page import Page


@dataclass(frozen=True)
class StreamRequest:
    """The request whose response is streamed."""

    request_id: str
    url: str
    method: str
    post_data: str | None


class LiveStream:
    """The bytes of one response, in order, nothing missing; split anywhere. Iterate once."""

    request: StreamRequest
    status: int | None
    received: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks until the response is complete; then the iteration ends, or raises StreamFailed."""
        raise NotImplementedError


class LiveStreams:
    """Streams that begin while the block lasts, in the order of their requests."""

    async def next(self, timeout: float | None = None) -> LiveStream:
        """The next stream. Raises EventTimeout, SessionClosed …"""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[LiveStream]:
        raise NotImplementedError


@asynccontextmanager
async def live_streams(page: Page, accept: Callable[[StreamRequest], bool]) -> AsyncGenerator[LiveStreams, None]:
    """Watch the page by a second session of its own and stream each response whose request ``accept`` takes."""
    raise NotImplementedError
    yield


@dataclass(frozen=True)
class Frame:
    """One websocket message: text, or bytes for a binary one. ``url`` is empty for a socket older than the watch."""

    request_id: str
    url: str
    sent: bool
    data: str | bytes


class Frames:
    """Websocket messages in order."""

    async def next(self, timeout: float | None = None) -> Frame:
        """The next message. Raises as ``Subscription.next``."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[Frame]:
        raise NotImplementedError


@asynccontextmanager
async def websocket_frames(page: Page, *, sent: bool = False) -> AsyncGenerator[Frames, None]:
    """Messages the page's websockets receive (and send) while the block lasts, by a second session of its own."""
    raise NotImplementedError
    yield
