"""One page (tab): navigation, its own scripts, dialogs."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Self, TypeVar

import anyio
import msgspec

from cdp_image_mcp.cdp.connection import Connection
from cdp_image_mcp.cdp.errors import (
    BrowserGone,
    CDPError,
    CommandTimeout,
    EventTimeout,
    NavigationError,
    ProtocolError,
)
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import (
    DialogOpening,
    EvaluateReply,
    FrameTree,
    FrameTreeReply,
    LifecycleEvent,
    NavigatedWithinDocument,
    NavigateReply,
    OfSession,
    OfTarget,
)
from cdp_image_mcp.cdp.session import Event, Session, raw_of
from cdp_image_mcp.cdp.wire import Params, shaped
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

T = TypeVar("T")
Milestone = Literal["commit", "DOMContentLoaded", "load"]
# How long a tab may take to be gone after it was told to close.
CLOSING = 5.0
# How long a page that is just taking another's place may take to be there.
COMING = 2.0
_NAVIGATION = ("Page.frameNavigated", "Page.lifecycleEvent")
# Sent back to back: awaiting one before the next can deadlock on a target that waits for a debugger.
_SETUP: tuple[tuple[str, Params], ...] = (
    ("Page.enable", None),
    ("Page.getFrameTree", None),
    ("Page.setLifecycleEventsEnabled", {"enabled": True}),
    # Both: a covered, minimised or background page otherwise stops painting, throttles timers and never answers clicks.
    ("Emulation.setFocusEmulationEnabled", {"enabled": True}),
    ("Page.setWebLifecycleState", {"state": "active"}),
)


class Page:
    """A page over its own session. Dialogs answer themselves: alert and beforeunload accepted, others dismissed.

    Use as a context manager, or call ``close``. Made by ``create``.
    """

    def __init__(self, connection: Connection, session: Session) -> None:
        self.connection = connection
        self.session = session
        self.target_id = session.target_id
        self.frame_id = ""
        self.url = ""
        self.quiet = False
        """Whether clicks must not take the focus from the person at this machine. A mouse press brings its window to
        the front, out of the taskbar too, and touches do the same; keys do not (Chromium 156 on X11, 2026-11)."""
        self.may_look: Callable[[str], bool] = lambda _loader: True
        """Whether script of ours may run in a document, by its loader id; who knows the site says so."""
        session.listen(self._on_address, "Page.frameNavigated", "Page.navigatedWithinDocument")
        session.listen(self._on_dialog, "Page.javascriptDialogOpening")

    @staticmethod
    async def create(connection: Connection, **wanted: Any) -> "Page":
        """A tab of our own, set up and empty. Whoever is cancelled meanwhile leaves none behind.

        ``wanted`` are parameters of Target.createTarget. Sizes and places are for a window that has to be made for it;
        with ``newWindow`` False none is made where there is none. (Chromium 156 on X11 does not make minimised windows,
        whatever it is asked.)
        """
        new = {"url": "about:blank", **wanted}
        making = asyncio.ensure_future(connection.browser.call("Target.createTarget", new, reply=OfTarget))
        page: Page | None = None
        try:
            target = await asyncio.shield(making)
            page = Page(connection, await connection.attach(target.target_id))
            await page._set_up()
        except BaseException:
            with shielded(), suppress(CDPError):
                if page is not None:
                    await page.close()
                else:  # which it is, the answer tells
                    with anyio.move_on_after(CLOSING):  # a browser that hangs keeps nobody for longer
                        gone = {"targetId": (await making).target_id}
                        await connection.browser.call("Target.closeTarget", gone, timeout=CLOSING)
            raise
        return page

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def answers(self, seconds: float) -> bool:
        """Whether the page answers within that time; runs nothing in it. While it waits for another document's response
        it does not (Chromium's sources, 2026-11). Raises PageCrashed, SessionClosed, BrowserGone."""
        try:
            await self.session.call("Page.getFrameTree", timeout=seconds)
        except CommandTimeout:
            return False
        except ProtocolError as error:
            log.debug("an answer all the same: %s", error)
        return True

    async def navigate(self, url: str, *, until: Milestone = "load", timeout: float = 30.0) -> None:
        """Open ``url`` and wait for the new document's milestone; also a way back after a crash.

        A script's or meta redirect on the way is followed: the milestone is the last document's.
        Raises NavigationError (also for a download), CommandTimeout, EventTimeout.
        """
        end = asyncio.get_running_loop().time() + timeout
        with self.session.subscribe(*_NAVIGATION) as events:
            reply = await self._go(events, "Page.navigate", {"url": url}, end, reply=NavigateReply)
            if reply.error_text:
                raise NavigationError(f"could not open {url}: {reply.error_text}")
            if reply.loader_id is not None:  # none: only the fragment changed
                await self._reach(events, reply.loader_id, until, end, url)

    async def reload(self, *, until: Milestone = "load", timeout: float = 30.0) -> None:
        """Reload, also after a crash, and wait for the milestone. Raises CommandTimeout, EventTimeout."""
        end = asyncio.get_running_loop().time() + timeout
        with self.session.subscribe(*_NAVIGATION) as events:
            await self._go(events, "Page.reload", None, end, reply=dict[str, Any])
            await self._reach(events, None, until, end, self.url)

    async def loader_id(self) -> str:
        """Which document the page shows; runs nothing in it."""
        tree = await self.session.call("Page.getFrameTree", reply=FrameTreeReply)
        return tree.frame_tree.frame.loader_id

    async def evaluate(self, expression: str, *, reply: Any = Any, timeout: float = 30.0) -> Any:
        """The JSON value of an expression in the page's own world, as ``reply``; a promise is awaited.

        ``timeout`` ends the wait, not the script. Raises ScriptError, ProtocolError, CommandTimeout, PageCrashed.
        """
        command = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self.session.call("Runtime.evaluate", command, timeout=timeout, reply=EvaluateReply)
        return answer.given.decoded(reply)

    async def call(self, function: str, *arguments: Any, timeout: float = 30.0) -> Any:
        """Call a function declaration with JSON values; the rest as with ``evaluate``."""
        values = ", ".join(msgspec.json.encode(value).decode() for value in arguments)
        return await self.evaluate(f"({function})({values})", timeout=timeout)

    async def close(self) -> None:
        """Close the tab and wait until it is gone. Idempotent, shielded."""
        with shielded():
            if self.session.closed is not None:
                return
            browser = self.connection.browser
            with browser.subscribe("Target.detachedFromTarget", where=self._is_of_ours) as detached:
                try:
                    await browser.call("Target.closeTarget", {"targetId": self.target_id}, timeout=CLOSING)
                    await detached.next(CLOSING)
                except (ProtocolError, BrowserGone):
                    return  # gone already: a person closed it, or the browser ended
                except (CommandTimeout, EventTimeout) as error:
                    log.warning("our tab could not be closed: %s", error)

    def _is_of_ours(self, event: Event) -> bool:
        return event.decode(OfSession).session_id == self.session.session_id

    async def _set_up(self) -> None:
        answers = await self.session.pipeline(_SETUP)
        _, tree, *_ = [raw_of(answer) for answer in answers]
        frame = shaped(tree, FrameTreeReply, "Page.getFrameTree").frame_tree.frame
        self.frame_id = frame.id
        self.url = self.url or frame.url

    def _on_dialog(self, event: Event) -> None:
        self.connection.start(self._answer_dialog, event.decode(DialogOpening).type in ("alert", "beforeunload"))

    async def _answer_dialog(self, accept: bool) -> None:
        with suppress(CDPError):  # it went with its document, or its page
            await self.session.call("Page.handleJavaScriptDialog", {"accept": accept})

    def _on_address(self, event: Event) -> None:
        if event.method == "Page.frameNavigated":
            frame = event.decode(FrameTree).frame
            if frame.parent_id is None:
                self.frame_id = frame.id
                self.url = frame.url
        else:
            moved = event.decode(NavigatedWithinDocument)
            if moved.frame_id == self.frame_id:
                self.url = moved.url

    async def _go(self, events: Mailbox[Event], method: str, params: Params, end: float, *, reply: type[T]) -> T:
        """Give a command that brings another document; again after the one that is just coming by itself."""
        clock = asyncio.get_running_loop()
        while True:
            left = max(0.0, end - clock.time())
            try:
                return await self.session.call(method, params, timeout=left, reply=reply)
            except ProtocolError as error:
                if not error.between_documents or clock.time() >= end:
                    raise
            with suppress(EventTimeout):  # it may have been told of before
                await self._reach(events, None, "commit", min(end, clock.time() + COMING), self.url)

    async def _reach(
        self, events: Mailbox[Event], loader_id: str | None, until: Milestone, end: float, url: str
    ) -> None:
        """Read on until the document of ``loader_id`` (None: the next), or one that replaced it, is at ``until``."""
        committed = False
        seconds = end - asyncio.get_running_loop().time()
        while True:
            try:
                event = await events.next(max(0.0, end - asyncio.get_running_loop().time()))
            except EventTimeout:
                raise EventTimeout(f"{until} of {url}", seconds) from None
            if event.method == "Page.frameNavigated":
                frame = event.decode(FrameTree).frame
                if frame.parent_id is None and (committed or loader_id in (None, frame.loader_id)):
                    committed = True
                    loader_id = frame.loader_id
                    if until == "commit":
                        return
            elif committed:
                stage = event.decode(LifecycleEvent)
                if stage.loader_id == loader_id and stage.frame_id == self.frame_id and stage.name == until:
                    return
