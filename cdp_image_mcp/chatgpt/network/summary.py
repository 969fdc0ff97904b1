"""From the messages heard to the turn as it stands."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.network.conversations import Activity
from cdp_image_mcp.chatgpt.network.message import DONE, Asset, Message
from cdp_image_mcp.chatgpt.network.placing import Place
from cdp_image_mcp.chatgpt.network.sent import Sent
from cdp_image_mcp.chatgpt.network.turn import Pointer, StreamEnd, ToolError, Turn
from cdp_image_mcp.chatgpt.network.wire import obj, text
from cdp_image_mcp.system.plaintext import clean

__all__ = ["Said", "Told", "summary"]

USE_CASE = "image gen"
LONGEST = 4_000
"""Characters of an answer that are kept."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream or topic said beside messages."""

    handed_off: bool = False
    complete: bool = False
    done: bool = False
    error: str = ""
    use_case: str = ""
    model: str = ""

    def hearing(self, kind: str, said: dict[str, Any]) -> "Said":
        """After a typed object."""
        match kind:
            case "message_stream_complete":
                return msgspec.structs.replace(self, complete=True)
            case "stream_handoff":
                return msgspec.structs.replace(self, handed_off=True)
            case "server_ste_metadata":
                meta = obj(said.get("metadata"))
                return msgspec.structs.replace(
                    self,
                    use_case=text(meta.get("turn_use_case")) or self.use_case,
                    model=text(meta.get("model_slug")) or self.model,
                )
            case _:
                return self


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside messages when the turn is summed up."""

    conversation_id: str
    stream: Said
    topics: tuple[Said, ...]
    """What our turn's topics said."""
    closed: bool
    broken: bool
    complete_notice: bool
    activity: Activity | None
    reread: bool
    """It was read after its completion was announced, if it was."""
    read: bool
    stale: bool
    paragen: bool | None
    blocked_ids: Collection[str]
    own: Collection[str]
    """Files that were found to be the person's own."""
    fails: Callable[[str], bool]
    """Whether a tool's words say that it failed."""
    present: Collection[str]
    """The ids of the conversation's messages when it was last read; empty before."""

    @property
    def end(self) -> StreamEnd | None:
        if self.stream.complete:
            return "complete"
        if self.stream.done and not self.broken:
            return "done"
        return "cut" if self.closed else None

    @property
    def over(self) -> bool:
        if self.complete_notice or any(topic.complete or topic.done for topic in self.topics):
            return True
        if self.stream.complete and not self.stream.handed_off:
            return True
        return self.read and self.at_rest

    @property
    def at_rest(self) -> bool:
        return self.activity == "rest"

    def settled(self, pictures: Collection[Pointer]) -> bool:
        """Whether finished pictures were read after the notice that the turn is complete: without an ``async_status``
        in the reading nothing else takes back what the stream said while they were drawn."""
        finals = [picture for picture in pictures if picture.final]
        read = self.complete_notice and self.reread
        return bool(finals) and read and all(picture.message_id in self.present for picture in finals)

    def first(self, name: str) -> str:
        """The first of our streams that said something under ``name``."""
        return next((found for said in (self.stream, *self.topics) if (found := text(getattr(said, name)))), "")


