"""Serving on standard input and output until the client goes away or a signal comes, and leaving in order."""

import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from mcp.server.stdio import stdio_server

from cdp_image_mcp.canvas import BrowserCanvas
from cdp_image_mcp.config import Settings
from cdp_image_mcp.preview import FilePreviewer
from cdp_image_mcp.server import App, OpenApp, make_server

if TYPE_CHECKING:
    from cdp_image_mcp.studio import Studio

__all__ = ["open_app", "serve", "serve_app"]

logger = logging.getLogger(__name__)

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
CLOSING_SECONDS = 15.0
"""Longest time for leaving in order; what hangs then is left, the records on disk are whole at any moment."""
FLUSHING_SECONDS = 2.0
"""Longest time for the last answers to reach a client that has closed its end."""


class _LazyStudio:
    """The studio, opened by the first call. A task of its own enters and leaves it, whoever called first."""

    def __init__(self, settings: Settings, group: anyio.abc.TaskGroup) -> None:
        self._settings = settings
        self._group = group
        self._opening = anyio.Lock()
        self._studio: Studio | None = None
        self._closing = anyio.Event()

    async def __call__(self) -> "Studio":
        async with self._opening:
            if self._studio is not None:
                return self._studio
            studio: Studio = await self._group.start(self._hold)
            self._studio = studio
            return studio

    def close(self) -> None:
        self._closing.set()

    async def _hold(self, *, task_status: "anyio.abc.TaskStatus[Studio]") -> None:
        from cdp_image_mcp.studio import open_studio

        async with open_studio(self._settings) as studio:
            task_status.started(studio)
            await self._closing.wait()


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncGenerator[App]:
    """What the handlers of this process share. Nothing is loaded or opened before the first call."""
    async with anyio.create_task_group() as group:
        studio = _LazyStudio(settings, group)
        yield App(settings, studio, FilePreviewer(BrowserCanvas(settings).open))
        studio.close()


class _Stop:
    """The first signal ends the serving; more of them while we leave are heard and change nothing."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._event = anyio.Event()

    def note(self, number: int) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


async def _listen(stop: _Stop, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    try:
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                stop.note(number)
    except NotImplementedError:
        _listen_without_loop(stop)
        task_status.started()


def _listen_without_loop(stop: _Stop) -> None:
    """Windows: its event loop takes no signal handlers, but wakes up for the interpreter's own."""
    import asyncio

    loop = asyncio.get_running_loop()

    def handler(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.note, number)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, handler)


def _leave_within(seconds: float) -> None:
    """From now on the process ends within ``seconds``, whatever hangs: a thread that writes to a client which no
    longer reads cannot be ended in any other way."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


async def _cancel_on_stop(stop: _Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


async def serve_app(open_app: OpenApp) -> None:
    """Serve on standard input and output until the end of input or a signal; a signal ends the process here."""
    stop = _Stop()

    @asynccontextmanager
    async def closing_in_time() -> AsyncGenerator[App]:
        async with open_app() as app:
            try:
                yield app
            finally:
                _leave_within(CLOSING_SECONDS)

    server = make_server(closing_in_time)
    async with stdio_server() as (incoming, outgoing):
        try:
            async with anyio.create_task_group() as group:
                await group.start(_listen, stop)
                group.start_soon(_cancel_on_stop, stop, group.cancel_scope)
                await server.run(incoming, outgoing, server.create_initialization_options())
                _leave_within(FLUSHING_SECONDS)
                group.cancel_scope.cancel()
        finally:
            # Also when the SDK's reader fell over a message that came after the signal.
            if stop.signal is not None:
                _leave_now(stop.signal)


def _leave_now(because: signal.Signals) -> None:
    """The thread that reads standard input is blocked until the client closes it and cannot be joined."""
    logger.info("stopped by %s", because.name)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)


async def serve(settings: Settings) -> None:
    """Serve this installation's studio on standard input and output."""
    await serve_app(lambda: open_app(settings))
