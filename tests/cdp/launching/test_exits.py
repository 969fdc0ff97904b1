"""What an early end of the browser means, in any language."""

from pathlib import Path

import pytest

from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    DebuggingForbidden,
    LaunchError,
    NeedsNoSandbox,
    NoDisplay,
    ProfileInUse,
    ProfileNotWritable,
)
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.holder import Holder
from cdp_image_mcp.cdp.launching.options import LaunchOptions

HERE, ELSEWHERE = Holder(1234, "desk", here=True), Holder(1234, "attic", here=False)


def explained(folder: Path, code: int, line: str, holder: Holder | None = None) -> LaunchError:
    browser = FoundBrowser(Path("/usr/bin/chromium"), "chromium", snap=False)
    return explain_exit(code, ["[1:1] noise", line], LaunchOptions(browser=browser, profile=folder / "p"), holder)


@pytest.mark.parametrize(
    ("code", "line", "holder", "kind"),
    [
        (1, "ERROR:zygote Running as root without --no-sandbox is not supported.", None, NeedsNoSandbox),
        (1, "ERROR:ozone_platform_x11.cc Missing X server or $DISPLAY", None, NoDisplay),
        (21, "Failed to create a ProcessSingleton for your profile directory.", None, ProfileInUse),
        (21, "[1:1] Failed to create /p/SingletonLock: Operation not permitted (1)", None, ProfileNotWritable),
        (21, "[1:1] Failed to create /p/SingletonLock: File exists (17)", None, ProfileInUse),
        (21, "Das Profil wird von einem anderen Chromium-Prozess (1234) verwendet.", HERE, ProfileInUse),
        (0, "Opening in existing browser session.", HERE, ProfileInUse),
        (0, "Wird in einer aktuellen Browsersitzung geöffnet.", HERE, ProfileInUse),
        (1, "DevTools remote debugging requires a non-default data directory.", None, DebuggingForbidden),
        (1, "DevTools remote debugging is disallowed by the system admin.", None, DebuggingForbidden),
        (-11, "Received signal 11", None, BrowserFailed),
        (0, "", None, BrowserFailed),
    ],
)
def test_an_early_end_is_told_apart(
    tmp_path: Path, code: int, line: str, holder: Holder | None, kind: type[Exception]
) -> None:
    assert type(explained(tmp_path, code, line, holder)) is kind


def test_a_browser_on_another_computer_is_named(tmp_path: Path) -> None:
    error = explained(tmp_path, 21, "El perfil parece que está siendo usado por otro proceso", ELSEWHERE)
    assert isinstance(error, ProfileInUse)
    assert "(process 1234) on the computer attic" in str(error)


def test_an_unknown_end_shows_code_and_last_lines(tmp_path: Path) -> None:
    error = explained(tmp_path, -11, "something terrible")
    assert "something terrible" in str(error)
    assert "-11" in str(error)
