"""Calling the person: to sign in in an ordinary window, or to pass a check in the driven one."""

import logging
import sys
from collections.abc import Callable
from typing import Literal, TypeAlias

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import NoDisplay
from cdp_image_mcp.chatgpt.page.arrival import is_passed, wait_until_passed
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.window.keeper import Keeper
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.window.windowmode import WindowMemory, has_display
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, Fact, ImageError
from cdp_image_mcp.request import Report
from cdp_image_mcp.system.tasks import background, shielded

__all__ = ["Person", "sign_in_text"]

log = logging.getLogger(__name__)

PersonState: TypeAlias = Literal["needs_sign_in", "needs_verification"]
ERROR_OF: dict[PersonState, Code] = {
    "needs_sign_in": "needs_sign_in",
    "needs_verification": "verification_required",
}
"""The error when nobody can be asked."""
HIDING_SECONDS = 10.0


def sign_in_text(platform: str = sys.platform) -> str:
    """What the person has to do. On macOS closing a window does not end the program, which holds the profile."""
    end = "quit the browser (Cmd-Q)" if platform == "darwin" else "close that browser window"
    return f"A browser window has been opened. Sign in to ChatGPT there, then {end}; the rest goes on by itself."


def answer_text(why: str, platform: str = sys.platform) -> str:
    end = "quit the browser (Cmd-Q)" if platform == "darwin" else "close that browser window"
    return f"A browser window has been opened because {why}. Answer it there, then {end}; the rest goes on by itself."


class Person:
    """Asks the person and waits, within the login time. Raises ImageError when nobody can be asked."""

    def __init__(self, settings: Settings, keeper: Keeper, memory: WindowMemory) -> None:
        self._settings = settings
        self._keeper = keeper
        self._memory = memory

    def require_display(self, state: PersonState, what: str, submitted: Fact, report: Report | None = None) -> None:
        """Raises ImageError when no window may or can be shown, or nobody is there who waits."""
        if report is not None and report.background:
            reason = "nobody waits for this picture at the moment"
        elif self._settings.window_mode == "headless":
            reason = "CHATGPT_WINDOW_MODE is headless, so no window may be shown"
        elif not has_display():
            reason = "there is no display to show a window on"
        else:
            return
        raise ImageError(ERROR_OF[state], f"A person is needed ({what}), and {reason}.", submitted=submitted)

    async def in_plain_window(
        self,
        report: Report | None,
        *,
        state: PersonState,
        why: str,
        submitted: Fact,
        opened: Callable[[], None] | None = None,
    ) -> str:
        """Open an ordinary window with no debugging switch and wait until the person has closed it: for signing in,
        and for every question of the site that lies over the page.

        The person's state is told, and ``opened`` called, once the window is there. Answers how it ended, in words;
        whether it helped, only the site can tell: also somebody who never closed the window may have signed in.
        """
        self.require_display(state, why, submitted, report)
        await self._keeper.clear_profile()
        try:
            async with cdp.open_plain(self._keeper.options("visible"), self._settings.web_url) as window:
                if report is not None:
                    await report.waiting_for_person()
                    await report.state(state)
                    report.progress(sign_in_text() if state == "needs_sign_in" else answer_text(why))
                if opened is not None:
                    opened()
                with anyio.move_on_after(self._settings.login_timeout):
                    await window.wait_closed()
                    return "the window was closed"
                return f"nobody closed the window within {self._settings.login_timeout:g} s, so it was closed"
        except NoDisplay as error:
            raise ImageError(ERROR_OF[state], f"A person is needed ({why}), and there is {error}.") from None
        except cdp.LaunchError as error:
            raise problem(error, submitted) from None

    async def pass_check(self, report: Report | None, *, submitted: Fact = False) -> None:
        """Open the site in a window and let the person pass the check there; only listen until it is gone.

        The window is shown if the check is up in a window too, and hidden again afterwards if it was hidden.
        """
        headless = self._keeper.mode == "headless"
        self.require_display("needs_verification", "the site wants a check to be passed", submitted, report)
        if headless:
            await self._memory.met_check()
        if report is not None:
            await report.waiting_for_person()
            await report.state("needs_verification")
            report.progress("The site wants a check: pass it in the browser window; the rest goes on by itself.")
        tab = await self._keeper.borrow("hidden" if headless else self._keeper.mode or "hidden")
        self._keeper.check_is_up = True
        try:
            with anyio.fail_after(self._settings.login_timeout):
                await self._listen(tab)
        except TimeoutError:
            raise ImageError(
                "verification_required",
                f"Nobody passed the site's check within {self._settings.login_timeout:g} s.",
                submitted=submitted,
            ) from None
        finally:
            self._keeper.check_is_up = False
            with shielded(HIDING_SECONDS):
                await self._hide_again(tab)
        if tab.closed is not None:
            raise ImageError(
                "verification_required",
                "The browser window was closed before the site's check was passed.",
                submitted=submitted,
            )

    async def _listen(self, tab: Tab) -> None:
        """Until the site lets us in or the tab is gone. The window is shown only if the check is up in it."""
        over = anyio.Event()
        async with background() as group:

            async def passed() -> None:
                try:
                    await wait_until_passed(tab)
                except cdp.CDPError as error:
                    log.info("the check's tab is gone: %s", error)
                over.set()

            async def gone() -> None:
                await tab.wait_closed()
                over.set()

            group.start_soon(passed)
            group.start_soon(gone)
            await anyio.lowlevel.checkpoint()
            try:
                if not is_passed(tab, await tab.open(self._settings.web_url)):
                    await tab.window.show()
            except cdp.CDPError as error:
                if tab.closed is None and "No target" not in str(error):
                    raise
                log.info("the person closed the window at once: %s", error)
            await over.wait()

    async def _hide_again(self, tab: Tab) -> None:
        """As before the person was called; where the user has put a tab of his own beside ours, it stays."""
        if self._keeper.mode != "hidden" or self._memory.asked == "visible" or tab.closed is not None:
            return
        try:
            if not await self._keeper.shared_window(tab):
                await tab.window.hide(probe=False)
        except cdp.CDPError as error:
            log.info("the window was not hidden again: %s", error)
