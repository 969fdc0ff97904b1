"""A flat session (a page, a worker, the browser itself) and the subscriptions to its events.

A subscription is registered when it is made, so it is made before the command whose events it waits for::

    with session.subscribe("Page.loadEventFired") as events:
        await session.call("Page.reload")
        await events.next(timeout=10)
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

import msgspec

from cdp_image_mcp.cdp.errors import CDPError, EventTimeout, PageCrashed, ProtocolError
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.wire import shaped

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0
DEFAULT_QUEUE = 10_000
# What a session with a dead renderer still answers (Chromium 156): the two commands that bring it back, and bodies that
# the browser itself keeps.
REVIVING = frozenset({"Page.navigate", "Page.reload"})
ANSWERED_AFTER_CRASH = REVIVING | {"Network.getResponseBody"}

Params = dict[str, Any] | msgspec.Struct | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its method, its undecoded parameters, the session it came on (None: the browser)."""

    method: str
    params: msgspec.Raw
    session_id: str | None

    def decode(self, kind: type[T]) -> T:
        """The parameters as ``kind``. Raises ProtocolError when they have another shape."""
        return shaped(self.params, kind, self.method)


Listener = Callable[[Event], None]
Failed = Callable[[CDPError], object]


class Sender(Protocol):
    """What a session sends its commands by: the connection."""

    async def send(self, session: "Session", method: str, params: Params, timeout: float) -> msgspec.Raw:
        """One command and its answer; see ``Session.call``."""
        ...

    async def send_all(
        self, session: "Session", commands: Sequence[tuple[str, Params]], timeout: float
    ) -> list[msgspec.Raw | CDPError]:
        """Several at once; see ``Session.pipeline``."""
        ...


