"""An isolated world: our script beside the page's own, unseen by it, and what the script reports."""

from typing import TYPE_CHECKING

from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import BindingCalled
from cdp_image_mcp.cdp.session import DEFAULT_QUEUE, Event

if TYPE_CHECKING:
    from cdp_image_mcp.cdp.page import Page


class World:
    """An isolated world of a page. Made by ``Page.add_world``."""

    def __init__(self, page: "Page", name: str, binding: str | None, script_id: str) -> None:
        self.page = page
        self.name = name
        self.binding = binding
        self._script_id = script_id

    def messages(self) -> "Messages":
        """What the script reports from now on, from the main frame; make it before what causes the message.

        Several may listen. Raises ValueError when the world has no binding.
        """
        if self.binding is None:
            raise ValueError(f"the world {self.name} was made without a binding")
        messages = Messages(f"messages of {self.name}", DEFAULT_QUEUE)

        def push(event: Event) -> None:
            call = event.decode(BindingCalled)
            if call.name == self.binding and self.page.is_main_context(call.execution_context_id, self.name):
                messages.put(call.payload)

        self.page.session.register(messages)
        messages.on_end(self.page.session.listen(push, "Runtime.bindingCalled"))
        return messages

    async def remove(self) -> None:
        """No script and no binding in documents from now on; the present document keeps both until it is left."""
        self.page.drop_world(self.name)
        await self.page.session.call("Page.removeScriptToEvaluateOnNewDocument", {"identifier": self._script_id})
        if self.binding is not None:
            await self.page.session.call("Runtime.removeBinding", {"name": self.binding})


class Messages(Mailbox[str]):
    """Messages of a world, in order, lossless; see Mailbox for its rules."""
