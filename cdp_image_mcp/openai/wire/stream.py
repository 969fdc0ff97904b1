"""From a stream of events to pictures."""

import contextlib
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anyio
import msgspec

from cdp_image_mcp.openai.refusals.failures import Failure, joined
from cdp_image_mcp.openai.wire.answer import DRAIN, Answer
from cdp_image_mcp.openai.wire.exchange import BrokenError, Reply
from cdp_image_mcp.openai.wire.forms import items_of, near_in, parsed, wrong_in
from cdp_image_mcp.openai.wire.pictures import AnswerError, PictureReader
from cdp_image_mcp.system.events import EventReader, JsonReader
from cdp_image_mcp.system.tasks import shielded

NUMBERED = re.compile(r'"partial_image_index"\s*+:\s*+(?!null)')
"""Previews are numbered. Servers that write all their events from one structure send the field with every one."""
NEXT_CHANNEL = 60.0
"""Seconds that a relay may draw in silence with the next of its channels, after an error of the one before; and those
after which a picture in a JSON of its own kind is known to be all there is."""


class _Event(NamedTuple):
    tree: Mapping[str, Any]
    reader: PictureReader
    items: Sequence[Mapping[str, Any]]
    kind: str
    numbered: bool = False
    """As previews are."""


class Begun(NamedTuple):
    """A stream of which this was read already."""

    events: EventReader | JsonReader
    reader: PictureReader
    """The event that is open, as far as it came."""
    ahead: list[bytes | str]
    """What came behind that."""


