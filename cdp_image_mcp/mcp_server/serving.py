"""Serving on standard input and output until the client goes away or a signal comes, and leaving in order."""

import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.app import App, OpenApp
from cdp_image_mcp.mcp_server.client.wire import Wire
from cdp_image_mcp.mcp_server.holding import late_studio
from cdp_image_mcp.mcp_server.server import make_server
from cdp_image_mcp.previews.canvas import canvases
from cdp_image_mcp.request import LONGEST_WAIT
from cdp_image_mcp.system.front import Front
from cdp_image_mcp.system.stopping import Stop

if TYPE_CHECKING:
    from cdp_image_mcp.cdp import Browser
    from cdp_image_mcp.chatgpt.backend import WebBackend
    from cdp_image_mcp.studio.studio import Outliving, Studio

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 15.0
"""Longest time for leaving in order; what hangs then is left, the records on disk are whole at any moment."""
FLUSHING_SECONDS = 2.0
"""Longest time for the last answers to reach a client that has closed its end."""
OUTLIVING_SECONDS = 2.0 * LONGEST_WAIT
"""Longest time for requests that are out when the client has gone: the longest that one answers in, and then that its
addresses are asked and that a full disk is tried again, which have limits of their own."""


def open_browser(studio: "Studio | None") -> "Browser | None":
    """The browser that the studio's web back end has open at this moment."""
    backend = cast("WebBackend | None", studio and studio.backends.get("chatgpt-web"))
    return None if backend is None else backend.browser


@asynccontextmanager
async def open_app(settings: Settings, outliving: "Outliving | None" = None) -> AsyncGenerator[App]:
    """What the handlers of this process share. Nothing is loaded or opened before the first call. ``outliving``: see
    :func:`~cdp_image_mcp.studio.studio.open_studio`."""
    async with (
        # Left last: what is out is told before a browser of theirs, which may hang, is waited for.
        canvases(settings, lambda: open_browser(studio.opened)) as open_canvas,
        late_studio(settings, outliving) as studio,
    ):
        app = App(settings, studio, open_canvas)
        async with app.tasks.kept():
            yield app


class Leaving:
    """The end of a process whose client has gone, which comes whatever hangs: a thread that writes to a client which
    no longer reads cannot be ended in any other way."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def within(self, seconds: float) -> None:
        """From now on the process ends within ``seconds``."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, os._exit, (0,))
        self._timer.daemon = True
        self._timer.start()


async def serve_app(open_app: OpenApp, wire: Wire, front: Front | None = None, leaving: Leaving | None = None) -> None:
    """Serve on ``wire`` until the end of input, a signal, or the death of the client or of the process that it started;
    a signal ends the process here."""
    stop, leaving = Stop(), leaving or Leaving()

    @asynccontextmanager
    async def closing_in_time() -> AsyncGenerator[App]:
        async with open_app() as app:
            wire.when_out = app.underway.follow()
            try:
                yield app
            finally:
                leaving.within(CLOSING_SECONDS)
                await app.underway.aclose()

    server = make_server(closing_in_time)
    serving = anyio.CancelScope()
    async with stop.heard(), wire.streams(serving.cancel) as (incoming, outgoing):
        try:
            with serving:
                async with anyio.create_task_group() as group:
                    group.start_soon(stop.cancel, serving)
                    group.start_soon(stop.note_end_of, front)
                    await server.run(incoming, outgoing, server.create_initialization_options())
                    leaving.within(FLUSHING_SECONDS)
                    group.cancel_scope.cancel()
        finally:
            # Also when the SDK's reader fell over a message that came after the signal.
            if stop.signal is not None:
                logger.info("stopped by %s", stop.signal.name)
                logging.shutdown()
                os._exit(0)  # a thread that writes to a client which does not read cannot be joined


async def serve(settings: Settings, wire: Wire, front: Front | None = None) -> None:
    """Serve this installation's studio on ``wire``."""
    leaving = Leaving()

    def outlive(front: Front) -> Callable[[], None]:
        """What is paid for is waited for; the client sees its server end when everything else is closed."""
        logger.info("requests that are out are finished and saved; nothing else goes on")
        leaving.within(OUTLIVING_SECONDS)

        def let_go() -> None:
            wire.leave()
            front.let_go()

        return let_go

    outliving = None if front is None else partial(outlive, front)
    await serve_app(lambda: open_app(settings, outliving), wire, front, leaving)
