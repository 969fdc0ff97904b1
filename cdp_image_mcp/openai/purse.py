"""What this back end needs from the ledger on disk."""

from typing import Any, Protocol

from cdp_image_mcp.request import BackendName

__all__ = ["Pause", "Purse", "SetAside"]


class Pause(Protocol):
    """Why and until when a back end must not be asked."""

    @property
    def code(self) -> str:
        """An error code: ``rate_limited`` or ``billing``."""
        ...

    @property
    def reset_at(self) -> str | None:
        """ISO 8601 with offset."""
        ...


class SetAside(Protocol):
    """Whether dollars were set aside, and the day's figures without them."""

    @property
    def granted(self) -> bool: ...

    @property
    def spent(self) -> float:
        """Dollars spent since local midnight."""
        ...

    @property
    def under_way(self) -> float:
        """Dollars set aside for generations that are not over."""
        ...


class Purse(Protocol):
    """Dollars of the day and resting times, shared by all processes. Writing never raises: a picture must not fail
    over its bookkeeping. Reading may raise ImageError ``disk``; it comes before anything is sent."""

    async def spent_today(self) -> float:
        """Dollars spent since local midnight."""
        ...

    async def spend(self, usd: float, usage: dict[str, Any] | None = None) -> None:
        """Note dollars just spent."""
        ...

    async def reserve(self, generation_id: str, usd: float, budget: float) -> SetAside:
        """Set dollars of the day's budget aside, if they are left, in one step over all processes."""
        ...

    async def release(self, generation_id: str) -> None:
        """That generation is over, and what it cost was noted."""
        ...

    async def rest_until(self, backend: BackendName, code: str, reset_at: str) -> None:
        """Note that ``backend`` must not be asked before ``reset_at``."""
        ...

    async def resting(self, backend: BackendName) -> Pause | None:
        """Why and until when ``backend`` rests, None when it may be asked."""
        ...

    async def clear_rest(self, backend: BackendName) -> None:
        """It answered after all: forget its rest."""
        ...
