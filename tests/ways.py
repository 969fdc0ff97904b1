"""Back ends that a test hands to the studio; what it does not replace is the installation's own."""

from collections.abc import Mapping
from typing import Any

from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.request import Backend, BackendName


class Given(InstalledWays):
    """``backends`` by name. The studio asks for each of them once."""

    def __init__(self, backends: Mapping[BackendName, Any]) -> None:
        self._backends = backends

    def make(self, name: BackendName, *parts: Any) -> Backend:
        return self._backends[name] if name in self._backends else super().make(name, *parts)
