"""Work that must be finished once it was begun, whatever is cancelled meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager

import anyio

__all__ = ["shielded"]


@contextmanager
def shielded(seconds: float | None = None) -> Generator[None]:
    """Hold cancellation back until the block is done, at most for ``seconds`` (then TimeoutError)."""
    with anyio.CancelScope(shield=True) as scope:
        if seconds is not None:
            scope.deadline = anyio.current_time() + seconds
        yield
    if scope.cancelled_caught:
        raise TimeoutError
