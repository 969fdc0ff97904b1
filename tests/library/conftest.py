"""Shared by the tests of what lies on disk."""

from pathlib import Path

import pytest

from cdp_image_mcp.library.library import Library


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def library(root: Path) -> Library:
    return Library(root)
