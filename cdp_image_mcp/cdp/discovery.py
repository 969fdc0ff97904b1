"""Where the system's Chrome, Edge, Chromium or Brave is.

Places: chrome-launcher fe7654f, @puppeteer/browsers 2.13.2, playwright d4e1023, rod 393ac0d (read 2026-11); those of macOS and
Windows have not been seen by us on such a machine.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["chrome", "edge", "chromium", "brave"]
PREFERENCE: tuple[Kind, ...] = ("chrome", "edge", "chromium", "brave")


@dataclass(frozen=True)
class FoundBrowser:
    """A browser program: ``kind`` told by its name, ``snap`` when it is confined to the folders a snap may write."""

    path: Path
    kind: Kind
    snap: bool
    source: Literal["given", "fixed", "path", "registry"]


@dataclass(frozen=True)
class Machine:
    """What discovery looks at: replace it to look at a folder tree of another system.

    ``platform`` as sys.platform, ``root`` a folder that stands for "/" (on a Windows tree: the folder that holds C, D …),
    ``registry`` gives the default value of ``App Paths\\<exe>``.
    """

    platform: str
    environment: Mapping[str, str]
    root: Path | None = None
    registry: Callable[[str], str | None] | None = None

    @staticmethod
    def here(environment: Mapping[str, str] | None = None) -> "Machine":
        """This machine."""
        raise NotImplementedError


def find_browser(
    given: str | os.PathLike[str] | None = None,
    *,
    machine: Machine | None = None,
    preference: Sequence[Kind] = PREFERENCE,
) -> FoundBrowser:
    """The browser to use: ``given`` if set (and nothing else then), else the first kind of ``preference`` that is there.

    Looks at fixed places, PATH, then (Windows) the registry. Raises BrowserNotFound with everything tried.
    """
    raise NotImplementedError


def find_all(*, machine: Machine | None = None) -> tuple[list[FoundBrowser], list[str]]:
    """Every browser here, best first, and every place tried."""
    raise NotImplementedError


def snap_problem(browser: FoundBrowser, profile: Path, home: Path) -> str | None:
    """Why a snap browser cannot keep its profile there (a hidden folder, or outside home), or None."""
    raise NotImplementedError
