"""News of a running generation on its way to the client that asked for progress."""

import contextlib

import anyio
from mcp.server.session import ServerSession

from cdp_image_mcp.studio.studio import News

PATIENCE = 1.0
"""Seconds a client gets to take one notice. The stream has no buffer: one that stopped reading would block us."""


class Progress:
    """A listener for one call. Numbers only ever grow, and a slow or dead reader costs at most :data:`PATIENCE`."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._last = -1.0

    async def __call__(self, news: News) -> None:
        if news.elapsed <= self._last:
            return
        self._last = news.elapsed
        # A total that is already passed would read as more than 100 %.
        total = news.expected if news.expected is not None and news.expected > news.elapsed else None
        with anyio.move_on_after(PATIENCE), contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self._session.report_progress(round(news.elapsed, 1), total, news.message)
