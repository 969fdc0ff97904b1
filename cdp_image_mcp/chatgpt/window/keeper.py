"""Keeps the browser: opened at the first need, one tab of ours in it, closed in order when nobody needs it.

Two blocks are held open, the browser's and the tab's, each by a task of its own. Whoever needs the tab borrows it, and
only while this process holds the account's turn: a browser without a window that another process started is ended where
a window is needed.

What is noticed                    What follows
---------------------------------  ---------------------------------------------------------------------------------
the browser ended                  opened, or attached to, again at the next need
our tab closed or crashed          a new tab at the next need; the user's own tabs and the browser stay
its last window closed             the browser is left, and ends unless others hold it: nobody would see that it runs
our page hangs                     a new tab at the next need
the browser hangs                  at the next need: without windows ended by force and opened again; with windows, in
                                   which the user may have tabs of his own, told, and left to him
nothing to do for 90 s             without windows: closed, and with it its port and its memory; with windows it is the
                                   user's to close
another server works in it         it is only left: the browser ends with the last who holds its leash
"""

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import anyio
import anyio.abc

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import BrowserFailed, CommandTimeout
from cdp_image_mcp.cdp.launching.options import Mode
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.page.eye import Eye, Unread
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.window.tab import Tab, open_tab, pages
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.tasks import HeldOpen, background, shielded

log = logging.getLogger(__name__)

HUNG_STEP = (
    "Ask the user to close that browser, by force if need be. Then wait_for_image collects what was sent before, and a "
    "call that sent nothing can be made again."
)

IDLE_SECONDS = 90.0
"""How long a browser without windows is kept with nothing to do: the next prompt of a conversation finds it warm, and
on macOS the user's links do not go to it for longer (Launch Services hands them to what runs)."""
BROWSER_SECONDS = 20.0
PAGE_SECONDS = 10.0
"""How long a browser, or our page, may owe an answer that usually takes a millisecond before it counts as hanging."""