def summary(
    messages: Mapping[str, Message], places: Mapping[str, Place], users: tuple[str, ...], sent: Sent | None, told: Told
) -> Turn:
    """The turn, from every message's place and what was told beside them."""
    ours = [
        message for key, message in messages.items() if places[key] == "ours" and message.role in {"assistant", "tool"}
    ]
    references = _references(messages, sent)
    known = {*references, *told.own, *_earlier(messages, places)}
    pictures = _pictures(ours, known, at_rest=told.at_rest)
    failed = [error for message in ours if (error := _tool_error(message, told)) is not None]
    answers = [message for message in ours if message.answer and not message.error]
    paragen = _paragen(ours, told)
    error = told.first("error")
    settled = told.settled(pictures)
    started = bool(pictures) or any(message.image_sign or message.announced for message in ours)
    return Turn(
        user_message_id=users[-1] if users else None,
        conversation_id=told.conversation_id or None,
        reference_ids=references,
        pictures=pictures,
        expected_count=_expected(ours, len(failed), paragen=paragen),
        drawing_started=started,
        picture_promised=started or any(said.use_case == USE_CASE for said in (told.stream, *told.topics)),
        tool_used=any(message.call or message.role == "tool" for message in ours),
        running=told.activity == "running" and not settled,
        at_rest=told.at_rest or settled,
        handed_off=told.stream.handed_off,
        stream_ended=told.end,
        turn_complete=told.over,
        conversation_read=told.read,
        answered_text=clean(answers[-1].words[:LONGEST], LONGEST) if answers else None,
        partial_text=_partial(ours),
        error=clean(error, 1000) if error else None,
        tool_error=failed[-1] if failed else None,
        blocked=any(message.blocked or message.id in told.blocked_ids for message in ours),
        empty_picture=not pictures and any(message.empty for message in ours),
        card_waiting=any(message.placeholder and (not told.present or message.id in told.present) for message in ours),
        paragen=paragen,
        model=next((message.model for message in reversed(ours) if message.model), told.first("model")) or None,
        half_drawn=_half_drawn(ours, at_rest=told.at_rest),
        unplaced_pictures=_unplaced(messages, places, told, known),
        stale=told.stale,
    )


def _tool_error(message: Message, told: Told) -> ToolError | None:
    if message.error is not None or message.role != "tool" or message.assets or not message.finished:
        return message.error
    return ToolError("", message.words[:LONGEST]) if message.words and told.fails(message.words) else None


def _references(messages: Mapping[str, Message], sent: Sent | None) -> tuple[str, ...]:
    """The person's own files, in order: a picture message may echo them."""
    asked = sent.reference_ids if sent else ()
    shown = [asset.file_id for message in messages.values() if message.role == "user" for asset in message.assets]
    return tuple(dict.fromkeys((*asked, *shown)))


def _earlier(messages: Mapping[str, Message], places: Mapping[str, Place]) -> set[str]:
    """Files of other turns: an edit may show the picture it started from."""
    others = [message for key, message in messages.items() if places[key] == "other"]
    return {asset.file_id for message in others for asset in (*message.assets, *message.replaced)}


def _pictures(ours: list[Message], known: Collection[str], *, at_rest: bool) -> tuple[Pointer, ...]:
    found: dict[str, Pointer] = {}
    for message in ours:
        for asset in (*message.replaced, *message.assets):
            final = asset in message.assets and message.is_final(asset, at_rest=at_rest)
            before = found.get(asset.file_id)
            if asset.file_id not in known and (before is None or (final and not before.final)):
                found[asset.file_id] = _pointer(asset, message, final=final)
    return tuple(found.values())


def _half_drawn(ours: list[Message], *, at_rest: bool) -> bool:
    done = [message for message in ours if message.status == DONE]
    return any(not message.is_final(asset, at_rest=at_rest) for message in done for asset in message.assets)


def _pointer(asset: Asset, message: Message, *, final: bool) -> Pointer:
    return Pointer(
        file_id=asset.file_id,
        width=asset.width,
        height=asset.height,
        size_bytes=asset.size_bytes,
        message_id=message.id,
        final=final,
    )


def _expected(ours: list[Message], failed: int, *, paragen: bool) -> int:
    """Announced pictures: by calls less those that failed, by placeholders, by the A/B panel's two."""
    calls = sum(message.announced for message in ours) - failed
    placeholders = len({message.placeholder for message in ours if message.placeholder})
    return max(calls, placeholders, 2 if paragen else 0, 0)


def _paragen(ours: list[Message], told: Told) -> bool:
    if told.paragen is False or any(message.chosen for message in ours):
        return False
    return told.paragen is True or any(message.group for message in ours)


def _partial(ours: list[Message]) -> str | None:
    speeches = [message for message in ours if message.speech and not message.answer]
    # Grows by the word: it is cleaned only where it is shown.
    return (speeches[-1].words[:LONGEST] or None) if speeches else None


def _unplaced(messages: Mapping[str, Message], places: Mapping[str, Place], told: Told, known: Collection[str]) -> int:
    if not told.conversation_id:
        return 0
    loose = [message for key, message in messages.items() if places[key] == "unknown" and message.role != "user"]
    done = [message for message in loose if message.status == DONE and message.conversation == told.conversation_id]
    return len({asset.file_id for message in done for asset in message.assets} - set(known))
