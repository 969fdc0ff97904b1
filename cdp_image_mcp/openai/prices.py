"""What a picture costs: prices per token, and usage and cost of an answer."""

from collections.abc import Mapping
from math import ceil
from typing import Any, cast

import msgspec

from cdp_image_mcp.openai.wire.forms import fields_of

LEVELS = 4
"""Of usage; the vendor has two."""
LARGEST_FIGURE = 2**53
"""Up to here a fraction holds each whole number."""


class Price(msgspec.Struct, frozen=True):
    """Dollars for a million tokens; ``source`` and ``seen`` say where and when the figures were read.

    Cached input is not told apart in the answers of the images endpoints, so all input counts at the full price
    and a cost is an upper bound.
    """

    text_in: float
    image_in: float
    image_out: float
    text_out: float
    source: str
    seen: str


class Grid(msgspec.Struct, frozen=True):
    """How output tokens follow from quality and size: cells along the long edge, by quality.

    ``uncertain`` multiplies the high end of an estimate where only third parties have measured.
    """

    cells: Mapping[str, int]
    uncertain: Mapping[str, float] = {}


def grid_tokens(cells: int, wide: int, high: int) -> int:
    """Output tokens of one picture of ``wide`` x ``high`` pixels with ``cells`` cells along the long edge.

    Rebuilt from the behaviour of the price calculator in the guide; exact for every independent figure known
    (196, 439, 1756, 3122 and 7024 for 1024x1024, 1372 for 1024x1536 at 48 cells, 120 for 1536x864 at 16).
    """
    long, short = max(wide, high), min(wide, high)
    area = cells * max(1, (2 * cells * short + long) // (2 * long))
    return -(-area * (2_000_000 + wide * high) // 4_000_000)


def input_image_tokens(wide: int, high: int) -> int:
    """Image input tokens of one reference picture: 32-pixel patches, at least 64, at most 1536.

    An estimate: 1024 for 1024x1024 and 64 for 128x128 were measured on gpt-image-2 (2026-09-16, 2026-08-12).
    """
    return min(1536, max(64, ceil(wide / 32) * ceil(high / 32)))


def figure(value: Any) -> int | float | None:
    """A number that an answer tells, if it can be meant: JSON also holds numbers that no sum and no fraction does."""
    counts = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_FIGURE
    return value if counts else None


def _count(fields: Mapping[str, Any], name: str) -> int:
    return int(figure(fields.get(name)) or 0)


def add_up(total: dict[str, Any], usage: Mapping[str, Any], levels: int = LEVELS) -> dict[str, Any]:
    """``total`` with the numbers of ``usage`` added to it, level by level; others, and what lies deeper, count as not
    told."""
    for name, value in usage.items():
        before = total.get(name)
        if (more := fields_of(value)) is not None:
            below = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
            if levels > 1 and add_up(below, more, levels - 1):
                total[name] = below
        elif (number := figure(value)) is not None:
            total[name] = before + number if isinstance(before, int | float) else number
    return total


def cost(price: Price, usage: Mapping[str, Any]) -> float | None:
    """Dollars for the ``usage`` of an answer; None when it tells of no output.

    What is not said to be text counts as image tokens, the dearer kind, of input and of output.
    """
    asked = fields_of(usage.get("input_tokens_details")) or {}
    made = fields_of(usage.get("output_tokens_details")) or {}
    text_in, text_out = _count(asked, "text_tokens"), _count(made, "text_tokens")
    image_in = max(_count(asked, "image_tokens"), _count(usage, "input_tokens") - text_in)
    image_out = max(_count(made, "image_tokens"), _count(usage, "output_tokens") - text_out)
    if not (text_out or image_out):
        return None
    dollars = text_in * price.text_in + image_in * price.image_in
    dollars += text_out * price.text_out + image_out * price.image_out
    return round(dollars / 1_000_000, 6)
