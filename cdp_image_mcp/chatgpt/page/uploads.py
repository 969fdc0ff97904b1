"""The reference pictures on their way: copies of the bytes that were checked, whatever happens to the originals, and
the page's own calls that bring them to the site."""

import os
import re
import secrets
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.references import read_reference
from cdp_image_mcp.request import Reference
from cdp_image_mcp.system.disk import OWNER_ONLY, make_path
from cdp_image_mcp.system.tasks import background, shielded

__all__ = ["Uploads", "upload_copies", "uploads_of"]

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


class Uploads:
    """How many uploads the page has begun and ended. Made by ``uploads_of``."""

    def __init__(self) -> None:
        self.begun = 0
        self.received = 0
        """Those that the site has whole."""
        self.failed = 0
        """Those that the site refused, or whose end it refused."""
        self._news = anyio.Event()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Until the counts are as they should be."""
        while not enough():
            await self._news.wait()

    async def hear(self, requests: Mailbox[Request], count: Callable[[Request], None]) -> None:
        """Count the requests that come (``uploads_of`` only)."""
        async for request in requests:
            count(request)
            self._news.set()
            self._news = anyio.Event()

    def count_begun(self, _request: Request) -> None:
        self.begun += 1

    def count_refused(self, request: Request) -> None:
        self.failed += not _went_well(request)

    def count_end(self, request: Request) -> None:
        if _went_well(request):
            self.received += 1
        else:
            self.failed += 1


def _went_well(request: Request) -> bool:
    return request.state == "finished" and request.status is not None and request.status < 400


@asynccontextmanager
async def uploads_of(tab: Tab) -> AsyncGenerator[Uploads]:
    """The page's uploads from now on."""
    uploads = Uploads()
    begins = partial(tab.site.asks, "upload_begun")
    with (
        tab.bodies.watch(begins, stage="sent") as begun,
        tab.bodies.watch(begins) as answered,
        tab.bodies.watch(partial(tab.site.asks, "upload_done")) as done,
    ):
        async with background() as group:
            group.start_soon(uploads.hear, begun, uploads.count_begun)
            group.start_soon(uploads.hear, answered, uploads.count_refused)
            group.start_soon(uploads.hear, done, uploads.count_end)
            yield uploads
