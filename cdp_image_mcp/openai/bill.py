"""What one generation cost: usage added up over its answers, and dollars as far as anybody knows."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from cdp_image_mcp.openai.prices import Price, cost

__all__ = ["Bill"]


class Bill:
    """Adds up. ``worst`` are the most dollars that one request may cost."""

    def __init__(self, price: Price | None, kind: Literal["tokens", "told", "free"], worst: float) -> None:
        self.worst = worst
        self._price = price
        self._kind = kind
        self.paid = False
        """Whether any answer with pictures came."""
        self.usage: dict[str, Any] = {}
        self.cost: float | None = None
        """What the answers came to, None when none told."""
        self.booked = 0.0
        """The same, with the worst case for every request of which nobody told."""

    def book(self, usage: Mapping[str, Any] | None) -> None:
        """Add one answer."""
        self.paid = True
        used = usage or {}
        _add(self.usage, used)
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
        if self._kind == "free":
            return 0.0
        if self._kind == "told":
            told = usage.get("cost")
            return float(told) if isinstance(told, int | float) and told >= 0 else None
        return cost(self._price, usage) if self._price is not None else None


def _add(total: dict[str, Any], usage: Mapping[str, Any]) -> None:
    """Add the numbers of ``usage`` to ``total``, level by level."""
    for name, value in usage.items():
        if isinstance(value, Mapping):
            below = total.setdefault(name, {})
            if isinstance(below, dict):
                _add(cast("dict[str, Any]", below), cast("Mapping[str, Any]", value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            before = total.get(name, 0)
            total[name] = before + value if isinstance(before, int | float) else value
