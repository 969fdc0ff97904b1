"""What a browser leaves that died with its starter, as it lies after a power cut."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["dead_socket", "lay_remains", "socket_folder"]


def dead_socket(folder: Path) -> socket.socket:
    """A browser's socket in its folder; nobody listens."""
    if sys.platform == "win32":
        pytest.skip("there a profile has no socket")
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "SingletonSocket"))
    return made


def lay_remains(folder: Path, links: Sequence[tuple[Path, Path]]) -> None:
    """Links and folder of a browser that is no more."""
    folder.mkdir(0o700)
    dead_socket(folder).close()
    for link, target in links:
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def socket_folder(profile: Path) -> Path | None:
    """The folder in the system's temporary place that the profile's browser keeps while it runs."""
    link = profile / "SingletonSocket"
    return link.readlink().parent if link.is_symlink() else None
