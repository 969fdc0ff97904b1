"""Serving on standard input and output until the client goes away or a signal comes, and leaving in order."""

import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import FrameType

import anyio
import anyio.abc
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from cdp_image_mcp.config import Settings
from cdp_image_mcp.preview import FilePreviewer
from cdp_image_mcp.server import App, make_server
from cdp_image_mcp.studio import open_studio

__all__ = ["open_app", "serve"]

logger = logging.getLogger(__name__)

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
CLOSING_SECONDS = 15.0
"""Longest time for leaving in order; what hangs then is left, the records on disk are whole at any moment."""


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncGenerator[App]:
    """The studio of this process and what the handlers share with it. Nothing is opened but memory."""
    from cdp_image_mcp.canvas import BrowserCanvas

    async with open_studio(settings) as studio:
        yield App(settings, studio, FilePreviewer(BrowserCanvas(settings).open))


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


def _leave_at_the_latest(code: int) -> None:
    """From now on the process ends within :data:`CLOSING_SECONDS`, whatever hangs: a thread that writes to a client
    which no longer reads cannot be ended in any other way."""
    timer = threading.Timer(CLOSING_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


async def serve_server(server: Server[App]) -> None:
    """Serve until the end of input or a signal; ends the process after a signal."""
    stop = _Stop()
    async with stdio_server() as (incoming, outgoing):
        async with anyio.create_task_group() as listeners:
            await listeners.start(_start_listening, stop)
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_on_stop, stop, group.cancel_scope)
                await server.run(incoming, outgoing, server.create_initialization_options())
                _leave_at_the_latest(0)
                group.cancel_scope.cancel()
            listeners.cancel_scope.cancel()
        if stop.signal is not None:
            logger.info("stopped by %s", stop.signal.name)
            logging.shutdown()
            sys.stderr.flush()
            # The thread that reads standard input is blocked until the client closes it and cannot be joined.
            os._exit(0)


async def _start_listening(stop: _Stop, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    await _listen(stop, task_status=task_status)


async def _cancel_on_stop(stop: _Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    _leave_at_the_latest(0)
    scope.cancel()


async def serve(settings: Settings) -> None:
    """Serve this installation's studio on standard input and output."""
    await serve_server(make_server(lambda: open_app(settings)))
