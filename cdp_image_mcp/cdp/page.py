"""One page (tab): navigation, scripts, worlds that report back, elements."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import anyio
import msgspec

from cdp_image_mcp.cdp.connection import Connection
from cdp_image_mcp.cdp.contexts import Contexts
from cdp_image_mcp.cdp.errors import (
    BrowserGone,
    CDPError,
    CommandTimeout,
    EventTimeout,
    NavigationError,
    PageCrashed,
    ProtocolError,
    SessionClosed,
)
from cdp_image_mcp.cdp.node import Node
from cdp_image_mcp.cdp.protocol import (
    AddBinding,
    AddScript,
    AddScriptReply,
    CallFunctionOn,
    CreateIsolatedWorld,
    CreateTarget,
    CreateTargetReply,
    DetachedFromTarget,
    DialogOpening,
    Evaluate,
    FrameNavigated,
    FrameTreeReply,
    LifecycleEvent,
    Navigate,
    NavigatedWithinDocument,
    NavigateReply,
)
from cdp_image_mcp.cdp.script import arguments_of, result_of, value_of
from cdp_image_mcp.cdp.session import Event, Params, Session, Subscription
from cdp_image_mcp.cdp.world import World

log = logging.getLogger(__name__)

T = TypeVar("T")
Milestone = Literal["commit", "DOMContentLoaded", "load"]
# How long a tab may take to be gone after it was told to close.
CLOSING = 5.0
_NAVIGATION = ("Page.frameNavigated", "Page.lifecycleEvent")
# Sent back to back: awaiting one before the next can deadlock on a target that waits for a debugger.
_SETUP: tuple[tuple[str, Params], ...] = (
    ("Page.enable", None),
    ("Page.getFrameTree", None),
    ("Page.setLifecycleEventsEnabled", {"enabled": True}),
    # Both: a covered, minimised or background page otherwise stops painting, throttles timers and never answers clicks.
    ("Emulation.setFocusEmulationEnabled", {"enabled": True}),
    ("Page.setWebLifecycleState", {"state": "active"}),
    # Without it no bindingCalled event comes.
    ("Runtime.enable", None),
)


class Page:
    """A page over its own session. Dialogs answer themselves: alert and beforeunload accepted, others dismissed.

    Use as a context manager, or call ``close``. Made by ``create`` and ``attach``.
    """

    def __init__(self, connection: Connection, session: Session, *, own: bool) -> None:
        self.connection = connection
        self.session = session
        self.target_id = session.target_id
        self.own = own
        self.frame_id = ""
        self.url = ""
        self.quiet = False
        """Whether clicks must not take the focus from the person at this machine. A mouse press brings its window to
        the front, out of the taskbar too, and touches do the same; keys do not (Chromium 156 on X11, 2026-11)."""
        self._loader_id = ""
        self._worlds: set[str] = set()
        self._dialogs: deque[str] = deque(maxlen=20)
        self._contexts = Contexts(session)
        self._stop = session.listen(self._on_address, "Page.frameNavigated", "Page.navigatedWithinDocument")
        self._answering: anyio.CancelScope | None = None

    @staticmethod
    async def create(
        connection: Connection,
        url: str = "about:blank",
        *,
        new_window: bool = False,
        background: bool = False,
        window_size: tuple[int, int] | None = None,
        window_place: tuple[int, int] | None = None,
    ) -> "Page":
        """A tab of our own, set up and at ``url`` (not waited for; use ``navigate``).

        ``background``: without taking the focus or coming to the front. ``window_size`` and ``window_place`` are for a
        window that has to be made for it. (Chromium 156 on X11 does not make minimised windows, whatever it is asked.)
        """
        width, height = window_size or (None, None)
        left, top = window_place or (None, None)
        wanted = CreateTarget(
            url=url, left=left, top=top, width=width, height=height, background=background, new_window=new_window
        )
        target = await connection.browser.call("Target.createTarget", wanted, reply=CreateTargetReply)
        return await Page._open(connection, target.target_id, own=True)

    @staticmethod
    async def attach(connection: Connection, target_id: str) -> "Page":
        """An existing tab, which ``close`` will not close."""
        return await Page._open(connection, target_id, own=False)

    @staticmethod
    async def _open(connection: Connection, target_id: str, *, own: bool) -> "Page":
        page = Page(connection, await connection.attach(target_id), own=own)
        try:
            await page._set_up()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await page.close()
            raise
        return page

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def dialogs(self) -> tuple[str, ...]:
        """Texts of the last dialogs that were answered, oldest first, at most 20. Texts of the page are data."""
        return tuple(self._dialogs)

    def is_main_context(self, number: int, world: str) -> bool:
        """The context with this number is the main frame's present one in the world."""
        return self._contexts.is_in(number, self.frame_id, world)

    def drop_world(self, name: str) -> None:
        """The world is no longer made for new documents (called by World.remove)."""
        self._worlds.discard(name)

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
            reply = await self.session.call("Page.navigate", Navigate(url=url), timeout=timeout, reply=NavigateReply)
            if reply.error_text:
                raise NavigationError(url, reply.error_text)
            if reply.loader_id is not None:  # none: only the fragment changed
                await self._reach(events, reply.loader_id, until, end, url)

    async def reload(self, *, until: Milestone = "load", timeout: float = 30.0) -> None:
        """Reload, also after a crash, and wait for the milestone. Raises CommandTimeout, EventTimeout."""
        end = asyncio.get_running_loop().time() + timeout
        with self.session.subscribe(*_NAVIGATION) as events:
            await self.session.call("Page.reload", timeout=timeout)
            await self._reach(events, None, until, end, self.url)

    @overload
    async def evaluate(
        self,
        expression: str,
        *,
        world: str | None = ...,
        timeout: float = ...,
        retry: bool = ...,
        user_gesture: bool = ...,
    ) -> Any: ...
    @overload
    async def evaluate(
        self,
        expression: str,
        *,
        reply: type[T],
        world: str | None = ...,
        timeout: float = ...,
        retry: bool = ...,
        user_gesture: bool = ...,
    ) -> T: ...
    async def evaluate(
        self,
        expression: str,
        *,
        reply: Any = Any,
        world: str | None = None,
        timeout: float = 30.0,
        retry: bool = True,
        user_gesture: bool = False,
    ) -> Any:
        """The JSON value of an expression (a promise is awaited) in the main world or an added one, as ``reply``.

        ``retry``: once more in the new document when a navigation took the context away; False for what must not run
        twice. ``timeout`` ends the wait, not the script. Raises ScriptError, ProtocolError, CommandTimeout,
        PageCrashed.
        """

        def command(context: str) -> Params:
            return Evaluate(
                expression=expression,
                unique_context_id=context,
                await_promise=True,
                return_by_value=True,
                user_gesture=user_gesture,
            )

        return value_of(await self._run("Runtime.evaluate", command, world, timeout, retry), reply)

    async def call(
        self,
        function: str,
        *arguments: Any,
        reply: Any = Any,
        world: str | None = None,
        timeout: float = 30.0,
        retry: bool = True,
        user_gesture: bool = False,
    ) -> Any:
        """Call a function declaration with JSON values or Nodes (of the same world); the rest as with ``evaluate``."""
        raw = await self._call(function, arguments, world, timeout, retry, user_gesture, by_value=True)
        return value_of(raw, reply)

    async def find(
        self, function: str, *arguments: Any, world: str | None = None, timeout: float = 30.0
    ) -> Node | None:
        """The element that a function returns, or None when it returns no element."""
        raw = await self._call(function, arguments, world, timeout, retry=True, user_gesture=False, by_value=False)
        result = result_of(raw)
        if result.object_id is None:
            return None
        node = Node(self, result.object_id)
        if result.subtype != "node":
            await node.release()
            return None
        return node

    async def query(self, selector: str, *, world: str | None = None) -> Node | None:
        """The first element of a CSS selector in the main document, or None. Raises ScriptError for a bad selector."""
        return await self.find("selector => document.querySelector(selector)", selector, world=world)

    async def add_world(self, name: str, *, script: str = "", binding: str | None = None) -> World:
        """An isolated world with a script that runs in this document and first in every later one.

        ``binding``: a function of that name exists in the world; the string that the script passes to it comes out of
        ``World.messages``. Both survive navigations. The page's own scripts see neither.
        """
        if binding is not None:
            # First: a script that is there before its binding loses its first call.
            await self.session.call("Runtime.addBinding", AddBinding(name=binding, execution_context_name=name))
        source = script or ";"
        added = await self.session.call(
            "Page.addScriptToEvaluateOnNewDocument", AddScript(source=source, world_name=name), reply=AddScriptReply
        )
        self._worlds.add(name)
        if self._contexts.get(self.frame_id, name) is None:
            # On the initial about:blank runImmediately does nothing (Chromium 156).
            await self.session.call(
                "Page.createIsolatedWorld", CreateIsolatedWorld(frame_id=self.frame_id, world_name=name)
            )
            await self.evaluate(f"{source}\n; undefined", world=name)
        return World(self, name, binding, added.identifier)

    async def close(self) -> None:
        """Close our own tab and wait until it is gone; only detach from one that is not ours. Idempotent, shielded."""
        with anyio.CancelScope(shield=True):
            if self._answering is not None:
                self._answering.cancel()
                self._answering = None
            self._contexts.stop()
            self._stop()
            if self.session.closed is not None:
                return
            if not self.own:
                await self.session.detach()
                return
            with self.connection.browser.subscribe("Target.detachedFromTarget") as detached:
                try:
                    await self.connection.browser.call(
                        "Target.closeTarget", {"targetId": self.target_id}, timeout=CLOSING
                    )
                    await detached.until(DetachedFromTarget, self._is_own_session, CLOSING)
                except (ProtocolError, BrowserGone):
                    return  # gone already: a person closed it, or the browser ended
                except (CommandTimeout, EventTimeout) as error:
                    log.warning("our tab could not be closed: %s", error)

    def _is_own_session(self, event: DetachedFromTarget) -> bool:
        return event.session_id == self.session.session_id

    async def _set_up(self) -> None:
        self._answering = self.connection.start(
            self._answer_dialogs, self.session.subscribe("Page.javascriptDialogOpening")
        )
        answers = await self.session.pipeline(_SETUP)
        for answer in answers:
            if isinstance(answer, CDPError):
                raise answer
        tree = msgspec.json.decode(_raw(answers[1]), type=FrameTreeReply).frame_tree
        self.frame_id = tree.frame.id
        if not self.url:
            self.url = tree.frame.url
            self._loader_id = tree.frame.loader_id

    async def _answer_dialogs(self, opened: Subscription) -> None:
        with opened:
            while True:
                try:
                    dialog = (await opened.next()).decode(DialogOpening)
                    self._dialogs.append(dialog.message)
                    accept = dialog.type in ("alert", "beforeunload")
                    await self.session.call("Page.handleJavaScriptDialog", {"accept": accept})
                except (PageCrashed, ProtocolError, TimeoutError):
                    continue  # the dialog went with its document
                except (SessionClosed, BrowserGone):
                    return

    def _on_address(self, event: Event) -> None:
        if event.method == "Page.frameNavigated":
            frame = event.decode(FrameNavigated).frame
            if frame.parent_id is None:
                self.frame_id = frame.id
                self.url = frame.url
                self._loader_id = frame.loader_id
        else:
            moved = event.decode(NavigatedWithinDocument)
            if moved.frame_id == self.frame_id:
                self.url = moved.url

    async def _reach(self, events: Subscription, loader_id: str | None, until: Milestone, end: float, url: str) -> None:
        """Read on until the document of ``loader_id`` (None: the next), or one that replaced it, is at ``until``."""
        committed = False
        seconds = end - asyncio.get_running_loop().time()
        while True:
            try:
                event = await events.next(max(0.0, end - asyncio.get_running_loop().time()))
            except EventTimeout:
                raise EventTimeout(f"{until} of {url}", seconds) from None
            if event.method == "Page.frameNavigated":
                frame = event.decode(FrameNavigated).frame
                if frame.parent_id is None and (committed or loader_id in (None, frame.loader_id)):
                    committed = True
                    loader_id = frame.loader_id
                    if until == "commit":
                        return
            elif committed:
                stage = event.decode(LifecycleEvent)
                if stage.loader_id == loader_id and stage.frame_id == self.frame_id and stage.name == until:
                    return

    async def _call(
        self,
        function: str,
        arguments: tuple[Any, ...],
        world: str | None,
        timeout: float,
        retry: bool,
        user_gesture: bool,
        *,
        by_value: bool,
    ) -> msgspec.Raw:
        values = arguments_of(arguments)

        def command(context: str) -> Params:
            return CallFunctionOn(
                function_declaration=function,
                unique_context_id=context,
                arguments=values,
                await_promise=True,
                return_by_value=by_value,
                user_gesture=user_gesture,
            )

        return await self._run("Runtime.callFunctionOn", command, world, timeout, retry)

    async def _run(
        self, method: str, command: Callable[[str], Params], world: str | None, timeout: float, retry: bool
    ) -> msgspec.Raw:
        """Run a script in a context that is there, once more if a navigation took the context away."""
        if world is not None and world not in self._worlds:
            raise ValueError(f"the page has no world {world}; add it first")
        end = asyncio.get_running_loop().time() + timeout
        context = await self._contexts.wait(self.frame_id, world or "", timeout, method)
        try:
            return await self.session.call(method, command(context), timeout=timeout)
        except ProtocolError as error:
            if not retry or not (error.navigated or error.stale_context):
                raise
        self._contexts.forget(context)
        left = max(0.0, end - asyncio.get_running_loop().time())
        context = await self._contexts.wait(self.frame_id, world or "", left, method)
        return await self.session.call(method, command(context), timeout=left)


def _raw(answer: msgspec.Raw | CDPError) -> msgspec.Raw:
    if isinstance(answer, CDPError):
        raise answer
    return answer
