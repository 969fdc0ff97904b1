"""Drawing pictures smaller in a blank page of a browser: one that is open without a window, else a short-lived one."""

import base64
import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread

from cdp_image_mcp.config import Settings
from cdp_image_mcp.previews.preview import PREVIEW_SECONDS, Canvas, Picture, PreviewError
from cdp_image_mcp.previews.scratch import scratch_folder

if TYPE_CHECKING:
    # The driver is loaded when a picture is there to be shown.
    from cdp_image_mcp.cdp import Browser, Connection, Page

__all__ = ["BrowserCanvas", "short_lived"]

logger = logging.getLogger(__name__)

PROFILE_PREFIX = "cdp-image-mcp-preview-"
PART = 3 * 1024 * 1024
"""Bytes of one piece on their way into the page; a multiple of three, so that base64 pieces need no padding."""

SCRIPT = Path(__file__).with_name("shrink.js").read_text("utf-8")
READY_SECONDS = 5.0
"""How long an answer waits for a page of the browser that is open; one that hangs does not make it any sooner."""
EXPECTED_SECONDS = 15.0
"""How long a page is kept for an answer that is expected; said again every few seconds while a call waits."""
CLOSING_SECONDS = 2.0
"""Patience with the end of a browser whose profile is thrown away: nothing in it is worth an orderly end."""
START_SECONDS = 30.0
STARTING_SECONDS = 5.0
"""With less of a call's time left no browser is started for its previews: it would not be ready, and be waited for."""


def _function(name: str) -> str:
    return f"(...given) => ({SCRIPT}).{name}(...given)"


class BrowserCanvas:
    """Opens canvases. ``running`` gives the browser that this process has open, if it has one."""

    def __init__(self, settings: Settings, running: "Callable[[], Browser | None] | None" = None) -> None:
        self._settings = settings
        self._running = running
        # A browser weighs a few hundred megabytes: answers that come together take turns.
        self._turn = anyio.Lock()
        self._spare: _Spare | None = None

    def expect(self) -> None:
        """An answer with previews may come soon: have a page ready then, if a browser is open. Said again while it is
        waited for; :data:`EXPECTED_SECONDS` after the last time the page is closed."""
        if (browser := self._open_browser()) is not None:
            self._spare_of(browser).keep()

    @asynccontextmanager
    async def open(self, deadline: float = math.inf) -> AsyncGenerator[Canvas]:
        """A blank page in a browser context of its own: no cookies, no history, no window.

        Raises PreviewError with the reason when there is no browser that could be used, or none by ``deadline`` (of
        the event loop's clock).
        """
        if (browser := self._open_browser()) is not None:
            spare = self._spare_of(browser)
            self._spare = None
            try:
                yield _PageCanvas(await spare.take(deadline))
            finally:
                spare.give_back()
            return
        from cdp_image_mcp.cdp import CDPError

        async with self._my_turn(deadline) as left:
            try:
                async with short_lived(self._settings, start_timeout=min(left, START_SECONDS)) as browser:
                    # The page goes with its browser.
                    yield _PageCanvas(await _attached(browser.connection, {}, PREVIEW_SECONDS))
            except CDPError as error:
                raise _no_preview(error) from None

    @asynccontextmanager
    async def _my_turn(self, deadline: float) -> AsyncGenerator[float]:
        """The seconds that are left to start a browser when it is this answer's turn. Raises PreviewError."""
        with anyio.move_on_after(deadline - STARTING_SECONDS - anyio.current_time()) as limit:
            await self._turn.acquire()
        if limit.cancelled_caught:
            raise PreviewError("No preview: no time was left to start a browser for it.")
        try:
            yield deadline - anyio.current_time()
        finally:
            self._turn.release()

    def _spare_of(self, browser: "Browser") -> "_Spare":
        """The page that stands ready there, or a new one on its way."""
        if self._spare is None or not self._spare.is_of(browser):
            self._spare = _Spare(browser)
            browser.connection.start(self._spare.live)
        return self._spare

    def _open_browser(self) -> "Browser | None":
        """In a browser with windows the page would open one before the person's eyes."""
        browser = self._running() if self._running is not None else None
        if browser is None or not browser.headless or browser.connection.gone is not None:
            return None
        return browser


