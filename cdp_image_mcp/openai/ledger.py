"""What this back end needs from the ledger on disk."""

from typing import Any, Protocol

from cdp_image_mcp.request import BackendName

__all__ = ["Ledger", "Rest"]


class Rest(Protocol):
    """Why and until when a back end must not be asked."""

    @property
    def code(self) -> str:
        """An error code: ``rate_limited`` or ``billing``."""
        ...

    @property
    def reset_at(self) -> str | None:
        """ISO 8601 with offset."""
        ...


class Ledger(Protocol):
    """Dollars of the day and resting times, shared by all processes."""

    async def spent_today(self) -> float:
        """Dollars spent since local midnight."""
        ...

    async def spend(self, usd: float, usage: dict[str, Any] | None = None) -> None:
        """Note dollars just spent. Never raises: a picture must not fail over its bookkeeping."""
        ...

    async def rest_until(self, backend: BackendName, code: str, reset_at: str) -> None:
        """Note that ``backend`` must not be asked before ``reset_at``."""
        ...

    async def resting(self, backend: BackendName) -> Rest | None:
        """Why and until when ``backend`` rests, None when it may be asked."""
        ...

    async def clear_rest(self, backend: BackendName) -> None:
        """It answered after all: forget its rest."""
        ...
