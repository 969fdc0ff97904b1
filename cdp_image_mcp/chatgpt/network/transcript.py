"""Everything the network says about one conversation, whatever the order it is heard in."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.network.conversations import (
    Activity,
    Reading,
    activity,
    read_conversations,
    read_stream_status,
)
from cdp_image_mcp.chatgpt.network.frames import TOPIC, Update, read_frame
from cdp_image_mcp.chatgpt.network.message import Message, merged, read_message
from cdp_image_mcp.chatgpt.network.placing import Anchors, Place, place
from cdp_image_mcp.chatgpt.network.quota import Quota, quotas_of
from cdp_image_mcp.chatgpt.network.sent import Sent, read_request, same_text
from cdp_image_mcp.chatgpt.network.stream import StreamDecoder, StreamEvent
from cdp_image_mcp.chatgpt.network.summary import Said, Told, summary
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.network.wire import items, obj, text, uuid_of

__all__ = ["Transcript"]

MOST_MESSAGES = 10_000
MOST_TOPICS = 12
MOST_ITEMS = 20_000
MOST_MARKS = 1_000
STREAM = "stream"


class _Topic:
    """A websocket topic: its decoder, and the frames it has had (topics replay from the start)."""

    def __init__(self) -> None:
        self.decoder = StreamDecoder()
        self.seen: OrderedDict[str, None] = OrderedDict()

    def fresh(self, item_id: str) -> bool:
        if not item_id:
            return True
        if item_id in self.seen:
            return False
        self.seen[item_id] = None
        if len(self.seen) > MOST_ITEMS:
            self.seen.popitem(last=False)
        return True


class Transcript:
    """Collects what stream, websocket, conversation JSON and the page's own request say; pure, no I/O, no clock.

    All ``feed_*`` calls return True when :meth:`turn` has changed, take repetitions and garbage, and never raise.
    Memory is bounded.
    """

    def __init__(
        self,
        *,
        conversation_id: str | None = None,
        user_message_id: str | None = None,
        fails: Callable[[str], bool] = lambda _text: False,
    ) -> None:
        """Both ids may be given when a turn of an earlier run is collected. ``fails``: whether a tool's words say that
        it failed; one with status finished was seen to say so (2026-09)."""
        self._fails = fails
        self._named = uuid_of(conversation_id)
        self._sure = False
        """The site itself named it: by our request, its answer or a reading; no other answer takes us elsewhere."""
        self._users: tuple[str, ...] = (user_message_id,) if user_message_id else ()
        self._sent: Sent | None = None
        self._own: set[str] = set()
        self._expected = ""
        self._before: frozenset[str] = frozenset()
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._links: dict[str, str] = {}
        self._quotas: tuple[Quota, ...] = ()
        self._topics: OrderedDict[str, _Topic] = OrderedDict()
        self._places: dict[str, Place] = {}
        self._anchors: Anchors | None = None
        self.reads = 0
        """How often our message was in a conversation that was read."""
        self._moved = True
        """A message came or changed its ties since the places were last worked out."""
        self._number = 0
        self._begin()
        self._turn = self._judge()

    def _begin(self) -> None:
        """A new turn: forget what was said about an earlier one."""
        self._number += 1
        self._decoder = StreamDecoder()
        self._closed = self._broken = False
        self._said: dict[str, Said] = {}
        self._exchanges: set[str] = set()
        self._handed: set[str] = set()
        self._complete: set[str] = set()
        """Conversations and topics whose completion was announced."""
        self._reread = False
        """Our message was in a conversation that was read after that."""
        self._activities: OrderedDict[str, Activity] = OrderedDict()
        self._blocked: set[str] = set()
        self._stale: set[str] = set()
        self._missed = False
        self._paragen: dict[str, bool] = {}
        self._present: frozenset[str] = frozenset()

    def expect(self, prompt: str, before: frozenset[str]) -> None:
        """The prompt goes out now; ``before`` are the messages that were there already."""
        self._expected, self._before = prompt, before

    def disregard(self, file_id: str) -> bool:
        """This file is one of the person's own."""
        self._own.add(file_id)
        return self._changed()

    def feed_request(self, body: bytes) -> bool:
        """The POST body of the turn as the page sent it. A body with another message id begins a new turn."""
        sent = read_request(body)
        if sent is None:
            return False
        known = self._sent.message_ids if self._sent else self._users
        if known and sent.message_ids[-1] not in known:
            self._begin()
        elif not known and not self._present.intersection(sent.message_ids):
            # What was said of the conversation before our message is in it says nothing about our turn.
            self._activities.clear()
            self._complete.clear()
            self._stale.clear()
            self._missed = False
        self._sent = sent
        self._users = sent.message_ids
        if sent.conversation_id:
            self._adopt(sent.conversation_id)
        return self._changed()

    def feed_stream(self, chunk: bytes) -> bool:
        """A piece of the answer to that POST (SSE), split anywhere."""
        self._hear(self._decoder.feed(chunk), self._stream)
        return self._changed()

    def stream_ended(self, ok: bool) -> bool:
        """The answer ended; ``ok`` False when the connection broke."""
        self._hear(self._decoder.close(), self._stream)
        self._closed, self._broken = True, not ok
        return self._changed()

    def feed_socket(self, payload: str | bytes) -> bool:
        """One frame of the site's websocket."""
        heard = [u for u in read_frame(payload) if not (self._named and self._foreign(u.conversation))]
        for update in heard:
            self._update(update)
        return self._changed() if heard else False

    def missed(self) -> bool:
        """Frames of the websocket were lost; only the conversation tells now what they said."""
        self._missed = True
        return self._changed()

    def feed_conversation(self, body: bytes, *, conversation: str = "", before: str = "") -> bool:
        """An answer with a conversation, or with several; see ``read_conversations``."""
        for reading in read_conversations(body, conversation=conversation, before=before):
            if not (self._named and self._foreign(reading.conversation_id)):
                self._take_reading(reading)
        return self._changed()

    def feed_stream_status(self, body: bytes, conversation: str) -> bool:
        """An answer of ``stream_status``. After a stream that is over the next reading finds the turn at rest."""
        self._set_activity(conversation, read_stream_status(body))
        return self._changed()

    def feed_address(self, conversation: str) -> bool:
        """The page shows our turn under the address of this conversation."""
        if not self._named:
            self._adopt(conversation, sure=False)
        return self._changed()

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What the streams said about the account's limits, the newest."""
        return self._quotas

    def turn(self) -> Turn:
        """The newest turn of ours as it stands."""
        return self._turn

    @property
    def _stream(self) -> str:
        return f"{STREAM}-{self._number}"

    def _changed(self) -> bool:
        before, self._turn = self._turn, self._judge()
        return self._turn != before

    def _foreign(self, conversation: str) -> bool:
        return bool(conversation) and conversation != self._named

    def _judge(self) -> Turn:
        topics = self._handed | {TOPIC + exchange for exchange in self._exchanges}
        anchors = Anchors(
            users=frozenset(self._users),
            parent=self._sent.parent_id if self._sent else "",
            exchanges=frozenset(self._exchanges),
            origins=frozenset({self._stream, *topics}),
            past=frozenset(f"{STREAM}-{number}" for number in range(1, self._number)),
        )
        ours = self._named
        told = Told(
            conversation_id=ours,
            stream=self._said.get(self._stream, Said()),
            topics=tuple(self._said[topic] for topic in sorted(topics) if topic in self._said),
            closed=self._closed,
            broken=self._broken,
            complete_notice=bool(self._complete & ({ours} | topics)),
            activity=self._activities.get(ours),
            reread=self._reread,
            read=bool(self._present.intersection(self._users)),
            stale=self._missed or ours in self._stale,
            paragen=self._paragen.get(ours),
            blocked_ids=frozenset(self._blocked),
            own=frozenset(self._own),
            fails=self._fails,
            present=self._present,
        )
        if anchors != self._anchors or self._moved:
            self._places = place(self._messages, self._links, anchors)
            self._anchors, self._moved = anchors, False
        return summary(self._messages, self._places, self._users, self._sent, told)

    def _adopt(self, conversation: str, *, sure: bool = True) -> None:
        """Learn which conversation is ours and forget what was heard of others."""
        self._sure = self._sure or (sure and bool(conversation))
        if not conversation or conversation == self._named:
            return
        if not self._named and "" in self._activities:
            self._activities[conversation] = self._activities.pop("")
        self._named = conversation
        self._moved = True
        for key in [key for key, message in self._messages.items() if message.conversation not in {"", conversation}]:
            del self._messages[key]

    def _take(self, message: Message | None) -> None:
        if message is None:
            return
        known = self._messages.get(message.id)
        if known:
            message = merged(known, message)
        self._moved = self._moved or known is None or known.ties != message.ties
        self._messages[message.id] = message
        if len(self._messages) > MOST_MESSAGES:
            del self._messages[next(key for key in self._messages if key not in self._users)]

    def _update(self, update: Update) -> None:
        conversation = update.conversation
        match update.kind:
            case "message":
                message = read_message(
                    update.message, parent=update.parent, conversation=conversation, settled=update.completed
                )
                self._take(message)
                if message and message.parent in self._users:
                    self._adopt(conversation)
            case "item":
                self._topic_item(update)
            case "status" if conversation:
                self._set_activity(conversation, update.activity)
            case "error":
                said = self._said.get(update.topic, Said())
                self._say(update.topic, msgspec.structs.replace(said, error=_sentence(update.error)))
            case "complete":
                for mark in (conversation, update.topic):
                    _add(self._complete, mark)
                self._reread = False
                # It ended with something that was not heard; a page that shows something else does not read it.
                if update.leaf and update.leaf not in self._messages:
                    _add(self._stale, conversation)
            case "reread" if conversation:
                _add(self._stale, conversation)
            case "paragen" if conversation and len(self._paragen) < MOST_MARKS:
                self._paragen[conversation] = update.paragen
                _add(self._stale, conversation)
            case _:
                pass

    def _topic_item(self, update: Update) -> None:
        topic = self._topics.get(update.topic)
        if topic is None:
            topic = self._topics[update.topic] = _Topic()
            if len(self._topics) > MOST_TOPICS:
                mine = self._handed
                del self._topics[next((key for key in self._topics if key not in mine), update.topic)]
        if topic.fresh(update.item_id):
            self._hear(topic.decoder.feed(update.encoded.encode() + b"\n\n"), update.topic, update.conversation)

    def _set_activity(self, conversation: str, told: Activity | None) -> None:
        if told is None or (told == "over" and self._activities.get(conversation) == "rest"):
            return
        self._activities[conversation] = told
        self._activities.move_to_end(conversation)
        if len(self._activities) > 100:
            self._activities.popitem(last=False)

    def _hear(self, events: list[StreamEvent], origin: str, conversation: str = "") -> None:
        for event in events:
            said = self._said.get(origin, Said())
            match event.kind:
                case "message":
                    self._hear_message(event.data, origin, conversation)
                case "typed":
                    self._say(origin, said.hearing(text(event.data.get("type")), event.data))
                    self._hear_typed(event.data, origin)
                case "error":
                    self._say(origin, msgspec.structs.replace(said, error=_sentence(event.data["error"])))
                case "done":
                    self._say(origin, msgspec.structs.replace(said, done=True))

    def _say(self, origin: str, said: Said) -> None:
        self._said[origin] = said
        if len(self._said) > MOST_TOPICS * 4:
            mine = {self._stream, *self._handed}
            del self._said[next((key for key in self._said if key not in mine), origin)]

    def _hear_message(self, document: dict[str, Any], origin: str, conversation: str) -> None:
        own = origin == self._stream
        named = uuid_of(document.get("conversation_id")) or conversation
        if own and not self._sure:
            self._adopt(named)
        if self._named and self._foreign(named):
            return
        message = read_message(obj(document["message"]), conversation=named, origin=origin)
        self._take(message)
        if own and message and message.role == "user" and not message.hidden and not self._users:
            self._users = (message.id,)

    def _hear_typed(self, said: dict[str, Any], origin: str) -> None:
        own = origin == self._stream
        named = uuid_of(said.get("conversation_id"))
        if own and not self._sure:
            self._adopt(named)
        own = own and not (self._named and self._foreign(named))
        match text(said.get("type")):
            case "conversation_detail_metadata":
                self._quotas = quotas_of(said) or self._quotas
            case "conversation_async_status" if own or named:
                self._set_activity(named or self._named, activity(said.get("async_status")))
            case "stream_handoff" if own:
                self._handoff(said)
            case "input_message" if own:
                document = {"message": obj(said.get("input_message")), "conversation_id": named}
                self._hear_message(document, origin, "")
            case "moderation" if obj(said.get("moderation_response")).get("blocked") is True:
                _add(self._blocked, text(said.get("message_id")))
            case _:
                pass

    def _handoff(self, said: dict[str, Any]) -> None:
        _add(self._exchanges, text(said.get("turn_exchange_id")))
        for option in items(said.get("options"))[:20]:
            _add(self._handed, text(obj(option).get("topic_id")))

    def _take_reading(self, reading: Reading) -> None:
        ids = frozenset(message.id for message in reading.messages)
        if not self._users:
            self._users = self._asked_by(reading)
        ours = ids.intersection(self._users)
        if ours:
            self._adopt(reading.conversation_id)
        conversation = reading.conversation_id or (self._named if ours else "")
        self._moved = True
        if reading.whole and conversation and conversation == self._named:
            self._links = dict(reading.links)
        elif len(self._links) < MOST_MESSAGES:
            self._links.update(reading.links)
        for message in reading.messages:
            self._take(message)
        for blocked in reading.blocked:
            _add(self._blocked, blocked)
        if conversation and (ours or not self._users):
            self._set_activity(conversation, reading.activity)
        # A window without our message is another part of the conversation.
        if ours or (reading.whole and (not self._users or conversation == self._named)):
            self._present = ids
        if ours:
            self.reads += 1
            self._stale.discard(conversation)
            self._missed = False
            self._reread = True
            if self._activities.get(conversation) == "over":
                self._set_activity(conversation, "rest")

    def _asked_by(self, reading: Reading) -> tuple[str, ...]:
        """Our message, when the page's request was not seen: the one that our stream's messages answer, else the newest
        if it says what we sent."""
        read = {message.id: message for message in reading.messages}
        heard = [
            key for key, message in self._messages.items() if self._stream in message.origins and message.role != "user"
        ]
        for start in heard:
            key, passed = start, set[str]()
            while key and key not in passed:
                passed.add(key)
                message = read.get(key)
                if message is not None and message.role == "user" and not message.hidden:
                    return (key,)
                key = reading.links.get(key, "")
        asked = [said for said in reading.messages if said.role == "user" and not said.hidden]
        newest = asked[-1] if asked else None
        if newest and self._expected and newest.id not in self._before and same_text(newest.words, self._expected):
            return (newest.id,)
        return ()


def _add(marks: set[str], mark: str) -> None:
    if mark and len(marks) < MOST_MARKS:
        marks.add(mark)


def _sentence(error: Any) -> str:
    """An error object's own message."""
    inner = obj(error)
    words = text(error) or text(inner.get("message")) or text(inner.get("detail")) or text(inner.get("code"))
    return words or "an error without words"
