"""What a fault of the driver means: one function, by what would help."""

from pathlib import Path

import pytest

from cdp_image_mcp.cdp import errors
from cdp_image_mcp.cdp.errors import CDPError
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.errors import Code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BrowserGone("the browser is gone"), "browser_failed"),
        (errors.SessionClosed("detached"), "browser_failed"),
        (errors.PageCrashed(), "browser_failed"),
        (errors.Hanging("our page", 60), "browser_failed"),
        (errors.CommandTimeout("Runtime.evaluate", 15), "browser_failed"),
        (errors.CommandTimeout("Page.navigate", 30), "network"),
        (errors.EventTimeout("the load event", 30), "network"),
        (errors.NavigationError("could not open https://chatgpt.com/: net::ERR_NAME_NOT_RESOLVED"), "network"),
        (errors.NodeError("the element left the page"), "site_changed"),
        (errors.ScriptError("TypeError"), "site_changed"),
        (errors.BrowserNotFound("none found"), "browser_not_found"),
        (errors.ProfileInUse(Path("profile"), reason="another browser"), "profile_in_use"),
        (errors.ProfileNotWritable(Path("profile"), "no space left"), "disk"),
        (errors.NeedsNoSandbox(), "browser_failed"),
    ],
)
def test_the_browser_is_blamed_only_when_another_one_helps(error: CDPError, code: Code) -> None:
    assert problem(error, False).code == code


def test_what_went_out_is_never_called_unsent() -> None:
    after = problem(errors.EventTimeout("the load event", 30), True)
    assert (after.submitted, after.spent) == (True, "unknown")
    assert "Nothing was sent." not in after.message
    assert problem(errors.BrowserGone("gone"), False).message.endswith("Nothing was sent.")
