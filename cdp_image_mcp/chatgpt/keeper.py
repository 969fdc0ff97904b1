"""Keeps the browser: started at the first need, one tab of ours in it, closed in order at the end.

A task of the studio's group holds the browser and the tab, so their blocks are entered and left in one place. Everybody
else borrows the tab. A browser that ends by itself (crash, window closed by the user, its owner gone) is noticed by
its connection and started or attached to again at the next need.
"""

import logging
from pathlib import Path
from typing import Literal

import anyio
import anyio.abc

from cdp_image_mcp import cdp
from cdp_image_mcp.background import background
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.tab import Tab, open_tab
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError

__all__ = ["Keeper", "launch_problem"]

log = logging.getLogger(__name__)

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

    @property
    def tab(self) -> Tab | None:
        """Our tab, when a browser is open."""
        return self._held.tab if self._held is not None and self._held.alive else None

    @property
    def browser(self) -> cdp.Browser | None:
        return self._held.browser if self._held is not None and self._held.alive else None

    @property
    def mode(self) -> Mode | None:
        return self._held.mode if self._held is not None and self._held.alive else None

    async def borrow(self, mode: Mode) -> Tab:
        """Our tab in a browser of ``mode``; another mode is changed in order. Raises ImageError for launch problems."""
        async with self._lock:
            if (held := self._held) is not None:
                if held.alive and held.tab is not None and held.wanted == mode:
                    return held.tab
                await held.let_go(quit_browser=held.wanted != mode)
            self._held = held = Held(self.options(mode), self._site, self._script)
            return await held.start(self._group)

    async def close(self, *, quit_browser: bool = False) -> None:
        """Close our browser in order; one that another process started is only left, unless ``quit_browser``."""
        async with self._lock:
            if self._held is not None:
                await self._held.let_go(quit_browser=quit_browser)
                self._held = None

    def options(self, mode: Mode) -> cdp.LaunchOptions:
        """How the browser is started. Raises ImageError ``browser_not_found``."""
        try:
            found = cdp.find_browser(self._settings.chrome_path)
        except cdp.LaunchError as error:
            raise launch_problem(error) from None
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
        self.wanted: Mode = options.mode
        self.mode: Mode = options.mode
        """What it is; a browser that another process started keeps the window it was given there."""
        self.browser: cdp.Browser | None = None
        self.tab: Tab | None = None
        self._options = options
        self._site = site
        self._script = script
        self._leave = anyio.Event()
        self._ended = anyio.Event()
        self._quit = False
        self._problem: ImageError | None = None

    @property
    def alive(self) -> bool:
        return (
            self.browser is not None
            and self.tab is not None
            and not self._ended.is_set()
            and self.browser.connection.gone is None
            and self.tab.closed is None
            and not self.tab.page.session.crashed
        )

    async def start(self, group: anyio.abc.TaskGroup) -> Tab:
        await group.start(self._hold)
        if self.tab is None:
            raise self._problem or ImageError("browser_failed", "The browser ended while it was being started.")
        return self.tab

    async def let_go(self, *, quit_browser: bool = False) -> None:
        self._quit = quit_browser
        self._leave.set()
        await self._ended.wait()

    async def _hold(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Owns the browser's and the tab's blocks. Launch problems are handed to whoever waits for the start."""
        told = False
        try:
            async with cdp.launch(self._options) as browser:
                self.browser = browser
                if browser.headless or self.wanted == "headless":
                    self.mode = "headless" if browser.headless else "hidden"
                async with open_tab(browser, self._site, self._script, hidden=self.mode == "hidden") as tab:
                    self.tab = tab
                    told = True
                    task_status.started()
                    await self._until_over(browser, tab)
                if self._quit:
                    await browser.quit()
        except cdp.LaunchError as error:
            self._problem = launch_problem(error)
        except (cdp.CDPError, OSError) as error:
            self._problem = ImageError("browser_failed", f"The browser failed: {error}")
            log.info("the browser ended: %s", error)
        finally:
            self._ended.set()
            if not told:
                task_status.started()

    async def _until_over(self, browser: cdp.Browser, tab: Tab) -> None:
        over = anyio.Event()
        async with background() as group:

            async def when_gone() -> None:
                gone = await browser.connection.wait_gone()
                log.info("the browser is gone: %s", gone)
                over.set()

            async def when_closed() -> None:
                await tab.wait_closed()
                over.set()

            async def when_wanted() -> None:
                await self._leave.wait()
                over.set()

            for wait in (when_gone, when_closed, when_wanted):
                group.start_soon(wait)
            await over.wait()


def launch_problem(error: cdp.LaunchError) -> ImageError:
    """A launch error of the driver in the contract's codes; nothing has been sent then."""
    from cdp_image_mcp.cdp.errors import BrowserNotFound, NoDisplay, ProfileInUse, ProfileNotWritable

    if isinstance(error, BrowserNotFound):
        return ImageError("browser_not_found", str(error))
    if isinstance(error, ProfileInUse):
        return ImageError("profile_in_use", str(error))
    if isinstance(error, ProfileNotWritable):
        return ImageError("disk", str(error))
    if isinstance(error, NoDisplay):
        return ImageError("needs_sign_in", str(error))
    return ImageError("browser_failed", str(error))


def profile_exists(profile: Path) -> bool:
    """Whether the profile was ever used."""
    return (profile / "Default").is_dir()
