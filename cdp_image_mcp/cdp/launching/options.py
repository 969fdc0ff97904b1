"""How a browser is started."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cdp_image_mcp.cdp.errors import NoDisplay
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser

Mode = Literal["headless", "hidden", "visible"]
WITHHELD = "OPENAI_"
"""Begins the names of variables that hold keys: a browser has no use for them, and anything of the same user can read
the environment of its many processes."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How to start a browser.

    ``browser`` comes from discovery. ``profile`` is absolute: a relative one can hang Chrome. ``mode``: hidden is
    headed; nothing is seen before a page is made, whose window ``Window.hide`` then puts away. ``extra_args`` come last
    and win; their --disable-features are merged with ours. ``environment`` replaces the process's. ``debug_port`` 0: a
    free one. Seconds: ``start_timeout`` until the port is open, ``close_timeout`` for the orderly end.
    """

    browser: FoundBrowser
    profile: Path
    mode: Mode = "headless"
    debug_port: int = 0
    extra_args: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    start_timeout: float = 30.0
    close_timeout: float = 10.0

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment the browser gets. A folder for temporary files that is gone, as that of a shell which has
        ended, would keep it from starting."""
        ours = os.environ if self.environment is None else self.environment
        gone = ["TMPDIR"] if not os.path.isdir(ours.get("TMPDIR", "/")) else []  # noqa: PTH112 - pathlib may raise
        return {name: ours[name] for name in ours if not name.upper().startswith(WITHHELD) and name not in gone}

    def check_display(self) -> None:
        """Raise NoDisplay when a window has nowhere to go."""
        if sys.platform.startswith("linux") and not any(arg.startswith("--headless") for arg in self.extra_args):
            if not self.variables.get("DISPLAY") and not self.variables.get("WAYLAND_DISPLAY"):
                raise NoDisplay
