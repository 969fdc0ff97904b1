"""What the eye reports of our own turn: ``witness.snapshot()``."""

from collections.abc import Collection

import msgspec

SMALLEST = 256
"""Pixels of the shorter side below which an image of the page is no result (thresholds of nine drivers: 128 to 256)."""


class SeenImage(msgspec.Struct, frozen=True):
    """An image element inside our own turn; sizes in pixels of the file, 0 while it is not loaded."""

    file: str | None = None
    blob: str | None = None
    width: int = 0
    height: int = 0
    complete: bool = False

    @property
    def large(self) -> bool:
        return self.complete and min(self.width, self.height) >= SMALLEST


class PageReport(msgspec.Struct, frozen=True):
    """What the page shows of our turn. The default is a page that shows nothing."""

    kind: str = "turn"
    address: str = ""
    found: bool = False
    images: tuple[SeenImage, ...] = ()
    drawing: bool = False
    """Canvas, progress text, skeleton or loading state in our turn."""
    percent: int | None = None
    stop: bool = False
    error: str | None = None
    retry: bool = False
    text: str = ""
    """The visible text of our answer alone: no prompt, no screen-reader headings, no buttons."""
    panel: bool = False
    rate_dialog: bool = False
    expired: bool = False
    approval: bool = False
    alerts: tuple[str, ...] = ()
    message: str = ""

    def without(self, known: Collection[str]) -> "PageReport":
        """The same page, as if the images with these files or addresses were not shown in it."""
        left = tuple(image for image in self.images if image.file not in known and image.blob not in known)
        return self if left == self.images else msgspec.structs.replace(self, images=left)

    def results(self, *, drawn: bool) -> tuple[SeenImage, ...]:
        """Pictures that could be results; one without a file only where drawing is known to have begun."""
        return tuple(image for image in self.images if image.large and (image.file is not None or drawn))

    @property
    def failed(self) -> bool:
        """An error in our turn; a control to try again says as much only where there is nothing else. (It stands below
        ordinary answers too.)"""
        return self.error is not None or (self.retry and not (self.images or self.drawing or self.text))
