"""The browser that the tests use: the one ``CHROME_PATH`` names, else the one the product finds by itself."""

import os

from cdp_image_mcp.cdp import FoundBrowser, find_browser

__all__ = ["chosen", "found_browser"]


def chosen() -> dict[str, str]:
    """The variable for a program that a test starts; empty where nobody chose."""
    return {"CHROME_PATH": path} if (path := os.environ.get("CHROME_PATH")) else {}


def found_browser() -> FoundBrowser:
    """None at all is a failure of the machine, not a reason to skip."""
    return find_browser(os.environ.get("CHROME_PATH") or None)
