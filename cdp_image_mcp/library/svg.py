"""SVG (1.1, second edition, W3C 2011): told by its root element, read no further than that. Nothing of it is run."""

import re

from cdp_image_mcp.library.formats import ImageFacts, cut

# Atomic throughout: a page after many comments would be tried in exponentially many ways.
BEFORE = rb"(?><\?xml.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^\[>]*+(?:\[.*?\])?\s*>)\s*+"
SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:" + BEFORE + rb")*+<svg(?=[\s/>])", re.DOTALL)
END = re.compile(rb"</svg\s*>\s*(?:(?><!--.*?-->)\s*+)*+\Z", re.DOTALL)
ATTRIBUTE = re.compile(rb"""\s(width|height|viewBox)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
LENGTH = re.compile(rb"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(?:px)?\s*\Z")
MAY_RUN = "A browser that opens this SVG may run what it holds: by itself only its folder is opened."
"""Scripts can be written in more ways than anybody looks for."""
LONGEST_ROOT = 16_384
USUAL = (300, 150)
"""Pixels of a picture that names no size (CSS 2.2, 10.3.2)."""


def walk_svg(data: bytes, found: ImageFacts) -> None:
    """See :mod:`~cdp_image_mcp.library.formats`. What is shown where nothing is drawn is left open, so it has alpha."""
    begin = SVG.match(data)
    if begin is None:
        raise cut(data, "SVG")
    close = data.find(b">", begin.end())
    root = data[begin.end() : min(close, begin.end() + LONGEST_ROOT)]
    if close < 0 or not (root.endswith(b"/") or END.search(data, max(close, len(data) - LONGEST_ROOT))):
        raise cut(data, "SVG")
    said = {name: one or other for name, one, other in ATTRIBUTE.findall(root)}
    view = re.split(rb"[\s,]+", said.get(b"viewBox", b"").strip())[2:4]
    shape = [_pixels(side) for side in view] if len(view) == 2 else [None, None]
    sides = [_pixels(said.get(name, b"")) for name in (b"width", b"height")]
    found.width, found.height = (
        side or shaped or usual for side, shaped, usual in zip(sides, shape, USUAL, strict=True)
    )
    found.alpha, found.pixels, found.c2pa = True, True, b"c2pa:manifest" in data
    found.notes += (MAY_RUN,)


def _pixels(text: bytes) -> int | None:
    length = LENGTH.match(text)
    return max(1, round(float(length[1]))) if length else None
