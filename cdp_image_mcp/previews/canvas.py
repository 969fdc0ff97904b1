"""Drawing pictures smaller in a blank page of a browser: one that is open without a window, else a short-lived one."""

import base64
import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread

from cdp_image_mcp.config import Settings
from cdp_image_mcp.previews.preview import Canvas, OpenCanvas, Picture, PreviewError
from cdp_image_mcp.previews.scratch import scratch_folder
from cdp_image_mcp.system.tasks import background, shielded

if TYPE_CHECKING:
    # The driver is loaded when a picture is there to be shown.
    from cdp_image_mcp.cdp import Browser, Connection, Page

logger = logging.getLogger(__name__)

PROFILE_PREFIX = "cdp-image-mcp-preview-"
PART = 3 * 1024 * 1024
"""Bytes of one piece on their way into the page; a multiple of three, so that base64 pieces need no padding."""

SCRIPT = Path(__file__).with_name("shrink.js").read_text("utf-8")
READY_SECONDS = 5.0
"""How long an answer waits for a page of the browser that is open; one that hangs does not make it any sooner."""
CLOSING_SECONDS = 2.0
"""Patience with the end of a browser whose profile is thrown away: nothing in it is worth an orderly end."""
START_SECONDS = 30.0
RESTING_SECONDS = 45.0
"""How long a page in the browser that is open stays for the next answer: making one takes a tenth of a second. Shorter
than that browser stays open with nothing to do, which other pages in it prolong."""
STARTING_SECONDS = 5.0
"""With less of a call's time left no browser is started for its previews: it would not be ready, and be waited for."""


def _function(name: str) -> str:
    return f"(...given) => ({SCRIPT}).{name}(...given)"


@asynccontextmanager
async def canvases(
    settings: Settings, running: "Callable[[], Browser | None] | None" = None
) -> AsyncGenerator[OpenCanvas]:
    """What opens canvases while the block lasts, each a blank page in a browser context of its own: no cookies, no
    history, no window. ``running`` gives the browser that this process has open, if it has one.

    Opening raises PreviewError with the reason when no browser can be used, or none is ready in time.
    """
    # A browser weighs a few hundred megabytes: answers that come together take turns.
    turn = anyio.Lock()
    resting: list[_Lent] = []
    async with background() as group:

        @asynccontextmanager
        async def open_canvas(deadline: float) -> AsyncGenerator[Canvas]:
            # In a browser with windows the page would open one before the person's eyes.
            browser = running() if running is not None else None
            if browser is None or not browser.headless or browser.connection.gone is not None:
                page = _Lent(_page_apart(settings, turn, deadline))
                group.start_soon(page.live)
                async with page.lent(deadline) as made:
                    yield made
                return
            page = resting.pop() if resting else None
            if page is None or not page.lives_in(browser.connection):
                page = _Lent(_blank_page(browser.connection))
                group.start_soon(page.live)
            async with page.lent(min(deadline, anyio.current_time() + READY_SECONDS)) as made:
                yield made
                if made.sound and not resting:
                    page.resting = True
                    resting.append(page)

        yield open_canvas


class _Lent:
    """A page that a task of its own makes and closes: neither a browser that hangs nor its end holds an answer up."""

    def __init__(self, block: "AbstractAsyncContextManager[Page]") -> None:
        self._block = block
        self._settled = anyio.Event()
        self._page: Page | PreviewError = PreviewError("No preview: the browser was closed.")
        self._life = anyio.CancelScope()
        self.resting = False
        """It stays a while, and may be lent again."""

    def lives_in(self, connection: "Connection") -> bool:
        """Whether it is still there, in that browser."""
        page = self._page
        if isinstance(page, PreviewError) or self._life.cancel_called:
            return False
        return page.session.closed is None and not page.session.crashed and page.connection is connection

    @asynccontextmanager
    async def lent(self, limit: float) -> "AsyncGenerator[_PageCanvas]":
        """The page for one answer; ended after that unless it rests. Raises PreviewError when there will be none, or is
        none by ``limit``."""
        self._life.deadline, self.resting = math.inf, False
        try:
            with anyio.CancelScope(deadline=limit):
                await self._settled.wait()
            if not self._settled.is_set():
                raise PreviewError("No preview: the browser did not make a page in time.")
            if isinstance(self._page, PreviewError):
                raise self._page
            yield _PageCanvas(self._page)
        finally:
            self._life.deadline = anyio.current_time() + RESTING_SECONDS if self.resting else -math.inf

    async def live(self) -> None:
        """The page's life. What goes wrong in it, loading the driver too, would end the server, and with it a drawing
        that is paid for."""
        try:
            with self._life:
                async with self._block as self._page:
                    self._settled.set()
                    await anyio.sleep_forever()
        except PreviewError as error:
            self._page = error
        except Exception as error:  # noqa: BLE001  it is told
            self._page = _no_preview(error)
        finally:
            self._settled.set()


