"""Small pictures for answers, made beside the originals by a browser; the originals are never touched."""

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.system.disk import replace_file

PREVIEW_EDGE = 1568
"""Pixels of the longer side: what models look at best (platform documentation, 2026); larger only costs tokens."""
PREVIEW_BYTES = 500_000
PREVIEW_SECONDS = 12.0
"""Longest time for all previews of one answer: the call has already waited, and clients give up at 60 s."""

SUFFIXES = {"image/webp": ".webp", "image/jpeg": ".jpg", "image/png": ".png"}


class Picture(msgspec.Struct, frozen=True):
    """Bytes that can be put into an answer."""

    mime_type: str
    data: bytes


class PreviewError(Exception):
    """No preview could be made; the text says why in one sentence."""


class Canvas(Protocol):
    """Something that can decode a picture and draw it smaller: in the product, a blank page of a browser."""

    async def shrink(self, original: Path, mime_type: str, /, *, alpha: bool, edge: int, most_bytes: int) -> Picture:
        """The picture in that file with its longer side at most ``edge`` pixels, in at most ``most_bytes``.

        Raises PreviewError.
        """
        ...


OpenCanvas = Callable[[float], AbstractAsyncContextManager[Canvas]]
"""Given the moment (of the event loop's clock) by which the canvas is needed."""


SHOWN = frozenset(("image/png", "image/jpeg", "image/webp"))
"""What every client can be expected to show. Of others only a preview that a browser drew goes into an answer."""


class PreviewMaker(AsyncExitStack):
    """Originals that are small enough, previews made before, and else a canvas that is opened when first needed; for
    one answer, which has to go out by ``deadline`` (of the event loop's clock)."""

    def __init__(self, open_canvas: OpenCanvas, deadline: float = math.inf) -> None:
        super().__init__()
        self._open_canvas = open_canvas
        self._canvas: Canvas | None = None
        self._closed_because: str | None = None
        self._opened_by = deadline
        self._deadline = min(deadline, anyio.current_time() + PREVIEW_SECONDS)

    async def preview(self, image: SavedImage, most_bytes: int) -> Picture:
        """A picture of at most ``most_bytes`` bytes and :data:`PREVIEW_EDGE` pixels. Raises PreviewError, OSError."""
        if (made := await anyio.to_thread.run_sync(ready, image, most_bytes)) is not None:
            return made
        picture = await self._shrunk(image, most_bytes)
        # A preview that cannot be stored (full disk, read-only folder) is still good for this answer.
        with suppress(OSError):
            kept = _preview_path(Path(image.path), SUFFIXES[picture.mime_type])
            await anyio.to_thread.run_sync(replace_file, kept, picture.data)
        return picture

    async def _shrunk(self, image: SavedImage, most_bytes: int) -> Picture:
        if self._closed_because is not None:
            raise PreviewError(self._closed_because)
        try:
            if self._canvas is None:
                # Not inside the limit: the canvas outlives it, and its tasks must not be left in a scope that ended.
                self._canvas = await self.enter_async_context(self._open_canvas(self._opened_by))
                self._deadline = min(self._opened_by, anyio.current_time() + PREVIEW_SECONDS)
            with anyio.fail_at(self._deadline):
                return await self._canvas.shrink(
                    Path(image.path), image.mime_type, alpha=image.alpha, edge=PREVIEW_EDGE, most_bytes=most_bytes
                )
        except TimeoutError:
            self._closed_because = "Making previews took too long."
            raise PreviewError(self._closed_because) from None
        except PreviewError as error:
            if self._canvas is None:
                self._closed_because = str(error)
            raise


def ready(image: SavedImage, most_bytes: int) -> Picture | None:
    """What needs no drawing: an original that is small enough, or a preview made before that is not older than its
    picture and fits. Raises OSError."""
    original = Path(image.path)
    facts = original.stat()  # the record's is that of the day it came: a person may have worked on the file
    if image.mime_type in SHOWN and facts.st_size <= most_bytes and max(image.width, image.height) <= PREVIEW_EDGE:
        return Picture(image.mime_type, original.read_bytes())
    for mime_type, suffix in SUFFIXES.items():
        path = _preview_path(original, suffix)
        with suppress(OSError):
            made = path.stat()
            if made.st_size <= most_bytes and made.st_mtime_ns >= facts.st_mtime_ns:
                return Picture(mime_type, path.read_bytes())
    return None


def preview_paths(original: Path) -> list[Path]:
    """Where previews of it may lie."""
    return [_preview_path(original, suffix) for suffix in SUFFIXES.values()]


def _preview_path(original: Path, suffix: str) -> Path:
    return original.with_name(f"preview-{original.stem.removeprefix('image-')}{suffix}")
