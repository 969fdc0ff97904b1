"""The reference pictures on their way: copies of the bytes that were checked, whatever happens to the originals, and
the page's own calls that bring them to the site."""

import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.address import Site
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

    def __init__(self, site: Site) -> None:
        self._site = site
        self.begun = 0
        self.received = 0
        """Those that the site has whole."""
        self.stored = 0
        """Files, or parts of them, whose bytes have gone up."""
        self.broken: Request | None = None
        """The last call with bytes that was refused or cut; its page may try again."""
        self.refused: Request | None = None
        """The last call for an upload, or for its end, that the site refused."""
        self.sent: list[Request] = []
        """All that the page sends up to the site meanwhile, or puts anywhere."""
        self._news = anyio.Event()

    async def until(self, enough: Callable[[], object]) -> None:
        while not enough():
            await self._news.wait()

    async def hear(self, requests: Mailbox[Request], count: Callable[[Request], None]) -> None:
        async for request in requests:
            count(request)
            self._news.set()
            self._news = anyio.Event()

    def goes_up(self, request: Request) -> bool:
        return request.method == "PUT" or (request.method != "GET" and self._site.ours(request.url))

    def count_sent(self, request: Request) -> None:
        self.sent.append(request)
        self.begun += self._site.asks("upload_begun", request)

    def count_answered(self, request: Request) -> None:
        if request.method != "PUT":
            return
        if (request.status or 400) < 400:
            self.stored += 1
        else:
            self.broken = request

    def count_ended(self, request: Request) -> None:
        last = self._site.asks("upload_done", request)
        if last or self._site.asks("upload_begun", request):
            if request.state == "finished" and (request.status or 400) < 400:
                self.received += last
            else:
                self.refused = request
        elif request.method == "PUT" and request.status is None:
            self.broken = request


@asynccontextmanager
async def uploads_of(tab: Tab) -> AsyncGenerator[Uploads]:
    uploads = Uploads(tab.site)
    with (
        tab.bodies.watch(uploads.goes_up, stage="sent") as sent,
        tab.bodies.watch(uploads.goes_up, stage="responded") as answered,
        tab.bodies.watch(uploads.goes_up) as ended,
    ):
        async with background() as group:
            group.start_soon(uploads.hear, sent, uploads.count_sent)
            group.start_soon(uploads.hear, answered, uploads.count_answered)
            group.start_soon(uploads.hear, ended, uploads.count_ended)
            yield uploads
