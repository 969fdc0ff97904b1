"""What all tests share."""

import json
import os
from collections import defaultdict
from collections.abc import Generator
from itertools import chain
from pathlib import Path

import hypothesis
import pytest

from cdp_image_mcp.config import Settings
from tests.browser import refuse_browsers

# A busy machine is slow; no test is about time.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-times", action="store_true", help="keep how long each file took")
    parser.addoption("--no-browser", action="store_true", help="leave out what needs a browser, or takes its time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-browser"):
        refuse_browsers()


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


TIMES = Path(__file__).parent / "times.json"
"""Seconds that each long file took; ``--write-times`` measures anew."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are spread over processes, the longest first: begun last it would leave the other processors idle."""
    seconds: dict[str, float] = json.loads(TIMES.read_text("utf-8"))
    items.sort(key=lambda item: -seconds.get(file_of(item.nodeid), 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--write-times"):
        return
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[file_of(report.nodeid)] += report.duration
    long = {name: round(total) for name, total in sorted(seconds.items(), key=lambda entry: -entry[1]) if total >= 2}
    TIMES.write_text(json.dumps(long, indent=0) + "\n", "utf-8")


def file_of(node: str) -> str:
    return node.partition("::")[0]
