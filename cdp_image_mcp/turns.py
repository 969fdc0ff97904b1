"""The queue for one account over all processes: one turn at a time, first come, first served."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cdp_image_mcp.record import Owner

__all__ = ["Turns"]


class Turns:
    """The queue of one profile folder; it lies in a small file beside it. Opening touches nothing."""

    def __init__(self, profile_dir: Path) -> None:
        self.profile_dir = profile_dir

    @asynccontextmanager
    async def take(
        self, owner: Owner | None = None, on_position: Callable[[int], None] | None = None
    ) -> AsyncIterator[None]:
        """Wait for the turn and hold it while the context is open. ``on_position`` is told the place (1 is next)
        at once and at every change; it is not called when the turn is free. ``owner``: this process by default.

        Cancelling while waiting gives the ticket back. A dead owner's ticket goes within 2 s; nobody loses a turn
        by age. Raises ImageError ``disk`` when the file beside the profile cannot be written.
        """
        raise NotImplementedError
        yield

    async def waiting(self) -> int:
        """How many living tickets there are, the holder's included."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Sentences about a garbled queue file of this process so far."""
        raise NotImplementedError
