"""Our script in a real page."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions, Page
from cdp_image_mcp.chatgpt.page.eye import Eye
from cdp_image_mcp.chatgpt.page.locators import load, witness_source
from tests.browser import SWITCHES, found_browser

__all__ = ["eye_of"]


@asynccontextmanager
async def eye_of(folder: Path, site_file: Path | None = None) -> AsyncGenerator[Eye]:
    """Our script in an empty page of a browser of its own, with its profile in ``folder``."""
    place = folder / "empty.html"  # at no address a page may do less than the site's
    place.write_text("")
    options = LaunchOptions(browser=found_browser(), profile=folder / "profile", extra_args=SWITCHES)
    async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
        await page.navigate(place.as_uri())
        eye = Eye(page, witness_source(load(site_file)))
        await eye.open()
        yield eye
