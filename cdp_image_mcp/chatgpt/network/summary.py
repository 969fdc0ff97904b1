"""From the messages heard to the turn as it stands."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from cdp_image_mcp.chatgpt.network.conversations import Activity
from cdp_image_mcp.chatgpt.network.frames import TOPIC
from cdp_image_mcp.chatgpt.network.message import DONE, Message, upwards
from cdp_image_mcp.chatgpt.network.placing import Anchors, Place
from cdp_image_mcp.chatgpt.network.sent import Sent
from cdp_image_mcp.chatgpt.network.turn import Pointer, StreamEnd, ToolError, Turn
from cdp_image_mcp.chatgpt.network.wire import text
from cdp_image_mcp.system.plaintext import clean

USE_CASE = "image gen"
LONGEST = 4_000
"""Characters of an answer that are kept."""


class Said(msgspec.Struct, kw_only=True):
    """What one stream or topic said beside messages."""

    handed_off: bool = False
    resumed: bool = False
    """It began anew after it was handed off, as the answer that goes on."""
    background: bool = False
    """It said that something goes on behind it."""
    complete: bool = False
    done: bool = False
    error: str = ""
    use_case: str = ""
    model: str = ""


class Heard(msgspec.Struct, kw_only=True):
    """What is known of a turn beside messages."""

    fails: Callable[[str], bool]
    """Whether a tool's words say that it failed."""
    own: set[str]
    """Files that were found to be the person's own."""
    number: int = 1
    """Tells its stream from those of earlier turns."""
    conversation: str = ""
    others: set[str] = set()
    """Conversations that were read and do not hold our message, while ours was not known."""
    users: tuple[str, ...] = ()
    sent: Sent | None = None
    said: dict[str, Said] = {}
    closed: bool = False
    broken: bool = False
    exchanges: set[str] = set()
    handed: set[str] = set()
    """Topics that the stream was handed to."""
    complete: set[str] = set()
    """Conversations and topics whose completion was announced."""
    reread: bool = False
    """Our message was in a conversation that was read after that."""
    activities: dict[str, Activity] = {}
    blocked: set[str] = set()
    stale: set[str] = set()
    """Conversations that the site asked its page to read again."""
    missed: bool = False
    gaps: bool = False
    """Frames were missed; no reading takes it back."""
    paragen: dict[str, bool] = {}
    present: frozenset[str] = frozenset()
    """The ids of the conversation's messages when it was last read; empty before."""

    @property
    def stream(self) -> str:
        """The origin of what the answer's own stream says."""
        return f"stream-{self.number}"

    @property
    def topics(self) -> set[str]:
        return self.handed | {TOPIC + exchange for exchange in self.exchanges}

    @property
    def streams(self) -> list[Said]:
        """The answer's own, and its topics."""
        topics = sorted(self.topics & self.said.keys())
        return [self.said.get(self.stream, Said()), *(self.said[topic] for topic in topics)]

    @property
    def anchors(self) -> Anchors:
        return Anchors(
            users=frozenset(self.users),
            parent=self.sent.parent_id if self.sent else "",
            exchanges=frozenset(self.exchanges),
            origins=frozenset({self.stream, *self.topics}),
            past=frozenset(f"stream-{number}" for number in range(1, self.number)),
        )

    @property
    def activity(self) -> Activity | None:
        return self.activities.get(self.conversation)

    @property
    def at_rest(self) -> bool:
        return self.activity == "rest"

    @property
    def notice(self) -> bool:
        return bool(self.complete & ({self.conversation} | self.topics))

    @property
    def read(self) -> bool:
        return bool(self.present.intersection(self.users))

    @property
    def end(self) -> StreamEnd | None:
        stream = self.streams[0]
        if stream.complete or (stream.done and not self.broken):
            return "whole"
        return "cut" if self.closed else None

    @property
    def whole(self) -> bool:
        """Whether the answer was heard to its end: by its stream's own words, those of the same one resumed, or those
        of its topic. What others say of a topic may come before the first picture."""
        stream, *topics = self.streams
        if not stream.handed_off:
            return self.end == "whole"
        heard = any(topic.complete or topic.done for topic in topics) and not self.gaps
        return heard or (stream.resumed and stream.complete)

    @property
    def over(self) -> bool:
        stream, *topics = self.streams
        if self.notice or any(topic.complete or topic.done for topic in topics):
            return True
        return (stream.complete and not stream.handed_off) or (self.read and self.at_rest)

    @property
    def topic_open(self) -> bool:
        _, *topics = self.streams
        speaks = any(not (topic.complete or topic.done or topic.error) for topic in topics)
        return speaks and not (self.notice or self.at_rest)

    def settled(self, pictures: Collection[Pointer]) -> bool:
        """Whether finished pictures were read after the notice that the turn is complete: without an ``async_status``
        in the reading nothing else takes back what the stream said while they were drawn."""
        finals = [picture for picture in pictures if picture.final]
        read = self.notice and self.reread
        return bool(finals) and read and all(picture.message_id in self.present for picture in finals)

    def first(self, name: str) -> str:
        """The first of our streams that said something under ``name``."""
        return next((found for said in self.streams if (found := text(getattr(said, name)))), "")


