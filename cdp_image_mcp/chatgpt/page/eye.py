"""Our script in the page: an isolated world that exists only in documents we chose to look into.

The world is made by hand for the present document and not for new ones: while a check page is up no script of ours may
run there, and a check page is a new document like any other. Whoever opened a document looks at its response first;
and a check may come between that look and ours, so the world's own document is judged before anything runs in it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

from cdp_image_mcp.cdp.errors import ProtocolError, ScriptError
from cdp_image_mcp.cdp.page import Node, Page
from cdp_image_mcp.cdp.protocol import FrameTreeReply
from cdp_image_mcp.cdp.session import Subscription

__all__ = ["DocumentLeft", "Eye"]

WORLD = "cdp-image-mcp"
BINDING = "tell"
T = TypeVar("T")


class DocumentLeft(Exception):  # noqa: N818 - it says what happened
    """The document that was looked into is gone; look at the new one's response, then open the eye again."""


class RemoteObject(msgspec.Struct, rename="camel"):
    type: str = ""
    subtype: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    object_id: str | None = None
    description: str = ""


class ExceptionDetails(msgspec.Struct, rename="camel"):
    text: str = ""
    exception: RemoteObject | None = None


class Evaluated(msgspec.Struct, rename="camel"):
    result: RemoteObject
    exception_details: ExceptionDetails | None = None


class IsolatedWorld(msgspec.Struct, rename="camel"):
    execution_context_id: int


class BindingCalled(msgspec.Struct, rename="camel"):
    name: str
    payload: str
    execution_context_id: int


class Eye:
    """Looks into one page. One owner; not for several tasks at once except :meth:`ask`."""

    def __init__(self, page: Page, script: str, may_look: Callable[[str], bool] = lambda _loader: True) -> None:
        """``may_look`` says of a document, by its loader id, whether script of ours may run in it."""
        self.page = page
        self._script = script
        self._may_look = may_look
        self._context: int | None = None
        self._ready = False

    async def open(self) -> None:
        """Make the world in the present document, unless it is open there already. Raises DocumentLeft, CDPError."""
        if self._context is not None:
            try:
                if await self.ask("typeof globalThis.witness", reply=str) == "object":
                    return
            except DocumentLeft:
                self._context = None
        session = self.page.session
        if not self._ready:
            await session.pipeline(
                [
                    ("Runtime.enable", None),
                    ("Runtime.addBinding", {"name": BINDING, "executionContextName": WORLD}),
                ]
            )
            self._ready = True
        world = await session.call(
            "Page.createIsolatedWorld",
            {"frameId": self.page.frame_id, "worldName": WORLD},
            reply=IsolatedWorld,
        )
        # Asked after the world was made: either it is this document's, or its own is gone and nothing can run in it.
        if not self._may_look(await self.loader_id()):
            raise DocumentLeft("The page went to a document that is not to be looked into.")
        self._context = world.execution_context_id
        await self._evaluate(self._script, by_value=True, timeout=10)

    async def loader_id(self) -> str:
        """Which document the page shows; runs nothing in it."""
        tree = await self.page.session.call("Page.getFrameTree", reply=FrameTreeReply)
        return tree.frame_tree.frame.loader_id

    def close(self) -> None:
        """Forget the world; nothing is run in the page until the next :meth:`open`."""
        self._context = None

    def messages(self) -> Subscription:
        """What the script tells, as ``Runtime.bindingCalled`` events; make it before what causes the message."""
        return self.page.session.subscribe("Runtime.bindingCalled")

    @overload
    async def ask(self, expression: str, *, timeout: float = ...) -> Any: ...
    @overload
    async def ask(self, expression: str, *, reply: type[T], timeout: float = ...) -> T: ...
    async def ask(self, expression: str, *, reply: Any = Any, timeout: float = 15.0) -> Any:
        """The JSON value of an expression in our world; promises are awaited. Raises DocumentLeft, ScriptError."""
        result = await self._evaluate(expression, by_value=True, timeout=timeout)
        return msgspec.json.decode(bytes(result.value) or b"null", type=reply)

    async def node(self, expression: str) -> Node | None:
        """The element an expression gives, or None."""
        result = await self._evaluate(expression, by_value=False, timeout=15.0)
        if result.subtype != "node" or result.object_id is None:
            return None
        return Node(self.page, result.object_id)

    async def _evaluate(self, expression: str, *, by_value: bool, timeout: float) -> RemoteObject:
        if self._context is None:
            raise DocumentLeft("The page is not looked into at present.")
        try:
            answer = await self.page.session.call(
                "Runtime.evaluate",
                {
                    "expression": expression,
                    "contextId": self._context,
                    "awaitPromise": True,
                    "returnByValue": by_value,
                },
                timeout=timeout,
                reply=Evaluated,
            )
        except ProtocolError as error:
            if error.navigated or error.stale_context:
                self._context = None
                raise DocumentLeft("The page went to another document.") from error
            raise
        if (details := answer.exception_details) is not None:
            raise ScriptError(details.exception.description if details.exception else details.text)
        return answer.result


def quoted(value: Any) -> str:
    """A JSON value as a JavaScript literal."""
    return msgspec.json.encode(value).decode()
