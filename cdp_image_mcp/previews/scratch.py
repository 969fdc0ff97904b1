"""Folders that are thrown away: profiles of short-lived browsers, and what a demo makes on its way."""

import logging
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

__all__ = ["scratch_folder"]

logger = logging.getLogger(__name__)

STALE_SECONDS = 600.0
"""A folder this old belongs to a process that was killed before it could delete it."""
DELETING_SECONDS = 8.0
"""A browser's last helpers write for a moment after the browser has ended, and Windows keeps open files."""


@asynccontextmanager
async def scratch_folder(prefix: str, *, snap: bool = False) -> AsyncGenerator[Path]:
    """A new folder (0700) that is gone after the block. ``snap``: for a browser that cannot write to the system's
    temporary folder."""
    folder = await anyio.to_thread.run_sync(partial(_make, prefix, snap=snap))
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_delete, folder)


def _make(prefix: str, *, snap: bool) -> Path:
    from cdp_image_mcp.cdp.launching.holder import clear_dead

    parent = Path.home() / "snap" if snap else Path(tempfile.gettempdir())
    for old in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                clear_dead(old)  # only the profile knows where its browser's socket lies
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def _delete(folder: Path) -> None:
    end = time.monotonic() + DELETING_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        if time.monotonic() > end:
            logger.warning("a throw-away folder could not be deleted: %s", folder)
            return
        # Nothing tells that the last writer has gone.
        time.sleep(0.05)
