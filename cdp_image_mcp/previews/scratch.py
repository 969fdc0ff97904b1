"""Folders that are thrown away: profiles of short-lived browsers, and what a demo makes on its way."""

import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio.to_thread

from cdp_image_mcp.system.presence import Presence, new_name
from cdp_image_mcp.system.tasks import shielded

logger = logging.getLogger(__name__)

DELETING_SECONDS = 8.0
"""A browser's last helpers write for a moment after the browser has ended, and Windows keeps open files."""


@asynccontextmanager
async def scratch_folder(prefix: str, *, snap: bool = False) -> AsyncGenerator[Path]:
    """A new folder (0700) that is gone after the block. ``snap``: for a browser that cannot write to the system's
    temporary folder. A file beside it is locked while it is in use; what killed processes left is swept away."""
    parent = Path.home() / "snap" if snap else Path(tempfile.gettempdir())
    folder, in_use = parent / f"{prefix}{new_name()}", Presence(parent)
    try:
        await anyio.to_thread.run_sync(_make, folder, prefix, in_use)
        yield folder
    finally:
        with shielded():
            await anyio.to_thread.run_sync(_delete, folder)
            await anyio.to_thread.run_sync(in_use.leave, _lock_of(folder))


def _lock_of(folder: Path) -> str:
    return f"{folder.name}.lock"


def abandoned(prefix: str, parent: Path) -> Iterator[Path]:
    """Our folders whose process has gone, each before the file that was locked for it. Nobody takes that name again."""
    in_use = Presence(parent)
    for old in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if _is_ours(old) and not in_use.is_there(_lock_of(old)):
                yield old
                yield parent / _lock_of(old)


def _is_ours(folder: Path) -> bool:
    """All users share the place. What is in another's folder leads to what its owner wants to have deleted."""
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and (sys.platform == "win32" or facts.st_uid == os.geteuid())


def _make(folder: Path, prefix: str, in_use: Presence) -> None:
    from cdp_image_mcp.cdp.launching.holder import clear_dead

    for old in abandoned(prefix, folder.parent):
        if old.is_dir():
            clear_dead(old)  # only the profile knows where its browser's socket lies
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
    in_use.enter(_lock_of(folder))
    folder.mkdir(0o700)


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
