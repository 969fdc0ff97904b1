"""Keeps the browser: started at the first need, one tab of ours in it, closed in order at the end.

A task of the studio's group holds the browser and the tab, so their blocks are entered and left in one place. Everybody
else borrows the tab, and only while this process holds the account's turn: a browser without a window that another
process started is ended where a window is needed.

What is noticed            What follows at the next need
-------------------------  ---------------------------------------------------------------------------------------------
the browser ended          started, or attached to, again
our tab closed or crashed  a new tab; the user's own tabs and the browser stay
its last window closed     the browser is ended (nobody would see that it still runs) and started again
our page hangs             a new tab
the browser hangs          without windows: ended by force and started again; with windows, in which the user may have
                           tabs of his own: told, and left to him
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import anyio
import anyio.abc

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import BrowserFailed, ProtocolError
from cdp_image_mcp.cdp.protocol import TargetList, WindowForTarget
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.window.tab import Tab, open_tab
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.tasks import background

__all__ = ["Keeper"]

log = logging.getLogger(__name__)

HUNG_STEP = (
    "Ask the user to close that browser, by force if need be. Then wait_for_image collects what was sent before, and a "
    "call that sent nothing can be made again."
)

BROWSER_SECONDS = 20.0
PAGE_SECONDS = 10.0
"""How long a browser, or our page, may owe an answer that usually takes a millisecond before it counts as hanging."""

Mode = Literal["headless", "hidden", "visible"]


class Keeper:
    """The one browser of this process."""

    def __init__(self, settings: Settings, site: Site, script: str, group: anyio.abc.TaskGroup) -> None:
        self._settings = settings
        self._site = site
        self._script = script
        self._group = group
        self._lock = anyio.Lock()
        self._held: Held | None = None
        self.check_is_up = False
        """While the person is before a check, nobody may run a script in our tab."""

    @property
    def tab(self) -> Tab | None:
        """Our tab, when a browser is open."""
        return self._held.usable_tab if self._held is not None and self._held.alive else None

    @property
    def browser(self) -> cdp.Browser | None:
        return self._held.browser if self._held is not None and self._held.alive else None

    @property
    def mode(self) -> Mode | None:
        return self._held.mode if self._held is not None and self._held.alive else None

    @property
    def starting(self) -> bool:
        """Whether a browser is being started at this moment."""
        return self._held is not None and self._held.starting

    @property
    def problem(self) -> ImageError | None:
        """Why the last browser did not start, or how it failed; None while one runs and after an orderly end."""
        return None if self._held is None else self._held.problem

    async def borrow(self, mode: Mode) -> Tab:
        """Our tab, in a window of its own where ``mode`` wants one. Raises ImageError for launch problems.

        A browser that runs without windows is ended in order where one is needed. One with windows goes on with them
        whatever is wanted: the user may have tabs of his own there.
        """
        async with self._lock:
            if (held := self._held) is not None:
                if held.alive:
                    await held.end_hanging()
                if held.alive and held.suits(mode) and (tab := await held.tab_for(mode)) is not None:
                    return tab
                await held.let_go(quit_browser=held.alive)
            self._held = held = Held(self.options(mode), self._site, self._script)
            return await held.start(self._group)

    async def close(self, *, quit_browser: bool = False) -> None:
        """Close our browser in order; one that another process started is only left, unless ``quit_browser``."""
        async with self._lock:
            if self._held is not None:
                await self._held.let_go(quit_browser=quit_browser)
                self._held = None

    async def clear_profile(self) -> None:
        """End every browser that is driven on the profile, whoever started it, so that an ordinary one may have it.

        Raises ImageError ``profile_in_use`` for one that cannot be driven.
        """
        await self.close(quit_browser=True)
        profile = self.options("headless").absolute().profile
        try:
            async with cdp.attach(profile) as browser:
                log.info("ending the browser that another process keeps open")
                await browser.quit()
        except BrowserFailed:
            return  # none runs
        except cdp.LaunchError as error:
            raise problem(error, False) from None
        except cdp.CDPError as error:
            log.info("the other browser ended by itself: %s", error)

    async def shared_window(self, tab: Tab) -> bool:
        """Whether there are tabs besides ours in our tab's window."""
        browser = tab.browser.connection.browser
        targets = (await browser.call("Target.getTargets", reply=TargetList)).target_infos
        ours = await self._window_of(tab, tab.page.target_id)
        others = [each.target_id for each in targets if each.type == "page" and each.target_id != tab.page.target_id]
        return any([await self._window_of(tab, each) == ours for each in others])

    @staticmethod
    async def _window_of(tab: Tab, target_id: str) -> int | None:
        try:
            found = await tab.browser.connection.browser.call(
                "Browser.getWindowForTarget", {"targetId": target_id}, reply=WindowForTarget
            )
        except ProtocolError:
            return None  # closed meanwhile
        return found.window_id

    def options(self, mode: Mode) -> cdp.LaunchOptions:
        """How the browser is started. Raises ImageError ``browser_not_found``."""
        try:
            found = cdp.find_browser(self._settings.chrome_path, profile=self._settings.profile_dir)
        except cdp.LaunchError as error:
            raise problem(error, False) from None
        return cdp.LaunchOptions(
            browser=found,
            profile=self._settings.profile_dir,
            mode=mode,
            debug_port=self._settings.debug_port,
            extra_args=self._settings.chrome_args,
        )


