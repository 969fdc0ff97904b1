"""What the handlers of a server share while it runs."""

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.client.elicitation import Elicitation
from cdp_image_mcp.mcp_server.client.underway import Underway
from cdp_image_mcp.mcp_server.tasks.opened import Tasks
from cdp_image_mcp.previews.preview import OpenCanvas
from cdp_image_mcp.system.plaintext import clean

if TYPE_CHECKING:
    # Loaded by the first call: a client that only lists the tools must not wait for it.
    from cdp_image_mcp.studio.studio import Studio


class App:
    """What the handlers share while the server runs."""

    def __init__(self, settings: Settings, studio: "Callable[[], Awaitable[Studio]]", open_canvas: OpenCanvas) -> None:
        """``studio`` is opened when it is first awaited."""
        self.settings = settings
        self.studio = studio
        self.open_canvas = open_canvas
        self.person = Elicitation(settings.web_url)
        self.tasks = Tasks(self.person)
        self.underway = Underway()


OpenApp: TypeAlias = Callable[[], AbstractAsyncContextManager[App]]
Context: TypeAlias = ServerRequestContext[App, Any]


@contextmanager
def told() -> Generator[None]:
    """What goes wrong in the block as an error of the protocol, in its own words; a fault of ours by its kind."""
    try:
        yield
    except MCPError:
        raise
    except Exception as error:  # noqa: BLE001  it is told
        known = error
        if not isinstance(known, ImageError):
            from cdp_image_mcp.mcp_server.fields import known_error

            known = known_error(error, "a request")
        code = types.INVALID_PARAMS if known.code == "not_found" else types.INTERNAL_ERROR
        raise MCPError(code, clean(f"{known.message} {known.next_step}")) from None
