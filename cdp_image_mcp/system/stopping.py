"""Signals that ask the process to end, on every system."""

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import FrameType

import anyio
import anyio.abc

from cdp_image_mcp.system.front import Front
from cdp_image_mcp.system.tasks import background

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Stop:
    """The first signal counts; more of them while the process leaves are heard and change nothing."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._event = anyio.Event()

    def note(self, number: int) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._event.set()

    async def note_end_of(self, front: Front | None) -> None:
        """The end of the process that was started counts as a signal to this one, which goes on behind it."""
        if front is not None:
            await front.gone()
            self.note(signal.SIGTERM)

    @asynccontextmanager
    async def heard(self) -> AsyncGenerator[None]:
        """Signals are taken from before the block to after it (on Windows: until the process ends). What a signal
        ends belongs inside: one that comes while that is being left must not meet the interpreter's own handlers,
        which would cut the leaving short."""
        async with background() as group:
            await group.start(self._listen)
            yield

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        # Not what whoever started it had it ignore, as ``nohup`` and the ``&`` of scripts do.
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        try:
            with anyio.open_signal_receiver(*heard) as signals:
                task_status.started()
                async for number in signals:
                    self.note(number)
        except NotImplementedError:
            self._listen_without_loop()
            task_status.started()

    def _listen_without_loop(self) -> None:
        """Windows: its event loop takes no signal handlers, but wakes up for the interpreter's own."""
        import asyncio

        loop = asyncio.get_running_loop()

        def handler(number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.note, number)

        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if (number := getattr(signal, name, None)) is not None:
                signal.signal(number, handler)

    async def cancel(self, scope: anyio.CancelScope) -> None:
        """Cancel ``scope`` when a signal comes."""
        await self._event.wait()
        scope.cancel()
