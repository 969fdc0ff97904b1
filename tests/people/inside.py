"""A server in this very process, so that a test can shorten what it waits for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cdp_image_mcp.config import load
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing, Studio, open_studio
from tests.web.program import environment

__all__ = ["draw", "inside"]


@asynccontextmanager
async def inside(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> AsyncGenerator[Studio]:
    """The heart of the server, with folders of its own and the site at ``url``."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("DISPLAY", variables.get("DISPLAY", ""))
    async with open_studio(load(environment(folder, url, **variables)), InstalledWays()) as studio:
        yield studio


async def draw(studio: Studio, prompt: str, **arguments: object) -> Standing:
    return await studio.generate(GenerateImage(prompt=prompt, **arguments))  # type: ignore[arg-type]
