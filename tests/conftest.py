"""What all tests share."""

from pathlib import Path

import hypothesis
import pytest

from cdp_image_mcp.config import Settings

# A busy machine is slow; no test is about time.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The driver stands on websockets' asyncio client, so asyncio is what is tested."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that touch nothing of the user's."""
    return Settings(output_dir=tmp_path / "pictures", profile_dir=tmp_path / "profile", wait_seconds=5.0)


LONGEST_FIRST = (
    "tests/faults",
    "tests/web/test_variants",
    "tests/people/test_hanging",
    "tests/web",
    "tests/people",
    "tests/bench",
    "tests/site",
    "tests/mcp_server",
    "tests/cli",
    "tests/library",
)
"""Files are spread over processes in this order: a long one begun last would leave the other processors idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        path = item.nodeid
        return next((place for place, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST))

    items.sort(key=rank)
