"""What a picture's own bytes say about it: format, size, alpha, provenance block, and whether they are whole.

Formats: PNG third edition (W3C, June 2025), JPEG T.81 and JFIF, EXIF 2.32, WebP (RFC 9649), C2PA 2.2 appendix A
(``caBX`` chunk, APP11 JUMBF, ``C2PA`` chunk).
"""

import re
import struct
import zlib
from typing import Literal

import msgspec

__all__ = ["ImageFacts", "NotAPictureError", "inspect"]

Kind = Literal["empty", "html", "json", "unknown", "truncated", "damaged"]

MAX_PARTS = 100_000
"""Chunks or segments. A picture of 500 MB in pieces of 8 KB has fewer."""

PNG = b"\x89PNG\r\n\x1a\n"
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

JPEG_SIZES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
JPEG_FILL = re.compile(rb"\xff+")
JPEG_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next real marker in entropy-coded data: neither a stuffed zero nor a restart nor fill."""

OTHERS = (
    (re.compile(rb"GIF8[79]a"), "a GIF"),
    (re.compile(rb"....ftyp(avif|avis)", re.DOTALL), "an AVIF picture"),
    (re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL), "a HEIF picture"),
    (re.compile(rb"(II\*\0|MM\0\*)"), "a TIFF"),
    (re.compile(rb"BM"), "a BMP"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"RIFF....", re.DOTALL), "a RIFF file of another kind"),
)


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


class NotAPictureError(ValueError):
    """The bytes are no whole PNG, JPEG or WebP. ``kind`` says what they are instead."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class _Found:
    """What has been read so far; the size stays 0 until it is known."""

    def __init__(self) -> None:
        self.width = 0
        self.height = 0
        self.alpha = False
        self.c2pa = False
        self.turned = False
        self.pixels = False


def inspect(data: bytes, *, allow_cut: bool = False) -> ImageFacts:
    """Read the facts; raises :class:`NotAPictureError` for anything that is not a whole picture.

    ``allow_cut`` takes a file whose end is missing as long as its size could be read (previews in a stream).
    Runs in time linear in ``len(data)``; never decodes pixels. Bytes after the picture's end are let be.
    """
    found = _Found()
    complete = True
    if data.startswith(PNG):
        mime_type, extension, walk = "image/png", "png", _walk_png
    elif data.startswith(b"\xff\xd8\xff"):
        mime_type, extension, walk = "image/jpeg", "jpg", _walk_jpeg
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        mime_type, extension, walk = "image/webp", "webp", _walk_webp
    else:
        raise _something_else(data)
    try:
        walk(data, found)
    except NotAPictureError as error:
        if not (allow_cut and error.kind == "truncated" and found.width):
            raise
        complete = False
    if not found.width or not found.height:
        raise NotAPictureError("damaged", "The picture does not say how large it is.")
    width, height = (found.height, found.width) if found.turned else (found.width, found.height)
    return ImageFacts(mime_type, extension, width, height, found.alpha, found.c2pa, complete)


def _cut(data: bytes, name: str) -> NotAPictureError:
    return NotAPictureError("truncated", f"The {name} ends too early, after {len(data)} bytes.")


def _damaged(name: str, what: str) -> NotAPictureError:
    return NotAPictureError("damaged", f"The {name} is damaged: {what}.")


def _something_else(data: bytes) -> NotAPictureError:
    if not data:
        return NotAPictureError("empty", "There are no bytes at all.")
    if len(data) < 12 and any(sign.startswith(data) for sign in (PNG, b"\xff\xd8\xff", b"RIFF")):
        return _cut(data, "picture")
    start = data[:1024].lstrip(b"\xef\xbb\xbf\t\n\r ").lower()
    if start.startswith((b"<svg", b"<?xml")):
        return NotAPictureError("unknown", "The bytes are XML or SVG, not a PNG, JPEG or WebP.")
    if start.startswith(b"<"):
        return NotAPictureError("html", "The bytes are a web page (HTML), not a picture.")
    if start.startswith((b"{", b"[")):
        return NotAPictureError("json", "The bytes are JSON, not a picture.")
    what = next((name for sign, name in OTHERS if sign.match(data)), "of no known format")
    return NotAPictureError("unknown", f"The bytes are {what}, not a PNG, JPEG or WebP.")


def _walk_png(data: bytes, found: _Found) -> None:
    at = len(PNG)
    view = memoryview(data)
    for part in range(MAX_PARTS):
        if at + 8 > len(data):
            raise _cut(data, "PNG")
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha() or length > 0x7FFFFFFF:
            raise _damaged("PNG", f"no chunk where one should be, at byte {at}")
        if (kind == b"IHDR") != (part == 0):
            raise _damaged("PNG", "its header is not where it should be")
        end = at + 12 + length
        if end > len(data):
            # The header is read as soon as it is there; pixels and provenance count only when whole.
            raise _cut(data, "PNG")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise _damaged("PNG", f"the checksum of its {kind.decode('ascii')} chunk at byte {at} is wrong")
        if kind == b"IEND":
            if not found.pixels:
                raise _damaged("PNG", "it holds no pixels")
            return
        _png_chunk(kind, view[at + 8 : end - 4], found)
        at = end
    raise _damaged("PNG", "it has too many chunks")


