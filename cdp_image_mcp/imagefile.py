"""What a picture's own bytes say about it: format, size, alpha, provenance block, and whether they are whole."""

from typing import Literal

import msgspec

__all__ = ["ImageFacts", "NotAPicture", "inspect"]


class ImageFacts(msgspec.Struct, frozen=True):
    """Facts read from the bytes alone; names and headers somebody sent along count for nothing."""

    mime_type: Literal["image/png", "image/jpeg", "image/webp"]
    extension: Literal["png", "jpg", "webp"]
    width: int
    """Pixels as shown, after a JPEG's EXIF orientation."""
    height: int
    alpha: bool
    """Whether there is an alpha channel or a transparent colour."""
    c2pa: bool
    """Whether a C2PA provenance block is embedded."""
    complete: bool
    """False only for ``allow_cut``: the bytes end before the picture does."""


class NotAPicture(ValueError):
    """The bytes are no whole PNG, JPEG or WebP. ``kind`` says what they are instead."""

    def __init__(self, kind: Literal["empty", "html", "json", "unknown", "truncated", "damaged"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def inspect(data: bytes, *, allow_cut: bool = False) -> ImageFacts:
    """Read the facts; raises :class:`NotAPicture` for anything that is not a whole picture.

    ``allow_cut`` takes a file whose end is missing as long as its size could be read (previews in a stream).
    Runs in time linear in ``len(data)``; never decodes pixels.
    """
    raise NotImplementedError