class Stream:
    """A stream of events: life signs, partial pictures of servers that send them unasked, then the finished ones."""

    def __init__(self, reply: Reply, answer: Answer, begun: Begun | None = None) -> None:
        self._reply = reply
        self._answer = answer
        self._events, self._reader, self._ahead = begun or Begun(EventReader(), PictureReader(), [])
        self._plain = begun is not None
        """It is written as JSON texts, without the fields of an event stream."""
        self._drawing = False
        """Whether a picture has come that need not be a finished one."""
        self._candidates: list[_Event] = []
        """The last pictures under each name, or in a form, that is not known: of the name that came last they are the
        finished ones, if no better come."""
        self._behind: deque[_Event] = deque(maxlen=answer.wanted)
        """The last that count where nothing else came: those that have a preview's number, and those that name
        something farther in, which may be a link or all of an answer that was put into one event."""
        self._verdict: Failure | None = None
        self._listens_until = math.inf
        """When silence between two events is the end."""
        self._enough = False
        """All that was asked for is here."""
        self._over = False

    async def read(self) -> Failure | None:
        try:
            await self._take(self._ahead)
            while not (self._over or self._enough) and (piece := await self._more()) is not None:
                await self._take(self._events.feed(piece))
            if not (self._over or self._enough) or await self._drain():
                await self._take(self._events.close())
        except BrokenError as broken:
            taken = await self._cut_short(f"the stream broke ({broken.words})")
            if not (taken or self._enough or self._verdict):
                raise
            if self._answer.wanted > 1:
                self._doubt_verdict()  # the one that failed was told, and not what became of the others
        except anyio.get_cancelled_exc_class():
            # It ends for its user, or because it sent signs of life and nothing more until nobody waits any longer.
            with shielded():
                await self._cut_short("the stream was given up")
            raise
        await self._take_candidates()
        if self._verdict is not None and not self._answer.found:
            return self._verdict
        if not self._answer.given:
            raise BrokenError("receiving", "connection", "the stream ended before the picture was finished")
        return None

    async def _more(self) -> bytes | None:
        """What comes next. Not every server ends what it has given up, or said: then silence is the end, but within an
        event it is the network's."""
        open_still = self._reader.text(1) and not self._events.whole
        with anyio.CancelScope(deadline=math.inf if open_still else self._listens_until):
            return await self._reply.read()
        return None

    def _listen(self) -> None:
        """Behind an error in place of the only picture it may still come, from the next channel of a relay. JSON with a
        picture of its own kind may be all there is."""
        if self._answer.wanted == 1 and self._verdict is not None:
            self._listens_until = anyio.current_time() + (NEXT_CHANNEL if self._reply.success else DRAIN)
        elif self._plain and len(_last_alike(self._candidates)) >= self._answer.wanted:
            self._listens_until = anyio.current_time() + NEXT_CHANNEL

    async def _cut_short(self, how: str) -> bool:
        """Its last event may have brought its picture before it was cut. Whether what may be a preview was taken."""
        await self._take(self._events.close())
        if any(event.numbered for event in self._behind):
            self._behind.clear()  # better ones may have been to come
        return await self._take_candidates(how)

    async def _take_candidates(self, doubt: str = "") -> bool:
        """Whether there were any to be taken for the finished pictures. ``doubt``: why they may be previews."""
        taken = [] if self._answer.found else _last_alike(self._candidates) or _last_alike(self._behind)
        if any(event.numbered for event in taken):
            doubt = "it came with a preview's number, and no other came"
        if self._verdict is not None and self._answer.wanted > 1:
            doubt = doubt or "an error came with it"
        self._candidates.clear()
        self._behind.clear()
        for event in taken:
            await self._finished(event)
        if taken and doubt:
            self._answer.warnings.append(f"The picture may be a preview: {doubt}.")
        return bool(taken)

    async def _drain(self) -> bool:
        """Read to the end, so that the connection can serve again and more pictures than asked are kept; what is saved
        does not wait for it. Whether its last event is whole: a picture that is cut here may be one that is saved."""
        with anyio.move_on_after(DRAIN), contextlib.suppress(BrokenError):
            while (piece := await self._reply.read()) is not None:
                await self._take(self._events.feed(piece))
            return True
        return self._events.whole

    async def _take(self, tokens: list[bytes | str]) -> None:
        for token in tokens:
            if self._over:
                return
            if isinstance(token, str):
                reader, self._reader = self._reader, PictureReader()
                await self._event(token, reader)
                continue
            try:
                self._reader.feed(token)
            except AnswerError as fault:
                self._answer.faults.append(str(fault))
                self._reader = PictureReader()

    async def _event(self, name: str, reader: PictureReader) -> None:
        if reader.text(32).strip() == "[DONE]":
            self._over = True
            return
        tree, _ = parsed(reader)
        items = reader.pieces() if tree is None else near_in(tree)
        brings = self._answer.brings(reader, items) or reader.painted() is not None
        if tree is None:
            if not brings and name != "error":
                return  # a keep-alive in words, or cut off: the end of the stream decides
            # A picture that is here, or is named, is no less paid.
            # Where there are several, they may be those of several events that cannot be told apart.
            named = next((piece["type"] for piece in items if "type" in piece), reader.text())
            tree = {"type": name or ("" if reader.count > 1 else named)}
        kind = _kind_of(tree) or name
        event = _Event(tree, reader, items, kind)
        # Volcengine tells so of each of several pictures (Ark, Seedream, measured 2026-09-18).
        one_of_several = kind.endswith((".partial_succeeded", ".partial_failed"))
        finished = kind.endswith((".completed", ".partial_succeeded"))
        numbered = not finished and NUMBERED.search(reader.text()) is not None
        partial = "partial" in kind and not one_of_several
        # Behind the status of a refusal words are its own, also where no error object holds them.
        told = "error" in {name, kind} or kind.endswith("failed")
        told = told or (not self._reply.success and not tree.keys().isdisjoint(("message", "detail")))
        wrong = tree if told else wrong_in(tree, items)
        if wrong is not None:
            verdict = self._answer.judge(self._reply, wrong, reader.text())
            self._answer.verdict = joined(self._answer.verdict, verdict) if self._answer.verdict else verdict
            if partial or numbered or not brings:
                if not self._enough:
                    self._fails(verdict)
                return
        if partial or numbered:
            self._draws()
            if brings and not partial and self._verdict is None:
                self._behind.append(event._replace(numbered=True))
        elif brings or reader.taken or (answer := self._farther_in(event)) is None:
            await self._sort(event, finished=finished, brings=brings)
        elif finished:
            await self._finished(answer)
        else:
            self._behind.append(answer)
            self._listen()

    def _farther_in(self, event: _Event) -> _Event | None:
        """The event with the places farther inside it, if those bring anything: gateways that only seem to stream say a
        whole answer in one event, without a name or as its ``data``."""
        if not self._reply.success or (event.kind and not event.tree.get("data")):
            return None
        items = items_of(event.tree, event.reader)
        return event._replace(items=items) if self._answer.brings(event.reader, items) else None

    async def _sort(self, event: _Event, *, finished: bool, brings: bool) -> None:
        """What is no preview, by what is known of its name."""
        kind, reader, data = event.kind, event.reader, "data" in event.tree
        if finished or event.tree.get("data") or (not kind and (reader.drawn or reader.taken or data)):
            await self._finished(event)
        elif brings:
            # Relays give events names of their own, to finished pictures and to previews and tasks before them.
            self._draws()
            if len(alike := [each for each in self._candidates if each.kind == kind]) == self._answer.wanted:
                self._candidates.remove(alike[0])
            self._candidates.append(event)
            self._listen()

    def _fails(self, verdict: Failure) -> None:
        self._verdict = joined(self._verdict, verdict) if self._verdict else verdict
        if self._drawing:
            self._doubt_verdict()  # before any picture it may still be a plain limit, which costs nothing
        if self._answer.wanted == 1:
            self._candidates.clear()  # they were previews
        self._behind.clear()
        self._listen()

    def _draws(self) -> None:
        self._drawing = True
        self._doubt_verdict()
        self._listen()

    def _doubt_verdict(self) -> None:
        """Beside what failed more was drawn, or may have been, and nobody told what became of it."""
        if self._verdict is not None:
            self._verdict = msgspec.structs.replace(self._verdict, again=None)
            error = self._verdict.error
            error.submitted, error.spent, error.retryable = True, "unknown", False

    async def _finished(self, event: _Event) -> None:
        await self._answer.finished(event.tree, event.reader, event.items)
        # What says that something is done and brings nothing is not the picture's end: that may come after it.
        self._enough = (self._answer.given or len(_last_alike(self._candidates))) >= self._answer.wanted


def _kind_of(tree: Mapping[str, Any]) -> str:
    """Relays wrap what their upstream says with its name in a field ``event``."""
    event = tree.get("event")
    return str(tree.get("type") or (event if isinstance(event, str) else ""))


def _last_alike(events: Sequence[_Event]) -> list[_Event]:
    """Those under the name that came last."""
    return [event for event in events if event.kind == events[-1].kind]
