"""What the handlers of a server share while it runs."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeAlias

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.client.elicitation import Elicitation
from cdp_image_mcp.mcp_server.tasks.opened import Tasks
from cdp_image_mcp.previews.preview import FilePreviewer

if TYPE_CHECKING:
    # Loaded by the first call: a client that only lists the tools must not wait for it.
    from cdp_image_mcp.studio.studio import Studio

__all__ = ["App", "OpenApp"]


class App:
    """What the handlers share while the server runs."""

    def __init__(self, settings: Settings, studio: "Callable[[], Awaitable[Studio]]", previewer: FilePreviewer) -> None:
        """``studio`` is opened when it is first awaited."""
        self.settings = settings
        self.studio = studio
        self.previewer = previewer
        self.person = Elicitation(settings.web_url)
        self.tasks = Tasks(self.person)


OpenApp: TypeAlias = Callable[[], AbstractAsyncContextManager[App]]
