"""The conversation's JSON, single or in a batch, reduced to its messages and their links."""

from typing import Any, cast

import msgspec

from cdp_image_mcp.chatgpt.network.message import Message, read_message
from cdp_image_mcp.chatgpt.network.turn import SETTLED
from cdp_image_mcp.chatgpt.network.wire import decode, items, obj, text, uuid_of

__all__ = ["Reading", "read_conversations"]

MOST_MESSAGES = 10_000


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation as it was read."""

    conversation_id: str
    messages: tuple[Message, ...]
    links: dict[str, str]
    """Parents of messages that have no content."""
    async_status: int | None
    async_told: bool
    blocked: frozenset[str]
    """Ids of messages that moderation blocked."""


def read_conversations(body: bytes) -> list[Reading]:
    """Every conversation in an answer; empty for errors and garbage. Never raises."""
    return [reading for value in _conversations(decode(body)) if (reading := _reading(value))]


def _conversations(value: Any) -> list[dict[str, Any]]:
    listed = items(value) or items(obj(value).get("conversations")) or items(obj(value).get("items"))
    if listed:
        return [obj(item) for item in listed]
    whole = obj(value)
    if "mapping" in whole:
        return [whole]
    # The batch form may also be keyed by id.
    keyed = obj(whole.get("conversations")) or whole
    return [
        {"conversation_id": key, **cast("dict[str, Any]", item)}
        for key, item in keyed.items()
        if isinstance(item, dict) and "mapping" in item
    ]


def _reading(value: dict[str, Any]) -> Reading | None:
    mapping = obj(value.get("mapping"))
    if not mapping:
        return None
    conversation = uuid_of(value.get("conversation_id")) or uuid_of(value.get("id"))
    status = value.get("async_status")
    status = status if isinstance(status, int) and not isinstance(status, bool) else None
    told = "async_status" in value
    settled = told and (status is None or status == SETTLED)
    names = {key: text(obj(obj(entry).get("message")).get("id")) or key for key, entry in mapping.items()}
    messages: list[Message] = []
    links: dict[str, str] = {}
    for key, entry in mapping.items():
        above = text(obj(entry).get("parent"))
        parent = names.get(above, above)
        links[names[key]] = parent
        message = read_message(
            obj(obj(entry).get("message")), parent=parent, conversation=conversation, settled=settled
        )
        if message:
            messages.append(message)
    return Reading(
        conversation_id=conversation,
        messages=tuple(messages[-MOST_MESSAGES:]),
        links=links,
        async_status=status,
        async_told=told,
        blocked=_blocked(value),
    )


def _blocked(value: dict[str, Any]) -> frozenset[str]:
    results = [obj(result) for result in items(value.get("moderation_results"))]
    return frozenset(text(result.get("message_id")) for result in results if result.get("blocked") is True)
