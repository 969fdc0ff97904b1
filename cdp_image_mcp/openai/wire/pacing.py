"""When a request is sent again: how often, after how long, and never when its time is over."""

import math
import random
from collections.abc import Callable

import anyio

from cdp_image_mcp.openai.refusals.rules import Again

MOST: dict[Again, int] = {"limit": 8, "service": 2}
"""How often one request is sent again for each reason. Limits that clear name their time, so patience pays."""

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0


def full_jitter(most: float) -> float:
    """Anywhere from 0 to ``most``: clients that were turned away together must not come back together."""
    return random.uniform(0.0, most)  # noqa: S311 - spreads load, guards nothing


class Tries:
    """How often one request was sent again, by reason, and how long to wait before the next time."""

    def __init__(self, left: Callable[[], float]) -> None:
        """``left``: the seconds in which it may be sent again."""
        self._left = left
        self._made: dict[Again, int] = {}

    def delay(self, again: Again, wait: float | None) -> float | None:
        """Seconds to wait before sending again; None when it must not be sent again: it was tried often enough, or
        no time is left for it. Never less than the server asked for."""
        made = self._made.get(again, 0)
        if made >= MOST[again]:
            return None
        self._made[again] = made + 1
        backoff = full_jitter(min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**made))
        delay = backoff if wait is None else wait + min(backoff, max(1.0, wait / 4))
        return delay if delay < self._left() else None


class Pace:
    """A limit met by one request holds for all of this process: nobody sends before it has cleared."""

    def __init__(self) -> None:
        self._not_before = -math.inf

    def hold(self, seconds: float) -> None:
        """Let nothing be sent for ``seconds`` from now."""
        self._not_before = max(self._not_before, anyio.current_time() + seconds)

    @property
    def left(self) -> float:
        """Seconds until something may be sent, 0 for now."""
        return max(0.0, self._not_before - anyio.current_time())