class Held:
    """A browser and our tab in it, from start to end."""

    def __init__(self, options: cdp.LaunchOptions, site: Site, script: str) -> None:
        self.mode: Mode = options.mode
        """What it is; a browser that another process started may have windows though none were wanted."""
        self.browser: cdp.Browser | None = None
        self._tab: Tab | None = None
        self._options = options
        self._site = site
        self._script = script
        self._leave = anyio.Event()
        self._renew = anyio.Event()
        self._opened = anyio.Event()
        self._ended = anyio.Event()
        self._quit = False
        self.problem: ImageError | None = None
        """Why it did not start, or what ended it."""

    @property
    def alive(self) -> bool:
        return self.browser is not None and not self._ended.is_set() and self.browser.connection.gone is None

    @property
    def starting(self) -> bool:
        return self._tab is None and not self._ended.is_set()

    @property
    def usable_tab(self) -> Tab | None:
        tab = self._tab
        if tab is None or tab.closed is not None or tab.page.session.crashed or tab.deaf is not None:
            return None
        return tab

    def suits(self, mode: Mode) -> bool:
        return mode == "headless" or self.mode != "headless"

    async def end_hanging(self) -> None:
        """End a browser that hangs. Raises ImageError ``browser_failed`` where that is the user's to do."""
        browser = self.browser
        if browser is None:
            return
        try:
            if await browser.answers(BROWSER_SECONDS):
                return
            if browser.headless:
                await browser.kill()
        except cdp.CDPError as error:
            log.info("the browser ended meanwhile: %s", error)
        if browser.connection.gone is None:
            raise ImageError(
                "browser_failed",
                f"The browser (process {browser.pid}) is open and does not answer.",
                retryable=False,
                next_step=HUNG_STEP,
            )

    async def start(self, group: anyio.abc.TaskGroup) -> Tab:
        await group.start(self._hold)
        if (tab := self.usable_tab) is None or self._ended.is_set():
            raise self.problem or ImageError("browser_failed", "The browser ended while it was being started.")
        return tab

    async def tab_for(self, mode: Mode) -> Tab | None:
        """The tab, or a new one where it was closed, crashed or hangs; None when the browser is on its way out."""
        if self.mode != "headless" and mode != "headless":
            self.mode = mode
        if self._leave.is_set():
            return None
        if (tab := self.usable_tab) is not None and await _answers(tab):
            return tab
        self._opened = anyio.Event()
        self._renew.set()
        await self._opened.wait()
        return None if self._ended.is_set() else self.usable_tab

    async def let_go(self, *, quit_browser: bool = False) -> None:
        self._quit = self._quit or quit_browser
        self._leave.set()
        await self._ended.wait()

    async def _hold(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Owns the browser's and the tab's blocks. Launch problems are handed to whoever waits for the start."""
        told = False
        try:
            async with self._launched() as browser:
                self.browser = browser
                if self.mode == "headless" or browser.headless:
                    self.mode = "headless" if browser.headless else "hidden"
                going_on = True
                while going_on:
                    async with open_tab(browser, self._site, self._script, hidden=self.mode == "hidden") as tab:
                        self._tab = tab
                        self._renew = anyio.Event()  # a wish from before: this tab is what it wanted
                        self._opened.set()
                        if not told:
                            told = True
                            task_status.started()
                        await self._until_over(browser, tab)
                        if self._leave.is_set() and browser.owned:
                            await browser.quit()  # takes our tab along: a browser that hangs keeps us waiting once
                    going_on = await self._another_tab(browser)
                if self._quit:
                    await browser.quit()
        except cdp.LaunchError as error:
            self.problem = problem(error, False)
        except Exception as error:  # noqa: BLE001 - this runs in the studio's group: no fault here may end other jobs
            self.problem = ImageError("browser_failed", f"The browser failed: {error}")
            log.info("the browser ended: %s", error)
        finally:
            self._ended.set()
            self._opened.set()
            if not told:
                task_status.started()

    @asynccontextmanager
    async def _launched(self) -> AsyncGenerator[cdp.Browser]:
        """The browser; one of another process without windows is ended first where a window is needed."""
        async with AsyncExitStack() as stack:
            browser = await stack.enter_async_context(cdp.launch(self._options))
            if browser.headless and self.mode != "headless" and not browser.owned:
                await browser.quit()
                await stack.aclose()
                browser = await stack.enter_async_context(cdp.launch(self._options))
            yield browser

    async def _until_over(self, browser: cdp.Browser, tab: Tab) -> None:
        """Until the browser or the tab is gone, the tab is to be renewed, or all is to end."""
        over = anyio.Event()
        async with background() as group:

            async def when_closed() -> None:
                await tab.wait_closed()
                over.set()

            group.start_soon(self._tell_end, browser, over)
            group.start_soon(when_closed)
            await over.wait()

    async def _another_tab(self, browser: cdp.Browser) -> bool:
        """After a tab: whether another one is wanted in this browser, waiting for that while the user's tabs are
        there."""
        if not self._renew.is_set():
            if self._leave.is_set() or browser.connection.gone is not None or not await self._others(browser):
                return False
            over = anyio.Event()
            async with background() as group:
                group.start_soon(self._tell_end, browser, over)
                await over.wait()
        wanted = self._renew.is_set() and not self._leave.is_set() and browser.connection.gone is None
        self._renew = anyio.Event()
        return wanted

    async def _tell_end(self, browser: cdp.Browser, over: anyio.Event) -> None:
        async with anyio.create_task_group() as group:

            async def when_gone() -> None:
                log.info("the browser is gone: %s", await browser.connection.wait_gone())
                over.set()

            async def when(wish: anyio.Event) -> None:
                await wish.wait()
                over.set()

            group.start_soon(when_gone)
            group.start_soon(when, self._leave)
            group.start_soon(when, self._renew)

    @staticmethod
    async def _others(browser: cdp.Browser) -> bool:
        """Whether there are tabs that are not ours. A browser of another process is never ended by us anyway."""
        if browser.headless or not browser.owned:
            return False
        targets = await browser.connection.browser.call("Target.getTargets", reply=TargetList)
        return any(target.type == "page" for target in targets.target_infos)


async def _answers(tab: Tab) -> bool:
    try:
        if await tab.page.answers(PAGE_SECONDS):
            return True
    except cdp.CDPError as error:
        log.info("our tab is gone: %s", error)
    else:
        log.warning("our page hangs; a new tab takes its place")
    return False