def summary(messages: Mapping[str, Message], places: Mapping[str, Place], told: Heard) -> Turn:
    """The turn, from every message's place and what was told beside them."""
    ours = [
        message for key, message in messages.items() if places[key] == "ours" and message.role in {"assistant", "tool"}
    ]
    # The person's own files: a picture message may echo them. So may an edit the picture it started from. What came
    # after us is no reason to leave out a picture: it may be an edit of ours.
    asked = told.sent.reference_ids if told.sent else ()
    persons = [message for key, message in messages.items() if message.role == "user" and places[key] != "later"]
    shown = [asset.file_id for message in persons for asset in message.assets]
    others = [message for key, message in messages.items() if places[key] == "other"]
    earlier = [asset.file_id for message in others for asset in (*message.assets, *message.replaced)]
    known = frozenset((*asked, *shown, *told.own, *earlier))
    resting = told.activity in {"read", "rest"}
    pictures = _pictures(ours, known, at_rest=resting)
    errors = {message.id: error for message in ours if (error := _tool_error(message, told)) is not None}
    there = [one for one in ours if not told.present or one.id in told.present]
    cards = [one for one in there if one.placeholder or (one.card and one.id not in errors)]
    failed = [message.id for message in ours if message.id in errors and not message.other_tool]
    # One that was called again after it failed is at work, known by its call or by a card that came of one.
    called = sum(message.announced > 0 for message in ours) > len(failed)
    again = called or all(any(_below(card, one, messages) for card in cards) for one in failed)
    answers = [message for message in ours if message.answer and not message.error]
    speeches = [message for message in ours if message.speech and not message.answer]
    done = [message for message in ours if message.status == DONE]
    blocked = [message for message in ours if message.blocked or message.id in told.blocked]
    paragen = _paragen(ours, told)
    error = told.first("error")
    settled = told.settled(pictures)
    started = bool(pictures) or any(message.image_sign or message.announced for message in ours)
    # What came of Python or of a search matters only where nothing asked for a picture.
    decisive = list(errors) if not (started or failed) else [] if again else failed
    return Turn(
        user_message_id=told.users[-1] if told.users else None,
        conversation_id=told.conversation or None,
        others=frozenset(told.others),
        known_files=known,
        pictures=pictures,
        expected_count=_expected(ours, len(failed), paragen=paragen),
        drawing_started=started,
        picture_promised=started or any(said.use_case == USE_CASE for said in told.streams),
        tool_used=any(message.call or message.role == "tool" for message in ours),
        running=told.activity == "running" and not settled,
        at_rest=told.at_rest,
        read_after=told.activity == "read" or settled,
        handed_off=told.streams[0].handed_off,
        stream_ended=told.end,
        topic_open=told.topic_open,
        turn_complete=told.over,
        conversation_read=told.read,
        answered_text=clean(answers[-1].words[:LONGEST], LONGEST) if answers else None,
        nothing_follows=_nothing_follows(ours, answers, blocked, told),
        # Grows by the word: it is cleaned only where it is shown.
        partial_text=speeches[-1].words[:LONGEST] or None if speeches else None,
        error=clean(error, 1000) if error else None,
        tool_error=errors[decisive[-1]] if decisive else None,
        blocked=bool(blocked),
        empty_picture=not pictures and any(message.empty for message in ours),
        card_waiting=bool(cards),
        paragen=paragen,
        model=next((message.model for message in reversed(ours) if message.model), told.first("model")) or None,
        half_drawn=any(not one.is_final(asset, at_rest=resting) for one in done for asset in one.assets),
        unplaced_pictures=_unplaced(messages, places, told, known),
        followed="later" in places.values(),
        stale=told.missed or told.conversation in told.stale,
    )


