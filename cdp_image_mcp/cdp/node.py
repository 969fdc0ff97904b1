"""A handle on an element."""

from typing import TYPE_CHECKING, Any

from cdp_image_mcp.cdp.errors import NodeError, PageCrashed, ProtocolError, SessionClosed
from cdp_image_mcp.cdp.protocol import CallFunctionOn
from cdp_image_mcp.cdp.script import arguments_of, value_of

if TYPE_CHECKING:
    from cdp_image_mcp.cdp.page import Page


class Node:
    """A handle on an element, in the world it was found in; ends with its document. Made by ``Page.find``."""

    def __init__(self, page: "Page", object_id: str) -> None:
        self.page = page
        self.object_id = object_id

    async def call(
        self, function: str, *arguments: Any, reply: Any = Any, timeout: float = 30.0, user_gesture: bool = False
    ) -> Any:
        """Call a function declaration with ``this`` as the element; its JSON value as ``reply``. Never retried.

        Raises NodeError when the element's document is gone, ScriptError when the function threw.
        """
        command = CallFunctionOn(
            function_declaration=function,
            object_id=self.object_id,
            arguments=arguments_of(arguments),
            await_promise=True,
            return_by_value=True,
            user_gesture=user_gesture,
        )
        try:
            raw = await self.page.session.call("Runtime.callFunctionOn", command, timeout=timeout)
        except ProtocolError as error:
            if error.navigated or error.stale_context or "Could not find object" in error.message:
                raise NodeError("the element's document is gone") from error
            raise
        return value_of(raw, reply)

    async def release(self) -> None:
        """Let the browser forget the handle. Harmless when its document is gone."""
        try:
            await self.page.session.call("Runtime.releaseObject", {"objectId": self.object_id})
        except (ProtocolError, PageCrashed, SessionClosed):
            return
