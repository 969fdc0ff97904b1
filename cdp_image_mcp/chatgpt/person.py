"""Calling the person: to sign in in an ordinary window, or to pass a check in the driven one."""

import logging
import sys
from typing import Literal, TypeAlias

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.background import background
from cdp_image_mcp.chatgpt.arrival import wait_until_passed
from cdp_image_mcp.chatgpt.keeper import Keeper, launch_problem
from cdp_image_mcp.chatgpt.windowmode import WindowMemory, has_display
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, Fact, ImageError
from cdp_image_mcp.request import Report

__all__ = ["Person", "sign_in_text"]

log = logging.getLogger(__name__)

PersonState: TypeAlias = Literal["needs_sign_in", "needs_verification"]
ERROR_OF: dict[PersonState, Code] = {
    "needs_sign_in": "needs_sign_in",
    "needs_verification": "verification_required",
}
"""The error when nobody can be asked."""


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

    def _require_display(self, state: PersonState, what: str, submitted: Fact) -> None:
        if self._settings.window_mode == "headless":
            reason = "CHATGPT_WINDOW_MODE is headless, so no window may be shown"
        elif not has_display():
            reason = "there is no display to show a window on"
        else:
            return
        raise ImageError(ERROR_OF[state], f"A person is needed ({what}), and {reason}.", submitted=submitted)

    async def in_plain_window(self, report: Report | None, *, state: PersonState, why: str, submitted: Fact) -> None:
        """Open an ordinary window with no debugging switch and wait until the person has closed it: for signing in,
        and for every question of the site that lies over the page."""
        self._require_display(state, why, submitted)
        await self._keeper.close(quit_browser=True)
        if report is not None:
            await report.waiting_for_person()
            await report.state(state)
            report.progress(sign_in_text() if state == "needs_sign_in" else answer_text(why))
        options = self._keeper.options("visible")
        try:
            with anyio.fail_after(self._settings.login_timeout):
                async with cdp.open_plain(options, self._settings.web_url) as window:
                    await window.wait_closed()
        except TimeoutError:
            raise ImageError(
                ERROR_OF[state],
                f"Nobody answered within {self._settings.login_timeout:g} s ({why}); the window was closed.",
                submitted=submitted,
            ) from None
        except cdp.LaunchError as error:
            raise launch_problem(error) from None

    async def pass_check(self, report: Report | None, *, submitted: Fact = False) -> None:
        """Show the driven window on the site and only listen until the check is gone."""
        if self._keeper.mode == "headless" and self._settings.window_mode == "auto" and has_display():
            await self._memory.met_check()
        self._require_display("needs_verification", "the site wants a check to be passed", submitted)
        if report is not None:
            await report.waiting_for_person()
            await report.state("needs_verification")
            report.progress("The site wants a check: pass it in the browser window; the rest goes on by itself.")
        tab = await self._keeper.borrow(
            "visible" if self._keeper.mode == "headless" else self._keeper.mode or "visible"
        )
        try:
            with anyio.fail_after(self._settings.login_timeout):
                over = anyio.Event()
                async with background() as group:

                    async def passed() -> None:
                        await wait_until_passed(tab)
                        over.set()

                    group.start_soon(passed)
                    await anyio.lowlevel.checkpoint()
                    await tab.open(self._settings.web_url)
                    await tab.window.show()
                    await over.wait()
        except TimeoutError:
            raise ImageError(
                "verification_required",
                f"Nobody passed the site's check within {self._settings.login_timeout:g} s.",
                submitted=submitted,
            ) from None
