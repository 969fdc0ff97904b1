"""What was asked of one run of the bench."""

import sys
from pathlib import Path

import msgspec

from tests.bench.competitors import Workshop

__all__ = ["Plan"]


class Plan(msgspec.Struct, frozen=True):
    """``browser`` is the system's browser, None when there is none. ``quick``: the smallest run that shows that
    everything works; its figures mean nothing. ``soak``: generations of the long run of ``growth``."""

    workshop: Workshop
    browser: Path | None
    quick: bool = False
    quiet: bool = False
    soak: int = 200

    def rounds(self, *, full: int, quick: int = 1) -> int:
        return quick if self.quick else full

    def told(self, line: str) -> None:
        """A line for the person who waits."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)
