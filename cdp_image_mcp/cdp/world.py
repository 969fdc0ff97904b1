"""A world of our own in the documents of a page that we choose: our script beside the page's, unseen by it.

A page may go to a document in which no script of ours may run at any moment, so the document that a world was made in
is judged before anything runs in it.
"""

from typing import Any, TypeVar, overload

from cdp_image_mcp.cdp.errors import DocumentLeft, NodeError, ProtocolError
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.page import Page
from cdp_image_mcp.cdp.protocol import (
    BindingCalled,
    ContextCreated,
    CreateIsolatedWorldReply,
    EvaluateReply,
    RemoteObject,
)
from cdp_image_mcp.cdp.session import DEFAULT_QUEUE, Event, raw_of
from cdp_image_mcp.cdp.wire import Params, shaped

T = TypeVar("T")


class World:
    """An isolated world, made in the present document alone: a document that comes by itself holds no script of ours.

    ``binding`` is a function in it; the string that the script gives it comes out of ``messages``.
    """

    def __init__(self, page: Page, name: str, *, binding: str = "") -> None:
        self.page = page
        self._name = name
        self._binding = binding
        self._unique = ""
        self._number = 0

    @property
    def made(self) -> bool:
        """Whether it was made, and its document has not been found gone since."""
        return self._unique != ""

    async def make(self) -> None:
        """Make it, or find it again, in the present document; nothing runs in it yet. Raises DocumentLeft.

        Only Runtime.enable tells the unique id of a context. It is ended at once, lest the page's console is sent here
        and its objects kept for it. Bindings do without (Chromium 156, 2026-11): they are made anew each time, since
        one that is there is not put into new documents.
        """
        self.leave()
        with self.page.session.subscribe("Runtime.executionContextCreated") as created:
            answers = await self.page.session.pipeline(self._making())
            try:
                made, *_ = [raw_of(answer) for answer in answers]
            except ProtocolError as error:
                raise DocumentLeft(f"no script can look into the page: {error.message}") from error
            number = shaped(made, CreateIsolatedWorldReply, "Page.createIsolatedWorld").execution_context_id
            while (event := created.poll()) is not None:
                context = event.decode(ContextCreated).context
                if context.id == number and context.name == self._name:
                    await self._judge()
                    self._number, self._unique = number, context.unique_id
                    return
        raise DocumentLeft("the page went to another document while it was being looked into")

    def _making(self) -> list[tuple[str, Params]]:
        frame = {"frameId": self.page.frame_id, "worldName": self._name}
        commands: list[tuple[str, Params]] = [
            ("Page.createIsolatedWorld", frame),
            ("Runtime.discardConsoleEntries", None),
            ("Runtime.enable", None),
            ("Runtime.disable", None),
        ]
        if self._binding:
            binding = {"name": self._binding}
            commands.append(("Runtime.removeBinding", binding))
            commands.append(("Runtime.addBinding", {**binding, "executionContextName": self._name}))
        return commands

    async def _judge(self) -> None:
        """Asked after it was made, and before it may be used: either the document is its own, or its own is gone and
        nothing can run in it."""
        if not self.page.may_look(await self.page.loader_id()):
            raise DocumentLeft("the page went to a document that is not to be looked into")

    def leave(self) -> None:
        """Forget it: nothing runs in the page until the next ``make``."""
        self._unique, self._number = "", 0

    @overload
    async def evaluate(self, expression: str, *, timeout: float = ...) -> Any: ...
    @overload
    async def evaluate(self, expression: str, *, reply: type[T], timeout: float = ...) -> T: ...
    async def evaluate(self, expression: str, *, reply: Any = Any, timeout: float = 15.0) -> Any:
        """The JSON value of an expression, as ``reply``; a promise is awaited.

        Raises DocumentLeft when the document is gone or was never looked into, ScriptError, CommandTimeout.
        """
        return (await self._run(expression, timeout, by_value=True)).decoded(reply)

    async def object_of(self, expression: str, *, timeout: float = 15.0) -> RemoteObject:
        """What an expression gives, as a handle on it. Raises as ``evaluate``."""
        return await self._run(expression, timeout, by_value=False)

    async def node(self, expression: str) -> "Node | None":
        """The element that an expression gives, or None. Raises as ``evaluate``."""
        found = await self.object_of(expression)
        return Node(self.page, found.object_id) if found.subtype == "node" and found.object_id else None

    def messages(self) -> Mailbox[str]:
        """What the script gives to the binding from now on; make it before what causes the message."""
        messages: Mailbox[str] = Mailbox(f"messages of {self._name}", DEFAULT_QUEUE)

        def push(event: Event) -> None:
            called = event.decode(BindingCalled)
            if called.name == self._binding and called.execution_context_id == self._number:
                messages.put(called.payload)

        self.page.session.feed(messages, push, "Runtime.bindingCalled")
        return messages

    async def _run(self, expression: str, timeout: float, *, by_value: bool) -> RemoteObject:
        if not self.made:
            raise DocumentLeft("the page is not looked into at present")
        where = {"expression": expression, "uniqueContextId": self._unique}
        command = {**where, "awaitPromise": True, "returnByValue": by_value}
        try:
            answer = await self.page.session.call("Runtime.evaluate", command, timeout=timeout, reply=EvaluateReply)
        except ProtocolError as error:
            if not error.document_gone:
                raise
            self.leave()
            raise DocumentLeft("the page went to another document") from error
        return answer.given


class Node:
    """A handle on an element, in the world it was found in; ends with its document. Made by ``World.node``."""

    def __init__(self, page: Page, object_id: str) -> None:
        self.page = page
        self.object_id = object_id

    async def call(self, function: str, *arguments: Any, reply: Any = Any, timeout: float = 30.0) -> Any:
        """Call a function declaration with ``this`` as the element and JSON values; its JSON value as ``reply``.

        Raises NodeError when the element's document is gone, ScriptError when the function threw.
        """
        given = [{"value": value} for value in arguments]
        whom = {"functionDeclaration": function, "objectId": self.object_id, "arguments": given}
        command = {**whom, "awaitPromise": True, "returnByValue": True}
        try:
            answer = await self.page.session.call(
                "Runtime.callFunctionOn", command, timeout=timeout, reply=EvaluateReply
            )
        except ProtocolError as error:
            if error.document_gone or "Could not find object" in error.message:
                raise NodeError("the element's document is gone") from error
            raise
        return answer.given.decoded(reply)
