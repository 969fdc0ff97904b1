"""File systems that fill up, mounted for a test and taken away by it."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest

from tests.browser import is_root

needs_root = pytest.mark.skipif(not is_root(), reason="mounting needs root; a file size limit stands in")


@contextmanager
def small_disk(at: Path, kilobytes: int) -> Generator[Path]:
    """A file system of that size. As another user than root an own mount namespace would be needed: there the limit on
    file sizes stands in (``test_folder``)."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        # A process holds its lock there for as long as it lives.
        subprocess.run(["umount", "-l", str(at)], check=True)


class Drive:
    """A file system that is plugged in ``at`` a folder of its own, and out of it again: the folder stays."""

    def __init__(self, at: Path, disk: Path) -> None:
        self.at = at
        self._disk = disk
        at.mkdir()
        self.plug_in()

    def plug_in(self) -> None:
        subprocess.run(["mount", "--bind", str(self._disk), str(self.at)], check=True)

    def plug_out(self) -> None:
        subprocess.run(["umount", "-l", str(self.at)], check=True)


@contextmanager
def a_drive(at: Path) -> Generator[Drive]:
    """It is plugged in at the beginning."""
    with small_disk(at.with_name(f"{at.name} itself"), 4096) as disk:
        drive = Drive(at, disk)
        try:
            yield drive
        finally:
            if drive.at.is_mount():
                drive.plug_out()


def fill_up(place: Path) -> Path:
    """Not one byte more fits on that file system afterwards. The file returned is to be unlinked for room."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(repeat(b"x" * 512))
    return filler
