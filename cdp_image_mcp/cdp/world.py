"""An isolated world: our script beside the page's own, unseen by it, and what the script reports."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from .errors import SubscriptionClosed
from .protocol import BindingCalled
from .session import Event, Subscription

if TYPE_CHECKING:
    from .page import Page


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
        return Messages(self.page.session.subscribe("Runtime.bindingCalled", where=self._is_mine))

    async def remove(self) -> None:
        """No script and no binding in documents from now on; the present document keeps both until it is left."""
        self.page.drop_world(self.name)
        await self.page.session.call("Page.removeScriptToEvaluateOnNewDocument", {"identifier": self._script_id})
        if self.binding is not None:
            await self.page.session.call("Runtime.removeBinding", {"name": self.binding})

    def _is_mine(self, event: Event) -> bool:
        call = event.decode(BindingCalled)
        return call.name == self.binding and self.page.is_main_context(call.execution_context_id, self.name)


class Messages:
    """Messages of a world, in order, lossless. A context manager; iterate, or call ``next``."""

    def __init__(self, events: Subscription) -> None:
        self._events = events

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """The next message; ends without an error only after ``close``."""
        try:
            return await self.next()
        except SubscriptionClosed:
            raise StopAsyncIteration from None

    async def next(self, timeout: float | None = None) -> str:
        """The next message. Raises as ``Subscription.next``; cancelling loses none."""
        return (await self._events.next(timeout)).decode(BindingCalled).payload

    def close(self) -> None:
        """Stop listening."""
        self._events.close()
