"""Commands out, and who waits for their answers until when: one timer for all of them."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from cdp_image_mcp.cdp.errors import CDPError, CommandTimeout
from cdp_image_mcp.cdp.wire import Command, Params, encode
from cdp_image_mcp.system.sleep import overslept

log = logging.getLogger(__name__)


class Waiter(msgspec.Struct):
    """Someone who waits for an answer."""

    number: int
    method: str
    session_id: str | None
    future: "asyncio.Future[msgspec.Raw]"
    timeout: float
    deadline: float

    def fail(self, error: CDPError) -> None:
        """No answer will come; harmless where one came."""
        if not self.future.done():
            self.future.set_exception(error)


class Waiters:
    """All who wait on one connection."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._all: dict[int, Waiter] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, session_id: str | None, method: str, timeout: float) -> Waiter:
        """A new one, under the next number, for a command that is about to be sent."""
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        waiter = Waiter(next(self._numbers), method, session_id, future, timeout, self._loop.time() + timeout)
        self._all[waiter.number] = waiter
        if self._alarm is None or waiter.deadline < self._alarm.when():
            self._set_alarm(waiter.deadline)
        return waiter

    async def send(self, waiter: Waiter, params: Params) -> None:
        """Send its command. Raises CDPError for one that the browser would not take."""
        data = encode(Command(waiter.number, waiter.method, params, waiter.session_id))
        # The reader may still hold answers that came before the end; it fails this waiter when it gets there.
        with suppress(ConnectionClosed):
            await self._websocket.send(data, text=True)

    def get(self, number: int | None) -> Waiter | None:
        """The one that waits for this answer, if it still does."""
        waiter = self._all.get(number or 0)
        return None if waiter is None or waiter.future.done() else waiter

    def forget(self, waiter: Waiter) -> None:
        """Its call is over, however."""
        if self._all.pop(waiter.number, None) is None:
            return
        if waiter.future.done() and not waiter.future.cancelled():
            waiter.future.exception()  # retrieved: an unread failure is not worth a warning
        else:
            waiter.future.cancel()

    def fail(self, error: Callable[[Waiter], CDPError | None]) -> None:
        """End the wait of all to whom ``error`` gives one, each with an exception of its own: one that is raised more
        than once grows its traceback."""
        for waiter in self._all.values():
            if not waiter.future.done() and (fault := error(waiter)) is not None:
                waiter.fail(fault)

    def _set_alarm(self, at: float) -> None:
        """One timer for all commands, set to the earliest deadline: one for each would cost a fifth of a call."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._expire_late)

    def _expire_late(self) -> None:
        now = self._loop.time()
        if self._alarm is not None and overslept(self._alarm.when()):
            log.info("this process slept; whoever waits for an answer waits once more")
            for waiter in self._all.values():
                waiter.deadline = max(waiter.deadline, now + waiter.timeout)
        self._alarm = None
        self.fail(lambda waiter: CommandTimeout(waiter.method, waiter.timeout) if waiter.deadline <= now else None)
        waiting = [waiter.deadline for waiter in self._all.values() if not waiter.future.done()]
        if waiting:
            self._set_alarm(min(waiting))
