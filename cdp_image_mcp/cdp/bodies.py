"""The bytes of responses, exactly as they came.

Order of the ways: what the browser holds (durable), the resource in the frame, a second request (GET), the blob in the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .page import Page

Way = Literal["network", "resource", "request", "blob"]
State = Literal["sent", "responded", "finished", "failed"]


@dataclass(eq=False)
class Request:
    """What is known of one request so far; changes as events come in."""

    session_id: str | None
    request_id: str
    url: str
    method: str
    type: str
    frame_id: str | None
    loader_id: str
    post_data: str | None = None
    state: State = "sent"
    status: int | None = None
    mime_type: str = ""
    headers: dict[str, str] | None = None
    encoded_length: float = 0.0
    data_length: int = 0
    error_text: str = ""
    canceled: bool = False
    redirects: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """The response is complete, or failed (a stream that a page's reader consumed may end so with all bytes there)."""
        return self.state in ("finished", "failed")


@dataclass(frozen=True)
class Body:
    """Bytes and the way they came; ``tried`` holds the reasons why earlier ways gave nothing."""

    data: bytes
    way: Way
    tried: tuple[str, ...] = ()


class Watch:
    """Requests of a capture, each given once when it reaches the stage asked for; a context manager and an iterator."""

    async def next(self, timeout: float | None = None) -> Request:
        """The next request. Raises as ``Subscription.next``."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop watching."""
        raise NotImplementedError


class Bodies:
    """The requests of a page's session and their bodies. Bookkeeping is bounded: the oldest ended requests are forgotten."""

    durable: bool

    @staticmethod
    async def start(
        page: Page, *, total: int = 512 * 1024 * 1024, each: int = 128 * 1024 * 1024, remember: int = 2000
    ) -> "Bodies":
        """Record from now on: before the navigation whose responses are wanted. Sizes in bytes are the browser's budgets."""
        raise NotImplementedError

    @property
    def requests(self) -> Sequence[Request]:
        """Those remembered, oldest first."""
        raise NotImplementedError

    def watch(
        self, accept: Callable[[Request], bool], *, stage: Literal["sent", "responded", "ended"] = "ended"
    ) -> Watch:
        """Requests from now on that ``accept`` takes when they reach ``stage``."""
        raise NotImplementedError

    async def wait_ended(self, request: Request, timeout: float = 60.0) -> Request:
        """Wait until the request has ended. Raises EventTimeout, SessionClosed …"""
        raise NotImplementedError

    async def read(
        self,
        request: Request,
        *,
        accept: Callable[[bytes], bool] | None = None,
        timeout: float = 60.0,
        again: bool = True,
    ) -> Body:
        """The body of an ended request; bytes that ``accept`` refuses count as not had, and the next way is tried.

        ``again`` False leaves out the second request, for addresses that work once. Raises BodyUnavailable.
        """
        raise NotImplementedError

    async def read_url(
        self, url: str, *, accept: Callable[[bytes], bool] | None = None, timeout: float = 60.0, again: bool = True
    ) -> Body:
        """The bytes behind an address shown in the page for which no request was seen: memory-cached images and ``blob:``."""
        raise NotImplementedError

    def stop(self) -> None:
        """Record no more."""
        raise NotImplementedError
