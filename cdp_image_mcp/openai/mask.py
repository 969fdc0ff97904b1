"""Whether a mask is one: a PNG with an alpha channel, as large as the picture it belongs to."""

import struct
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import Reference

__all__ = ["LARGE_MASK", "check_mask", "has_alpha"]

LARGE_MASK = 4 * 1024 * 1024
"""The reference page allows less than this, the guide 50 MB; above it the server may refuse (2026-04-21)."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS_WITH_ALPHA = frozenset((4, 6))
HEADER_CHUNKS = 64


def has_alpha(path: Path) -> bool:
    """Whether the PNG at ``path`` has an alpha channel or a transparent colour. Reads only what stands before the
    pixels; False for anything that is no PNG. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        if file.read(8) != SIGNATURE:
            return False
        for _ in range(HEADER_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return False
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IHDR":
                if length != 13 or file.read(13)[9] in COLOURS_WITH_ALPHA:
                    return length == 13
                file.seek(4, 1)
            elif kind == b"tRNS":
                return True
            elif kind in {b"IDAT", b"IEND"}:
                return False
            else:
                file.seek(length + 4, 1)
    return False


def check_mask(mask: Reference, first: Reference | None) -> None:
    """Raise ImageError ``invalid_input`` unless ``mask`` fits ``first``, the first picture that is sent."""
    if first is None:
        raise _wrong("it belongs to a picture: give one in reference_images or continue an earlier generation")
    if mask.mime_type != "image/png":
        raise _wrong(f"it must be a PNG, not {mask.mime_type}")
    if (mask.width, mask.height) != (first.width, first.height):
        raise _wrong(
            f"it is {mask.width}x{mask.height}, but the first picture is {first.width}x{first.height}; "
            "both must be the same size"
        )
    try:
        alpha = has_alpha(mask.path)
    except OSError as error:
        raise _wrong(f"it cannot be read ({error.strerror})") from None
    if not alpha:
        raise _wrong("it has no alpha channel; clear pixels mark what is to be drawn anew")


def _wrong(reason: str) -> ImageError:
    return ImageError("invalid_input", f"Nothing was sent. mask: {reason}.", details={"field": "mask"})