def _nothing_follows(ours: list[Message], answers: list[Message], blocked: list[Message], told: Heard) -> bool:
    """Whether no picture can follow the finished words, or what was blocked: the stream was heard whole, and they came
    after it, or every call of a tool that was not blocked was answered with more than a placeholder. What goes on
    behind the stream was called for, told or not, unless that call was blocked."""
    if not told.whole or not (answers or blocked):
        return False
    calls = sum(message.call and message not in blocked for message in ours)
    replies = sum(message.role == "tool" and message.finished and not message.card for message in ours)
    later = bool(answers) and not told.streams[0].handed_off and told.stream not in answers[-1].origins
    behind = any(said.background for said in told.streams) and not any(message.call for message in blocked)
    return later or replies >= max(calls, behind)


def _tool_error(message: Message, told: Heard) -> ToolError | None:
    """A placeholder's words tell of waiting in the person's language, "high demand" too: of them nothing follows."""
    if message.error is not None or message.role != "tool" or message.assets or not message.finished:
        return message.error
    speaks = message.words and not (message.other_tool or message.placeholder)
    return ToolError("", message.words[:LONGEST]) if speaks and told.fails(message.words) else None


def _below(message: Message, above: str, messages: Mapping[str, Message]) -> bool:
    """Whether ``message`` came of the one whose id is ``above``, as far as the links between them are known."""
    return above in upwards(message.parent, lambda key: messages[key].parent if key in messages else "")


def _pictures(ours: list[Message], known: Collection[str], *, at_rest: bool) -> tuple[Pointer, ...]:
    found: dict[str, Pointer] = {}
    for message in ours:
        for asset in (*message.replaced, *message.assets):
            final = asset in message.assets and message.is_final(asset, at_rest=at_rest)
            before = found.get(asset.file_id)
            if asset.file_id not in known and (before is None or (final and not before.final)):
                told = {"message_id": message.id, "partial": False, "final": final}
                found[asset.file_id] = msgspec.structs.replace(asset, **told)
    return tuple(found.values())


def _expected(ours: list[Message], failed: int, *, paragen: bool) -> int:
    """Announced pictures: by calls less those that failed, by placeholders, by the A/B panel's two."""
    calls = sum(message.announced for message in ours) - failed
    placeholders = len({message.placeholder for message in ours if message.placeholder})
    return max(calls, placeholders, 2 if paragen else 0, 0)


def _paragen(ours: list[Message], told: Heard) -> bool:
    asked = told.paragen.get(told.conversation)
    if asked is False or any(message.chosen for message in ours):
        return False
    return asked is True or any(message.group for message in ours)


def _unplaced(messages: Mapping[str, Message], places: Mapping[str, Place], told: Heard, known: Collection[str]) -> int:
    if not told.conversation:
        return 0
    loose = [message for key, message in messages.items() if places[key] == "unknown" and message.role != "user"]
    done = [message for message in loose if message.status == DONE and message.conversation == told.conversation]
    return len({asset.file_id for message in done for asset in message.assets} - set(known))
