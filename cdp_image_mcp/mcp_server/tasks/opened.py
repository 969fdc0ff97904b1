"""The tasks that this process has given out: who asks after them, and what their person was asked."""

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext

from cdp_image_mcp.mcp_server.client.elicitation import Elicitation, is_modern
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.tasks import background, shielded

if TYPE_CHECKING:
    # Loaded by the first call, not by the server's start.
    from cdp_image_mcp.studio.asked import Images
    from cdp_image_mcp.studio.studio import Standing, Studio

logger = logging.getLogger(__name__)

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_SECONDS = 3.0
LOST_SECONDS = 4 * POLL_SECONDS
"""A task nobody has asked after for so long counts as given up: the same wish again joins its generation. Too early
costs nothing, too late a picture."""
FIRST_SECONDS = 1.5 * POLL_SECONDS
"""The same for one that was never asked after: some clients declare the extension and take no task. Their model reads
of a failure and tries again."""

End: TypeAlias = Literal["completed", "cancelled"]


class _Open(msgspec.Struct):
    """A task that somebody asks after: it counts as a call that waits on its generation."""

    prompt: str
    wait: Callable[[AsyncExitStack], Awaitable[None]]
    """It counts as waiting from then on, until the stack is closed."""
    waiting: AsyncExitStack
    """Only what is to be done at its end: a suspended block, dropped with all this, would end in anybody's hands."""
    images: "Images | None"
    """What pictures the call that made it wants to see."""
    joined: bool
    unmet: tuple[str, ...]
    also: Mapping[str, Any]
    """Further fields of its answer."""
    until: float
    """When it counts as given up."""
    given_up: bool = False
    """It counts as no waiting call then, until somebody asks after it all the same."""
    taken: anyio.Event = msgspec.field(default_factory=anyio.Event)
    """It was asked after: its client does take tasks."""


def declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether this very request may be answered with a task."""
    capabilities = ctx.session.client_capabilities
    return is_modern(ctx) and capabilities is not None and EXTENSION in (capabilities.extensions or {})


def task(standing: "Standing", status: str) -> dict[str, Any]:
    """A generation as a task, without what belongs to its status."""
    record = standing.record
    fields: dict[str, Any] = {
        "taskId": record.generation_id,
        "status": status,
        "createdAt": record.created_at,
        "lastUpdatedAt": record.updated_at,
        "ttlMs": None,
        "pollIntervalMs": int(POLL_SECONDS * 1000),
    }
    if standing.news is not None and status in {"working", "input_required"}:
        fields["statusMessage"] = clean(standing.news.message)
    return fields


class Tasks:
    """All of this process. What they are is in the library; here is only what lives as long as they are asked after."""

    def __init__(self, person: Elicitation) -> None:
        self._person = person
        self._open: dict[str, _Open] = {}
        self._changing = anyio.Lock()
        self._some = anyio.Event()
        """There is another task that may be given up."""
        self._put: dict[tuple[str, str], types.ElicitRequest] = {}
        """Questions by generation and state."""
        self._answers: dict[tuple[str, str], bool] = {}
        self._ended: dict[str, End] = {}
        self._seen: set[str] = set()
        """Those that this process has opened or was asked after."""

    async def open(
        self, standing: "Standing", studio: "Studio", images: "Images | None", also: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The task as the result of the call that made it; ``also``: what its answer is to say besides."""
        identity = standing.record.generation_id
        self._seen.add(identity)
        async with self._changing:
            opened = self._open.get(identity)
            if opened is None or opened.given_up:
                wait, until = partial(studio.begin_waiting, standing.record), anyio.current_time() + FIRST_SECONDS
                waiting = AsyncExitStack()
                await wait(waiting)
                told = images, standing.joined, standing.unmet, also
                self._open[identity] = _Open(standing.record.prompt, wait, waiting, *told, until)
                self._some.set()
            elif images is not None:
                opened.images = images
        return {"resultType": "task", **task(standing, "working")}

    def is_new(self, identity: str) -> bool:
        """Whether it is of an earlier run, and this one has not been asked after it before."""
        return identity not in self._seen

    async def asked_after(self, identity: str) -> _Open | None:
        """Somebody asks: what is known of the call that made it, unless its end is told."""
        self._seen.add(identity)
        async with self._changing:
            if (opened := self._open.get(identity)) is not None:
                opened.until = anyio.current_time() + LOST_SECONDS
                opened.taken.set()
                if opened.given_up:
                    await opened.wait(opened.waiting)
                    opened.given_up = False
                    self._some.set()
                    if self._open.get(identity) is not opened:  # its end was told meanwhile
                        await opened.waiting.aclose()
        return opened

    def ended(self, identity: str) -> End | None:
        """What was told as its end, if any. Its generation may go on, be collected or end otherwise; the task never
        runs again, and later calls about it wait by themselves."""
        return self._ended.get(identity)

    def end(self, identity: str, ended: End) -> AsyncExitStack:
        """Its end is told. Given back is what counts as waiting for it until the answer is out."""
        self._ended[identity] = ended
        if (opened := self._open.pop(identity, None)) is None:
            return AsyncExitStack()
        opened.taken.set()
        return opened.waiting

    async def close(self, identity: str) -> None:
        """Nobody asks after it any more."""
        if (opened := self._open.pop(identity, None)) is not None:
            await opened.waiting.aclose()

    async def sweep(self, prompt: str | None = None) -> None:
        """Before a new wish is looked at: tasks that nobody asks after any more do not wait. Of one with the same
        ``prompt`` that was not asked after yet it is seen first whether its client takes it."""
        for opened in [each for each in self._open.values() if each.prompt == prompt and not each.given_up]:
            with anyio.move_on_after(opened.until - anyio.current_time()):
                await opened.taken.wait()
        async with self._changing:
            for identity, opened in list(self._open.items()):
                late = anyio.current_time() >= opened.until
                # Another's end may have been told while one was given up.
                if late and not opened.given_up and self._open.get(identity) is opened:
                    opened.given_up = True
                    await opened.waiting.aclose()

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """As long as there is a client: what nobody asks after is given up in time, and at the end all of them."""
        async with background() as group:
            group.start_soon(self._keep_time)
            try:
                yield
            finally:
                await self._close_all()

    async def _keep_time(self) -> None:
        """Give up in time what nobody asks after, also where no further call comes: other processes join it then. A
        fault is logged: raised, it would end the server."""
        while True:
            self._some = anyio.Event()
            times = [opened.until for opened in self._open.values() if not opened.given_up]
            with anyio.CancelScope(deadline=min(times, default=math.inf)):
                await self._some.wait()
            try:
                await self.sweep()
            except Exception:
                logger.exception("a task that nobody asks after was not given up")

    async def _close_all(self) -> None:
        """The client has gone. A generation that outlives it is joined by whoever asks for the same next."""
        with shielded():
            for identity in list(self._open):
                await self.close(identity)

    def question(self, ctx: ServerRequestContext[Any, Any], standing: "Standing") -> types.ElicitRequest | None:
        """What the person is to be asked now, the same until it is answered; None where nobody can be asked."""
        key = (standing.record.generation_id, standing.record.state)
        if key in self._answers:
            return None
        if key not in self._put and self._person.may_ask(ctx, standing):
            self._put[key] = self._person.question(ctx, standing)
        return self._put.get(key)

    def answered(self, identity: str, responses: dict[str, dict[str, Any]]) -> None:
        """What the person said. Answers to questions that are not open are ignored, as the extension has it."""
        for state, response in responses.items():
            if (identity, state) in self._put:
                self._answers.setdefault((identity, state), response.get("action") == "accept")

    def stands(self, standing: "Standing") -> None:
        """Where it is by now. An answer goes with the state that it was about: who comes into that again, as by a
        second check, was not asked."""
        record = standing.record
        for key in [each for each in self._answers if each[0] == record.generation_id and each[1] != record.state]:
            del self._answers[key], self._put[key]

    def accepted(self, standing: "Standing") -> bool:
        """Whether the person has said to act in the window."""
        return self._answers.get((standing.record.generation_id, standing.record.state), False)
