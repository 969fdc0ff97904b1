"""The back ends of this installation, each loaded at its first use: who only lists tools pays for neither."""

from typing import TYPE_CHECKING

from cdp_image_mcp.config import API, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.installed import loading
from cdp_image_mcp.request import Backend, BackendName, ImageRequest

if TYPE_CHECKING:
    # The server tells its way at once, and loads these later.
    import anyio.abc

    from cdp_image_mcp.library.ledger import Ledger


def first_way(settings: Settings) -> tuple[BackendName, str]:
    """The back end that a call which names none comes to first, and why."""
    if settings.backend != "auto":
        return settings.backend, f"GPT_IMAGE_BACKEND={settings.backend}"
    if settings.api_key:
        return "api", "OPENAI_API_KEY is set"
    try:
        if InstalledWays().key_missing(settings):
            return "chatgpt-web", "OPENAI_API_KEY is not set"
    except ImageError as error:
        return "chatgpt-web", error.message
    return "api", f"{settings.base_url} wants no key"


class InstalledWays:
    """See :class:`cdp_image_mcp.studio.ways.Ways`."""

    def make(self, name: BackendName, settings: Settings, ledger: "Ledger", group: "anyio.abc.TaskGroup", /) -> Backend:
        if name == "api":
            with loading("cdp_image_mcp.openai.backend", unsent=True):
                from cdp_image_mcp.openai.backend import ApiBackend
            return ApiBackend(settings)
        with loading("cdp_image_mcp.chatgpt.backend", unsent=True):
            from cdp_image_mcp.chatgpt.backend import WebBackend
        return WebBackend(settings, ledger, group)

    def key_missing(self, settings: Settings, /) -> bool:
        """Compatible servers on people's own machines often want no key."""
        if settings.api_key:
            return False
        if settings.base_url == API and settings.compat is None:
            return True  # the common case, without loading the back end
        with loading("cdp_image_mcp.openai.profiles", unsent=True):
            from cdp_image_mcp.openai.profiles import key_missing
        return key_missing(settings)

    def most_usd(self, settings: Settings, request: ImageRequest, /) -> float:
        with loading("cdp_image_mcp.openai.estimate", unsent=True):
            from cdp_image_mcp.openai.estimate import most_usd
        return most_usd(settings, request)
