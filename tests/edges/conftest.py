"""Shared by the tests of the edges: the backend of anyio's plugin and settings that touch nothing of the user's."""

from pathlib import Path

import pytest

from cdp_image_mcp.config import Settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(output_dir=tmp_path / "pictures", profile_dir=tmp_path / "profile", wait_seconds=5.0)