class Session:
    """Commands and events of one target. Made by the connection, never by hand."""

    __slots__ = (
        "_closed",
        "_crashed",
        "_listeners",
        "_mailboxes",
        "_sender",
        "session_id",
        "target_id",
    )

    def __init__(self, sender: Sender, session_id: str | None, target_id: str) -> None:
        self._sender = sender
        self.session_id = session_id
        self.target_id = target_id
        self._listeners: dict[str, tuple[tuple[Listener, Failed | None], ...]] = {}
        self._mailboxes: dict[Mailbox[Any], bool] = {}
        self._closed: CDPError | None = None
        self._crashed = False

    @property
    def closed(self) -> CDPError | None:
        """Why nothing works any more (SessionClosed or BrowserGone), or None while the session lives."""
        return self._closed

    @property
    def crashed(self) -> bool:
        """True from a renderer crash until the page is loaded again."""
        return self._crashed

    @overload
    async def call(self, method: str, params: Params = None, *, timeout: float = ...) -> msgspec.Raw: ...
    @overload
    async def call(self, method: str, params: Params = None, *, timeout: float = ..., reply: type[T]) -> T: ...

    async def call(
        self, method: str, params: Params = None, *, timeout: float = DEFAULT_TIMEOUT, reply: type[Any] | None = None
    ) -> Any:
        """Send one command and wait for its answer, as ``reply`` or undecoded.

        Raises ProtocolError (the browser's own error, or an answer in another shape), CommandTimeout after ``timeout``
        seconds, PageCrashed, SessionClosed, BrowserGone. Cancelling stops the wait only: the command has been sent and
        may be carried out.
        """
        raw = await self._sender.send(self, method, params, timeout)
        return raw if reply is None else shaped(raw, reply, method)

    async def pipeline(
        self, commands: Sequence[tuple[str, Params]], *, timeout: float = DEFAULT_TIMEOUT
    ) -> list[msgspec.Raw | CDPError]:
        """Send all commands at once, in order, and wait for all answers; an error stands in its command's place.

        A connection or session that ends meanwhile raises instead, as with ``call``.
        """
        return await self._sender.send_all(self, commands, timeout)

    def subscribe(
        self, *methods: str, limit: int = DEFAULT_QUEUE, where: Callable[[Event], bool] | None = None
    ) -> "Subscription":
        """A queue of the events named, filled from now on; at ``limit`` unread ones it closes with EventOverflow.

        ``where`` leaves events out; it runs inside the reader, under the rules of ``listen``.
        """
        subscription = Subscription(" or ".join(methods), limit)

        def push(event: Event) -> None:
            if where is None or where(event):
                subscription.put(event)

        self.register(subscription, crashes="Inspector.targetCrashed" not in methods)
        subscription.on_end(self.listen(push, *methods, failed=subscription.finish))
        return subscription

    def listen(self, listener: Listener, *methods: str, failed: Failed | None = None) -> Callable[[], None]:
        """Call ``listener`` inside the reader for each event named; returns the function that ends it.

        For bookkeeping that must be done before the next message is read. The listener must be quick; anything that
        waits belongs in a subscription. An event that it cannot decode is passed over. With any other exception it is
        called no more, and ``failed`` gets a CDPError that says so: nobody else's events are touched by that.
        """
        for method in methods:
            self._listeners[method] = (*self._listeners.get(method, ()), (listener, failed))

        def stop() -> None:
            for method in methods:
                rest = tuple(entry for entry in self._listeners.get(method, ()) if entry[0] is not listener)
                if rest:
                    self._listeners[method] = rest
                else:
                    self._listeners.pop(method, None)

        return stop

    # The rest is called by the connection's reader only.

    def dispatch(self, event: Event) -> None:
        """Hand an event to those who asked for it (reader only)."""
        for listener, failed in self._listeners.get(event.method, ()):
            try:
                listener(event)
            except ProtocolError as error:
                log.warning("passed over: %s", error)
            except Exception as error:
                log.exception("what listened to %s failed", event.method)
                self._drop(listener)
                if failed is not None:
                    failed(CDPError(f"what listened to {event.method} failed: {error!r}"))

    def _drop(self, listener: Listener) -> None:
        for method, entries in list(self._listeners.items()):
            self._listeners[method] = tuple(entry for entry in entries if entry[0] is not listener)

    def mark_crashed(self) -> None:
        """The renderer died (reader only): everyone who waits for an event learns it in the order of events."""
        self._crashed = True
        for mailbox, crashes in list(self._mailboxes.items()):
            if crashes:
                mailbox.interrupt(PageCrashed())

    def mark_revived(self) -> None:
        """The page was loaded again after a crash (reader only)."""
        self._crashed = False

    def mark_closed(self, error: CDPError) -> None:
        """Nothing comes any more (reader only)."""
        if self._closed is None:
            self._closed = error
            for mailbox in list(self._mailboxes):
                mailbox.finish(error)
            self._listeners.clear()

    def register(self, mailbox: Mailbox[Any], *, crashes: bool = True) -> None:
        """Tell ``mailbox`` of a crash (unless it should not know) and of the end of the session."""
        if self._closed is not None:
            mailbox.finish(self._closed)
            return
        self._mailboxes[mailbox] = crashes
        mailbox.on_end(lambda: self._mailboxes.pop(mailbox, None))


class Subscription(Mailbox[Event]):
    """A queue of a session's events. Made by ``Session.subscribe``; see Mailbox for its rules."""

    async def until(self, kind: type[T], accept: Callable[[T], bool], timeout: float | None = None) -> T:
        """Read on until an event, decoded as ``kind``, is accepted. ``timeout`` is for all of it."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while True:
            left = None if end is None else max(0.0, end - loop.time())
            try:
                event = await self.next(left)
            except EventTimeout as error:
                raise EventTimeout(error.what, timeout or 0.0) from None
            decoded = event.decode(kind)
            if accept(decoded):
                return decoded


def raw_of(answer: msgspec.Raw | CDPError) -> msgspec.Raw:
    """What a pipeline's command was answered; raises where that was an error."""
    if isinstance(answer, CDPError):
        raise answer
    return answer
