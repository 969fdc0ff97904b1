"""What a fault of the driver means for the caller: the one way from its errors to the contract's codes."""

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import errors
from cdp_image_mcp.errors import Code, Fact, ImageError

PROFILE_STEP = "Ask the user to make room there or to set CHATGPT_WEB_PROFILE_DIR to another folder, then call again."
SANDBOX_STEP = (
    "Ask the user to run this as an ordinary user or, in a container that is trusted, to set "
    "CHATGPT_CHROME_ARGS=--no-sandbox."
)
DISPLAY_STEP = "Ask the user to start the client from a desktop session, or to set CHATGPT_WINDOW_MODE=headless."
POLICY_STEP = "Ask the user to name another browser with CHROME_PATH, or to use the API."
_LAUNCHING: dict[type[errors.LaunchError], tuple[Code, str | None]] = {
    errors.BrowserNotFound: ("browser_not_found", None),
    errors.ProfileInUse: ("profile_in_use", None),
    errors.ProfileNotWritable: ("disk", PROFILE_STEP),
    errors.DebuggingForbidden: ("browser_failed", POLICY_STEP),
    errors.NeedsNoSandbox: ("browser_failed", SANDBOX_STEP),
    errors.NoDisplay: ("browser_failed", DISPLAY_STEP),
}
"""The code and the step of what another try alone does not mend."""
_ONCE_SENT = {
    PROFILE_STEP: "Ask the user to make room there.",
    POLICY_STEP: "Ask the user to name another browser with CHROME_PATH.",
}
"""Steps without what would not find the prompt that is out, and pay for its picture again."""

LOST = (
    *(errors.BrowserGone, errors.SessionClosed, errors.PageCrashed, errors.Hanging),
    *(errors.EventOverflow, errors.SubscriptionClosed, errors.ProtocolError),
)
"""The browser or its page is gone, crashed, hangs or is no longer understood: only another one helps."""
LOADING = frozenset(("Page.navigate", "Page.reload"))


def problem(error: cdp.CDPError, sent: Fact) -> ImageError:
    """The error of the contract for a fault of the driver, after what was ``sent``. The browser is replaced for
    ``browser_failed`` alone."""
    if isinstance(error, errors.LaunchError):
        code, step = _LAUNCHING.get(type(error), ("browser_failed", None))
        lasting = code == "browser_failed" and step is not None
        if step is not None and sent is not False:
            step = _ONCE_SENT.get(step, step)
        return ImageError(code, str(error), retryable=False if lasting else None, next_step=step)
    if sent is False:
        return ImageError(_code(error), f"{error}. Nothing was sent.")
    lost = _code(error) == "browser_failed"
    what = "The browser was lost while the picture was being made" if lost else "The picture is not here yet"
    return ImageError(_code(error), f"{what}: {error}", submitted=sent)


def _code(error: cdp.CDPError) -> Code:
    if isinstance(error, errors.CommandTimeout):
        # A page that does not load is the network's fault; one that answers no command hangs.
        return "network" if error.method in LOADING else "browser_failed"
    if isinstance(error, errors.NodeError | errors.ScriptError | errors.FileError | errors.DocumentLeft):
        return "site_changed"
    return "browser_failed" if isinstance(error, LOST) else "network"
