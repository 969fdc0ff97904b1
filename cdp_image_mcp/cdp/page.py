"""One page (tab): navigation, scripts, worlds that report back, elements."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from .connection import Connection
from .session import Session

T = TypeVar("T")
Milestone = Literal["commit", "DOMContentLoaded", "load"]


class Page:
    """A page over its own session. Dialogs are answered by themselves (beforeunload accepted, others dismissed).

    Use as a context manager, or call ``close``.
    """

    session: Session
    target_id: str
    own: bool

    @staticmethod
    async def create(
        connection: Connection,
        url: str = "about:blank",
        *,
        new_window: bool = False,
        window_state: Literal["normal", "minimized"] | None = None,
        window_size: tuple[int, int] | None = None,
    ) -> "Page":
        """A tab of our own (``own`` True), set up and at ``url`` (not waited for; use ``navigate``)."""
        raise NotImplementedError

    @staticmethod
    async def attach(connection: Connection, target_id: str) -> "Page":
        """An existing tab, which ``close`` will not close."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """The main frame's address, kept up to date by events."""
        raise NotImplementedError

    @property
    def frame_id(self) -> str:
        """The main frame."""
        raise NotImplementedError

    @property
    def dialogs(self) -> tuple[str, ...]:
        """Texts of the last dialogs that were answered, oldest first, at most 20."""
        raise NotImplementedError

    async def navigate(self, url: str, *, until: Milestone = "load", timeout: float = 30.0) -> None:
        """Open ``url`` and wait for the new document's milestone. Raises NavigationError, EventTimeout."""
        raise NotImplementedError

    async def reload(self, *, until: Milestone = "load", timeout: float = 30.0) -> None:
        """Reload, also after a crash, and wait for the milestone."""
        raise NotImplementedError

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
        """The JSON value of an expression (a promise is awaited) in the main world or an isolated one, as ``reply``.

        ``retry``: once more in the new document when a navigation took the context away; False for what must not run twice.
        ``timeout`` ends the wait, not the script. Raises ScriptError, CommandTimeout, PageCrashed …
        """
        raise NotImplementedError

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
        """Call a function declaration with JSON values or Nodes as arguments; the rest as with ``evaluate``."""
        raise NotImplementedError

    async def find(self, function: str, *arguments: Any, world: str | None = None) -> "Node | None":
        """The element a function returns, or None."""
        raise NotImplementedError

    async def query(self, selector: str, *, world: str | None = None) -> "Node | None":
        """The first element of a CSS selector in the main document, or None."""
        raise NotImplementedError

    async def add_world(self, name: str, *, script: str = "", binding: str | None = None) -> "World":
        """An isolated world with a script that runs in every document of the page, this one included, before its own scripts.

        ``binding``: a function of that name exists in the world; what the script passes to it (a string) comes out of
        ``World.messages``. Both survive navigations. The page's own scripts see none of it.
        """
        raise NotImplementedError

    async def screenshot(self) -> bytes:
        """A PNG of what is on the page's screen."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close our own tab; only detach from one that is not ours. Idempotent."""
        raise NotImplementedError


class World:
    """An isolated world of a page."""

    page: Page
    name: str

    def messages(self) -> "Messages":
        """What the script reports from now on; make it before what causes the message. Several may listen."""
        raise NotImplementedError

    async def remove(self) -> None:
        """No script and no binding in documents from now on; the present document keeps its script until it is left."""
        raise NotImplementedError


class Messages:
    """Messages of a world, in order, lossless; a context manager."""

    async def next(self, timeout: float | None = None) -> str:
        """The next message. Raises as ``Subscription.next``."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[str]:
        raise NotImplementedError

    def close(self) -> None:
        """Stop listening."""
        raise NotImplementedError


class Node:
    """A handle on an element; ends with its document."""

    page: Page
    object_id: str

    async def call(self, function: str, *arguments: Any, reply: Any = Any, timeout: float = 30.0) -> Any:
        """Call a function declaration with ``this`` as the element. Never retried."""
        raise NotImplementedError

    async def backend_id(self) -> int:
        """The element's backendNodeId."""
        raise NotImplementedError

    async def release(self) -> None:
        """Let the browser forget the handle."""
        raise NotImplementedError
