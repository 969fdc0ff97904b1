"""A static page of all generations in the output root; needs no server and loads nothing from outside.

Layout, style and script lie in ``gallery_page/``; here they are put together with the data. The page's own policy
allows the one style and the one script by their hashes and pictures from files, and nothing else.
"""

import base64
import hashlib
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import anyio
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import comparison
from cdp_image_mcp.library.folder import SIDECAR
from cdp_image_mcp.library.index import Row
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, epoch, now
from cdp_image_mcp.system.disk import disk_error, finish, replace_file
from cdp_image_mcp.system.lockfile import LockFile

__all__ = ["Gallery"]

MAX_PROMPT = 8_000
"""Characters of a prompt on the page; of a longer one the rest is in its record. 5,000 entries must stay light."""

MAX_ERROR = 600
TYPES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP", "image/gif": "GIF", "image/avif": "AVIF"}


class _Card(NamedTuple):
    """A generation on the page: its data as JSON, newest by ``at`` (epoch seconds)."""

    id: str
    change: int
    at: float
    data: str


class Gallery:
    """``index.html`` in the library's root, written whole or not at all."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._lock = LockFile(library.root / ".gallery.lock")
        self._cards: dict[str, _Card] = {}
        self._born: str = ""
        self._change = 0
        self._asked = 0
        self._done = 0
        self._turn = anyio.Lock()
        self._problems: list[str] = []

    @property
    def path(self) -> Path:
        """Where the page lies."""
        return self.library.root / "index.html"

    async def rebuild(self) -> Path:
        """Look at every sidecar again and write the page. Raises ImageError ``disk``."""
        await self.library.rescan()
        async with self._turn:
            await self._write()
        return self.path

    async def refresh(self) -> None:
        """Write the page again with what changed since the last time. Calls that come while one is being written
        share the next; never raises for a full or read-only disk (the page is only a view): see ``problems``."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._done >= mine:
                return
            covered = self._asked
            try:
                await self._write()
            except ImageError as error:
                self._problems.append(f"The gallery could not be written: {error.message}")
            self._done = covered

    def problems(self) -> list[str]:
        """Sentences about pages that could not be written, of this process so far."""
        return list(dict.fromkeys(self._problems))

    async def _write(self) -> None:
        # From reading to writing under one lock: of two processes the later one always knows at least as much.
        try:
            await finish(self._lock.acquire)
            born, cards, gone = await self.library.changes(self._change, self._born, self._carded)
            await finish(partial(self._renew, born, cards, gone))
        finally:
            self._lock.release()

    def _carded(self, row: Row) -> _Card:
        """All that is kept of a generation; its record is many times larger."""
        return _Card(row.id, row.change, epoch(row.record.created_at), _encoded(_card(row, self.library.root)))

    def _renew(self, born: str, cards: list[_Card], gone: list[str]) -> None:
        if born != self._born:
            self._cards.clear()
            self._born, self._change = born, 0
        for id_ in gone:
            self._cards.pop(id_, None)
        for card in cards:
            self._cards[card.id] = card
            self._change = max(self._change, card.change)
        newest_first = [card.data for card in sorted(self._cards.values(), key=lambda card: card.at, reverse=True)]
        page = _page(newest_first)
        try:
            replace_file(self.path, page.encode("utf-8", "replace"))
        except OSError as error:
            raise disk_error(error, "Writing the gallery", self.path) from error


def _page(cards: list[str]) -> str:
    before, after = _frame()
    return f'{before}{{"written":{_encoded(now())},"cards":[\n' + ",\n".join(cards) + f"\n]}}{after}"


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


def _encoded(value: Any) -> str:
    """JSON that no prompt can use to leave its script element or to start a comment in it."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _card(row: Row, root: Path) -> dict[str, Any]:
    record, folder = row.record, row.folder
    base = quote(folder.name) if folder.parent == root else folder.as_uri()
    asked, got, missed = _compared(record)
    prompt = {"prompt": record.prompt[:MAX_PROMPT]}
    names = [image.path.replace("\\", "/").rpartition("/")[2] for image in record.images]
    return {
        "at": record.created_at,
        **prompt,
        "cut": len(record.prompt) > MAX_PROMPT,
        "sent": (record.sent_prompt or "")[:MAX_PROMPT] if record.sent_prompt != record.prompt else "",
        "state": record.state,
        "backend": record.backend,
        "images": [
            {
                "number": number,
                "href": f"{base}/{quote(name)}",
                "width": image.width,
                "height": image.height,
                "bytes": image.bytes,
                "kind": TYPES.get(image.mime_type, image.mime_type),
                "alpha": image.alpha,
            }
            for number, (image, name) in enumerate(zip(record.images, names, strict=True), 1)
        ],
        "asked": asked,
        "got": got,
        "missed": missed,
        "facts": _facts(record),
        "error": str((record.error or {}).get("message", ""))[:MAX_ERROR],
        "conversation": url if (url := record.conversation_url or "").startswith("https://") else "",
        "record": f"{base}/{SIDECAR}",
        "path": str(folder / names[0]) if names else str(folder),
        "call": {"name": "generate_image", "arguments": prompt | record.request | prompt},
    }


def _compared(record: Record) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Asked, got and missed; of a record that somebody wrote by hand only what can be compared."""
    try:
        honoured = comparison.honoured(record)
    except (ValueError, TypeError, KeyError, AttributeError):
        honoured = True
    missed = honoured if isinstance(honoured, list) and record.images else []
    return comparison.requested(record), comparison.actual(record), missed


def _facts(record: Record) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("Model", record.model),
        ("Took", f"{record.elapsed_seconds:.0f} s" if record.elapsed_seconds else None),
        ("Cost", f"{record.cost_usd:.4f} USD" if record.cost_usd else None),
        ("Instead of", record.fallback_from),
        ("Provenance", "C2PA block kept" if any(image.c2pa for image in record.images) else None),
        ("Error", (record.error or {}).get("code")),
        ("Id", record.generation_id),
    ]
    return [(name, value) for name, value in found if value]
