"""From an answer's bytes to pictures, usage and facts, whether it is one JSON text or a stream of events."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any, Protocol, cast

import anyio
import msgspec

from cdp_image_mcp.openai.refusals.failures import Failure, clean, judge
from cdp_image_mcp.openai.wire.events import EventEnd, EventReader
from cdp_image_mcp.openai.wire.exchange import BrokenError, Reply
from cdp_image_mcp.openai.wire.pictures import AnswerError, PictureReader, decode, picture_index

__all__ = ["ApiAnswer", "Sink", "read_answer"]

LONGEST_ERROR = 1024 * 1024
LONGEST_REVISED = 4000
EVENTS = frozenset((b":", b"d", b"e", b"i", b"r"))
"""How the lines of an event stream begin: a comment, data, event, id, retry."""
TYPE = re.compile(r'(?<="type": ")[\w.]+|(?<="type":")[\w.]+')
SMALLEST = 32
"""Bytes. No picture of any kind is smaller; a relay may send the word "null", which reads as base64."""
DRAIN = 1.0
"""Seconds that the end of a stream is waited for after its picture."""


class Sink(Protocol):
    """Takes what an answer brings, as soon as it is there."""

    async def begun(self) -> None:
        """The first bytes of a successful answer have come."""
        ...

    async def picture(self, data: bytes) -> None:
        """A finished picture."""
        ...


class ApiAnswer(msgspec.Struct, kw_only=True):
    """What a successful answer said beside its pictures. Every field but ``pictures`` may be missing."""

    pictures: int = 0
    """Finished pictures handed to the sink."""
    faults: list[str] = []
    """Why items held no usable picture, in words."""
    warnings: list[str] = []
    """What is to be known of pictures that were handed over."""
    addresses: list[str] = []
    """Pictures that are only named by address."""
    created: int | None = None
    usage: dict[str, Any] | None = None
    told: dict[str, str] = {}
    """``quality``, ``background``, ``size``, ``output_format`` as the server resolved them; ``auto`` left out."""
    revised_prompts: list[str] = []


async def read_answer(reply: Reply, sink: Sink, *, key: str | None) -> ApiAnswer | Failure:
    """Read the whole answer. Raises :class:`BrokenError` when it ends too early; what came before is with the sink."""
    if not 200 <= reply.status < 300:
        return await _read_error(reply, key)
    # Relays send events under a JSON type and JSON where events were asked (exo PR#1328, mistral-vibe PR#774, 2026).
    begin = await reply.first()
    streamed = begin in EVENTS if begin else reply.content_type == "text/event-stream"
    return await (_Stream(reply, sink, key).read() if streamed else _read_json(reply, sink, key))


async def _read_error(reply: Reply, key: str | None) -> Failure:
    try:
        data = await reply.read_all(LONGEST_ERROR)
    except BrokenError:
        data = b""  # status and headers are enough to judge by
    try:
        body: Any = decode(data)
    except AnswerError:
        body = None
    return judge(reply.status, reply.headers, body, data.decode("utf-8", "replace"), key=key)


def _fields(tree: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", tree) if isinstance(tree, Mapping) else None


def _items(tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = tree.get("data")
    if not isinstance(data, list):
        return []
    return [cast("Mapping[str, Any]", item) for item in cast("list[Any]", data) if isinstance(item, Mapping)]


def _note(answer: ApiAnswer, tree: Mapping[str, Any], key: str | None) -> None:
    """Keep what ``tree`` tells beside pictures."""
    created = tree.get("created", tree.get("created_at"))
    if isinstance(created, int | float) and created > 0:
        answer.created = int(created)
    if (usage := _fields(tree.get("usage"))) is not None:
        answer.usage = dict(usage)
    for name in ("quality", "background", "size", "output_format"):
        value = tree.get(name)
        if isinstance(value, str) and value not in {"", "auto"}:
            answer.told[name] = clean(value, key, 40)
    for item in (tree, *_items(tree)):
        if isinstance(revised := item.get("revised_prompt"), str) and revised:
            answer.revised_prompts.append(clean(revised, key, LONGEST_REVISED))


class _Items:
    """Hands over the pictures of ``data`` one by one while the JSON is still arriving."""

    def __init__(self, reader: PictureReader, sink: Sink, answer: ApiAnswer) -> None:
        self.reader = reader
        self._sink = sink
        self._answer = answer
        self._given = 0
        self._faults: dict[int, AnswerError] = {}

    async def give(self) -> None:
        while self._given < self.reader.count:
            index, self._given = self._given, self._given + 1
            try:
                data = self.reader.take(index)
            except AnswerError as fault:
                self._faults[index] = fault
                continue
            if len(data) < SMALLEST:
                self._faults[index] = AnswerError("it is too small for a picture", data)
            else:
                await self._hand_over(data)

    async def _hand_over(self, data: bytes) -> None:
        self._answer.pictures += 1
        await self._sink.picture(data)

    async def settle(self, tree: Mapping[str, Any]) -> None:
        """All is here that comes: items whose base64 text brought nothing may name an address. Relays written in Go
        send both fields, the unused one empty. Without one, what could be read of a damaged text is kept."""
        for item in _items(tree):
            address = item.get("url")
            marks = [picture_index(address), picture_index(item.get("b64_json"))]
            came = [mark for mark in marks if mark is not None and mark not in self._faults]
            if isinstance(address, str) and address and marks[0] is None and not came:
                self._answer.addresses.append(address)
                self._faults.pop(-1 if marks[1] is None else marks[1], None)
        for index, fault in self._faults.items():
            if fault.data:
                self._answer.warnings.append(f"A picture came damaged ({fault}); what could be read of it was saved.")
                await self._hand_over(fault.data)
            else:
                self._answer.faults.append(f"picture {index + 1} cannot be decoded: {fault}")

    async def keep_all(self) -> None:
        """No picture was found: it may be in a form that is not known."""
        if not self._answer.pictures and (data := self.reader.painted()):
            await self._hand_over(data)


async def _read_json(reply: Reply, sink: Sink, key: str | None) -> ApiAnswer | Failure:
    answer, reader = ApiAnswer(), PictureReader()
    items = _Items(reader, sink, answer)
    begun = False
    try:
        while (piece := await reply.read()) is not None:
            if not begun:
                begun = True
                await sink.begun()
            reader.feed(piece)
            await items.give()
        tree = _fields(reader.finish())
    except BrokenError:
        await items.settle({})
        raise
    except AnswerError as fault:
        return await _not_understood(reply, answer, items, str(fault), key)
    if tree is None:
        return await _not_understood(reply, answer, items, "it is no JSON object", key)
    if tree.get("error") and not answer.pictures:
        return judge(reply.status, reply.headers, tree, key=key, begun=True)
    _note(answer, tree, key)
    await items.settle(tree)
    if not (answer.addresses or answer.faults):
        await items.keep_all()
    if not (answer.pictures or answer.addresses or answer.faults):
        answer.faults.append(f"it says {clean(reader.text(), key, 300)}")
    return answer


async def _not_understood(
    reply: Reply, answer: ApiAnswer, items: _Items, why: str, key: str | None
) -> ApiAnswer | Failure:
    """A 200 that is no answer. Pictures that came whole before it broke are kept and counted."""
    await items.settle({})
    await items.keep_all()
    if answer.pictures:
        answer.faults.append(f"the answer cannot be read to its end: {why}")
        return answer
    verdict = judge(reply.status, reply.headers, None, items.reader.text(), key=key, begun=True)
    verdict.error.message = f"The API's answer cannot be read: {why}."
    return verdict


class _Stream:
    """A stream of events: life signs, partial pictures of servers that send them unasked, then one finished picture."""

    def __init__(self, reply: Reply, sink: Sink, key: str | None) -> None:
        self._reply = reply
        self._sink = sink
        self._key = key
        self._answer = ApiAnswer()
        self._events = EventReader()
        self._reader = PictureReader()
        self._drawing = False
        """Whether a picture has come that need not be the finished one."""
        self._candidate: tuple[Mapping[str, Any], PictureReader] | None = None
        """The last picture under a name that is not known: the finished one, if no better comes."""
        self._verdict: Failure | None = None
        self._over = False

    async def read(self) -> ApiAnswer | Failure:
        try:
            await self._read()
        except BrokenError as broken:
            await self._take(self._events.close())  # its last event may have brought its picture before it was cut
            if self._candidate is not None:
                self._answer.warnings.append(f"The stream broke ({broken.words}): the picture may be a preview.")
            elif not self._over:
                raise
        given = self._answer.pictures or self._answer.addresses
        if self._candidate is not None and self._verdict is None and not given:
            await self._finished(*self._candidate)
        if self._verdict is not None and not self._answer.pictures:
            return self._verdict
        if not self._answer.pictures and not self._answer.addresses and not self._answer.faults:
            raise BrokenError("receiving", "connection", "the stream ended before the picture was finished")
        return self._answer

    async def _read(self) -> None:
        begun = False
        while not self._over and (piece := await self._reply.read()) is not None:
            if not begun:
                begun = True
                await self._sink.begun()
            await self._take(self._events.feed(piece))
        if not self._over:
            await self._take(self._events.close())
        elif self._answer.pictures:
            await self._drain()

    async def _drain(self) -> None:
        """Read to the end, so that the connection can serve again; the picture is saved and does not wait for it."""
        with anyio.move_on_after(DRAIN), contextlib.suppress(BrokenError):
            while await self._reply.read() is not None:
                pass

    async def _take(self, tokens: list[bytes | EventEnd]) -> None:
        for token in tokens:
            if self._over:
                return
            if isinstance(token, EventEnd):
                reader, self._reader = self._reader, PictureReader()
                await self._event(token.name, reader)
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
        try:
            tree = _fields(reader.finish())
        except AnswerError:
            # A keep-alive in words, or cut off: the end of the stream decides. A picture that is here is no less paid.
            told = TYPE.search(reader.text())
            tree = {"type": name or (told[0] if told else reader.text())} if reader.drawn else None
        if tree is None:
            return
        if tree.get("error"):
            verdict = judge(self._reply.status, self._reply.headers, tree, key=self._key, begun=True)
            # Before any partial picture it may still be a plain limit, which costs nothing.
            self._verdict = msgspec.structs.replace(verdict, again=None) if self._drawing else verdict
            self._over = True
            return
        kind = str(tree.get("type") or name)
        if "partial" in kind or "partial_image_index" in tree:
            self._drawing = True
        elif kind.endswith(".completed") or "data" in tree or (reader.drawn and not kind):
            await self._finished(tree, reader)
        elif reader.drawn or (isinstance(address := tree.get("url"), str) and address):
            # Relays give events names of their own, to the finished picture and to previews and tasks before it.
            self._drawing, self._candidate = True, (tree, reader)

    async def _finished(self, tree: Mapping[str, Any], reader: PictureReader) -> None:
        items = _Items(reader, self._sink, self._answer)
        await items.give()
        await items.settle(tree if "data" in tree else {"data": [tree]})
        _note(self._answer, tree, self._key)
        self._over = True