class Keeper:
    def __init__(self, settings: Settings, site: Site, script: str, group: anyio.abc.TaskGroup) -> None:
        self._settings = settings
        self._site = site
        self._script = script
        self._group = group
        self._lock = anyio.Lock()
        self._browser: HeldOpen[cdp.Browser] | None = None
        self._tab: HeldOpen[Tab] | None = None
        self._eye: Eye | None = None
        self._mode: Mode = "headless"
        self._asked: Mode = "headless"
        """What it was started as: by CHATGPT_CHROME_ARGS it may be headless all the same."""
        self._users = 0
        self._users_changed = anyio.Event()
        self.starting = False
        self.problem: ImageError | None = None
        """Why the last browser did not start, or what ended it; None while one runs and after an orderly end."""

    @property
    def browser(self) -> cdp.Browser | None:
        """The browser that is open at this moment."""
        held = self._browser
        return held.value if held is not None and held.open and held.value.connection.gone is None else None

    @property
    def tab(self) -> Tab | None:
        if self.browser is None or self._tab is None or not self._tab.open:
            return None
        tab = self._tab.value
        return None if tab.closed is not None or tab.page.session.crashed else tab

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What our page's script passed over where it ran last, also when that page is closed."""
        return () if self._eye is None else self._eye.unread

    @property
    def mode(self) -> Mode | None:
        """What the browser is; one of another process may have windows though none were wanted."""
        return None if self.browser is None else self._mode

    @contextmanager
    def in_use(self) -> Generator[None]:
        """While the block lasts there is something to do for the browser."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self._users += more
        self._users_changed.set()
        self._users_changed = anyio.Event()

    async def borrow(self, mode: Mode) -> Tab:
        """Our tab, in a window of its own where ``mode`` wants one. Raises ImageError for launch problems.

        A browser that runs without windows is ended in order where one is needed. One with windows goes on with them
        whatever is wanted: the user may have tabs of his own there.
        """
        with self.in_use():
            async with self._lock:
                try:
                    return await self._present(mode) or await self._open(mode)
                except ImageError as error:
                    self.problem = error
                    raise
                except cdp.CDPError as error:
                    self.problem = problem(error, sent=False)
                    raise self.problem from error

    async def close(self) -> None:
        """Close our browser in order, or leave it to those who work in it."""
        async with self._lock:
            await self._close(end=False)

    async def clear_profile(self) -> None:
        """End every browser that is driven on the profile, whoever started it, so that an ordinary one may have it.

        Raises ImageError ``profile_in_use`` for one that cannot be driven.
        """
        async with self._lock:
            await self._close(end=True)
        try:
            async with cdp.attach(self._settings.profile_dir) as browser:
                log.info("ending the browser that another process keeps open")
                await browser.quit()
        except BrowserFailed:
            return  # none runs
        except cdp.LaunchError as error:
            raise problem(error, sent=False) from None
        except cdp.CDPError as error:
            log.info("the other browser ended by itself: %s", error)

    def options(self, mode: Mode) -> cdp.LaunchOptions:
        """How the browser is started. Raises ImageError ``browser_not_found``."""
        try:
            found = cdp.find_browser(self._settings.chrome_path, profile=self._settings.profile_dir)
        except cdp.LaunchError as error:
            raise problem(error, sent=False) from None
        return cdp.LaunchOptions(
            browser=found,
            profile=self._settings.profile_dir,
            mode=mode,
            debug_port=self._settings.debug_port,
            extra_args=self._settings.chrome_args,
        )

    # --- opening and closing, under the lock -------------------------------------------------------------------

    async def _present(self, mode: Mode) -> Tab | None:
        """The tab that is there, or a new one in the browser that is there; None without a fitting browser."""
        if self.browser is not None:
            await _end_hanging(self.browser)
        browser = self.browser
        if browser is None or (mode != "headless" and self._mode == self._asked == "headless"):
            return None
        if mode != "headless" and not browser.headless:
            self._mode = mode
        if (tab := self.tab) is not None and await _answers(tab):
            return tab
        return await self._open_tab() if browser.connection.gone is None else None

    async def _open(self, mode: Mode) -> Tab:
        await self._close(end=True)
        self.starting, self._asked = True, mode
        try:
            self._browser = held = HeldOpen(_launched(self.options(mode)))
            browser = await held.enter(self._group)
            self._mode = "headless" if browser.headless else "hidden" if mode == "headless" else mode
            self._group.start_soon(self._mind, held)
            tab = await self._open_tab()
        finally:
            self.starting = False
        self.problem = None
        return tab

    async def _open_tab(self) -> Tab:
        if self._browser is None:
            raise RuntimeError("no browser is open")
        if self._tab is not None:
            await self._tab.close()
        manager = open_tab(self._browser.value, self._site, self._script, hidden=self._mode == "hidden")
        self._tab = HeldOpen(manager)
        tab = await self._tab.enter(self._group)
        self._eye = tab.eye
        return tab

    async def _close(self, *, end: bool) -> None:
        """Close the tab and leave the browser, which ends with the last who leaves it; or ``end`` it, under whomever it
        may be."""
        held, tab = self._browser, self._tab
        self._browser = self._tab = None
        if held is None:
            return
        with shielded():
            browser = held.value if held.open else None
            if browser is not None and end:
                await browser.quit()  # takes our tab along: a browser that hangs keeps us waiting once
            if tab is not None:
                await tab.close()
            if browser is not None:
                await browser.leave()
            await held.close()

    # --- while it is open --------------------------------------------------------------------------------------

    async def _mind(self, held: HeldOpen[cdp.Browser]) -> None:
        """Close the browser when it is needed no more; clear away when it is gone. A fault is logged: raised, it would
        end everything beside it, with requests to the API that are paid for."""
        browser = held.value
        try:
            async with background() as tasks:
                tasks.start_soon(self._until_unused if browser.headless else self._until_windowless, held)
                log.info("the browser is gone: %s", await browser.connection.wait_gone())
            async with self._lock:
                if self._browser is held:
                    await self._close(end=False)
        except Exception:
            log.exception("nobody looks after the browser any more")

    async def _until_unused(self, held: HeldOpen[cdp.Browser]) -> None:
        while self._browser is held:
            changed = self._users_changed
            with anyio.move_on_after(IDLE_SECONDS if self._users == 0 else None) as limit:
                await changed.wait()
            if not limit.cancelled_caught:
                continue
            async with self._lock:
                takes = await _takes_from_others(held.value, self._tab)
                if self._users == 0 and self._browser is held and not takes:
                    log.info("the browser had nothing to do for %g s and is closed", IDLE_SECONDS)
                    await self._close(end=False)

    async def _until_windowless(self, held: HeldOpen[cdp.Browser]) -> None:
        """A browser whose last window is closed would run on unseen."""
        session = held.value.connection.browser
        with session.subscribe("Target.targetDestroyed") as closed:
            try:
                await session.call("Target.setDiscoverTargets", {"discover": True})
                async for _ in closed:
                    told = False
                    while not await self._looked_for_windows(held):
                        if not told:
                            log.info("the browser is slow to say which windows it has")
                        told = True
                        await anyio.sleep(PAGE_SECONDS)  # without the lock: others may need it meanwhile
            except cdp.CDPError as error:
                log.info("windows are watched no more: %s", error)

    async def _looked_for_windows(self, held: HeldOpen[cdp.Browser]) -> bool:
        """False when the browser did not say in time: the last window may be gone."""
        async with self._lock:
            try:
                if self._browser is held and not await pages(held.value):
                    # It ends with the last who leaves it: another server may just change its tab.
                    await self._close(end=False)
            except CommandTimeout:
                return False
        return True


@asynccontextmanager
async def _launched(options: cdp.LaunchOptions) -> AsyncGenerator[cdp.Browser]:
    """The browser; one of another process without windows is ended first where a window is needed."""
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(cdp.launch(options))
        if browser.headless and options.mode != "headless" and not browser.owned:
            await browser.quit()
            await stack.aclose()
            browser = await stack.enter_async_context(cdp.launch(options))
        yield browser


async def _takes_from_others(browser: cdp.Browser, tab: HeldOpen[Tab] | None) -> bool:
    """Whether others may work in a browser that ends with our leaving it, whoever else does."""
    if browser.shared or not browser.owned:
        return False
    ours = tab.value.page.target_id if tab is not None and tab.open else ""
    try:
        return any(page.target_id != ours for page in await pages(browser))
    except cdp.CDPError as error:
        log.info("who works in the browser is not known: %s", error)
        return True


async def _end_hanging(browser: cdp.Browser) -> None:
    """End a browser that hangs. Raises ImageError ``browser_failed`` where that is the user's to do."""
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


async def _answers(tab: Tab) -> bool:
    try:
        if await tab.page.answers(PAGE_SECONDS):
            return True
    except cdp.CDPError as error:
        log.info("our tab is gone: %s", error)
    else:
        log.warning("our page hangs; a new tab takes its place")
    return False
