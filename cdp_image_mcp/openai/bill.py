"""What one generation cost: usage added up over its answers, dollars told to the purse."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from cdp_image_mcp.openai.prices import Price, cost
from cdp_image_mcp.openai.purse import Purse

__all__ = ["Bill"]


class Bill:
    """Adds up. ``worst`` are the most dollars that one request may cost, None when nobody knows."""

    def __init__(
        self, purse: Purse, price: Price | None, kind: Literal["tokens", "told", "free"], worst: float | None
    ) -> None:
        self._purse = purse
        self._price = price
        self._kind = kind
        self._worst = worst
        self.paid = False
        """Whether any answer with pictures came."""
        self.usage: dict[str, Any] = {}
        self.cost: float | None = None

    async def book(self, usage: Mapping[str, Any] | None) -> None:
        """Add one answer and tell the purse."""
        self.paid = True
        used = usage or {}
        _add(self.usage, used)
        dollars = self._dollars(used)
        if dollars is None:
            await self.book_unclear()
            return
        self.cost = round((self.cost or 0.0) + dollars, 6)
        if dollars > 0:
            await self._purse.spend(dollars, dict(used))

    async def book_unclear(self) -> None:
        """A budget counts on the worse case: what may have been paid is noted with the high end of the estimate."""
        if self._worst:
            await self._purse.spend(self._worst, {"estimated": True})

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
