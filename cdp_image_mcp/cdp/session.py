"""A flat session (a page, a worker, the browser itself) and the subscriptions to its events.

A subscription is registered when it is made, so it is made before the command whose events it waits for.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import msgspec

from cdp_image_mcp.cdp.errors import BrowserGone, CDPError, CommandTimeout, PageCrashed, ProtocolError, SessionClosed
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.waiters import Waiter, Waiters
from cdp_image_mcp.cdp.wire import Params, shaped

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0
DEFAULT_QUEUE = 10_000
# What a session with a dead renderer still answers (Chromium 156): the two commands that bring it back, and bodies that
# the browser itself keeps.
ANSWERED_AFTER_CRASH = frozenset({"Page.navigate", "Page.reload", "Network.getResponseBody"})


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


def again(ending: CDPError, method: str) -> CDPError:
    """The same ending for another waiter: an exception object is raised once only, lest its traceback grow."""
    if isinstance(ending, BrowserGone):
        return BrowserGone(f"{method}: {ending.message}", stderr=ending.stderr)
    if isinstance(ending, SessionClosed):
        return SessionClosed(ending.reason, method)
    return ending


class Session:
    """Commands and events of one target. Made by the connection, never by hand."""

    def __init__(self, waiters: Waiters, session_id: str | None, target_id: str) -> None:
        self._waiters = waiters
        self.session_id = session_id
        self.target_id = target_id
        self.closed: CDPError | None = None
        """Why nothing works any more (SessionClosed or BrowserGone), or None while the session lives."""
        self.crashed = False
        """True from a renderer crash until the page is loaded again."""
        self._listeners: dict[str, tuple[tuple[Listener, Failed | None], ...]] = {}
        self._mailboxes: set[Mailbox[Any]] = set()

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
        [answer] = await self.pipeline([(method, params)], timeout=timeout)
        return raw_of(answer) if reply is None else shaped(raw_of(answer), reply, method)

    async def pipeline(
        self, commands: Sequence[tuple[str, Params]], *, timeout: float = DEFAULT_TIMEOUT
    ) -> list[msgspec.Raw | CDPError]:
        """Send all commands at once, in order, and wait for all answers; an error stands in its command's place.

        A connection or session that ends meanwhile raises instead, as with ``call``.
        """
        waiters: list[Waiter] = []
        answers: list[msgspec.Raw | CDPError] = []
        try:
            for method, params in commands:
                waiter = self._add(method, timeout)
                waiters.append(waiter)
                await self._waiters.send(waiter, params)
            for waiter in waiters:
                try:
                    answers.append(await waiter.future)
                except (ProtocolError, CommandTimeout) as error:
                    answers.append(error)
        finally:
            for waiter in waiters:
                self._waiters.forget(waiter)
        return answers

    def _add(self, method: str, timeout: float) -> Waiter:
        if self.closed is not None:
            raise again(self.closed, method)
        if self.crashed and method not in ANSWERED_AFTER_CRASH:
            raise PageCrashed(method)
        return self._waiters.add(self.session_id, method, timeout)

    def subscribe(self, *methods: str, where: Callable[[Event], bool] | None = None) -> Mailbox[Event]:
        """A queue of the events named, filled from now on; at DEFAULT_QUEUE unread ones it closes with EventOverflow.

        ``where`` leaves events out; it runs inside the reader, under the rules of ``listen``.
        """
        subscription: Mailbox[Event] = Mailbox(" or ".join(methods), DEFAULT_QUEUE)

        def push(event: Event) -> None:
            if where is None or where(event):
                subscription.put(event)

        self.feed(subscription, push, *methods)
        return subscription

    def feed(self, mailbox: Mailbox[Any], listener: Listener, *methods: str) -> None:
        """``listen`` for as long as ``mailbox``, which the listener fills, has not ended; and ``register`` it."""
        self.register(mailbox)
        mailbox.on_end(self.listen(listener, *methods, failed=mailbox.finish))

    def listen(self, listener: Listener, *methods: str, failed: Failed | None = None) -> Callable[[], None]:
        """Call ``listener`` inside the reader for each event named; returns the function that ends it.

        For bookkeeping that must be done before the next message is read. The listener must be quick; anything that
        waits belongs in a subscription. An event that it cannot decode is passed over. With any other exception it is
        called no more, and ``failed`` gets a CDPError that says so: nobody else's events are touched by that.
        """
        for method in methods:
            self._listeners[method] = (*self._listeners.get(method, ()), (listener, failed))

        return lambda: self._drop(listener)

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
            if not self._listeners[method]:
                del self._listeners[method]

    def mark_crashed(self) -> None:
        """The renderer died (reader only): everyone who waits for an event learns it in the order of events."""
        self.crashed = True
        for mailbox in list(self._mailboxes):
            mailbox.interrupt(PageCrashed())

    def mark_revived(self) -> None:
        """The page was loaded again after a crash (reader only)."""
        self.crashed = False

    def mark_closed(self, error: CDPError) -> None:
        """Nothing comes any more (reader only)."""
        if self.closed is None:
            self.closed = error
            for mailbox in list(self._mailboxes):
                mailbox.finish(error)
            self._listeners.clear()

    def register(self, mailbox: Mailbox[Any]) -> None:
        """Tell ``mailbox`` of a crash and of the end of the session."""
        if self.closed is not None:
            mailbox.finish(self.closed)
            return
        self._mailboxes.add(mailbox)
        mailbox.on_end(lambda: self._mailboxes.discard(mailbox))


def raw_of(answer: msgspec.Raw | CDPError) -> msgspec.Raw:
    """What a pipeline's command was answered; raises where that was an error."""
    if isinstance(answer, CDPError):
        raise answer
    return answer
