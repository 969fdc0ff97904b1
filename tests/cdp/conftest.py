"""One headless browser for all tests of the driver, a tab per test; a display where a window is needed."""

import os
import subprocess
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import Browser, LaunchOptions, Page
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from tests.browser import SWITCHES, found_browser
from tests.cdp.site import Site, serve_site


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def found() -> FoundBrowser:
    """The system's browser; none is a failure of the machine, not a reason to skip."""
    return found_browser()


@pytest.fixture
def options(found: FoundBrowser, tmp_path: Path) -> LaunchOptions:
    return LaunchOptions(browser=found, profile=tmp_path / "profile", extra_args=SWITCHES)


@pytest.fixture(scope="module")
async def browser(found: FoundBrowser, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser, None]:
    profile = tmp_path_factory.mktemp("browser") / "profile"
    async with cdp.launch(LaunchOptions(browser=found, profile=profile, extra_args=SWITCHES)) as browser:
        yield browser


@pytest.fixture(scope="module")
async def site() -> AsyncGenerator[Site, None]:
    async with serve_site() as site:
        yield site


@pytest.fixture
async def page(browser: Browser) -> AsyncGenerator[Page, None]:
    async with await Page.create(browser.connection) as page:
        yield page


@pytest.fixture(scope="session")
def display() -> Generator[str, None, None]:
    """A display of our own with a window manager."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    manager = None
    try:
        with os.fdopen(reader) as stream:
            number = stream.readline().strip()
        assert number, "Xvfb did not start"
        name = f":{number}"
        manager = subprocess.Popen(
            ["openbox", "--startup", "/bin/echo ready"],
            env={**os.environ, "DISPLAY": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert manager.stdout is not None
        assert manager.stdout.readline(), "openbox did not start"
        yield name
    finally:
        for process in (manager, server):
            if process is not None:
                process.terminate()
                process.wait(10)
                if process.stdout is not None:
                    process.stdout.close()


@pytest.fixture
def headed(options: LaunchOptions, display: str) -> LaunchOptions:
    from dataclasses import replace

    environment = {key: value for key, value in os.environ.items() if key != "WAYLAND_DISPLAY"}
    return replace(options, mode="visible", environment={**environment, "DISPLAY": display})