class _Spare:
    """A page for one answer. It is made and closed in a task of the browser's connection, so that a browser which
    hangs holds no answer up, and ends with it."""

    def __init__(self, browser: "Browser") -> None:
        self._connection = browser.connection
        self._page: Page | None = None
        self._made = anyio.Event()
        self._over = anyio.Event()
        self._waiting = anyio.CancelScope()
        self._failure = PreviewError("No preview: the open browser was closed.")
        self.keep()

    def is_of(self, browser: "Browser") -> bool:
        """Whether it is, or is about to be, a page of this browser."""
        over = self._over.is_set() or self._waiting.cancel_called
        return self._connection is browser.connection and not over

    def keep(self) -> None:
        self._waiting.deadline = anyio.current_time() + EXPECTED_SECONDS

    async def take(self, deadline: float) -> "Page":
        """The page, for the taker alone until :meth:`give_back`. Raises PreviewError without one after
        :data:`READY_SECONDS` or at ``deadline``."""
        self._waiting.deadline = math.inf
        with anyio.move_on_after(min(READY_SECONDS, deadline - anyio.current_time())) as limit:
            await self._made.wait()
        if limit.cancelled_caught:
            raise PreviewError("No preview: the open browser did not make a page in time.")
        if self._page is None:
            raise self._failure
        return self._page

    def give_back(self) -> None:
        """Close the page; the answer need not wait for that."""
        self._over.set()

    async def live(self) -> None:
        """The page's life (a task of the connection)."""
        from cdp_image_mcp.cdp import CDPError

        try:
            async with _blank_page(self._connection) as page:
                await page.call(_function("warm"), timeout=READY_SECONDS)
                self._page = page
                self._made.set()
                with self._waiting:
                    await self._over.wait()
        except CDPError as error:
            self._failure = _no_preview(error)
        except Exception:
            # It would end the connection's other tasks, and with them a drawing that is paid for.
            logger.exception("no page was made ready for previews")
        finally:
            self._page = None
            self._over.set()
            self._made.set()


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

    async def shrink(self, original: Path, mime_type: str, /, *, alpha: bool, edge: int, most_bytes: int) -> Picture:
        # JPEG is read by every client and model; only transparency needs WebP.
        wanted = "image/webp" if alpha else "image/jpeg"
        with _told():
            await self._pick(original)
            shrink = _function("shrink"), mime_type, wanted, edge, most_bytes
            made: dict[str, Any] = await self._page.call(*shrink)
            if made.get("undecoded"):
                # A confined browser (snap, Flatpak) may not read the folder.
                await self._send(await anyio.to_thread.run_sync(original.read_bytes))
                made = await self._page.call(*shrink)
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


@contextmanager
def _told():  # noqa: ANN202  pyright infers it
    from cdp_image_mcp.cdp import CDPError

    try:
        yield
    except CDPError as error:
        raise _no_preview(error) from None


def _no_preview(error: Exception) -> PreviewError:
    logger.info("no preview: %s", error)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return PreviewError(f"No preview: {first}")


@asynccontextmanager
async def _blank_page(connection: "Connection") -> "AsyncGenerator[Page]":
    """A page in a browser context of its own, beside the user's."""
    from cdp_image_mcp.cdp import CDPError

    browser = connection.browser
    made = await browser.call("Target.createBrowserContext", {"disposeOnDetach": True}, reply=dict[str, str])
    context = {"browserContextId": made["browserContextId"]}
    try:
        async with await _attached(connection, context) as page:
            yield page
    finally:
        # Takes its pages with it.
        with anyio.CancelScope(shield=True), suppress(CDPError):
            await browser.call("Target.disposeBrowserContext", context, timeout=5.0)


async def _attached(connection: "Connection", context: dict[str, str], seconds: float = math.inf) -> "Page":
    """A new page, in ``context`` if one is named. Raises PreviewError when there is none after ``seconds``."""
    from cdp_image_mcp.cdp import Page

    with anyio.move_on_after(seconds):
        wanted = {"url": "about:blank"} | context
        target = await connection.browser.call("Target.createTarget", wanted, reply=dict[str, str])
        return await Page.attach(connection, target["targetId"])
    raise PreviewError("No preview: the browser did not make a page in time.")
