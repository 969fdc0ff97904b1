"""Everything the network says about one conversation, whatever the order it is heard in."""

from collections.abc import Callable
from typing import Any

from cdp_image_mcp.chatgpt.network.conversations import (
    BACKGROUND,
    Activity,
    Reading,
    activity,
    read_answer,
    read_stream_status,
)
from cdp_image_mcp.chatgpt.network.frames import Update, read_frame
from cdp_image_mcp.chatgpt.network.message import Message, read_message
from cdp_image_mcp.chatgpt.network.messages import Messages
from cdp_image_mcp.chatgpt.network.quota import Quota, quotas_of
from cdp_image_mcp.chatgpt.network.sent import read_request, same_text
from cdp_image_mcp.chatgpt.network.stream import StreamDecoder, StreamEvent
from cdp_image_mcp.chatgpt.network.summary import Heard, Said, summary
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.network.wire import MOST_MARKS, add, items, obj, remember, sentence, text, uuid_of

MOST_TOPICS = 12
MOST_ACTIVITIES = 100
NO_WORDS = "an error without words"


class Transcript:
    """Collects what stream, websocket, conversation JSON and the page's own request say; pure, no I/O, no clock.

    All ``feed_*`` calls tell whether :meth:`turn` has changed, take garbage, and never raise. Memory is bounded.
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
        users = (user_message_id,) if user_message_id else ()
        self._told = Heard(fails=fails, own=set(), conversation=uuid_of(conversation_id), users=users)
        self._sure = self._guessed = False
        """The site itself named it: by our request, its answer or a reading; no other answer takes us elsewhere. Or the
        page's address alone did."""
        self._decoder = StreamDecoder()
        self._expected = ""
        self._before: frozenset[str] = frozenset()
        self._messages = Messages()
        self._topics: dict[str, StreamDecoder] = {}
        self.quotas: tuple[Quota, ...] = ()
        """What the streams said about the account's limits, the newest."""
        self.reads = self.lacks = self.parts = self.runs = 0
        """How often a reading held our message; how often ours was read from its beginning while none held it, or in
        part without it; and how often the site said that something is being made."""
        self._turn = self._judge()

    def expect(self, prompt: str, before: frozenset[str], standing: frozenset[str] = frozenset()) -> None:
        """The prompt goes out now; ``before`` are the messages that were there already, ``standing`` the pictures. None
        of those can be a result, whoever says so: an edit may hold the one that it started from."""
        self._expected, self._before = prompt, before
        self._told.own |= standing

    def disregard(self, file_id: str) -> bool:
        """This file is one of the person's own."""
        self._told.own.add(file_id)
        return self._changed()

    def feed_request(self, body: bytes) -> bool:
        """The POST body of the turn as the page sent it. A body with another message id begins a new turn."""
        sent = read_request(body)
        if sent is None:
            return False
        told = self._told
        known = told.sent.message_ids if told.sent else told.users
        if known and sent.message_ids[-1] not in known:
            # What was said about an earlier turn is forgotten.
            self._told = Heard(fails=told.fails, own=told.own, number=told.number + 1, conversation=told.conversation)
            self._decoder = StreamDecoder()
        elif not known and not told.present.intersection(sent.message_ids):
            # What was said of the conversation before our message is in it says nothing about our turn.
            told.activities.clear()
            told.complete.clear()
            told.stale.clear()
            told.missed = False
        self._told.sent, self._told.users = sent, sent.message_ids
        if sent.conversation_id:
            self._adopt(sent.conversation_id)
        return self._changed()

    def feed_stream(self, chunk: bytes) -> bool:
        """A piece of the answer to that POST (SSE), split anywhere."""
        self._hear(self._decoder.feed(chunk), self._told.stream)
        return self._changed()

    def stream_ended(self, ok: bool) -> bool:
        """The answer ended; ``ok`` False when the connection broke."""
        self._hear(self._decoder.close(), self._told.stream)
        self._told.closed, self._told.broken = True, not ok
        return self._changed()

    def stream_begins(self) -> bool:
        """The answer comes, perhaps once more: resumed, or the prompt sent again. What it says now begins a line of its
        own, and it has not said its last word."""
        self._hear(self._decoder.close(), self._told.stream)
        self._told.closed = self._told.broken = False
        said = self._said(self._told.stream)
        said.complete = said.done = False
        said.resumed = said.handed_off
        return self._changed()

    def feed_socket(self, payload: str | bytes) -> bool:
        heard = [u for u in read_frame(payload) if not self._foreign(u.conversation)]
        for update in heard:
            self._update(update)
        return self._changed() if heard else False

    def missed(self) -> bool:
        """Frames of the websocket were lost; only the conversation tells now what they said."""
        self._told.missed = self._told.gaps = True
        return self._changed()

    def feed_conversation(self, body: bytes, *, conversation: str = "", before: str = "") -> bool:
        """An answer with a conversation, or with several; see ``read_conversations``."""
        readings, statuses = read_answer(body, conversation=conversation, before=before)
        for reading in readings:
            if not self._foreign(reading.conversation_id):
                self._take_reading(reading)
        for named, told in statuses.items():
            self._set_activity(named, told)
        return self._changed()

    def feed_stream_status(self, body: bytes, conversation: str) -> bool:
        """An answer of ``stream_status``."""
        self._set_activity(conversation, read_stream_status(body))
        return self._changed()

    def feed_address(self, conversation: str) -> bool:
        """The page shows our turn under the address of this conversation. Only until that is read: a person may have
        gone there in our page before the site named ours."""
        if not self._told.conversation and conversation not in self._told.others:
            self._adopt(conversation, sure=False)
            self._guessed = True
        return self._changed()

    def turn(self) -> Turn:
        return self._turn

    @property
    def users(self) -> tuple[str, ...]:
        """Every id that our message is known by: the page's, and the one that the site keeps it under."""
        return self._told.users

    def _changed(self) -> bool:
        before, self._turn = self._turn, self._judge()
        return self._turn != before

    def _foreign(self, conversation: str) -> bool:
        """Whether it is known to be another than ours."""
        return bool(conversation and self._told.conversation) and conversation != self._told.conversation

    def _judge(self) -> Turn:
        return summary(self._messages.heard, self._messages.places(self._told.anchors), self._told)

    def _adopt(self, conversation: str, *, sure: bool = True) -> None:
        """Learn which conversation is ours and forget what was heard of others."""
        self._sure = self._sure or (sure and bool(conversation))
        told = self._told
        told.others.discard(conversation)
        if not conversation or conversation == told.conversation:
            return
        if not told.conversation and "" in told.activities:
            told.activities[conversation] = told.activities.pop("")
        told.conversation = conversation
        self._messages.keep(conversation)

    def _take(self, message: Message | None) -> None:
        if message is not None:
            self._messages.take(message, always=self._told.users)

    def _update(self, update: Update) -> None:
        told, conversation = self._told, update.conversation
        match update.kind:
            case "message":
                self._take(update.message)
                if update.message and update.message.parent in told.users:
                    self._adopt(conversation)
            case "item":
                self._topic_item(update)
            case "status" if conversation:
                self._set_activity(conversation, update.activity)
            case "error":
                self._said(update.topic).error = sentence(update.error) or NO_WORDS
            case "complete" if self._is_earlier(update.leaf):
                pass  # told late
            case "complete":
                for mark in (conversation, update.topic):
                    add(told.complete, mark)
                told.reread = False
                # It ended with something that was not heard; a page that shows something else does not read it.
                if update.leaf and update.leaf not in self._messages.heard:
                    add(told.stale, conversation)
            case "reread" if conversation:
                add(told.stale, conversation)
            case "paragen" if conversation and len(told.paragen) < MOST_MARKS:
                told.paragen[conversation] = update.paragen
                add(told.stale, conversation)
            case _:
                pass

    def _is_earlier(self, leaf: str) -> bool:
        """Whether a message is known to be another turn's, as the one that ours answers is."""
        return leaf != "" and (leaf == self._told.anchors.parent or self._messages.is_of_another(leaf))

    def _topic_item(self, update: Update) -> None:
        decoder = self._topics.get(update.topic)
        if decoder is None:
            decoder = StreamDecoder()
            remember(self._topics, update.topic, decoder, MOST_TOPICS, always=self._told.handed)
        if decoder.fresh(update.item_id):
            self._told.complete.discard(update.topic)  # it goes on
            self._said(update.topic)
            self._hear(decoder.feed(update.encoded.encode() + b"\n\n"), update.topic, update.conversation)

    def _set_activity(self, conversation: str, told: Activity | None) -> None:
        known = self._told.activities
        self.runs += told == "running" and not self._foreign(conversation)
        if told is not None and not (told == "over" and known.get(conversation) in {"read", "rest"}):
            remember(known, conversation, told, MOST_ACTIVITIES)

    def _hear(self, events: list[StreamEvent], origin: str, conversation: str = "") -> None:
        for event in events:
            match event.kind:
                case "message":
                    self._hear_message(event.data, origin, conversation)
                case "typed":
                    self._hear_typed(event.data, origin)
                case "error":
                    self._said(origin).error = sentence(event.data["error"]) or NO_WORDS
                case "done":
                    self._said(origin).done = True

    def _said(self, origin: str) -> Said:
        said = self._told.said.get(origin) or Said()
        remember(self._told.said, origin, said, MOST_TOPICS * 4, always={self._told.stream, *self._told.handed})
        return said

    def _hear_message(self, document: dict[str, Any], origin: str, conversation: str) -> None:
        own = origin == self._told.stream
        named = uuid_of(document.get("conversation_id")) or conversation
        if own and not self._sure:
            self._adopt(named)
        if self._foreign(named):
            return
        message = read_message(obj(document["message"]), conversation=named, origin=origin)
        self._take(message)
        if own and message and self._is_ours(message):
            self._told.users = (*self._told.users, message.id)

    def _hear_typed(self, said: dict[str, Any], origin: str) -> None:
        own = origin == self._told.stream
        named = uuid_of(said.get("conversation_id"))
        if own and not self._sure:
            self._adopt(named)
        own = own and not self._foreign(named)
        match text(said.get("type")):
            case "conversation_detail_metadata":
                self.quotas = quotas_of(said) or self.quotas
            case "message_stream_complete":
                self._said(origin).complete = True
            case "server_ste_metadata":
                turn, meta = self._said(origin), obj(said.get("metadata"))
                turn.use_case = text(meta.get("turn_use_case")) or turn.use_case
                turn.model = text(meta.get("model_slug")) or turn.model
            case "conversation_async_status" if own or named:
                self._said(origin).background |= said.get("async_status") in BACKGROUND and not self._foreign(named)
                self._set_activity(named or self._told.conversation, activity(said.get("async_status")))
            case "stream_handoff":
                self._said(origin).handed_off = True
                self._said(origin).resumed = False
                if own:
                    add(self._told.exchanges, text(said.get("turn_exchange_id")))
                    for option in items(said.get("options"))[:20]:
                        add(self._told.handed, text(obj(option).get("topic_id")))
            case "input_message" if own:
                document = {"message": obj(said.get("input_message")), "conversation_id": named}
                self._hear_message(document, origin, "")
            case "moderation" if obj(said.get("moderation_response")).get("blocked") is True:
                add(self._told.blocked, text(said.get("message_id")))
            case _:
                pass

    def _take_reading(self, reading: Reading) -> None:
        told = self._told
        ids = frozenset(message.id for message in reading.messages)
        if not ids.intersection(told.users):
            told.users = (*told.users, *self._asked_by(reading))
        ours = ids.intersection(told.users)
        if ours:
            self._adopt(reading.conversation_id)
        conversation = reading.conversation_id or (told.conversation if ours else "")
        here = conversation != "" and conversation == told.conversation
        self._messages.link(reading.links, whole=reading.whole and here)
        for message in reading.messages:
            self._take(message)
        for blocked in reading.blocked:
            add(told.blocked, blocked)
        if conversation and (ours or not told.users):
            self._set_activity(conversation, reading.activity)
        # A window without our message is another part of the conversation.
        if ours or (reading.whole and (not told.users or conversation == told.conversation)):
            told.present = ids
        if ours:
            self.lacks = 0
            self.reads += 1
            told.stale.discard(conversation)
            told.missed = False
            told.reread = True
            if told.activities.get(conversation) == "over":
                self._set_activity(conversation, "read")
        elif conversation and told.users and not self._sure and (self._guessed or not told.conversation):
            add(told.others, conversation)
            told.conversation, self._guessed = "", False
        elif here and told.users:
            self.lacks += reading.from_start and not self.reads
            self.parts += not reading.from_start

    def _asked_by(self, reading: Reading) -> tuple[str, ...]:
        """Our message, when the page's request was not seen, or was kept under another id: the one that our stream's
        messages answer, else, where no id is known, the newest if it says what we sent."""
        for message in self._messages.answered(self._told.stream, reading):
            if self._is_ours(message):
                return (message.id,)
        asked = [said for said in reading.messages if said.role == "user" and not said.hidden]
        newest = asked[-1] if asked and not self._told.users else None
        if newest and self._expected and newest.id not in self._before and same_text(newest.words, self._expected):
            return (newest.id,)
        return ()

    def _is_ours(self, message: Message) -> bool:
        """Whether a person's message that our stream tells or answers is ours: where our id is known another may be its
        own as well, if it says the same and was not there before."""
        if message.role != "user" or message.hidden or message.id in self._told.users:
            return False
        sent = self._told.sent
        again = sent is not None and message.id not in self._before and same_text(message.words, sent.text)
        return not self._told.users or again
