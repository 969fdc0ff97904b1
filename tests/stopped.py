"""A process that stands still, as on a machine that swaps or is asked too much."""

from collections.abc import Generator
from contextlib import contextmanager

import psutil


@contextmanager
def stopped(pid: int | None) -> Generator[None]:
    """It neither ends nor answers while the block lasts; then it goes on, unless it was ended meanwhile."""
    assert pid is not None
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        if process.is_running():
            process.resume()
