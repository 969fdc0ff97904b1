"""What a browser's early end means. Exit codes and wordings: Chromium 156 on Linux, 2026-11."""

import re
from collections.abc import Sequence
from pathlib import Path

from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    LaunchError,
    NeedsNoSandbox,
    NoDisplay,
    ProfileInUse,
    ProfileNotWritable,
)

HANDED_OVER = 0
PROFILE_IN_USE = 21

ROOT = "Running as root without --no-sandbox"
DISPLAY = ("Missing X server or $DISPLAY", "The platform failed to initialize", "Failed to connect to Wayland display")
DEFAULT_PROFILE = "DevTools remote debugging requires a non-default data directory"
DISK = {
    "No space left on device": "the disk is full. Free some space",
    "Read-only file system": "the file system is read-only. Choose another folder",
    "Permission denied": "no permission. Choose another folder, or make this one yours",
}
_ELSEWHERE = re.compile(r"in use by another .* process \((\d+)\) on another computer \(([^)]*)\)")


def explain_exit(code: int, lines: Sequence[str], profile: Path, program: str) -> LaunchError:
    """The error for a browser that ended with ``code`` before it opened its port, told by its last lines."""
    text = "\n".join(lines)
    if ROOT in text:
        return NeedsNoSandbox()
    for wording in DISPLAY:
        if wording in text:
            return NoDisplay(wording)
    if DEFAULT_PROFILE in text:
        return BrowserFailed(
            "the browser's own default profile cannot be driven. Choose a folder of its own", exit_code=code
        )
    elsewhere = _ELSEWHERE.search(text)
    if elsewhere:
        return ProfileInUse(
            profile,
            pid=int(elsewhere[1]),
            host=elsewhere[2],
            reason=f"by a browser (process {elsewhere[1]}) on the computer {elsewhere[2]}. Close it there; "
            f"if that computer is gone, delete {profile / 'SingletonLock'}",
        )
    if code == PROFILE_IN_USE or "ProcessSingleton" in text:
        for wording, reason in DISK.items():
            if wording in text:
                return ProfileNotWritable(profile, reason)
        return ProfileInUse(profile, reason="by another browser. Close that window")
    if code == HANDED_OVER and "existing browser session" in text:
        return ProfileInUse(profile, reason="the start was handed over to a browser that runs on it. Close that window")
    if "No space left on device" in text:
        return ProfileNotWritable(profile, DISK["No space left on device"])
    return BrowserFailed(f"{program} ended before it could be driven", exit_code=code, stderr=lines[-12:])