@asynccontextmanager
async def _page_apart(settings: Settings, turn: anyio.Lock, deadline: float) -> "AsyncGenerator[Page]":
    """In a browser of its own, started when it is this answer's turn. Raises PreviewError and the LaunchError tree."""
    from cdp_image_mcp.cdp import Page

    with anyio.move_on_after(deadline - STARTING_SECONDS - anyio.current_time()) as limit:
        await turn.acquire()
    if limit.cancelled_caught:
        raise PreviewError("No preview: no time was left to start a browser for it.")
    try:
        left = min(deadline - anyio.current_time(), START_SECONDS)
        async with short_lived(settings, start_timeout=left) as browser:
            # The page goes with its browser.
            yield await Page.create(browser.connection)
    finally:
        turn.release()


@asynccontextmanager
async def short_lived(
    settings: Settings, mode: Literal["headless", "hidden"] = "headless", *, start_timeout: float = START_SECONDS
) -> "AsyncGenerator[Browser]":
    """A browser on a throw-away profile, both gone after the block; no window is seen, also of one that could have
    some. Raises the LaunchError tree."""
    from cdp_image_mcp.cdp import LaunchOptions, find_browser, launch

    browser = await anyio.to_thread.run_sync(find_browser, settings.chrome_path)
    async with scratch_folder(PROFILE_PREFIX, snap=browser.snap) as profile:
        options = LaunchOptions(
            browser=browser,
            profile=profile,
            mode=mode,
            extra_args=settings.chrome_args,
            start_timeout=start_timeout,
            close_timeout=CLOSING_SECONDS,
        )
        async with launch(options) as launched:
            yield launched


class _PageCanvas:
    def __init__(self, page: "Page") -> None:
        self._page = page
        self.sound = True
        """Whether the page did all that it was given."""

    async def shrink(self, original: Path, mime_type: str, /, *, alpha: bool, edge: int, most_bytes: int) -> Picture:
        # JPEG is read by every client and model; only transparency needs WebP.
        wanted = "image/webp" if alpha else "image/jpeg"
        self.sound = False
        try:
            await self._pick(original)
            shrink = _function("shrink"), mime_type, wanted, edge, most_bytes
            made: dict[str, Any] = await self._page.call(*shrink)
            if made.get("undecoded"):
                # A confined browser (snap, Flatpak) may not read the folder.
                await self._send(await anyio.to_thread.run_sync(original.read_bytes))
                made = await self._page.call(*shrink)
        except Exception as error:  # noqa: BLE001  it is told
            # The picture is saved, and the answer about it goes out without this.
            raise _no_preview(error) from None
        self.sound = True
        if (failure := made.get("failure")) is not None:
            raise PreviewError(failure)
        return Picture(wanted, base64.b64decode(made["data"]))

    async def _pick(self, original: Path) -> None:
        session = self._page.session
        field = await session.call("Runtime.evaluate", {"expression": f"{SCRIPT}.pick()"}, reply=dict[str, Any])
        files = {"files": [str(original)], "objectId": field["result"]["objectId"]}
        await session.call("DOM.setFileInputFiles", files)

    async def _send(self, data: bytes) -> None:
        for start in range(0, len(data), PART):
            part = base64.b64encode(data[start : start + PART]).decode("ascii")
            await self._page.call(_function("keepPart"), part, start == 0)


def _no_preview(error: Exception) -> PreviewError:
    logger.info("no preview", exc_info=error)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return PreviewError(f"No preview: {first}")


@asynccontextmanager
async def _blank_page(connection: "Connection") -> "AsyncGenerator[Page]":
    """A page in a browser context of its own, beside the user's."""
    from cdp_image_mcp.cdp import CDPError, Page

    browser = connection.browser
    made = await browser.call("Target.createBrowserContext", {"disposeOnDetach": True}, reply=dict[str, str])
    try:
        yield await Page.create(connection, **made)
    finally:
        # Takes its pages with it.
        with shielded(), suppress(CDPError):
            await browser.call("Target.disposeBrowserContext", made, timeout=5.0)
