"""A bare headless browser with an open debugging port, started without any of the drivers that are measured."""

import contextlib
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from cdp_image_mcp.cdp.launching.holder import clear_dead
from tests.bench.figures import NotMeasured
from tests.browser import is_root

__all__ = ["QUIET", "Tab", "Target", "bare_browser"]

START_SECONDS = 30.0
QUIET = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Target(msgspec.Struct, frozen=True):
    """A page as ``/json/new`` tells it."""

    id: str
    webSocketDebuggerUrl: str  # noqa: N815 - the browser's own name


class Tab(msgspec.Struct, frozen=True):
    """Where a driver connects to."""

    port: int
    target: str
    browser_url: str
    page_url: str


class BareBrowser:
    """Pages of a running browser, one for each run of a driver."""

    def __init__(self, port: int, browser_path: str) -> None:
        self._port = port
        self._browser_url = f"ws://127.0.0.1:{port}{browser_path}"

    @contextmanager
    def tab(self) -> Generator[Tab]:
        made = msgspec.json.decode(self._ask("new?about:blank", method="PUT"), type=Target)
        try:
            yield Tab(self._port, made.id, self._browser_url, made.webSocketDebuggerUrl)
        finally:
            with contextlib.suppress(OSError):  # a driver may have closed it
                self._ask(f"close/{made.id}")

    def _ask(self, what: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/{what}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the address is built above
            return answer.read()


def root_switches() -> list[str]:
    """Chromium does not start as root with its sandbox."""
    return ["--no-sandbox"] if is_root() else []


@contextmanager
def bare_browser(program: Path) -> Generator[BareBrowser]:
    """A headless browser on a throw-away profile for the length of the block. Raises NotMeasured."""
    with tempfile.TemporaryDirectory(prefix="bench-browser-", ignore_cleanup_errors=True) as profile:
        command = [
            str(program),
            "--headless=new",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            *QUIET,
            *root_switches(),
            "about:blank",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port, path = _port(process, Path(profile) / "DevToolsActivePort")
            yield BareBrowser(port, path)
        finally:
            _end(process)
            clear_dead(Path(profile))


def _port(process: "subprocess.Popen[bytes]", file: Path) -> tuple[int, str]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotMeasured(f"the browser ended by itself with code {process.returncode}")
        try:
            port, path = file.read_text().split("\n")
            return int(port), path
        except (OSError, ValueError):
            time.sleep(0.02)
    raise NotMeasured(f"the browser did not open its port within {START_SECONDS:g} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(family, timeout=5)
    for child in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
