"""A studio that is opened late and closed in order, whatever happens to whoever uses it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.installed import loading
from cdp_image_mcp.system.tasks import background, shielded

if TYPE_CHECKING:
    # Loaded when it is first asked for, not by the server's start.
    from cdp_image_mcp.studio.studio import Outliving, Studio


class LateStudio:
    """The studio, opened by the first call. A task of its own enters and leaves it, whoever called first; that task
    hears of no cancellation, so that jobs are always told to end and never torn away from under their records."""

    def __init__(self, settings: Settings, group: anyio.abc.TaskGroup, outliving: "Outliving | None" = None) -> None:
        self._settings = settings
        self._outliving = outliving
        self._group = group
        self._opening = anyio.Lock()
        self.closing = anyio.Event()
        self.opened: Studio | None = None

    async def __call__(self) -> "Studio":
        async with self._opening:
            studio = self.opened
            if studio is None:
                # Given up meanwhile, `start` would wait for the end of its task, which waits for the end of the server.
                with shielded():
                    studio = await self._group.start(self._hold)
                self.opened = studio
            return studio

    async def _hold(self, *, task_status: "anyio.abc.TaskStatus[Studio]") -> None:
        with loading("cdp_image_mcp.studio.studio"):
            from cdp_image_mcp.mcp_server.ways import InstalledWays
            from cdp_image_mcp.studio.studio import open_studio

        with shielded():
            async with open_studio(self._settings, InstalledWays(), self._outliving) as studio:
                task_status.started(studio)
                await self.closing.wait()


@asynccontextmanager
async def late_studio(settings: Settings, outliving: "Outliving | None" = None) -> AsyncGenerator[LateStudio]:
    """A studio for the length of the block, not opened before it is asked for. What the block raises leaves as it
    is."""
    async with background() as group:
        studio = LateStudio(settings, group, outliving)
        try:
            yield studio
        finally:
            studio.closing.set()  # it ends its jobs and goes; the group waits for it


@asynccontextmanager
async def studio_apart(settings: Settings, outliving: "Outliving | None" = None) -> AsyncGenerator["Studio"]:
    """An open studio for the length of the block; a cancelled block ends its jobs in order. ``outliving``: see
    :func:`~cdp_image_mcp.studio.studio.open_studio`."""
    async with late_studio(settings, outliving) as studio:
        yield await studio()
