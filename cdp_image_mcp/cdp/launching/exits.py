"""What a browser's early end means. Exit codes and wordings: Chromium 156 on Linux, 2026-11.

Codes are the same in every language; wordings that the browser translates are not asked for.
"""

import re
from collections.abc import Sequence

from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    DebuggingForbidden,
    LaunchError,
    NeedsNoSandbox,
    NoDisplay,
    ProfileInUse,
    ProfileNotWritable,
)
from cdp_image_mcp.cdp.launching.holder import Holder, in_use_elsewhere
from cdp_image_mcp.cdp.launching.options import LaunchOptions
from cdp_image_mcp.cdp.launching.profile import prepare_profile

HANDED_OVER = 0
PROFILE_IN_USE = 21

# None of these is translated: they are lines for a log.
ROOT = "Running as root without --no-sandbox"
DISPLAY = ("Missing X server or $DISPLAY", "The platform failed to initialize", "Failed to connect to Wayland display")
NO_SOCKET = "Failed to create socket directory"
NO_LOCK = re.compile(r"Failed to create \S.*SingletonLock: (.+) \((?!17\))\d+\)")
"""And not because there is one (EEXIST)."""
FORBIDDEN = {
    "DevTools remote debugging is disallowed by the system admin": (
        "the browser may not be driven: a policy of this computer forbids it (RemoteDebuggingAllowed or "
        "DeveloperToolsAvailability, see chrome://policy). Choose another browser, or ask whoever set the policy"
    ),
    "DevTools remote debugging requires a non-default data directory": (
        "the browser may not be driven on its own default profile. Choose a folder of its own; if one is chosen, "
        "a policy of this computer (UserDataDir, see chrome://policy) overrides it"
    ),
}


def forbidden(lines: Sequence[str]) -> DebuggingForbidden | None:
    """The browser says that it will never open its port. It does not end with that."""
    text = "\n".join(lines)
    return next((DebuggingForbidden(meant) for wording, meant in FORBIDDEN.items() if wording in text), None)


def explain_exit(code: int, lines: Sequence[str], options: LaunchOptions, holder: Holder | None) -> LaunchError:
    """The error for a browser that ended with ``code`` before it opened its port; ``holder`` has its profile now."""
    text = "\n".join(lines)
    if ROOT in text:
        return NeedsNoSandbox()
    for wording in DISPLAY:
        if wording in text:
            return NoDisplay(wording)
    if (told := forbidden(lines)) is not None:
        return told
    try:
        prepare_profile(options.profile, options.browser)
    except ProfileNotWritable as error:
        return error  # a full disk has many wordings, and one reason
    if NO_SOCKET in text:
        place = options.variables.get("TMPDIR") or "the system's own"
        return BrowserFailed(
            f"{options.browser.path} cannot make a folder in the one for temporary files (TMPDIR, here {place}): it is "
            "full, another user's, or closed by a sandbox. Name another one, or start the client outside of that"
        )
    if (kept := NO_LOCK.search(text)) is not None:
        return ProfileNotWritable(options.profile, f"the browser can make no link there ({kept[1]}). Choose another")
    if code == PROFILE_IN_USE or (code == HANDED_OVER and holder is not None):
        if holder is None:
            return ProfileInUse(options.profile, "by another browser. Close that window")
        if not holder.here:
            return in_use_elsewhere(options.profile, holder)
        return ProfileInUse(options.profile, "by a browser to which the start was handed over. Close that window")
    return BrowserFailed(f"{options.browser.path} ended before it could be driven", exit_code=code, stderr=lines[-12:])
