"""The browser that the tests use: the one ``CHROME_PATH`` names, else the one the product finds by itself."""

import os
import sys

from cdp_image_mcp.cdp import FoundBrowser, find_browser

__all__ = ["QUIET", "SWITCHES", "chosen", "found_browser", "is_root"]


def is_root() -> bool:
    return False if sys.platform == "win32" else os.geteuid() == 0


QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
"""No traffic of the browser's own."""

SWITCHES = (*QUIET, "--no-sandbox") if is_root() else QUIET
"""What tests add to every browser. Root has no sandbox: a test machine may be a container without another user."""


def chosen() -> dict[str, str]:
    """The variable for a program that a test starts; empty where nobody chose."""
    return {"CHROME_PATH": path} if (path := os.environ.get("CHROME_PATH")) else {}


def found_browser() -> FoundBrowser:
    """None at all is a failure of the machine, not a reason to skip."""
    return find_browser(os.environ.get("CHROME_PATH") or None)
