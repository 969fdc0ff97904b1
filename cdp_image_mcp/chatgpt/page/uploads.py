"""The reference pictures on their way: copies of the bytes that were checked, whatever happens to the originals, and
the page's own calls that bring them to the site."""

import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.references import read_reference
from cdp_image_mcp.request import Reference
from cdp_image_mcp.system.disk import OWNER_ONLY, make_path
from cdp_image_mcp.system.tasks import background, shielded


@asynccontextmanager
async def upload_copies(references: Sequence[Reference], profile_dir: Path) -> AsyncGenerator[list[Path]]:
    """A private folder beside the profile, where the browser may read, with one copy each under its own name; gone
    after the block. Raises ImageError ``invalid_input`` for a file that changed since it was checked, ``disk``.

    Whoever is here holds the account's turn: what lies there is of one who was killed, and goes first."""
    folder = profile_dir.with_name(f"{profile_dir.name}.uploads")

    def clear() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    await anyio.to_thread.run_sync(clear)
    if not references:
        yield []
        return
    contents = [await read_reference(reference) for reference in references]
    try:
        try:
            files = await anyio.to_thread.run_sync(_copy, references, contents, folder)
        except OSError as error:
            raise ImageError("disk", f"A reference picture could not be copied for the browser: {error}.") from None
        yield files
    finally:
        with shielded():
            await anyio.to_thread.run_sync(clear)


def _copy(references: Sequence[Reference], contents: Sequence[bytes], folder: Path) -> list[Path]:
    make_path(folder)
    files: list[Path] = []
    for number, (reference, content) in enumerate(zip(references, contents, strict=True)):
        # A folder each: two references may have the same name.
        place = folder / str(number)
        place.mkdir(OWNER_ONLY, exist_ok=True)
        files.append(place / reference.path.name)
        files[-1].write_bytes(content)
    return files


class Uploads:
    """How many uploads the page has begun and ended. Made by ``uploads_of``."""

    def __init__(self) -> None:
        self.begun = 0
        self.received = 0
        """Those that the site has whole."""
        self.stored = 0
        """Files, or parts of them, whose bytes have gone up."""
        self.broken: Request | None = None
        """The last call with bytes that was refused or cut; its page may try again."""
        self.failed = 0
        """Those that the site refused, or whose end it refused."""
        self.refused: Request | None = None
        """The last call of these."""
        self.sent: list[Request] = []
        """Whatever else the page sends up to the site meanwhile, or puts anywhere."""
        self._news = anyio.Event()

    async def until(self, enough: Callable[[], bool]) -> None:
        while not enough():
            await self._news.wait()

    async def hear(self, requests: Mailbox[Request], count: Callable[[Request], None]) -> None:
        async for request in requests:
            count(request)
            self._news.set()
            self._news = anyio.Event()

    def count_begun(self, _request: Request) -> None:
        self.begun += 1

    def count_stored(self, request: Request) -> None:
        if (request.status or 400) < 400:
            self.stored += 1
        else:
            self.broken = request

    def count_cut(self, request: Request) -> None:
        if request.status is None:
            self.broken = request

    def count_answer(self, request: Request, *, whole: int) -> None:
        """``whole``: how many files the site has with this call."""
        if request.state == "finished" and (request.status or 400) < 400:
            self.received += whole
        else:
            self.failed, self.refused = self.failed + 1, request


@asynccontextmanager
async def uploads_of(tab: Tab) -> AsyncGenerator[Uploads]:
    uploads = Uploads()
    begins = partial(tab.site.asks, "upload_begun")

    def puts(request: Request) -> bool:
        return request.method == "PUT"

    def goes_up(request: Request) -> bool:
        return puts(request) or (request.method != "GET" and tab.site.ours(request.url))

    with (
        tab.bodies.watch(goes_up, stage="sent") as sent,
        tab.bodies.watch(begins, stage="sent") as begun,
        tab.bodies.watch(begins) as answered,
        tab.bodies.watch(puts, stage="responded") as stored,
        tab.bodies.watch(puts) as ended,
        tab.bodies.watch(partial(tab.site.asks, "upload_done")) as done,
    ):
        async with background() as group:
            group.start_soon(uploads.hear, sent, uploads.sent.append)
            group.start_soon(uploads.hear, begun, uploads.count_begun)
            group.start_soon(uploads.hear, answered, partial(uploads.count_answer, whole=0))
            group.start_soon(uploads.hear, stored, uploads.count_stored)
            group.start_soon(uploads.hear, ended, uploads.count_cut)
            group.start_soon(uploads.hear, done, partial(uploads.count_answer, whole=1))
            yield uploads
