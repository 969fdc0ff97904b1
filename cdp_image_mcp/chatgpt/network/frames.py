"""Frames of the site's websocket, flattened into the updates they carry.

Shapes: ``conversation-update`` and ``conversation-updates`` as the page's own code reads them, turn topics with
``stream-item`` frames, ``reply`` frames with catch-ups (public clients and captures, 2026-04 to 2026-10).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import msgspec

from cdp_image_mcp.chatgpt.network.conversations import Activity, activity
from cdp_image_mcp.chatgpt.network.message import Message, read_message
from cdp_image_mcp.chatgpt.network.wire import items, obj, read_json, text, uuid_of

DEEPEST = 8
MOST = 5_000
TOPIC = "conversation-turn-"

NEWS = {"add-turn-message", "replace-turn-message", "upsert-turn-message", "stream-message-start"}
REREAD = {
    "refetch-conversation",
    "async-task-insert-message",
    "add-conversation-item",
    "discard-items",
    "stream-message-done",
}
PARAGEN = {"convert-turn-to-paragen": True, "resolve-paragen": False}


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a frame says; ``conversation`` is a UUID or empty when the frame does not name one."""

    kind: Literal["message", "status", "reread", "paragen", "item", "complete", "error"]
    conversation: str = ""
    message: Message | None = None
    activity: Activity | None = None
    paragen: bool = False
    topic: str = ""
    item_id: str = ""
    encoded: str = ""
    """item: server-sent events of the turn's topic."""
    error: Any = None
    leaf: str = ""
    """complete: the message it ended with."""


def read_frame(payload: str | bytes) -> list[Update]:
    """The updates of one frame; empty for pings, commands and anything unknown. Never raises."""
    return list(islice(_unwrap(read_json(payload), ""), MOST))


def _unwrap(value: Any, topic: str, depth: int = 0) -> Iterator[Update]:
    if depth > DEEPEST:
        return
    for item in items(value):
        yield from _unwrap(item, topic, depth + 1)
    frame = obj(value)
    if not frame:
        return
    topic = text(frame.get("topic_id")) or topic
    said = obj(frame.get("payload"))
    conversation = _conversation(said)
    match text(frame.get("type")):
        case "conversation-update":
            yield from _conversation_update(said or frame)
        case "conversation-updates":
            for item in items(said.get("updates")):
                yield from _batch_item(obj(item), conversation)
        case "conversation-turn-stream" if encoded := text(said.get("encoded_item")):
            turn, item_id = _topic(said, topic), text(said.get("stream_item_id"))
            yield Update(kind="item", conversation=conversation, topic=turn, item_id=item_id, encoded=encoded)
        case "conversation-turn-complete":
            leaf = text(said.get("current_message_id"))
            yield Update(kind="complete", conversation=conversation, topic=_topic(said, topic), leaf=leaf)
        case "done" if topic.startswith(TOPIC):
            yield Update(kind="complete", topic=topic)
        case "error" if topic.startswith(TOPIC):
            yield Update(kind="error", topic=topic, error=frame.get("message") or frame.get("error"))
        case "reply":
            yield from _unwrap(frame.get("reply"), topic, depth + 1)
        case _:
            yield from _unwrap(frame.get("payload"), _topic(said, topic), depth + 1)
    yield from _unwrap(frame.get("catchups"), topic, depth + 1)


def _conversation(value: dict[str, Any]) -> str:
    return uuid_of(value.get("conversation_id"))


def _topic(said: dict[str, Any], topic: str) -> str:
    turn = text(said.get("turn_id"))
    return TOPIC + turn if turn and not topic.startswith(TOPIC) else topic


def _conversation_update(update: dict[str, Any]) -> Iterator[Update]:
    conversation, content = _conversation(update), obj(update.get("update_content"))
    kind = text(update.get("update_type"))
    if kind == "set-conversation-async-status":
        told = activity(content.get("conversation_async_status"))
        yield Update(kind="status", conversation=conversation, activity=told)
        if content.get("is_async_correction") is True:
            yield Update(kind="reread", conversation=conversation)
    found = [content.get("message"), *items(content.get("messages"))]
    messages = [message for message in map(obj, found) if message]
    completed = kind == "async-task-completed"
    yield from (_message(message, conversation, completed=completed) for message in messages[:500])
    # The page reads the conversation again where the news itself is missing.
    if kind in REREAD or (kind.startswith("async-task-") and kind != "async-task-start" and not messages):
        yield Update(kind="reread", conversation=conversation)
    if kind in PARAGEN:
        yield Update(kind="paragen", conversation=conversation, paragen=PARAGEN[kind])


def _batch_item(item: dict[str, Any], whole: str) -> Iterator[Update]:
    conversation, kind = _conversation(item) or whole, text(item.get("type"))
    message = obj(item.get("message"))
    if message:
        yield _message(message, conversation, completed=False)
    if kind in REREAD or (kind in NEWS and not message):
        yield Update(kind="reread", conversation=conversation)
    if kind in PARAGEN:
        yield Update(kind="paragen", conversation=conversation, paragen=PARAGEN[kind])


def _message(value: dict[str, Any], conversation: str, *, completed: bool) -> Update:
    """A message, bare or as a node of the conversation's mapping."""
    said = obj(value.get("message")) or value
    where = conversation or _conversation(said) or _conversation(value)
    parent = text(value.get("parent")) or text(value.get("parent_id"))
    message = read_message(said, parent=parent, conversation=where, settled=completed)
    return Update(kind="message", conversation=where, message=message)
