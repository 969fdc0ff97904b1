"""``browser_visibility`` and the web part of ``backend_status``: the truth about browser and window at this moment."""

import math
from typing import Any, Literal

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.launching.options import Mode
from cdp_image_mcp.chatgpt.window.keeper import Keeper
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.window.windowmode import NO_DISPLAY, WindowMemory, has_display
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.turns import Turns

ACT_SECONDS = 38.0
"""With the facts before and after it, and an orderly end of what was begun, the answer stays within 45 s."""
TURN_SECONDS = 2.0
FACTS_SECONDS = 3.0
"""A browser that has not told where its window is by then is stuck: it answers that within a millisecond otherwise."""
STUCK = "unknown"
"""The place of a window whose browser does not answer."""
PAGELESS = "The browser is open, and our page in it was closed or has crashed"
WINDOWLESS = "The browser is open without a window (headless)."


class Visibility:
    """Shows and hides our window. While a generation uses the browser, of whatever process, only what can be done
    without starting it anew is done at once, the rest from the next start on."""

    def __init__(self, settings: Settings, keeper: Keeper, memory: WindowMemory) -> None:
        self._settings = settings
        self._keeper = keeper
        self._memory = memory
        self._turns = Turns(settings.profile_dir)
        self._tried: dict[str, Any] = {}

    async def act(self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool) -> dict[str, Any]:
        """The answer of ``browser_visibility``; within 45 s whatever happens."""
        shown = action == "toggle" and (await self._facts())["visible"]
        applied = action if action != "toggle" else "hide" if shown else "show"
        message: str | None = None
        with anyio.move_on_after(ACT_SECONDS) as limit:
            message = await self._do(applied, start_browser)
        if limit.cancelled_caught:
            message = f"It was not done within {ACT_SECONDS:g} s."
        facts = await self._facts()
        # Only a window that is now as it was asked to be: a wish for the next start is told in words.
        done = facts["visible"] if applied == "show" else facts["place"] in {"offscreen", "minimized"}
        return {
            "backend": "chatgpt-web",
            "supported": True,
            "requested_action": action,
            **({"applied_action": applied} if done and applied != "status" else {}),
            **facts,
            "message": message or describe(facts),
        }

    async def _do(self, action: Literal["status", "show", "hide"], start_browser: bool) -> str | None:
        """What went wrong, or was done, in words; None when the facts say it all."""
        if action != "status":
            if not has_display():
                return f"Nothing was shown or hidden: {NO_DISPLAY}."
            if self._settings.window_mode == "headless":
                return "CHATGPT_WINDOW_MODE is headless, so no window may be shown."
            self._memory.asked = "visible" if action == "show" else "hidden"
        if start_browser and self._keeper.tab is None:
            # On a blank tab; arriving at the site is the first generation's business.
            try:
                await self._borrow((await self._memory.choose()).mode)
            except ImageError as error:
                return f"The browser was not started: {error.message}"
        return None if action == "status" else await self._apply(action)

    async def backend_status(self) -> dict[str, Any]:
        """Keys of the seed's ``statuses`` entry for the web back end."""
        facts = await self._facts()
        found = None
        try:
            found = cdp.find_browser(self._settings.chrome_path, profile=self._settings.profile_dir)
        except cdp.LaunchError as error:
            message = str(error)
        else:
            message = self._readiness(facts)
        problem = self._keeper.problem
        session = {
            "ready": facts["chat_ready"],
            "starting": self._keeper.starting,
            **({} if problem is None else {"last_error": problem.message}),
            "session_reused": True,
            "profile_dir": str(self._settings.profile_dir),
            **facts,
        }
        choice = await self._memory.choose()
        details = {
            "mode": "direct",
            "profile_dir": str(self._settings.profile_dir),
            "default_hide_window": self._settings.window_mode != "visible",
            "hide_window": choice.mode != "visible",
            "login_timeout_seconds": self._settings.login_timeout,
            "session": session,
            "window_mode": self._settings.window_mode,
            "next_window": choice.mode,
            "next_window_reason": choice.why,
            "browser": None if found is None else {"kind": found.kind, "path": str(found.path)},
            "site": self._settings.web_url,
            "problems": [str(one) for one in self._keeper.unread],
        }
        return {
            "configured": found is not None,
            "ready": bool(facts["chat_ready"]),
            "message": message,
            "details": details,
        }

    def _readiness(self, facts: dict[str, Any]) -> str:
        if facts["chat_ready"]:
            return "Session ready."
        if self._keeper.starting:
            return "The browser is starting."
        if self._keeper.problem is not None:
            return f"Configured; the last browser failed: {self._keeper.problem.message}"
        return "Configured; the browser starts at the first use."

    async def _borrow(self, mode: Mode) -> Tab:
        """As every user of the browser only in turn: starting it anew would take it from a running generation, of this
        process or another."""
        with anyio.move_on_after(TURN_SECONDS) as limit:
            async with self._turns.take():
                limit.deadline = math.inf
                try:
                    return await self._keeper.borrow(mode)
                except ImageError as error:
                    if error.code == "browser_failed":
                        self._memory.takes_back(error)
                    raise
        raise ImageError("browser_failed", "A generation is using it; the wish counts from the next start on.")

    async def _apply(self, action: Literal["show", "hide"]) -> str:
        browser, tab = self._keeper.browser, self._keeper.tab
        when = "will be visible" if action == "show" else "will be hidden"
        if browser is None:
            return f"No browser is open; its window {when} when it starts."
        if tab is None:
            return f"{PAGELESS}; the window of a new one {when}."
        if (await self._where(browser, tab))[0] == STUCK:
            return f"The browser does not answer, so nothing was done; its window {when} when it starts anew."
        if self._keeper.mode == "headless":
            if action == "hide":
                return WINDOWLESS
            try:
                tab = await self._borrow("visible")
            except ImageError as error:
                return f"The window could not be opened: {error.message}"
        return await self._move(tab, action)

    async def _move(self, tab: Tab, action: Literal["show", "hide"]) -> str:
        try:
            if action == "show":
                report = await tab.window.show()
            else:
                # Before a check no script may run in the page, not even to see whether it paints.
                report = await tab.window.hide(probe=tab.ready)
        except cdp.CDPError as error:
            self._tried = {f"{action}_error": str(error)}
            return f"The window could not be {'shown' if action == 'show' else 'hidden'}: {error}"
        # How it was hidden tells the window itself, for as long as nobody else moves it.
        self._tried = {"show_method": report.method} if action == "show" else {}
        if report.note:
            self._tried[f"{action}_error"] = report.note
        if report.place == "closed":
            return "The window was closed meanwhile."
        done = report.hidden if action == "hide" else not report.hidden
        state = "hidden" if report.hidden else "visible"
        return f"The window is {state}." if done else f"The window is still {state}. {report.note}"

    async def _facts(self) -> dict[str, Any]:
        """Asked at this moment; runs no script in the page."""
        browser, tab = self._keeper.browser, self._keeper.tab
        place, method = ("closed", None) if browser is None else await self._where(browser, tab)
        choice = await self._memory.choose()
        if (is_open := self._keeper.browser is not None) is False:
            place, method = "closed", None  # it ended while it was asked
        shown = is_open and place != "closed"
        ready = shown and tab is not None and tab.ready
        facts: dict[str, Any] = {
            "mode": "direct",
            "default_hide_window": self._settings.window_mode != "visible",
            "hide_window": choice.mode != "visible",
            "browser_open": is_open,
            "browser_mode": self._shape(place) if is_open else None,
            "chat_ready": ready,
            "hide_ready": ready,
            "hidden": shown and place not in {"visible", STUCK},
            "visible": place == "visible",
            "place": place,
            "hide_attempted": method is not None or "hide_error" in self._tried,
            **({"hide_method": method} if method is not None else {}),
            **self._tried,
        }
        if place != "visible":
            facts.pop("show_method", None)
        if tab is not None and shown:
            facts["current_url"] = tab.page.url.split("?")[0].split("#")[0]
        return facts

    @staticmethod
    async def _where(browser: cdp.Browser, tab: Tab | None) -> tuple[str, str | None]:
        """The place of our window, and how it was put there; "closed" where the browser goes on without our page."""
        place, method = "headless" if browser.headless else "closed", None
        try:
            with anyio.fail_after(FACTS_SECONDS):
                if tab is not None:
                    report = await tab.window.status()
                    place, method = report.place, report.method
                if place in {"headless", "closed"}:
                    # Nothing had to be asked for that.
                    await browser.connection.browser.call("Browser.getVersion")
        except TimeoutError:
            return STUCK, None
        except cdp.CDPError:
            return "closed", None
        return place, method

    def _shape(self, place: str) -> str | None:
        if self._keeper.mode == "headless" or place in {STUCK, "closed"}:
            return self._keeper.mode
        return "visible" if place == "visible" else "hidden"


def describe(facts: dict[str, Any]) -> str:
    if not facts["browser_open"]:
        return "No browser is open."
    told = {
        STUCK: "The browser is open and does not answer: it hangs, or the machine is busy or short of memory.",
        "headless": WINDOWLESS,
        "closed": f"{PAGELESS}; the next picture opens a new one.",
    }
    return told.get(facts["place"], f"The browser window is {facts['place']}.")
