"""What an installation weighs, package by package."""

import subprocess
from pathlib import Path

import msgspec

from tests.bench.figures import NotMeasured

__all__ = ["packages_of_node", "packages_of_python", "size_of"]

TOOLS = {"pip", "setuptools", "wheel"}
LIST = """
import importlib.metadata, json
sizes = {}
for found in importlib.metadata.distributions():
    paths = [found.locate_file(file) for file in found.files or []]
    sizes[found.metadata["Name"]] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""


def packages_of_python(program: Path) -> dict[str, int]:
    """Every distribution of an environment but the installer's own, and its bytes on disk (compiled files too)."""
    done = subprocess.run([str(program), "-c", LIST], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise NotMeasured(f"the environment cannot be read: {done.stderr.strip().splitlines()[-1]}")
    sizes = msgspec.json.decode(done.stdout, type=dict[str, int])
    return {name: size for name, size in sizes.items() if name.lower() not in TOOLS}


def packages_of_node(folder: Path) -> set[tuple[str, str]]:
    """Name and version of every package below ``node_modules``."""
    lock = msgspec.json.decode((folder / "package-lock.json").read_bytes(), type=dict[str, msgspec.Raw])
    entries = msgspec.json.decode(lock["packages"], type=dict[str, _Entry])
    return {
        (place.rpartition("node_modules/")[2], entry.version)
        for place, entry in entries.items()
        if place and (folder / place).is_dir()
    }


class _Entry(msgspec.Struct):
    version: str = ""


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
