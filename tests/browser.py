"""The browser that the tests use: the one ``CHROME_PATH`` names, else the one the product finds by itself.

Every test that needs one asks here, and is left out of the quick part by that alone; ``left_out_if_quick`` is for what
else takes its time. A browser that is started in another way fails its test there.
"""

import os
import shutil
import sys

import pytest

from cdp_image_mcp.cdp.launching.discovery import FoundBrowser, find_browser

NO_BROWSER = shutil.which("false") or "false"
"""``CHROME_PATH`` in the quick part, for the tests' own process and all that they start: a program, but no browser."""


def is_root() -> bool:
    return False if sys.platform == "win32" else os.geteuid() == 0


QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
"""No traffic of the browser's own."""

LIGHT = ("--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup", "--force-prefers-reduced-motion")
"""No pages kept ready for the address bar: they take as much of the processor as the rest of a window's start. And
nothing that moves for show: painted without a graphics card, one placeholder of a picture takes a third of a core."""

SWITCHES = (*QUIET, *LIGHT, "--no-sandbox") if is_root() else (*QUIET, *LIGHT)
"""What tests add to every browser. Root has no sandbox: a test machine may be a container without another user."""


def is_quick() -> bool:
    return os.environ.get("CHROME_PATH") == NO_BROWSER


def left_out_if_quick(what: str = "a browser") -> None:
    if is_quick():
        pytest.skip(f"needs {what}")


def refuse_browsers() -> None:
    """From now on this process starts none, and whose program finds its browser by the variable finds none."""
    os.environ["CHROME_PATH"] = NO_BROWSER
    known = str(find_browser().path)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"os.posix_spawn", "subprocess.Popen"} and arguments[0] == known:
            raise AssertionError("starts a browser that tests.browser was not asked for")

    sys.addaudithook(hook)


def chosen() -> dict[str, str]:
    """The variable for a program that a test starts; empty where nobody chose."""
    left_out_if_quick()
    return {"CHROME_PATH": path} if (path := os.environ.get("CHROME_PATH")) else {}


def found_browser() -> FoundBrowser:
    """None at all is a failure of the machine, not a reason to skip."""
    return find_browser(chosen().get("CHROME_PATH"))
