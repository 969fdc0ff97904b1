"""The formats of pictures: what is passed over on the way to a picture's end, and what is read of it.

PNG third edition (W3C, June 2025), JPEG T.81 and JFIF, EXIF 2.32, WebP (RFC 9649), GIF89a, AVIF 1.1 (in HEIF); C2PA
2.2 appendix A (``caBX`` chunk, APP11 JUMBF, ``C2PA`` chunk, ``uuid`` box). Everything runs in time linear in the bytes;
no pixel is decoded.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import msgspec

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
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
ALPHA_PLANE = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"


class NotAPictureError(ValueError):
    """The bytes are no whole picture of a format we know. ``kind`` says what they are instead, ``ending`` is what a
    file of them would be called."""

    def __init__(self, kind: Kind, message: str, ending: str = "bin") -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.ending = ending


class ImageFacts(msgspec.Struct):
    """Facts read from the bytes alone, as far as they have been read; names and headers somebody sent along count for
    nothing. The size stays 0 until it is known."""

    mime_type: str
    extension: str
    width: int = 0
    """Pixels as shown, once the whole picture was walked through: after a JPEG's EXIF orientation."""
    height: int = 0
    alpha: bool = False
    """Whether there is an alpha channel or a transparent colour."""
    c2pa: bool = False
    """Whether a C2PA provenance block is embedded."""
    turned: bool = False
    """Whether it is shown lying on its side."""
    pixels: bool = False
    notes: tuple[str, ...] = ()
    """What is wrong with it and harms nobody, in words."""


def cut(data: bytes, name: str) -> NotAPictureError:
    return NotAPictureError("truncated", f"The {name} ends too early, after {len(data)} bytes.", name.lower())


def _damaged(name: str, what: str) -> NotAPictureError:
    return NotAPictureError("damaged", f"The {name} is damaged: {what}.", name.lower())


def walk_png(data: bytes, found: ImageFacts) -> None:
    at = len(PNG)
    view = memoryview(data)
    for part in range(MAX_PARTS):
        if at + 8 > len(data):
            raise cut(data, "PNG")
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha() or length > 0x7FFFFFFF:
            raise _damaged("PNG", f"no chunk where one should be, at byte {at}")
        if (kind == b"IHDR") != (part == 0):
            raise _damaged("PNG", "its header is not where it should be")
        end = at + 12 + length
        if end > len(data):
            # The header is read as soon as it is there; pixels and provenance count only when whole.
            raise cut(data, "PNG")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            wrong = f"the checksum of its {kind.decode('ascii')} chunk at byte {at} is wrong"
            if kind[:1].isupper():
                raise _damaged("PNG", wrong)
            # A chunk that pictures are drawn without: every reader passes over it, and so do we.
            found.notes += (wrong,)
            at = end
            continue
        if kind == b"IEND":
            return
        _png_chunk(kind, view[at + 8 : end - 4], found)
        at = end
    raise _damaged("PNG", "it has too many chunks")


def _png_chunk(kind: bytes, body: memoryview, found: ImageFacts) -> None:
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


def walk_jpeg(data: bytes, found: ImageFacts) -> None:
    at = 2
    for _ in range(MAX_PARTS):
        marker, at = _jpeg_marker(data, at)
        if marker == 0xD9:
            return
        if marker in JPEG_BARE:
            continue
        if at + 2 > len(data):
            raise cut(data, "JPEG")
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or marker in {0x00, 0xD8}:
            raise _damaged("JPEG", f"a segment at byte {at} makes no sense")
        if at + length > len(data):
            raise cut(data, "JPEG")
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
        raise cut(data, "JPEG")
    if sign.end() >= len(data):
        raise cut(data, "JPEG")
    return data[sign.end()], sign.end() + 1


def _jpeg_scan(data: bytes, at: int, found: ImageFacts) -> int:
    """Pass over the coded pixels that begin at ``at``; answers where the next marker is."""
    if not found.width:
        raise _damaged("JPEG", "pixels come before the size")
    following = JPEG_NEXT.search(data, at)
    if following is None:
        raise cut(data, "JPEG")
    found.pixels = found.pixels or following.start() > at
    return following.start()


def _jpeg_segment(marker: int, body: bytes, found: ImageFacts) -> None:
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


def walk_webp(data: bytes, found: ImageFacts) -> None:
    if len(data) < 20:
        raise cut(data, "WebP")
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
            raise cut(data, "WebP")
        found.pixels = found.pixels or (kind in {b"VP8 ", b"VP8L", b"ANMF"} and length > 0)
        at += 8 + length + length % 2
    else:
        raise _damaged("WebP", "it has too many chunks")
    # Writers exist that leave out the last padding byte, with or without counting it.
    if len(data) < end - end % 2:
        raise cut(data, "WebP")


def _webp_chunk(kind: bytes, head: bytes, found: ImageFacts) -> None:
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


def walk_gif(data: bytes, found: ImageFacts) -> None:
    if len(data) < 13:
        raise cut(data, "GIF")
    found.width, found.height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _color_table(flags)
    for _ in range(MAX_PARTS):
        if at >= len(data):
            raise cut(data, "GIF")
        match data[at]:
            case 0x3B:
                return
            case 0x21:
                # A graphic control extension says in its first flag whether a colour is transparent.
                found.alpha = found.alpha or (
                    data[at + 1 : at + 3] == b"\xf9\x04" and data[at + 3 : at + 4] > b"" and bool(data[at + 3] & 1)
                )
                at += 2
            case 0x2C:
                found.pixels = True
                at += 11 + _color_table(data[at + 9] if at + 9 < len(data) else 0)
            case _:
                raise _damaged("GIF", f"no block where one should be, at byte {at}")
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    raise _damaged("GIF", "it has too many blocks")


def _color_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def walk_avif(data: bytes, found: ImageFacts) -> None:
    for kind, body in _boxes(data, memoryview(data)):
        if kind == b"meta":
            _read_properties(data, body[4:], found)
        found.pixels = found.pixels or (kind == b"mdat" and len(body) > 0)
        found.c2pa = found.c2pa or (kind == b"uuid" and bytes(body[:16]) == C2PA_UUID)
    if not found.pixels:
        raise cut(data, "AVIF")  # they stand at its end


def _read_properties(data: bytes, meta: memoryview, found: ImageFacts) -> None:
    """Sizes of all parts stand there; the picture is the largest of them."""
    for kind, body in _boxes(data, meta):
        if kind in {b"iprp", b"ipco"}:
            _read_properties(data, body, found)
        elif kind == b"ispe" and len(body) >= 12:
            width, height = struct.unpack_from(">II", body, 4)
            if width * height > found.width * found.height:
                found.width, found.height = width, height
        elif kind == b"irot" and len(body):
            found.turned = bool(body[0] & 1)
        elif kind == b"auxC" and ALPHA_PLANE in bytes(body):
            found.alpha = True
        elif kind == b"idat":
            found.pixels = len(body) > 0


def _boxes(data: bytes, view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(MAX_PARTS):
        if at == len(view):
            return
        if at + 8 > len(view):
            break
        size, kind, begin = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8]), at + 8
        if size == 1:
            size, begin = int.from_bytes(view[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(view)
        if end < begin or end > len(view):
            break
        yield kind, view[begin:end]
        at = end
    raise cut(data, "AVIF")
