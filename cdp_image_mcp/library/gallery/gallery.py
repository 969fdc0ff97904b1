"""A static page of all generations in the output root; needs no server and loads nothing from outside.

Layout, style and script lie beside this; here they are put together with the data. The page's own policy
allows the one style and the one script by their hashes and pictures from files, and nothing else.
"""

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import anyio

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.gallery.card import encoded
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import now
from cdp_image_mcp.system.disk import doing, in_thread, replace_file
from cdp_image_mcp.system.lockfile import LockFile


class Gallery:
    """``index.html`` in the library's root, written whole or not at all."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.path = library.root / "index.html"
        self._lock = LockFile(library.root / ".gallery.lock")
        self._stale = False
        self._turn = anyio.Lock()

    async def rebuild(self) -> Path:
        """Look at every sidecar again and write the page. Raises ImageError ``disk``."""
        await self.library.rescan()
        async with self._turn:
            await self._write()
        return self.path

    async def refresh(self) -> None:
        """Write the page again with what changed since the last time. Calls that come while one is being written
        share the next. Never raises: the page is only a view, and of a full or read-only disk the library tells."""
        self._stale = True
        async with self._turn:
            if self._stale:
                self._stale = False
                try:
                    await self._write()
                except ImageError as error:
                    self.library.tell(f"The gallery could not be written: {error.message}")

    @in_thread
    def _write(self) -> None:
        # From reading to writing under one lock: of two processes the later one always knows at least as much.
        with self._lock.held(), doing("Writing the gallery", self.path):
            replace_file(self.path, _page(self.library.index.cards()))


def _page(cards: Iterator[list[str]]) -> Iterator[bytes]:
    """Piece by piece: the whole of a large library has no place in memory."""
    before, after = _frame()
    yield f'{before}{{"written":{encoded(now())},"cards":[\n'.encode()
    between = ""
    for some in filter(None, cards):
        yield (between + ",\n".join(some)).encode("utf-8", "replace")
        between = ",\n"
    yield f"\n]}}{after}".encode()


@cache
def _frame() -> tuple[str, str]:
    """The page before and after its data."""
    folder = resources.files("cdp_image_mcp.library.gallery")
    style, script, page = ((folder / name).read_text("utf-8") for name in ("style.css", "script.js", "page.html"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src 'self' file:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    for name, text in (("policy", policy), ("style", style), ("script", script)):
        page = page.replace("{{" + name + "}}", text)
    before, _, after = page.partition("{{data}}")
    return before, after


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
