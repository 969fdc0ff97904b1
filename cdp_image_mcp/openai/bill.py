"""What one generation cost: usage added up over its answers, and dollars as far as anybody knows."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from cdp_image_mcp.openai.prices import Price, cost, figure

LEVELS = 4
"""Of usage; the vendor has two."""


class Bill(msgspec.Struct):
    """Adds up."""

    price: Price | None
    kind: Literal["tokens", "told", "free"]
    worst: float
    """The most dollars that one request may cost."""
    paid: bool = False
    """Whether any answer with pictures came."""
    usage: dict[str, Any] = {}
    cost: float | None = None
    """What the answers came to, None when none told."""
    booked: float = 0.0
    """The same, with the worst case for every request of which nobody told."""

    def book(self, usage: Mapping[str, Any] | None) -> None:
        """Add one answer."""
        self.paid = True
        used = usage or {}
        add_up(self.usage, used)
        dollars = self._dollars(used)
        if dollars is None:
            self.book_unclear()
        else:
            self.cost = round((self.cost or 0.0) + dollars, 6)
            self.booked = round(self.booked + dollars, 6)

    def book_unclear(self) -> None:
        """A budget counts on the worse case."""
        self.booked = round(self.booked + self.worst, 6)

    def _dollars(self, usage: Mapping[str, Any]) -> float | None:
        if self.kind == "free":
            return 0.0
        if self.kind == "told":
            return figure(usage.get("cost"))
        return cost(self.price, usage) if self.price is not None else None


def add_up(total: dict[str, Any], usage: Mapping[str, Any], levels: int = LEVELS) -> dict[str, Any]:
    """``total`` with the numbers of ``usage`` added to it, level by level; others, and what lies deeper, count as not
    told."""
    for name, value in usage.items():
        before = total.get(name)
        if isinstance(value, Mapping):
            below = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
            if levels > 1 and add_up(below, cast("Mapping[str, Any]", value), levels - 1):
                total[name] = below
        elif (number := figure(value)) is not None:
            total[name] = before + number if isinstance(before, int | float) else number
    return total
