"""One browser for all hosts."""

from collections.abc import AsyncGenerator

import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import Browser, LaunchOptions
from tests.browser import SWITCHES, found_browser


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser]:
    # Frames in the page's own process, where the tests can look into them.
    switches = (*SWITCHES, "--disable-features=IsolateSandboxedIframes")
    profile = tmp_path_factory.mktemp("hosts") / "profile"
    async with cdp.launch(LaunchOptions(browser=found_browser(), profile=profile, extra_args=switches)) as browser:
        yield browser
