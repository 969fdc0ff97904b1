"""One websocket to the browser: commands out, answers and events in, many sessions on it.

The reader never waits for anyone: it routes a message and reads on. (A client that stops reading makes Chrome 156
buffer about 256 MiB and then drop messages silently.)
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from cdp_image_mcp.cdp.errors import BrowserGone, CDPError, CommandTimeout, PageCrashed, ProtocolError, SessionClosed
from cdp_image_mcp.cdp.protocol import (
    AttachedToTarget,
    AttachToTarget,
    AttachToTargetReply,
    DetachedFromTarget,
    InspectorDetached,
    TargetDestroyed,
)
from cdp_image_mcp.cdp.session import ANSWERED_AFTER_CRASH, Event, Params, Session

# Chrome 156 drops the connection without a word at a message of 101 MiB; 99 MiB pass.
MAX_MESSAGE = 99 * 1024 * 1024


class Command(msgspec.Struct, rename="camel", omit_defaults=True):
    """What goes out."""

    id: int
    method: str
    params: Any = None
    session_id: str | None = None


class WireError(msgspec.Struct):
    """The error body of an answer."""

    code: int
    message: str
    data: Any = None


class Envelope(msgspec.Struct, rename="camel", gc=False):
    """What comes in: an answer (id) or an event (method). Parameters stay undecoded until someone wants them."""

    id: int | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: WireError | None = None
    session_id: str | None = None


class Waiter(msgspec.Struct):
    """Someone who waits for an answer."""

    method: str
    session: Session
    future: "asyncio.Future[msgspec.Raw]"
    timeout: float
    deadline: float


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


class Connection:
    """The browser's end of the wire. Made by ``connect``; every Session lives on one."""

    def __init__(
        self, websocket: ClientConnection, tasks: anyio.abc.TaskGroup, last_lines: Callable[[], Sequence[str]]
    ) -> None:
        self._websocket = websocket
        self._tasks = tasks
        self._last_lines = last_lines
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._waiters: dict[int, Waiter] = {}
        self._sessions: dict[str, Session] = {}
        self._gone: BrowserGone | None = None
        self._closing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._reader_scope = anyio.CancelScope(shield=True)
        self.browser = Session(self, None, "", "browser")
        self._inner: dict[str, Callable[[Session, Event], None]] = {
            "Target.attachedToTarget": self._on_attached,
            "Target.detachedFromTarget": self._on_detached,
            "Target.targetDestroyed": self._on_destroyed,
            "Inspector.detached": self._on_inspector_detached,
            "Inspector.targetCrashed": lambda session, _event: self._on_crashed(session),
            "Inspector.targetReloadedAfterCrash": lambda session, _event: session.mark_revived(),
        }

    @property
    def gone(self) -> BrowserGone | None:
        """Why the connection ended, or None while it lives."""
        return self._gone

    async def wait_gone(self) -> BrowserGone:
        """Wait until the connection has ended, for whatever reason, and tell which."""
        await self._ended.wait()
        if self._gone is None:
            raise RuntimeError("ended without a reason")
        return self._gone

    def expect_end(self) -> None:
        """From now on the end of the connection is asked for (graceful), not a loss."""
        self._closing = True

    def session(self, session_id: str) -> Session | None:
        """The live session with this id."""
        return self._sessions.get(session_id)

    async def attach(self, target_id: str) -> Session:
        """A new flat session to a target; several to one target are independent of each other."""
        reply = await self.browser.call(
            "Target.attachToTarget", AttachToTarget(target_id=target_id, flatten=True), reply=AttachToTargetReply
        )
        session = self._sessions.get(reply.session_id)
        if session is None:
            raise SessionClosed("the target went away while it was being attached to", "Target.attachToTarget")
        return session

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> anyio.CancelScope:
        """Run ``function`` in the connection's task group until it ends, the scope is cancelled or the connection ends.

        It must treat SessionClosed and BrowserGone as its end; any other exception ends the whole connection's scope.
        """
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await function(*args)

        self._tasks.start_soon(run)
        return scope

    async def send(self, session: Session, method: str, params: Params, timeout: float) -> msgspec.Raw:
        """Send one command for ``session`` (its ``call``) and wait for the answer."""
        number, waiter = self._register(session, method, timeout)
        try:
            await self._transmit(number, waiter, params)
            return await waiter.future
        finally:
            self._forget(number)

    async def send_all(
        self, session: Session, commands: Sequence[tuple[str, Params]], timeout: float
    ) -> list[msgspec.Raw | CDPError]:
        """Send commands back to back (a session's ``pipeline``)."""
        numbers: list[int] = []
        waiters: list[Waiter] = []
        answers: list[msgspec.Raw | CDPError] = []
        try:
            for method, params in commands:
                number, waiter = self._register(session, method, timeout)
                numbers.append(number)
                waiters.append(waiter)
                await self._transmit(number, waiter, params)
            for waiter in waiters:
                try:
                    answers.append(await waiter.future)
                except (ProtocolError, CommandTimeout) as error:
                    answers.append(error)
        finally:
            for number in numbers:
                self._forget(number)
        return answers

    async def close(self) -> None:
        """End the connection; the browser lives on. Everything that waits gets BrowserGone (graceful)."""
        self._closing = True
        self._end(BrowserGone("the connection to the browser was closed", graceful=True))
        await self._websocket.close()

    def _register(self, session: Session, method: str, timeout: float) -> tuple[int, Waiter]:
        if session.closed is not None:
            raise _again(session.closed, method)
        if session.crashed and method not in ANSWERED_AFTER_CRASH:
            raise PageCrashed(method)
        number = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        deadline = self._loop.time() + timeout
        waiter = Waiter(method, session, future, timeout, deadline)
        self._waiters[number] = waiter
        if self._alarm is None or deadline < self._alarm.when():
            self._set_alarm(deadline)
        return number, waiter

    async def _transmit(self, number: int, waiter: Waiter, params: Params) -> None:
        data = _encoder.encode(Command(number, waiter.method, params, waiter.session.session_id))
        if len(data) > MAX_MESSAGE:
            raise CDPError(f"{waiter.method}: a message of {len(data)} bytes is more than the browser takes; not sent")
        try:
            await self._websocket.send(data, text=True)
        except ConnectionClosed:
            # The reader may still hold answers that came before the end; it fails this waiter when it gets there.
            return

    def _set_alarm(self, at: float) -> None:
        """One timer for all commands, set to the earliest deadline: one for each would cost a fifth of a call."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._expire_late)

    def _expire_late(self) -> None:
        self._alarm = None
        now = self._loop.time()
        for waiter in self._waiters.values():
            if waiter.deadline <= now and not waiter.future.done():
                waiter.future.set_exception(CommandTimeout(waiter.method, waiter.timeout))
        late = [waiter.deadline for waiter in self._waiters.values() if not waiter.future.done()]
        if late:
            self._set_alarm(min(late))

    def _forget(self, number: int) -> None:
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            if waiter.future.done() and not waiter.future.cancelled():
                waiter.future.exception()  # retrieved: an unread failure is not worth a warning
            else:
                waiter.future.cancel()

    async def read(self) -> None:
        """The reader: runs until the websocket ends (started by ``connect`` only)."""
        with self._reader_scope:
            try:
                while True:
                    self._route(await self._websocket.recv(decode=False))
            except ConnectionClosed as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001 - a listener's or a decoder's fault must reach all who wait
                self._end(BrowserGone(f"the driver could not go on: {error!r}", cause=error))
                await self._websocket.close()

    def stop_reading(self) -> None:
        """End the reader (``connect`` only)."""
        self._reader_scope.cancel()

    def _route(self, data: bytes) -> None:
        message = _decoder.decode(data)
        if message.id is not None:
            self._answer(message)
            return
        if message.method is None:
            return
        if message.session_id is None:
            session = self.browser
        else:
            found = self._sessions.get(message.session_id)
            if found is None:
                return
            session = found
        event = Event(message.method, message.params, message.session_id)
        inner = self._inner.get(message.method)
        if inner is not None:
            inner(session, event)
        session.dispatch(event)

    def _answer(self, message: Envelope) -> None:
        waiter = self._waiters.get(message.id or 0)
        if waiter is None or waiter.future.done():
            return
        if message.error is None:
            waiter.future.set_result(message.result)
            return
        data = message.error.data
        text = data if data is None or isinstance(data, str) else repr(data)
        error = ProtocolError(message.error.code, message.error.message, text, waiter.method)
        if error.session_gone and waiter.session.session_id is not None:
            waiter.future.set_exception(SessionClosed(message.error.message, waiter.method))
        else:
            waiter.future.set_exception(error)

    def _on_attached(self, parent: Session, event: Event) -> None:
        # Made here, before the next message is read: the new session's events follow at once.
        params = event.decode(AttachedToTarget)
        if params.session_id not in self._sessions:
            session = Session(self, params.session_id, params.target_info.target_id, params.target_info.type)
            self._sessions[params.session_id] = session
            parent.adopt_child(params.session_id)

    def _on_detached(self, _parent: Session, event: Event) -> None:
        self._close_session(event.decode(DetachedFromTarget).session_id, "detached from its target")

    def _on_destroyed(self, _session: Session, event: Event) -> None:
        target_id = event.decode(TargetDestroyed).target_id
        for session in list(self._sessions.values()):
            if session.target_id == target_id and session.session_id is not None:
                self._close_session(session.session_id, "its target was closed")

    def _on_inspector_detached(self, session: Session, event: Event) -> None:
        if session.session_id is not None:
            session.dispatch(event)
            self._close_session(session.session_id, event.decode(InspectorDetached).reason)

    def _close_session(self, session_id: str, reason: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        for child in session.children():
            self._close_session(child, reason)
        session.mark_closed(SessionClosed(reason))
        for waiter in self._waiters.values():
            if waiter.session is session and not waiter.future.done():
                waiter.future.set_exception(SessionClosed(reason, waiter.method))

    def _on_crashed(self, session: Session) -> None:
        session.mark_crashed()
        for waiter in self._waiters.values():
            if waiter.session is session and waiter.method not in ANSWERED_AFTER_CRASH and not waiter.future.done():
                waiter.future.set_exception(PageCrashed(waiter.method))

    def _lose(self, error: ConnectionClosed) -> None:
        # Browser.close and a crash both end without a close frame: only what was asked for tells them apart.
        if self._closing:
            self._end(BrowserGone("the browser was closed", graceful=True, cause=error))
        else:
            self._end(BrowserGone("the connection to the browser was lost", cause=error, stderr=self._last_lines()))

    def _end(self, gone: BrowserGone) -> None:
        if self._gone is not None:
            return
        self._gone = gone
        for session in [*self._sessions.values(), self.browser]:
            session.mark_closed(gone)
        self._sessions.clear()
        for waiter in self._waiters.values():
            if not waiter.future.done():
                waiter.future.set_exception(_again(gone, waiter.method))
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._ended.set()


def _no_lines() -> Sequence[str]:
    return ()


@asynccontextmanager
async def connect(
    url: str, *, timeout: float = 10.0, last_lines: Callable[[], Sequence[str]] = _no_lines
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
        raise BrowserGone(f"nothing answers at {url}: {error}", cause=error, stderr=last_lines()) from error
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            connection = Connection(websocket, tasks, last_lines)
            tasks.start_soon(connection.read)
            try:
                yield connection
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()
                connection.stop_reading()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = _single(group)
    if failure is not None:
        raise failure


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception of the block itself: the group exists only because the reader is kept in it."""
    return group.exceptions[0] if len(group.exceptions) == 1 else group


def _again(error: CDPError, method: str) -> CDPError:
    """The same ending for another waiter: an exception object is raised once only, lest its traceback grow."""
    if isinstance(error, BrowserGone):
        return BrowserGone(
            f"{method}: {error.message}", graceful=error.graceful, cause=error.cause, stderr=error.stderr
        )
    if isinstance(error, SessionClosed):
        return SessionClosed(error.reason, method)
    return error
