"""Picture sizes a model takes, and the nearest of them to a ratio."""

from functools import lru_cache
from math import log

import msgspec

SQUARE = (1024, 1024)
CLASSIC = (SQUARE, (1536, 1024), (1024, 1536))
"""Sizes that every GPT Image model has taken since 2025; square is the fastest."""

RATIO_LONGEST = 1536
"""A ratio alone asks for no special resolution: the long edge stays at the classic 1536 pixels."""

RATIO_AREA = 1536 * 1024


class SizeRule(msgspec.Struct, frozen=True):
    """Which sizes in pixels a model takes: only ``fixed`` ones, or all that keep the limits (0: no limit)."""

    fixed: tuple[tuple[int, int], ...] = ()
    step: int = 1
    longest: int = 0
    ratio: int = 0
    """Most that the long edge may be as a multiple of the short one."""
    least: int = 0
    """Fewest pixels in all."""
    most: int = 0

    def describe(self) -> str:
        """What it takes, for people."""
        if self.fixed:
            return ", ".join(f"{wide}x{high}" for wide, high in self.fixed) + ", or auto"
        if not self.longest:
            return "WIDTHxHEIGHT, or auto"
        return (
            f"auto, or WIDTHxHEIGHT with both edges multiples of {self.step}, the longest at most {self.longest}, "
            f"at most {self.ratio}:1, and {self.least} to {self.most} pixels in all"
        )


FIXED = SizeRule(fixed=CLASSIC)
"""gpt-image-1.5, gpt-image-1-mini and chatgpt-image-latest. Source: published OpenAPI file, 2026-08-21."""

FREE = SizeRule(step=16, longest=3840, ratio=3, least=655_360, most=8_294_400)
"""gpt-image-2 and later. Source: image generation guide, gpt-image-2 edition, and the official SDK of 2026-11-17."""

ANY = SizeRule()
"""Models we know nothing about."""


def wrong_size(rule: SizeRule, wide: int, high: int) -> str | None:
    """Why ``rule`` does not take that size, None when it does. Both edges are above 0."""
    if rule.fixed:
        return None if (wide, high) in rule.fixed else "it is not one of the sizes the model makes"
    if wide % rule.step or high % rule.step:
        return f"width and height must be multiples of {rule.step}"
    if rule.longest and max(wide, high) > rule.longest:
        return f"the longest edge must be at most {rule.longest}"
    if rule.ratio and max(wide, high) > rule.ratio * min(wide, high):
        return f"the long edge must be at most {rule.ratio} times the short one"
    if rule.least and wide * high < rule.least:
        return f"it has {wide * high} pixels, fewer than {rule.least}"
    if rule.most and wide * high > rule.most:
        return f"it has {wide * high} pixels, more than {rule.most}"
    return None


@lru_cache(maxsize=8)
def _candidates(rule: SizeRule, longest: int) -> tuple[tuple[int, int], ...]:
    if rule.fixed:
        return rule.fixed
    steps = range(rule.step, longest + 1, rule.step)
    return tuple((wide, high) for wide in steps for high in steps if wrong_size(rule, wide, high) is None)


@lru_cache(maxsize=64)
def nearest(rule: SizeRule, across: int, down: int) -> tuple[int, int]:
    """The legal size whose ratio is nearest to ``across:down`` (both above 0).

    Among equally near ones a classic size wins, then the one nearest to 1.6 megapixels that is not above it.
    A ratio beyond what the model draws becomes the outermost it does draw.
    """
    wanted = log(across / down)
    limits = FREE if rule == ANY else rule

    def distance(size: tuple[int, int]) -> tuple[float, bool, bool, float]:
        wide, high = size
        # Rounded: 3:2 from 1536x1024 and from 1248x832 must compare equal.
        miss = round(abs(log(wide / high) - wanted), 9)
        return miss, size not in CLASSIC, wide * high > RATIO_AREA, abs(log(wide * high / RATIO_AREA))

    return min(_candidates(limits, RATIO_LONGEST), key=distance)


@lru_cache(maxsize=64)
def nearest_size(rule: SizeRule, wide: int, high: int) -> tuple[int, int] | None:
    """The legal size nearest to ``wide`` x ``high`` pixels, first in ratio, then in size; None without rules."""
    if rule == ANY:
        return None

    def distance(size: tuple[int, int]) -> float:
        ratio = abs(log(size[0] / size[1]) - log(wide / high))
        return 4 * ratio + abs(log(size[0] * size[1]) - log(wide * high))

    return min(_candidates(rule, rule.longest), key=distance)
