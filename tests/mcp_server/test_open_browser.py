"""Which browser previews may use: the one of a web back end that exists already."""

import anyio
import pytest

from cdp_image_mcp.chatgpt import backend as web
from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.serving import open_browser
from cdp_image_mcp.studio.studio import open_studio
from tests.mcp_server.painted import Painter
from tests.ways import Given

pytestmark = pytest.mark.anyio


async def test_looking_for_an_open_browser_makes_no_back_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object) -> None:
        pytest.fail("a picture of the API alone has nothing to do with the site")

    monkeypatch.setattr(web, "WebBackend", made)
    with anyio.fail_after(10):
        async with open_studio(settings, Given({"api": Painter()})) as studio:
            assert open_browser(studio) is None


async def test_the_browser_is_that_of_the_back_end_in_use(settings: Settings) -> None:
    class Driving(Painter):
        browser = object()

    with anyio.fail_after(10):
        async with open_studio(settings, Given({"chatgpt-web": Driving()})) as studio:
            studio.backend("chatgpt-web")
            assert open_browser(studio) is Driving.browser
