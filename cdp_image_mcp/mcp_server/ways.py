"""The back ends of this installation, each loaded at its first use: who only lists tools pays for neither."""

import anyio.abc

from cdp_image_mcp.config import API, Settings
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.request import Backend, BackendName

__all__ = ["InstalledWays"]


class InstalledWays:
    """See :class:`cdp_image_mcp.studio.ways.Ways`."""

    def make(self, name: BackendName, settings: Settings, ledger: Ledger, group: anyio.abc.TaskGroup, /) -> Backend:
        if name == "api":
            from cdp_image_mcp.openai import ApiBackend

            return ApiBackend(settings, ledger)
        from cdp_image_mcp.chatgpt.backend import WebBackend

        return WebBackend(settings, ledger, group)

    def key_missing(self, settings: Settings, /) -> bool:
        """Compatible servers on people's own machines often want no key."""
        if settings.api_key:
            return False
        if settings.base_url == API and settings.compat is None:
            return True  # the common case, without loading the back end
        from cdp_image_mcp.openai.profiles import key_missing

        return key_missing(settings)
