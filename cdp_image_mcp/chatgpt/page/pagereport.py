"""What the eye reports of our own turn: ``witness.snapshot()``, and the signs it gives for a verdict."""

import msgspec

from cdp_image_mcp.chatgpt.verdict import PageImage, PageSigns

__all__ = ["PageReport", "SeenImage"]


class SeenImage(msgspec.Struct, frozen=True):
    file: str | None = None
    blob: str | None = None
    width: int = 0
    height: int = 0
    complete: bool = False


class PageReport(msgspec.Struct, frozen=True):
    """``witness.snapshot()``."""

    kind: str = "turn"
    address: str = ""
    found: bool = False
    images: tuple[SeenImage, ...] = ()
    drawing: bool = False
    percent: int | None = None
    stop: bool = False
    error: str | None = None
    retry: bool = False
    text: str = ""
    panel: bool = False
    rate_dialog: bool = False
    expired: bool = False
    cannot_load: bool = False
    approval: bool = False
    alerts: tuple[str, ...] = ()
    message: str = ""

    def without(self, files: tuple[str, ...]) -> "PageReport":
        """The same page, as if these files were not shown in it."""
        if not any(image.file in files for image in self.images):
            return self
        return msgspec.structs.replace(self, images=tuple(image for image in self.images if image.file not in files))

    def signs(self, quiet_seconds: float) -> PageSigns:
        return PageSigns(
            images=tuple(
                PageImage(
                    file_id=image.file,
                    natural_width=image.width,
                    natural_height=image.height,
                    complete=image.complete,
                    blob=image.blob is not None,
                )
                for image in self.images
            ),
            drawing=self.drawing,
            stop_visible=self.stop,
            error_node=self.error is not None or (self.retry and not self.images and not self.drawing),
            turn_text=self.text or self.error or "",
            quiet_seconds=quiet_seconds,
            ab_panel=self.panel,
        )
