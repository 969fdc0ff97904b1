"""One websocket to the browser: commands out, answers and events in, many sessions on it.

The reader never waits for anyone: it routes a message and reads on. (A client that stops reading makes Chrome 156
buffer about 256 MiB and then drop messages silently.)
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from cdp_image_mcp.cdp.errors import BrowserGone, PageCrashed, ProtocolError, SessionClosed
from cdp_image_mcp.cdp.protocol import AttachedToTarget, InspectorDetached, OfSession
from cdp_image_mcp.cdp.session import ANSWERED_AFTER_CRASH, Event, Session, again
from cdp_image_mcp.cdp.waiters import Waiters
from cdp_image_mcp.cdp.wire import MAX_MESSAGE, UNREADABLE, Envelope, decode, id_of
from cdp_image_mcp.system.tasks import background, shielded

log = logging.getLogger(__name__)


class Connection:
    """The browser's end of the wire. Made by ``connect``; every Session lives on one."""

    def __init__(
        self, websocket: ClientConnection, tasks: anyio.abc.TaskGroup, last_lines: Callable[[], Sequence[str]]
    ) -> None:
        self._websocket = websocket
        self._tasks = tasks
        self._last_lines = last_lines
        self._waiters = Waiters(websocket)
        self.browser = Session(self._waiters, None, "")
        self._sessions: dict[str | None, Session] = {None: self.browser}
        self._closing = False
        self._ended: asyncio.Future[BrowserGone] = asyncio.get_running_loop().create_future()
        self._inner: dict[str, Callable[[Session, Event], None]] = {
            "Target.attachedToTarget": self._on_attached,
            "Target.detachedFromTarget": lambda _parent, event: self._detach(event.decode(OfSession).session_id),
            "Inspector.detached": self._on_inspector_detached,
            "Inspector.targetCrashed": lambda session, _event: self._on_crashed(session),
            "Inspector.targetReloadedAfterCrash": lambda session, _event: session.mark_revived(),
        }

    @property
    def gone(self) -> BrowserGone | None:
        """Why the connection ended, or None while it lives."""
        return self._ended.result() if self._ended.done() else None

    async def wait_gone(self) -> BrowserGone:
        """Wait until the connection has ended, for whatever reason, and tell which."""
        return await asyncio.shield(self._ended)

    def expect_end(self) -> None:
        """From now on the end of the connection is asked for, not a loss."""
        self._closing = True

    async def attach(self, target_id: str) -> Session:
        """A new flat session to a target; several to one target are independent of each other."""
        wanted = {"targetId": target_id, "flatten": True}
        reply = await self.browser.call("Target.attachToTarget", wanted, reply=OfSession)
        session = self._sessions.get(reply.session_id)
        if session is None:
            raise SessionClosed("the target went away while it was being attached to", "Target.attachToTarget")
        return session

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Run ``function`` in the connection's task group until it or the connection ends.

        It must treat SessionClosed and BrowserGone as its end; any other exception ends the whole connection's scope.
        """
        self._tasks.start_soon(function, *args)

    async def close(self) -> None:
        """End the connection; the browser lives on. Everything that waits gets BrowserGone."""
        self._closing = True
        self._end(BrowserGone("the connection to the browser was closed"))
        await self._websocket.close()

    async def read(self, scope: anyio.CancelScope) -> None:
        """The reader: runs until the websocket or ``scope`` ends (started by ``connect`` only). No message ends it."""
        with scope:
            try:
                while True:
                    self._route(await self._websocket.recv(decode=False))
            except ConnectionClosed:
                self._lose()

    def _route(self, data: bytes) -> None:
        try:
            message = decode(data, Envelope)
        except (msgspec.DecodeError, RecursionError) as error:
            log.warning("a message of the browser cannot be read and is passed over (%s): %r", error, data[:200])
            if (waiter := self._waiters.get(id_of(data))) is not None:
                waiter.fail(ProtocolError(UNREADABLE, f"its answer cannot be read: {error}", method=waiter.method))
            return
        if message.id is not None:
            self._answer(message)
        elif message.method is not None:
            self._tell(Event(message.method, message.params, message.session_id))

    def _tell(self, event: Event) -> None:
        session = self._sessions.get(event.session_id)
        if session is None:
            return
        if (inner := self._inner.get(event.method)) is not None:
            try:
                inner(session, event)
            except ProtocolError as error:
                log.warning("passed over: %s", error)
        session.dispatch(event)

    def _answer(self, message: Envelope) -> None:
        waiter = self._waiters.get(message.id)
        if waiter is None:
            return
        if message.error is None:
            waiter.future.set_result(message.result)
            return
        error = ProtocolError(message.error.code, message.error.message, message.error.data, waiter.method)
        if error.code == -32001 and waiter.session_id is not None:  # no session of that id (any more)
            waiter.fail(SessionClosed(message.error.message, waiter.method))
        else:
            waiter.fail(error)

    def _on_attached(self, _parent: Session, event: Event) -> None:
        # Made here, before the next message is read: the new session's events follow at once.
        params = event.decode(AttachedToTarget)
        if params.session_id not in self._sessions:
            self._sessions[params.session_id] = Session(self._waiters, params.session_id, params.target_info.target_id)

    def _on_inspector_detached(self, session: Session, event: Event) -> None:
        if session.session_id is not None:
            session.dispatch(event)
            self._detach(session.session_id, event.decode(InspectorDetached).reason)

    def _detach(self, session_id: str, reason: str = "detached from its target") -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        session.mark_closed(SessionClosed(reason))
        self._waiters.fail(lambda one: SessionClosed(reason, one.method) if one.session_id == session_id else None)

    def _on_crashed(self, session: Session) -> None:
        session.mark_crashed()
        lost = session.session_id
        self._waiters.fail(
            lambda one: (
                PageCrashed(one.method) if one.session_id == lost and one.method not in ANSWERED_AFTER_CRASH else None
            )
        )

    def _lose(self) -> None:
        # Browser.close and a crash both end without a close frame: only what was asked for tells them apart.
        if self._closing:
            self._end(BrowserGone("the browser was closed"))
        else:
            self._end(BrowserGone("the connection to the browser was lost", stderr=self._last_lines()))

    def _end(self, gone: BrowserGone) -> None:
        if self._ended.done():
            return
        self._ended.set_result(gone)
        for session in self._sessions.values():
            session.mark_closed(gone)
        self._sessions.clear()
        self._waiters.fail(lambda one: again(gone, one.method))


@asynccontextmanager
async def connect(
    url: str, *, timeout: float = 10.0, last_lines: Callable[[], Sequence[str]] = tuple
) -> AsyncGenerator[Connection, None]:
    """Connect to a browser's websocket (``ws://127.0.0.1:<port>/devtools/browser/<uuid>``) for the length of the block.

    ``last_lines`` gives the browser's last lines for the message of a loss. Raises BrowserGone when nothing listens
    there or the address is of an earlier browser. While the block is being cancelled its clean-up can still talk to the
    browser, if it shields itself.
    """
    try:
        websocket = await open_websocket(
            url,
            compression=None,  # Chrome would accept it, and a 20 MB answer then takes 2.6 times as long
            max_size=None,
            max_queue=None,
            ping_interval=None,  # keep-alive only ever kills the connection when our own loop stalls
            proxy=None,  # else http_proxy would be asked for 127.0.0.1
            open_timeout=timeout,
            close_timeout=2,
            write_limit=(4 * MAX_MESSAGE, None),  # sending never waits: the deadline is on the answer
        )
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise BrowserGone(f"nothing answers at {url}: {error}", stderr=last_lines()) from error
    async with background() as tasks:
        connection = Connection(websocket, tasks, last_lines)
        reading = anyio.CancelScope(shield=True)
        tasks.start_soon(connection.read, reading)
        try:
            yield connection
        finally:
            with shielded():
                await connection.close()
            reading.cancel()
