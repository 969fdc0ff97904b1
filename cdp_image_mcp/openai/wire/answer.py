"""What a successful answer of the images API brings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from cdp_image_mcp.openai.prices import add_up, figure
from cdp_image_mcp.openai.refusals.failures import Failure, clean, judge
from cdp_image_mcp.openai.wire.exchange import Reply
from cdp_image_mcp.openai.wire.forms import PLACES, address_in, fields_of
from cdp_image_mcp.openai.wire.pictures import PictureReader, picture_index

LONGEST_REVISED = 4000
TOLD = {"quality": "quality", "background": "background", "size": "told_size", "output_format": "told_output_format"}
"""Fields of an answer, and the facts they are in the record: what a picture is like is read from its bytes."""
SMALLEST = 32
"""Bytes. No picture of any kind is smaller; a relay may send the word "null", which reads as base64."""
DRAIN = 1.0
"""Seconds that the end of an answer is waited for after all that was asked for."""


class Answer:
    """What a successful answer brings: pictures are handed on as they come, what it says beside them is kept here."""

    def __init__(self, key: str | None, save: Callable[[bytes], Awaitable[None]], wanted: int) -> None:
        """``save`` gets each finished picture; ``wanted`` are asked for."""
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
        began, silence = reply.success, reply.silence
        verdict = judge(reply.status, reply.headers, tree, raw, key=self.key, begun=began, silence=silence)
        if reply.passed_on:
            # Of the address, perhaps, and not of the request, which was taken: as where that is not followed.
            error, taken = verdict.error, judge(303, {}, None).error
            error.submitted, error.spent, error.next_step = taken.submitted, taken.spent, taken.next_step
            error.retryable = False
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
        return bool(reader.drawn or any(map(address_in, items)) or any(data for data, _ in reader.damaged.values()))

    async def take(self, reader: PictureReader) -> None:
        """The pictures that have come whole."""
        for data in reader.whole(SMALLEST):
            await self.hand_on(data)

    async def settle(self, reader: PictureReader, items: Sequence[Mapping[str, Any]]) -> None:
        """Items whose base64 text brought nothing may name an address: relays written in Go send both fields, the
        unused one empty; others fill both. Without one, what could be read of a damaged text is kept."""
        for item in items:
            found = [picture_index(item.get(name)) for name in PLACES]
            marks = [mark for mark in found if mark is not None]
            came = any(mark not in reader.damaged for mark in marks)
            if (address := address_in(item)) and not came:
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

    async def hand_on(self, data: bytes) -> None:
        if self._is_new(sha256(data).digest()):
            self.pictures += 1
            await self._save(data)

    def _is_new(self, mark: bytes | str) -> bool:
        if mark in self._came[: self._told]:
            return False
        self._came.append(mark)
        return True

    def _note(self, tree: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
        """What is told beside pictures."""
        if created := figure(tree.get("created", tree.get("created_at"))):
            self.facts["openai_created"] = int(created)
        if (usage := fields_of(tree.get("usage"))) is not None and (self.usage is None or len(self._came) > self._told):
            # Each event of several has that of its picture; of one that repeats the whole this counts too much.
            self.usage = add_up(self.usage or {}, usage)
        for name, fact in TOLD.items():
            value = tree.get(name)
            if isinstance(value, str) and value not in {"", "auto"}:
                self.facts[fact] = clean(value, self.key, 40)
        for item in (tree, *(item for item in items if item is not tree)):
            if isinstance(revised := item.get("revised_prompt"), str) and revised:
                self.revised_prompts.append(clean(revised, self.key, LONGEST_REVISED))
