"""What a size argument says: ``auto``, ``WIDTHxHEIGHT`` in pixels, or a ratio such as ``16:9``."""

import re

__all__ = ["parse_ratio", "parse_size", "ratio_of"]


def parse_size(text: str) -> tuple[int, int] | None:
    """``WIDTHxHEIGHT`` as numbers, None for anything else."""
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    return (int(found[1]), int(found[2])) if found else None


def parse_ratio(text: str) -> tuple[int, int] | None:
    """``16:9`` as numbers, None for anything else."""
    found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3})", text)
    return (int(found[1]), int(found[2])) if found else None


def ratio_of(text: str) -> float | None:
    """Width by height of a size or a ratio; None for ``auto`` and where a side is 0."""
    sides = parse_size(text) or parse_ratio(text)
    return sides[0] / sides[1] if sides is not None and all(sides) else None