def _png_chunk(kind: bytes, body: memoryview, found: _Found) -> None:
    match kind:
        case b"IHDR":
            if len(body) != 13:
                raise _damaged("PNG", "its header has the wrong length")
            width, height, depth, color = struct.unpack_from(">IIBB", body)
            if not (0 < width <= 0x7FFFFFFF and 0 < height <= 0x7FFFFFFF) or depth not in PNG_DEPTHS.get(color, ()):
                raise _damaged("PNG", "its header makes no sense")
            found.width, found.height, found.alpha = width, height, color in {4, 6}
        case b"tRNS":
            found.alpha = True
        case b"IDAT":
            found.pixels = found.pixels or len(body) > 0
        case b"caBX":
            found.c2pa = True
        case _:
            pass


def _walk_jpeg(data: bytes, found: _Found) -> None:
    at = 2
    for _ in range(MAX_PARTS):
        marker, at = _jpeg_marker(data, at)
        if marker == 0xD9:
            if not found.pixels:
                raise _damaged("JPEG", "it holds no pixels")
            return
        if marker in JPEG_BARE:
            continue
        if at + 2 > len(data):
            raise _cut(data, "JPEG")
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or marker in {0x00, 0xD8}:
            raise _damaged("JPEG", f"a segment at byte {at} makes no sense")
        if at + length > len(data):
            raise _cut(data, "JPEG")
        _jpeg_segment(marker, data[at + 2 : at + length], found)
        at += length
        if marker == 0xDA:
            at = _jpeg_scan(data, at, found)
    raise _damaged("JPEG", "it has too many segments")


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at ``at``, after any fill bytes, and where its segment begins."""
    sign = JPEG_FILL.match(data, at)
    if sign is None:
        if at < len(data):
            raise _damaged("JPEG", f"no marker where one should be, at byte {at}")
        raise _cut(data, "JPEG")
    if sign.end() >= len(data):
        raise _cut(data, "JPEG")
    return data[sign.end()], sign.end() + 1


def _jpeg_scan(data: bytes, at: int, found: _Found) -> int:
    """Pass over the coded pixels that begin at ``at``; answers where the next marker is."""
    if not found.width:
        raise _damaged("JPEG", "pixels come before the size")
    following = JPEG_NEXT.search(data, at)
    if following is None:
        raise _cut(data, "JPEG")
    found.pixels = found.pixels or following.start() > at
    return following.start()


def _jpeg_segment(marker: int, body: bytes, found: _Found) -> None:
    if marker in JPEG_SIZES:
        if len(body) < 6 or found.width:
            raise _damaged("JPEG", "its size is stated twice or not at all")
        if body[0] not in {8, 12, 16} or not body[5] or len(body) != 6 + 3 * body[5]:
            raise _damaged("JPEG", "its header makes no sense")
        found.height, found.width = struct.unpack_from(">HH", body, 1)
        if not found.width or not found.height:
            raise _damaged("JPEG", "its size is zero")
    elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
        found.turned = found.turned or _orientation(body[6:]) in {5, 6, 7, 8}
    elif marker == 0xEB and body.startswith(b"JP") and b"jumb" in body[:64] and b"c2pa" in body[:256]:
        found.c2pa = True


def _orientation(tiff: bytes) -> int:
    """The EXIF tag 0x0112 of the first directory; 1 (upright) where it cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return 1
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112 and kind == 3 and count == 1:
            return value
    return 1


def _walk_webp(data: bytes, found: _Found) -> None:
    if len(data) < 20:
        raise _cut(data, "WebP")
    size = int.from_bytes(data[4:8], "little")
    end = 8 + size
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > end or at + 8 > len(data):
            break
        kind = data[at : at + 4]
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        _webp_chunk(kind, data[at + 8 : min(at + 8 + length, at + 38)], found)
        if at + 8 + length > min(end, len(data)):
            if end <= len(data):
                raise _damaged("WebP", f"a chunk at byte {at} is longer than the file says it is")
            raise _cut(data, "WebP")
        found.pixels = found.pixels or (kind in {b"VP8 ", b"VP8L", b"ANMF"} and length > 0)
        at += 8 + length + length % 2
    else:
        raise _damaged("WebP", "it has too many chunks")
    # Writers exist that leave out the last padding byte, with or without counting it.
    if len(data) < end - end % 2:
        raise _cut(data, "WebP")
    if not found.pixels:
        raise _damaged("WebP", "it holds no pixels")


def _webp_chunk(kind: bytes, head: bytes, found: _Found) -> None:
    match kind:
        case b"VP8X" if len(head) >= 10:
            found.alpha = bool(head[0] & 0x10)
            found.width = 1 + int.from_bytes(head[4:7], "little")
            found.height = 1 + int.from_bytes(head[7:10], "little")
        case b"VP8 " if not found.width and len(head) >= 10:
            if head[0] & 1 or head[3:6] != b"\x9d\x01\x2a":
                raise _damaged("WebP", "its first frame is no key frame")
            found.width = int.from_bytes(head[6:8], "little") & 0x3FFF
            found.height = int.from_bytes(head[8:10], "little") & 0x3FFF
        case b"VP8L" if not found.width and len(head) >= 5:
            bits = int.from_bytes(head[1:5], "little")
            if head[0] != 0x2F:
                raise _damaged("WebP", "its first frame is not what it says")
            found.width, found.height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
            found.alpha = bool(bits >> 28 & 1)
        case b"ALPH":
            found.alpha = True
        case b"C2PA":
            found.c2pa = True
        case _:
            pass
