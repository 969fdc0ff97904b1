"""From an answer's bytes to pictures, usage and facts, whether it is one JSON text or a stream of events."""

import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

import anyio
import msgspec

from cdp_image_mcp.openai.bill import add_up
from cdp_image_mcp.openai.refusals.failures import Failure, clean, judge
from cdp_image_mcp.openai.wire.events import EventReader
from cdp_image_mcp.openai.wire.exchange import BrokenError, Reply
from cdp_image_mcp.openai.wire.pictures import AnswerError, PictureReader, picture_index
from cdp_image_mcp.system.tasks import shielded

LONGEST_ERROR = 1024 * 1024
LONGEST_REVISED = 4000
EVENTS = (b":", b"data:", b"event:", b"id:", b"retry:")
"""How the lines of an event stream begin; a comment has no name."""
TOLD = {"quality": "quality", "background": "background", "size": "told_size", "output_format": "told_output_format"}
"""Fields of an answer, and the facts they are in the record: what a picture is like is read from its bytes."""
SMALLEST = 32
"""Bytes. No picture of any kind is smaller; a relay may send the word "null", which reads as base64."""
DRAIN = 1.0
"""Seconds that the end of an answer is waited for after all that was asked for."""


class Answer:
    """What a successful answer brings: pictures are handed on as they come, what it says beside them is kept here."""

    def __init__(self, key: str | None, save: Callable[[bytes, int], Awaitable[None]], wanted: int = 1) -> None:
        """``save`` gets each finished picture and which one of this answer it is, from 1; ``wanted`` are asked for."""
        self.wanted = wanted
        self.pictures = 0
        """Those that were handed on."""
        self.faults: list[str] = []
        """Why items held no usable picture, in words."""
        self.warnings: list[str] = []
        """What is to be known of pictures that were handed on."""
        self.addresses: list[str] = []
        """Pictures that are only named by address."""
        self.verdict: Failure | None = None
        """On what it says to be wrong beside pictures, or in place of one."""
        self.usage: dict[str, Any] | None = None
        self.facts: dict[str, Any] = {}
        """When it was made, and what was asked as the server resolved it; ``auto`` left out."""
        self.revised_prompts: list[str] = []
        self.request_id = ""
        """What the server calls it."""
        self.key = key
        self._save = save
        self._came: list[bytes | str] = []
        """Pictures, by their digests, and addresses."""
        self._told = 0
        """How many of them earlier texts brought, as events: what one of those tells once more is no other picture."""

    @property
    def found(self) -> int:
        """Pictures that came or are named."""
        return self.pictures + len(self.addresses)

    @property
    def given(self) -> int:
        """Those, and what came and cannot be used."""
        return self.found + len(self.faults)

    def judge(self, reply: Reply, tree: Any, raw: str = "") -> Failure:
        """The verdict on an error, which may be within a success."""
        began, silence = 200 <= reply.status < 300, reply.silence
        verdict = judge(reply.status, reply.headers, tree, raw, key=self.key, begun=began, silence=silence)
        if reply.passed_on:
            # Of the address, perhaps, and not of the request, which was taken.
            verdict.error.submitted, verdict.error.spent, verdict.error.retryable = True, "unknown", False
            return msgspec.structs.replace(verdict, again=None)
        return verdict

    async def finished(
        self, tree: Mapping[str, Any], reader: PictureReader, items: Sequence[Mapping[str, Any]]
    ) -> None:
        """All of a JSON text is here that comes; ``items`` are its places for pictures."""
        await self.take(reader)
        await self.settle(reader, items)
        if not (self.addresses or self.faults):
            await self.keep(reader)
        self._note(tree, items)
        self._told = len(self._came)

    def brings(self, reader: PictureReader, items: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a picture has come in this text, or is named."""
        named = any(isinstance(address := item.get("url"), str) and address for item in items)
        return bool(reader.drawn or named or any(data for data, _ in reader.damaged.values()))

    async def take(self, reader: PictureReader) -> None:
        """The pictures that have come whole."""
        for data in reader.whole(SMALLEST):
            await self.hand_on(data)

    async def settle(self, reader: PictureReader, items: Sequence[Mapping[str, Any]]) -> None:
        """Items whose base64 text brought nothing may name an address: relays written in Go send both fields, the
        unused one empty; others fill both. Without one, what could be read of a damaged text is kept."""
        for item in items:
            address = item.get("url")
            found = [picture_index(each) for each in (address, item.get("b64_json"))]
            marks = [mark for mark in found if mark is not None]
            came = any(mark not in reader.damaged for mark in marks)
            if isinstance(address, str) and address and found[0] is None and not came:
                if self._is_new(address):
                    self.addresses.append(address)
            elif not came:
                continue
            for mark in marks:
                reader.damaged.pop(mark, None)
        for index, (data, wrong) in sorted(reader.damaged.items()):
            if data:
                self.warnings.append(f"A picture came damaged ({wrong}); what could be read of it was saved.")
                await self.hand_on(data)
            else:
                self.faults.append(f"picture {index + 1} cannot be decoded: {wrong}")
        reader.damaged.clear()

    async def salvage(self, reader: PictureReader) -> None:
        """What there is of a text that cannot be read, or not to its end."""
        await self.settle(reader, reader.pieces())
        if not self.addresses:
            await self.keep(reader)

    async def keep(self, reader: PictureReader) -> None:
        """No picture was found: it may be in a form that is not known."""
        if not self.pictures and (data := reader.painted()):
            await self.hand_on(data)

    async def hand_on(self, data: bytes, number: int = 0) -> None:
        """``number``: which one of this answer it is, where that is known."""
        if self._is_new(sha256(data).digest()):
            self.pictures += 1
            await self._save(data, number or self.pictures)

    def _is_new(self, mark: bytes | str) -> bool:
        if mark in self._came[: self._told]:
            return False
        self._came.append(mark)
        return True

    def _note(self, tree: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
        """What is told beside pictures."""
        created = tree.get("created", tree.get("created_at"))
        if isinstance(created, int | float) and created > 0:
            self.facts["openai_created"] = int(created)
        if (usage := _fields(tree.get("usage"))) is not None and (self.usage is None or len(self._came) > self._told):
            # Each event of several has that of its picture; of one that repeats the whole this counts too much.
            self.usage = add_up(self.usage or {}, usage)
        for name, fact in TOLD.items():
            value = tree.get(name)
            if isinstance(value, str) and value not in {"", "auto"}:
                self.facts[fact] = clean(value, self.key, 40)
        for item in (tree, *(item for item in items if item is not tree)):
            if isinstance(revised := item.get("revised_prompt"), str) and revised:
                self.revised_prompts.append(clean(revised, self.key, LONGEST_REVISED))


async def read_answer(reply: Reply, answer: Answer, begun: Callable[[], None]) -> Failure | None:
    """Read a whole answer; why there is none. ``begun`` is called when the first bytes of a success have come. Raises
    :class:`BrokenError` when it ends too early; what came before was handed on."""
    success, begin = 200 <= reply.status < 300, b""
    try:
        begin = await reply.first()
    except BrokenError:
        if success:
            raise
    if begin and success:
        begun()
    # Relays send events under a JSON type and JSON where events were asked (exo PR#1328, mistral-vibe PR#774, 2026).
    told = success and "event-stream" in reply.headers.get("content-type", "").lower()
    streamed = any(begin.startswith(each) or each.startswith(begin) for each in EVENTS) if begin else told
    if success:
        return await (_Stream(reply, answer).read() if streamed else _read_json(reply, answer))
    return await (_read_failed_stream(reply, answer) if streamed else _read_error(reply, answer))


async def _read_failed_stream(reply: Reply, answer: Answer) -> Failure | None:
    """What a refusal means that is written as events."""
    with contextlib.suppress(BrokenError):
        return await _Stream(reply, answer).read()
    return answer.judge(reply, None)


async def _read_error(reply: Reply, answer: Answer) -> Failure | None:
    """What a refusal means. A picture where answers have theirs is no less paid for its status: then there is none, as
    of an answer. What it says back of the request is no picture of its own."""
    reader, body = PictureReader(), None
    with contextlib.suppress(BrokenError, AnswerError):  # status and headers are enough to judge by
        await _fill(reader, reply, 0)
    with contextlib.suppress(AnswerError):
        body = reader.finish()
    answer.verdict = answer.judge(reply, body, reader.text(LONGEST_ERROR))
    tree = _fields(body)
    items = [piece for piece in reader.pieces() if "b64_json" in piece] if tree is None else _listed(tree)
    if not any(picture_index(item.get("b64_json")) is not None or item.get("url") for item in items):
        return answer.verdict
    await answer.finished(tree or {}, reader, items)
    return None if answer.found else answer.verdict


async def _fill(reader: PictureReader, reply: Reply, wanted: int, answer: Answer | None = None) -> None:
    """Read to the end, or until a JSON is whole that has ``wanted`` pictures and nothing is said behind it for
    :data:`DRAIN`: servers that do not end what they answer would be waited for as long as any may draw. Pictures go to
    ``answer``."""
    with anyio.CancelScope() as reading:
        while (piece := await reply.read()) is not None:
            reader.feed(piece)
            if answer is not None:
                await answer.take(reader)
            if reading.deadline == math.inf and (tree := _fields(reader.so_far())) is not None:
                here = max(answer.pictures if answer is not None else 0, len(_listed(tree)))
                if here >= wanted:
                    reading.deadline = anyio.current_time() + DRAIN


def _fields(tree: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", tree) if isinstance(tree, Mapping) else None


def _items(tree: Mapping[str, Any], reader: PictureReader) -> Sequence[Mapping[str, Any]]:
    """The places for pictures. Forms of a server's own (``images``, SiliconFlow 2026) name their addresses alike, or
    list them and nothing else."""
    items = _listed(tree)
    if items or reader.painted() is not None:
        return items
    pieces = [piece for piece in reader.pieces() if "message" not in piece]
    lists = (cast("list[Any]", value) for value in tree.values() if isinstance(value, list))
    bare = dict.fromkeys(each for listed in lists for each in listed if isinstance(each, str))
    named = {piece.get("url") for piece in pieces}
    return [*pieces, *({"url": each} for each in bare if each.startswith("http") and each not in named)]


def _listed(tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = tree.get("data")
    listed = cast("list[Any]", data) if isinstance(data, list) else []
    return [cast("Mapping[str, Any]", item) for item in listed if isinstance(item, Mapping)]


def _wrong(tree: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What tells of an error: servers written in Go send the field always, with nothing in it."""
    for each in (tree, *items):
        error = each.get("error")
        if any(cast("Mapping[str, Any]", error).values()) if isinstance(error, Mapping) else error:
            return each
    return None


def _parsed(reader: PictureReader) -> tuple[Mapping[str, Any] | None, str]:
    """A JSON object, or why it cannot be read."""
    try:
        return _fields(reader.finish()), "it is no JSON object"
    except AnswerError as fault:
        return None, str(fault)


async def _read_json(reply: Reply, answer: Answer) -> Failure | None:
    reader = PictureReader()
    broken: BrokenError | None = None
    try:
        await _fill(reader, reply, answer.wanted, answer)
        tree, why = _parsed(reader)
    except BrokenError as error:
        broken, (tree, why) = error, _parsed(reader)
    except AnswerError as fault:
        tree, why = None, str(fault)
    except anyio.get_cancelled_exc_class():
        _parsed(reader)
        with shielded():
            await answer.salvage(reader)
        raise
    if tree is None:
        # A 200 that is no answer. Pictures that came before it broke, or were named, are kept and counted.
        await answer.salvage(reader)
        if broken is not None:
            raise broken
        if answer.found:
            answer.faults.append(f"the answer cannot be read to its end: {why}")
            return None
        verdict = answer.judge(reply, None, reader.text())
        verdict.error.message = f"The API's answer cannot be read: {why}."
        return verdict
    items = _items(tree, reader)
    if (wrong := _wrong(tree, items)) is not None:
        answer.verdict = answer.judge(reply, wrong)
        if not (answer.pictures or answer.brings(reader, items)):
            return answer.verdict
    await answer.finished(tree, reader, items)
    if not answer.given:
        answer.faults.append(f"it says {clean(reader.text(), answer.key, 300)}")
    return None


class _Event(NamedTuple):
    tree: Mapping[str, Any]
    reader: PictureReader
    items: Sequence[Mapping[str, Any]]
    kind: str


class _Stream:
    """A stream of events: life signs, partial pictures of servers that send them unasked, then the finished ones."""

    def __init__(self, reply: Reply, answer: Answer) -> None:
        self._reply = reply
        self._answer = answer
        self._events = EventReader()
        self._reader = PictureReader()
        self._drawing = False
        """Whether a picture has come that need not be a finished one."""
        self._candidates: list[_Event] = []
        """The last pictures under each name, or in a form, that is not known: of the name that came last they are the
        finished ones, if no better come."""
        self._verdict: Failure | None = None
        self._enough = False
        """All that was asked for is here."""
        self._over = False

    async def read(self) -> Failure | None:
        try:
            while not (self._over or self._enough) and (piece := await self._reply.read()) is not None:
                await self._take(self._events.feed(piece))
            if not (self._over or self._enough) or await self._drain():
                await self._take(self._events.close())
        except BrokenError as broken:
            taken = await self._cut_short(f"The stream broke ({broken.words})")
            if not (taken or self._enough or self._verdict):
                raise
            if self._verdict is not None:
                # The one that failed was told; of the others nobody knows whether they were made.
                self._verdict = msgspec.structs.replace(self._verdict, again=None)
                self._verdict.error.submitted, self._verdict.error.spent = True, "unknown"
        except anyio.get_cancelled_exc_class():
            # It ends for its user, or because it sent signs of life and nothing more until nobody waits any longer.
            with shielded():
                await self._cut_short("The stream was given up")
            raise
        await self._take_candidates()
        if self._verdict is not None and not self._answer.found:
            return self._verdict
        if not self._answer.given:
            raise BrokenError("receiving", "connection", "the stream ended before the picture was finished")
        return None

    async def _cut_short(self, how: str) -> bool:
        """Its last event may have brought its picture before it was cut. Whether what may be a preview was taken."""
        await self._take(self._events.close())
        taken = await self._take_candidates()
        if taken:
            self._answer.warnings.append(f"{how}: the picture may be a preview.")
        return taken

    async def _take_candidates(self) -> bool:
        """Whether there were any to be taken for the finished pictures."""
        taken = self._last_alike() if self._verdict is None and not self._answer.found else []
        self._candidates.clear()
        for event in taken:
            await self._finished(event)
        return bool(taken)

    def _last_alike(self) -> list[_Event]:
        """The candidates under the name that came last."""
        return self._alike(self._candidates[-1].kind) if self._candidates else []

    def _alike(self, kind: str) -> list[_Event]:
        return [event for event in self._candidates if event.kind == kind]

    async def _drain(self) -> bool:
        """Read to the end, so that the connection can serve again and more pictures than asked are kept; what is saved
        does not wait for it. Whether it came to the end: a picture that is cut here may be one that is saved."""
        with anyio.move_on_after(DRAIN), contextlib.suppress(BrokenError):
            while (piece := await self._reply.read()) is not None:
                await self._take(self._events.feed(piece))
            return True
        return False

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
        tree, _ = _parsed(reader)
        items = reader.pieces() if tree is None else _items(tree, reader) if "data" in tree else [tree]
        brings = self._answer.brings(reader, items) or reader.painted() is not None
        if tree is None:
            if not brings and name != "error":
                return  # a keep-alive in words, or cut off: the end of the stream decides
            # A picture that is here, or is named, is no less paid.
            tree = {"type": name or next((piece["type"] for piece in items if "type" in piece), reader.text())}
        kind = str(tree.get("type") or name)
        event = _Event(tree, reader, items, kind)
        # Volcengine tells so of each of several pictures (Ark, Seedream, measured 2026-09-18).
        one_of_several = kind.endswith((".partial_succeeded", ".partial_failed"))
        partial = ("partial" in kind and not one_of_several) or '"partial_image_index"' in reader.text()
        wrong = tree if "error" in {name, kind} or kind.endswith("failed") else _wrong(tree, items)
        if wrong is not None:
            self._answer.verdict = verdict = self._answer.judge(self._reply, wrong, reader.text())
            if partial or not brings:
                if not self._enough:
                    # Before any partial picture it may still be a plain limit, which costs nothing.
                    self._verdict = msgspec.structs.replace(verdict, again=None) if self._drawing else verdict
                self._over = self._answer.wanted == 1  # the others may still come
                return
        if partial:
            self._drawing = True
        elif kind.endswith((".completed", ".partial_succeeded")) or "data" in tree or (reader.drawn and not kind):
            await self._finished(event)
        elif brings:
            # Relays give events names of their own, to finished pictures and to previews and tasks before them.
            self._drawing = True
            if len(alike := self._alike(kind)) == self._answer.wanted:
                self._candidates.remove(alike[0])
            self._candidates.append(event)

    async def _finished(self, event: _Event) -> None:
        await self._answer.finished(event.tree, event.reader, event.items)
        # What says that something is done and brings nothing is not the picture's end: that may come after it.
        self._enough = (self._answer.given or len(self._last_alike())) >= self._answer.wanted
