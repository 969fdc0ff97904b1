"""The back ends as the edges hand them in: the studio knows none of them by name."""

from typing import Protocol

import anyio.abc

from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.request import Backend, BackendName, ImageRequest


class Ways(Protocol):
    """The ways to make pictures."""

    def make(self, name: BackendName, settings: Settings, ledger: Ledger, group: anyio.abc.TaskGroup, /) -> Backend:
        """The back end of that name; called once, at its first use. ``ledger`` is that of the site's account,
        ``group`` owns its tasks."""
        ...

    def key_missing(self, settings: Settings, /) -> bool:
        """Whether the API wants a key and has none. Raises ImageError ``configuration``."""
        ...

    def most_usd(self, settings: Settings, request: ImageRequest, /) -> float:
        """Dollars that ``request`` to the API may cost at most. Raises ImageError like the back end itself."""
        ...
