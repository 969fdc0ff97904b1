"""A running images server and a back end that asks it."""

from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.wire import pacing
from fixtures.images_api import ImagesApi, running_api
from tests.openai.doubles import KEY, DiskReport, MakeBackend, MakeReport, no_jitter


@pytest.fixture
def api() -> Generator[ImagesApi]:
    with running_api() as running:
        yield running


@pytest.fixture
def make_report(tmp_path: Path) -> Callable[[], DiskReport]:
    """Make reports of generations of their own."""
    return lambda: DiskReport(tmp_path)


@pytest.fixture
async def report(make_report: MakeReport) -> DiskReport:
    return make_report()


@pytest.fixture
async def make_backend(api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[MakeBackend]:
    """Make back ends for the running server, which wait no longer than it says; settings by name."""
    monkeypatch.setattr(pacing, "full_jitter", no_jitter)
    made: list[ApiBackend] = []

    def make(**fields: Any) -> ApiBackend:
        values: dict[str, Any] = {
            "output_dir": tmp_path,
            "profile_dir": tmp_path,
            "api_key": KEY,
            "base_url": api.url,
            "compat": "openai",
        }
        settings = Settings(**{**values, **fields})
        backend = ApiBackend(settings)
        made.append(backend)
        return backend

    yield make
    for backend in made:
        await backend.aclose()


@pytest.fixture
async def backend(make_backend: MakeBackend) -> ApiBackend:
    return make_backend()
