"""What was used up and what is left: durations, dollars, pictures of the day, quota and resting times."""

from pathlib import Path
from typing import Any

import msgspec

from cdp_image_mcp.library import Library
from cdp_image_mcp.request import BackendName

__all__ = ["Ledger", "Quota", "Rest"]


class Quota(msgspec.Struct, frozen=True):
    """Quota as the site stated it last. Times are ISO 8601 with offset."""

    feature: str
    remaining: int | None
    reset_at: str | None
    seen_at: str


class Rest(msgspec.Struct, frozen=True):
    """A back end that must not be asked until ``reset_at``."""

    backend: BackendName
    code: str
    """The error code that caused it: ``quota_reached``, ``rate_limited``, ``billing``."""
    reset_at: str


class Ledger:
    """One small file of JSON lines, shared by all processes. Lines that cannot be read are skipped and told, and
    durations and dollars are then made up from the sidecars. "Today" is the local day."""

    def __init__(self, path: Path, library: Library) -> None:
        self.path = path

    async def spend(self, usd: float, usage: dict[str, Any] | None = None, *, generation_id: str | None = None) -> None:
        """Note dollars just spent at the API. The same ``generation_id`` adds up."""
        raise NotImplementedError

    async def spent_today(self) -> float:
        """Dollars spent since local midnight."""
        raise NotImplementedError

    async def web_pictures_today(self) -> int:
        """Pictures saved from the web back end in generations of this local day (from the sidecars)."""
        raise NotImplementedError

    async def add_duration(self, backend: BackendName, seconds: float) -> None:
        """Note how long a finished generation took, without queue and sign-in."""
        raise NotImplementedError

    async def typical(self, backend: BackendName) -> float | None:
        """Median of the last 20 durations in seconds, None without history."""
        raise NotImplementedError

    async def set_quota(self, feature: str, remaining: int | None, reset_at: str | None = None) -> None:
        """Note the quota the site stated."""
        raise NotImplementedError

    async def quota(self) -> list[Quota]:
        """The newest statement per feature whose reset time has not passed."""
        raise NotImplementedError

    async def rest_until(self, backend: BackendName, code: str, reset_at: str) -> None:
        """Leave ``backend`` alone until ``reset_at``."""
        raise NotImplementedError

    async def resting(self, backend: BackendName) -> Rest | None:
        """Why and until when ``backend`` rests, None when it may be asked."""
        raise NotImplementedError

    async def clear_rest(self, backend: BackendName) -> None:
        """It answered after all: forget its rest."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Sentences about lines that could not be read, of this process so far."""
        raise NotImplementedError
