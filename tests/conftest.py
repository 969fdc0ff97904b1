"""What all tests share."""

import os
from collections.abc import Generator
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


CHECKOUT = Path(__file__).parents[1]
TOOLS_OWN = {".pytest_cache", ".hypothesis", ".ruff_cache"}


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """The home folder of everything that tests start; what lies in the user's is neither read nor written. Nothing
    appears in the checkout either, where a browser once kept its crash reports."""
    before = set(CHECKOUT.iterdir())
    users = Path.home()
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.delenv(name, raising=False)
        # Tools for developers may use what they keep: packages already fetched, and whose checkout is trusted.
        patch.setenv("NPM_CONFIG_CACHE", os.environ.get("NPM_CONFIG_CACHE", str(users / ".npm")))
        patch.setenv("GIT_CONFIG_GLOBAL", os.environ.get("GIT_CONFIG_GLOBAL", str(users / ".gitconfig")))
        patch.setenv("HOME", str(place))
        patch.setenv("USERPROFILE", str(place))
        yield place
    strays = {path.name for path in set(CHECKOUT.iterdir()) - before} - TOOLS_OWN
    assert not strays, f"a test left this in the checkout: {sorted(strays)}"


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
