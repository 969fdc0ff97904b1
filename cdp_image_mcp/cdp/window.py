"""The browser's window: put away, brought back, and the truth about where it is.

Seen on X11 with openbox (Chromium 156, 2026-11): a far off-screen place is drawn back to a strip at the edge, late when
the desktop is busy, and until then told as if the window were there.
Wayland, macOS and Windows are written from reports and have not been seen by us.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Literal

import anyio

from cdp_image_mcp.cdp.errors import (
    BrowserGone,
    CommandTimeout,
    DocumentLeft,
    ProtocolError,
    ScriptError,
    SessionClosed,
)
from cdp_image_mcp.cdp.page import Page
from cdp_image_mcp.cdp.protocol import Bounds, ScreenInfo, ScreenInfos, WindowForTarget
from cdp_image_mcp.cdp.world import World

Place = Literal["visible", "minimized", "offscreen", "headless", "closed"]
Method = Literal["offscreen", "minimize", "restore"]
# Pixels of a window that may show at the edge of the screen and still count as out of sight.
SLIVER = 8
PAINT_TIMEOUT = 3.0
QUEUES = sys.platform not in ("darwin", "win32")
"""Whether the desktop does what programs ask of it in its own time: under X11 the browser tells a place that it wished
for as if it were there, and that it is minimised only when the window manager has said so. So that comes first there.
Elsewhere off the screen comes first: minimised, macOS keeps clicks from a page (told of other tools, 2026-08)."""
# Seconds. Openbox answers within 50 ms; no event tells of it.
SETTLED = 0.3
UNSETTLED = 3.0
LOOK_AGAIN = 0.03
_TWO_FRAMES = "new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))))"


METHODS: dict[Place, Method] = {"offscreen": "offscreen", "minimized": "minimize"}


@dataclass(frozen=True)
class WindowReport:
    """``place`` at the moment of asking, and ``method`` by which we put it there (None: not by us); ``note``: what did
    not work, in words."""

    place: Place
    bounds: Bounds | None = None
    method: Method | None = None
    note: str = ""

    @property
    def hidden(self) -> bool:
        """Nobody sees it."""
        return self.place != "visible"


class Window:
    """The window that holds a page. Remembers its last visible place; a window ``made_away`` has none yet."""

    def __init__(self, page: Page, *, headless: bool = False, made_away: bool = False) -> None:
        self._page = page
        self._headless = headless
        self._made_away = made_away
        self._last_visible: Bounds | None = None
        self._hidden_as: Place | None = None

    async def status(self) -> WindowReport:
        """Where it is now, closed included. Runs no script.

        A window that the user moved, minimised or restored since is told as it is, with ``method`` None.
        """
        try:
            if self._headless:
                return WindowReport("headless")
            place, bounds = await self._look()
            if place == "visible" and not self._made_away:
                self._last_visible = bounds
            self._made_away = False
            if place != self._hidden_as:
                self._hidden_as = None
            return WindowReport(place, bounds, None if self._hidden_as is None else METHODS[self._hidden_as])
        except (SessionClosed, BrowserGone):
            return WindowReport("closed")
        except ProtocolError as error:
            if self._page.session.closed is not None or "No target" in error.message:
                return WindowReport("closed")
            raise

    async def hide(self, *, probe: bool = True) -> WindowReport:
        """Out of sight: minimised or off the screen, first as suits the desktop (see ``QUEUES``).

        ``probe`` False runs no script and takes the place alone as proof. Already hidden: nothing is done.
        """
        unproven = self._made_away
        report = await self.status()
        if report.hidden and not unproven:
            return report
        notes: list[str] = []
        ways = (self._minimize, self._move_away) if QUEUES else (self._move_away, self._minimize)
        for way in ways:
            report = await way(probe, notes)
            if report.method is not None:
                break
        return report

    async def show(self) -> WindowReport:
        """Back to the last visible place and size, in front. Takes the focus: it is asked for by the person."""
        before = await self.status()
        if before.place in ("headless", "closed"):
            return before
        window = await self._window()
        if window.bounds.window_state == "minimized":
            await self._set(window.window_id, Bounds(window_state="normal"))
        place, bounds = await self._settle("visible")
        if place != "visible" or self._hidden_as is not None:
            # State and position cannot be set in one command.
            await self._set(window.window_id, self._last_visible_place(bounds))
        await self._page.session.call("Page.bringToFront")
        place, bounds = await self._settle("visible")
        self._hidden_as = None
        note = "" if place == "visible" else "the window did not come back on the screen"
        return WindowReport(place, bounds, "restore", note=note)

    async def _move_away(self, probe: bool, notes: list[str]) -> WindowReport:
        if (away := away_here()) is None:
            return WindowReport("visible", note="; ".join([*notes, "a program cannot place its windows under Wayland"]))
        window = await self._window()
        if window.bounds.window_state in ("maximized", "fullscreen"):
            await self._set(window.window_id, Bounds(window_state="normal"))
        await self._set(window.window_id, Bounds(left=away["left"], top=away["top"]))
        place, bounds = await self._settle("offscreen")
        if place == "offscreen" and (not probe or await self._paints()):
            self._hidden_as = "offscreen"
            return WindowReport("offscreen", bounds, "offscreen")
        notes.append(
            "off screen the page does not paint"
            if place == "offscreen"
            else f"the desktop drew the window back to {bounds.left},{bounds.top}"
        )
        # Back first, or it would be restored from the edge of the screen later.
        await self._set(window.window_id, self._last_visible_place(bounds))
        return WindowReport("visible", bounds, note="; ".join(notes))

    async def _minimize(self, probe: bool, notes: list[str]) -> WindowReport:
        window = await self._window()
        await self._set(window.window_id, Bounds(window_state="minimized"))
        place, bounds = await self._settle("minimized")
        if place != "minimized":
            notes.append("the desktop does not minimise windows")
            return WindowReport(place, bounds, note="; ".join(notes))
        self._hidden_as = "minimized"
        if probe and not await self._paints():
            notes.append("minimised, the page does not paint")
        return WindowReport("minimized", bounds, "minimize", "; ".join(notes))

    def _last_visible_place(self, now: Bounds) -> Bounds:
        last = self._last_visible or Bounds()
        return Bounds(
            left=last.left if last.left is not None else 40,
            top=last.top if last.top is not None else 40,
            width=last.width or now.width,
            height=last.height or now.height,
        )

    async def _look(self) -> tuple[Place, Bounds]:
        bounds = (await self._window()).bounds
        if bounds.window_state == "minimized":
            return "minimized", bounds
        if bounds.window_state in ("maximized", "fullscreen"):
            return "visible", bounds
        return ("visible" if _seen(bounds, await self._screens()) else "offscreen"), bounds

    async def _settle(self, wanted: Place) -> tuple[Place, Bounds]:
        """Where the window is once the desktop has done, or undone, what was asked for; it tells nobody when.

        A place counts when it held for SETTLED: sooner, the browser tells its own wish and not what came of it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + UNSETTLED
        place, bounds = await self._look()
        since = loop.time()
        while loop.time() < end:
            held = loop.time() - since
            # Drawn back from off the screen it stays there; a busy desktop may minimise and restore later than this.
            if held >= SETTLED and (place == wanted or (wanted == "offscreen" and held >= 2 * SETTLED)):
                break
            await anyio.sleep(LOOK_AGAIN)
            now = await self._look()
            if now != (place, bounds):
                place, bounds = now
                since = loop.time()
        return place, bounds

    async def _window(self) -> WindowForTarget:
        return await self._page.connection.browser.call(
            "Browser.getWindowForTarget", {"targetId": self._page.target_id}, reply=WindowForTarget
        )

    async def _set(self, window_id: int, bounds: Bounds) -> None:
        await self._page.connection.browser.call("Browser.setWindowBounds", {"windowId": window_id, "bounds": bounds})

    async def _screens(self) -> list[ScreenInfo]:
        try:
            reply = await self._page.session.call("Emulation.getScreenInfos", reply=ScreenInfos)
        except ProtocolError as error:
            if not error.unknown_method:
                raise
            return []
        return reply.screen_infos

    async def _paints(self) -> bool:
        """Two frames come, asked for in a world of our own."""
        world = World(self._page, "window")
        try:
            await world.make()
            return await world.evaluate(_TWO_FRAMES, reply=bool, timeout=PAINT_TIMEOUT)
        except (CommandTimeout, ScriptError, ProtocolError, DocumentLeft):
            return False


def away_here() -> dict[str, int] | None:
    """Where this machine's desktop lets a window be put away, at least in most cases; None where a program cannot place
    its windows."""
    if sys.platform == "win32":
        # -32000 is where Windows itself keeps minimised windows, and would be taken for that.
        return {"left": -20_000, "top": -20_000}
    if sys.platform == "darwin":
        return {"left": -20_000, "top": 40}  # drawn back near the menu bar by some versions; found out
    # Chrome 140 and later are Wayland programs in a Wayland session, where DISPLAY is usually set as well.
    return None if os.environ.get("WAYLAND_DISPLAY") else {"left": -20_000, "top": -20_000}


def _seen(bounds: Bounds, screens: list[ScreenInfo]) -> bool:
    """More than a sliver of the window lies on a screen (or, with no screens known, right of and below 0)."""
    left, top = bounds.left or 0, bounds.top or 0
    right, bottom = left + (bounds.width or 0), top + (bounds.height or 0)
    if not screens:
        return right > SLIVER and bottom > SLIVER
    return any(
        min(right, screen.left + screen.width) - max(left, screen.left) > SLIVER
        and min(bottom, screen.top + screen.height) - max(top, screen.top) > SLIVER
        for screen in screens
    )
