"""Copies of the reference pictures for the page: the bytes that were checked, whatever happens to the originals."""

import os
import re
import secrets
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.references import read_reference
from cdp_image_mcp.request import Reference
from cdp_image_mcp.system.disk import OWNER_ONLY, make_path
from cdp_image_mcp.system.tasks import shielded

__all__ = ["upload_copies"]

OURS = re.compile(r"uploads-(\d+)-")
"""Folders carry the pid of their maker, so that what a killed process left can be told from what is in use."""


@asynccontextmanager
async def upload_copies(references: Sequence[Reference], profile_dir: Path) -> AsyncGenerator[list[Path]]:
    """A private folder beside the profile, where the browser may read, with one copy each under its own name; gone
    after the block. Raises ImageError ``invalid_input`` for a file that changed since it was checked, ``disk``.

    Folders that dead processes left there are taken away first."""
    await anyio.to_thread.run_sync(_sweep, profile_dir.parent)
    if not references:
        yield []
        return
    contents = [await read_reference(reference) for reference in references]
    try:
        folder = await anyio.to_thread.run_sync(_copy, references, contents, profile_dir.parent)
    except OSError as error:
        raise ImageError("disk", f"A reference picture could not be copied for the browser: {error}.") from None
    try:
        yield [folder / str(number) / reference.path.name for number, reference in enumerate(references)]
    finally:
        with shielded():
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _copy(references: Sequence[Reference], contents: Sequence[bytes], parent: Path) -> Path:
    make_path(parent)
    folder = parent / f"uploads-{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(OWNER_ONLY)
    try:
        for number, (reference, content) in enumerate(zip(references, contents, strict=True)):
            # A folder each: two references may have the same name.
            place = folder / str(number)
            place.mkdir(OWNER_ONLY)
            (place / reference.path.name).write_bytes(content)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _sweep(parent: Path) -> None:
    """Never a reason to fail: what cannot be taken away now is tried again with the next references."""
    with suppress(OSError):
        for folder in parent.iterdir():
            made = OURS.match(folder.name)
            if made is not None and not folder.is_symlink() and not _runs(int(made[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        return psutil.pid_exists(pid)
    except OverflowError:
        return False
