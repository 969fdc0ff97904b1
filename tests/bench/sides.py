"""The programs that are compared: how each is started, and the folders it gets."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from tests.bench.competitors import Workshop
from tests.bench.figures import OURS
from tests.bench.stdio import McpProcess, running

__all__ = ["BARE", "ROOT", "SEED", "Side", "bare", "ours", "seed"]

ROOT = Path(__file__).parents[2]
SEED = "gpt-image-2-mcp (the seed)"
BARE = "bare mcp server"
SEED_PACKAGE = "@ramlyburger/gpt-image-2-mcp"


class Side(msgspec.Struct, frozen=True):
    """One program, on folders of its own. ``arguments`` go into every call of generate_image."""

    who: str
    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    arguments: dict[str, object] = {}
    version: str = ""

    def start(self) -> AbstractContextManager[McpProcess]:
        return running(self.who, self.command, self.environment, self.folder)

    def forget(self) -> None:
        """Throw its folders away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def ours(folder: Path, browser: Path | None = None, **variables: str) -> Side:
    """This checkout's server with the Python that runs the bench."""
    own = {"GPT_IMAGE_BACKEND": "chatgpt-web", "CHATGPT_WINDOW_MODE": "headless", "PYTHONPATH": str(ROOT)}
    environment = {**_base(folder, browser), **own, **variables}
    waiting = {"wait_seconds": 900, "timeout_seconds": 900}
    return Side(OURS, (sys.executable, "-m", "cdp_image_mcp"), environment, folder, dict(waiting))


def bare(folder: Path) -> Side:
    """A server of the same SDK on the same Python with nothing in it."""
    program = (sys.executable, str(Path(__file__).with_name("bare_server.py")))
    return Side(BARE, program, _base(folder, None), folder)


def seed(workshop: Workshop, folder: Path, browser: Path | None = None, **variables: str) -> Side:
    """The Node program this one replaces. Raises NotMeasured when it cannot be installed."""
    found = workshop.node(SEED_PACKAGE)
    entry = found.folder / "node_modules" / SEED_PACKAGE / "dist" / "index.js"
    environment = {**_base(folder, browser), "GPT_IMAGE_BACKEND": "chatgpt-web", **variables}
    return Side(SEED, (str(found.program), str(entry)), environment, folder, {"timeout_seconds": 900}, found.version)


def _base(folder: Path, browser: Path | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    folders = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "LOCALAPPDATA": str(folder / "data")}
    return {**kept, **folders, **({"CHROME_PATH": str(browser)} if browser is not None else {})}


Maker = Callable[[Path], Side]


def makers(workshop: Workshop, browser: Path | None, display: Mapping[str, str]) -> dict[str, Maker]:
    """Ours and the seed, each for a folder given later."""
    return {
        OURS: lambda folder: ours(folder, browser),
        SEED: lambda folder: seed(workshop, folder, browser, **display),
    }
