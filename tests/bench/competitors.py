"""Other people's packages, each in a throw-away environment of its own, installed by its registry's usual client."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import msgspec

from tests.bench.figures import NotMeasured

__all__ = ["Installed", "Workshop"]

INSTALL_SECONDS = 600


class Installed(msgspec.Struct, frozen=True):
    """An environment: its folder, the program that runs things in it, the version of the package wanted."""

    folder: Path
    program: Path
    version: str


class Workshop:
    """Where the environments lie: a folder that may be deleted at any time. ``offline`` refuses to install."""

    def __init__(self, folder: Path | None = None, *, offline: bool = False, fresh: bool = False) -> None:
        self.folder = folder or Path(tempfile.gettempdir()) / "cdp-image-mcp-bench"
        self._offline = offline
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._failed: dict[str, str] = {}

    def python(self, package: str, *others: str) -> Installed:
        """A virtual environment with ``package`` from PyPI. Raises NotMeasured with the reason."""
        place = self.folder / f"python-{package}"
        program = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        self._once(place, partial(_make_venv, place, program, (package, *others)))
        listed = _run([str(program), "-m", "pip", "list", "--format", "json"], "pip list")
        versions: dict[str, str] = {entry["name"].lower(): entry["version"] for entry in json.loads(listed)}
        return Installed(place, program, versions.get(package.lower(), "?"))

    def node(self, package: str) -> Installed:
        """A folder with ``package`` from the npm registry. Raises NotMeasured with the reason."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise NotMeasured("Node is not installed here")
        place = self.folder / f"node-{package.replace('/', '-').lstrip('@')}"
        self._once(place, partial(_make_node, place, npm, package))
        about = place / "node_modules" / package / "package.json"
        return Installed(place, Path(node), json.loads(about.read_bytes())["version"])

    def wheel(self, project: Path) -> Installed:
        """A virtual environment with this project itself, installed as a user installs it."""
        place = self.folder / "python-ours"
        if not self._offline:
            # Always anew: the project changes, and its version number does not.
            shutil.rmtree(place, ignore_errors=True)
        program = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        self._once(place, partial(_make_venv, place, program, (str(project),)))
        return Installed(place, program, "")

    def _once(self, place: Path, make: partial[None]) -> None:
        stamp, wanted = place / ".installed", str(make.args)
        if stamp.exists() and stamp.read_text("utf-8") == wanted:
            return
        if self._offline:
            raise NotMeasured("not installed, and --offline forbids to install it")
        if str(place) in self._failed:
            raise NotMeasured(self._failed[str(place)])
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            make()
        except NotMeasured as reason:
            self._failed[str(place)] = str(reason)
            raise
        stamp.write_text(wanted, "utf-8")


def _make_venv(place: Path, program: Path, packages: tuple[str, ...]) -> None:
    _run([sys.executable, "-m", "venv", str(place)], "python -m venv")
    _run([str(program), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], "pip install")


def _make_node(place: Path, npm: str, package: str) -> None:
    (place / "package.json").write_text('{"private": true}')
    _run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", package], "npm install", cwd=place)


def _run(command: list[str], what: str, cwd: Path | None = None) -> str:
    quiet = {"PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1", "PATCHRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            cwd=cwd,
            env={**os.environ, **quiet},
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"{what} took more than {INSTALL_SECONDS} s") from None
    except OSError as error:
        raise NotMeasured(f"{what} cannot be started: {error.strerror}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotMeasured(f"{what} failed: {lines[-1] if lines else 'without a word'}")
    return done.stdout
