"""What all tests share."""

import asyncio
import faulthandler
import functools
import gc
import inspect
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Generator
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs] - it has none

from cdp_image_mcp.config import Settings
from tests.browser import refuse_browsers
from tests.scopes import file_of, scope_of

# A busy machine is slow; no test is about time. Ordinary runs draw the same each time, so that only a change makes one
# red; the nightly run draws anew.
hypothesis.settings.register_profile("nightly", deadline=None)
hypothesis.settings.register_profile("the same", deadline=None, derandomize=True)
hypothesis.settings.load_profile("the same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-times", action="store_true", help="keep how long each file took")
    parser.addoption("--no-browser", action="store_true", help="leave out what needs a browser, or takes its time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-browser"):
        refuse_browsers()
    # A shell's background jobs have Ctrl-C ignored, and hand that on to all that the tests start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    return Settings(output_dir=tmp_path / "pictures", profile_dir=tmp_path / "profile", wait_seconds=30.0)


LIMIT = 300.0
"""Seconds after which a test that hangs is given up; those that wait for scenes beside theirs have a limit there."""

GRACE = 60.0
"""What it may take to end then."""

RUNNING = pytest.StashKey[Callable[[], object]]()
"""Cancels the coroutine of the test."""


def limit_of(item: pytest.Item) -> float | None:
    if item.get_closest_marker("nightly"):
        return None
    return 3 * LIMIT if "performance" in getattr(item, "fixturenames", ()) else LIMIT


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """A coroutine can be cancelled, so that it ends what it started; the traceback shows what it waited for."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return

    @functools.wraps(test)
    async def limited(**arguments: Any) -> None:
        scope = anyio.CancelScope()
        loop = asyncio.get_running_loop()
        pyfuncitem.stash[RUNNING] = lambda: loop.call_soon_threadsafe(scope.cancel)
        with scope:
            try:
                await test(**arguments)
            except asyncio.CancelledError as where:
                if scope.cancel_called:
                    raise TimeoutError("hung for too long") from where
                raise

    pyfuncitem.obj = limited


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What hangs is cancelled or interrupted; what not even that ends, ends its process, which prints where every
    thread is. By the system's clock: the event loop's own is one that tests put forward."""
    limit = limit_of(item)
    if limit is None:
        return (yield)

    def interrupt(_number: int, _frame: object) -> None:
        cancel = item.stash.get(RUNNING, None)
        if cancel is None:
            raise TimeoutError("hung for too long")
        del item.stash[RUNNING]
        cancel()

    faulthandler.dump_traceback_later(limit + 2 * GRACE, exit=True)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, limit, GRACE)
    try:
        return (yield)
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


TIMES = Path(__file__).parent / "times.json"
"""Seconds that each long file took; ``--write-times`` measures anew."""


class ByScope(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return ByScope(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Every process of a run collects all tests, which stay to its end: looked through for litter again and again
    they took a seventh of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scopes are spread over processes, the longest first: begun last it would leave the other processors idle."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for file, taken in json.loads(TIMES.read_text("utf-8")).items():
        seconds[scope_of(file)] += taken
    items.sort(key=lambda item: -seconds[scope_of(item.nodeid)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--write-times"):
        return
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[file_of(report.nodeid)] += report.duration
    long = {name: round(total) for name, total in sorted(seconds.items(), key=lambda entry: -entry[1]) if total >= 2}
    TIMES.write_text(json.dumps(long, indent=0) + "\n", "utf-8")
