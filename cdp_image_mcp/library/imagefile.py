"""What a picture's own bytes say about it: format, size, alpha, provenance block, and whether they are whole."""

import re
from collections.abc import Callable

from cdp_image_mcp.library import formats
from cdp_image_mcp.library.formats import ImageFacts, NotAPictureError
from cdp_image_mcp.library.svg import SVG, walk_svg

FORMATS: tuple[tuple[re.Pattern[bytes], str, str, Callable[[bytes, ImageFacts], None]], ...] = (
    (re.compile(re.escape(formats.PNG)), "image/png", "png", formats.walk_png),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", "jpg", formats.walk_jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", "webp", formats.walk_webp),
    (re.compile(rb"GIF8[79]a"), "image/gif", "gif", formats.walk_gif),
    (re.compile(rb"....ftyp(avif|avis|mif1.{8,64}avif)", re.DOTALL), "image/avif", "avif", formats.walk_avif),
    (SVG, "image/svg+xml", "svg", walk_svg),
)
OTHERS = (
    (re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL), "a HEIF picture", "heic"),
    (re.compile(rb"(II\*\0|MM\0\*)"), "a TIFF", "tif"),
    (re.compile(rb"BM"), "a BMP", "bmp"),
    (re.compile(rb"%PDF-"), "a PDF", "pdf"),
    (re.compile(rb"RIFF....", re.DOTALL), "a RIFF file of another kind", "riff"),
)


def inspect(data: bytes) -> ImageFacts:
    """Read the facts; raises :class:`NotAPictureError` for anything that is not a whole picture. Runs in time linear in
    ``len(data)``; never decodes pixels. Bytes after the picture's end are let be."""
    known = next((each for each in FORMATS if each[0].match(data)), None)
    if known is None:
        raise _something_else(data)
    _, mime_type, extension, walk = known
    facts = ImageFacts(mime_type, extension)
    try:
        walk(data, facts)
    except NotAPictureError:
        raise
    except Exception as fault:
        # Foreign bytes, such as boxes in boxes without end: no reader's fault may cost them.
        raise NotAPictureError("damaged", f"The picture cannot be read ({type(fault).__name__}).", extension) from fault
    if not facts.pixels:
        raise NotAPictureError("damaged", "The picture is damaged: it holds no pixels.", extension)
    if not facts.width or not facts.height:
        raise NotAPictureError("damaged", "The picture does not say how large it is.", extension)
    if facts.turned:
        facts.width, facts.height = facts.height, facts.width
    return facts


def _something_else(data: bytes) -> NotAPictureError:
    if not data:
        return NotAPictureError("empty", "There are no bytes at all.")
    if len(data) < 12 and any(sign.startswith(data) for sign in (formats.PNG, b"\xff\xd8\xff", b"RIFF", b"GIF89a")):
        return formats.cut(data, "picture")
    start = data[:1024].lstrip(b"\xef\xbb\xbf\t\n\r ").lower()
    if start.startswith(b"<?xml"):
        return NotAPictureError("unknown", "The bytes are XML, no picture of a format we know.", "xml")
    if start.startswith(b"<"):
        return NotAPictureError("html", "The bytes are a web page (HTML), not a picture.", "html")
    if start.startswith((b"{", b"[")):
        return NotAPictureError("json", "The bytes are JSON, not a picture.", "json")
    found = ((name, ending) for sign, name, ending in OTHERS if sign.match(data))
    what, ending = next(found, ("of no known format", "bin"))
    return NotAPictureError("unknown", f"The bytes are {what}, not a PNG, JPEG, WebP, GIF, AVIF or SVG.", ending)
