"""The conversation's JSON as a page reads it for itself, reduced to its messages and what ties them.

Two forms (more than fifteen readers, newest 2026-10-10): a tree (``mapping``), which holds the whole conversation; and
since 2026-08 a window of the current branch (``messages``, in order), which leaves messages out and whose older pages
name no conversation. A key that is missing is untold: a window recorded 2026-10-03 has no ``async_status``, two days
before it was there and null.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.network.message import Message, read_message, upwards
from cdp_image_mcp.chatgpt.network.wire import items, moment, obj, read_json, text, uuid_of

SETTLED = 4
"""``async_status`` of something done and unread; stays for months, on text turns too (measured 2026)."""
RUNNING = {1, 2, 3, 5, 6, 7}
"""``async_status`` while something is made, see ``activity``."""
BACKGROUND = (5, 6, 7)
"""Those of what goes on behind a stream: 7 was recorded in that of a picture (2026-04); 3 is the stream itself."""

Activity: TypeAlias = Literal["running", "over", "read", "rest"]
"""What the site says of a conversation: something is being made; the stream is over; and the conversation was read
since; nothing is being made. Whether a stream that is over says that of pictures too was not recorded."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    conversation_id: str
    messages: tuple[Message, ...]
    links: dict[str, str]
    """Parents of messages that have no content, or that the site left out."""
    whole: bool
    """What is not in it is not in the conversation; False for a window."""
    from_start: bool
    """It reaches back to the conversation's first message."""
    activity: Activity | None
    changed: float | None
    """When it changed last, seconds since 1970."""
    blocked: frozenset[str]
    current: str = ""
    """The last message of the branch that is shown; empty where that is not told."""

    def ends_with(self, asked: str, file: str) -> bool:
        """Whether on that branch the last that a person asked is this message, and the last picture of it this file."""
        messages, last = {message.id: message for message in self.messages}, ""
        for key in upwards(self.current, lambda key: self.links.get(key, "")):
            message = messages.get(key)
            if message is not None and message.role == "user" and not message.hidden:
                return (message.id, last) == (asked, file)
            if message is not None and message.assets:
                last = last or message.assets[-1].file_id
        return False


class Listed(msgspec.Struct, frozen=True):
    """A conversation in the history's list, when it changed last and when it began (seconds since 1970)."""

    conversation_id: str
    changed: float | None = None
    begun: float | None = None


def activity(status: Any) -> Activity | None:
    """What an ``async_status`` says: 1 to 7 but 4 while something is made (3 streaming, 5 to 7 a voice session; client
    of 2026-10-07; 7 a picture as well, 2026-04), 4 means not; anything else says nothing. Null means so in a whole
    conversation; of a window, the stream and the websocket it was not recorded while a picture was drawn."""
    if status is None:
        return "over"
    if not isinstance(status, int) or isinstance(status, bool):
        return None
    return "rest" if status == SETTLED else "running" if status in RUNNING else None


def read_stream_status(body: bytes) -> Activity | None:
    """What an answer of ``stream_status`` says; the page asks for it while an answer streams."""
    status = text(obj(read_json(body)).get("status"))
    return "running" if status == "IS_STREAMING" else "over" if status in {"COMPLETE", "FAILURE"} else None


def read_conversations(body: bytes, *, conversation: str = "", before: str = "") -> list[Reading]:
    """Every conversation in an answer; empty for errors and garbage. Never raises.

    ``conversation`` and ``before`` are what the answer's address says: an older page's body names neither.
    """
    return read_answer(body, conversation=conversation, before=before)[0]


def read_answer(body: bytes, *, conversation: str, before: str) -> tuple[list[Reading], dict[str, Activity]]:
    """The same, and what is said of those of whose messages nothing is told: rows of a batch (a capture of
    2026-09-29)."""
    found = _conversations(read_json(body))
    readings = [_reading(value, conversation, before) for value in found if _holds_messages(value)]
    statuses: dict[str, Activity] = {}
    for value in found:
        if not _holds_messages(value) and (named := _named(value)) and (told := _activity_in(value)):
            statuses[named] = told
    return readings, statuses


def read_history(body: bytes) -> list[Listed] | None:
    """The history's list; None for what is none."""
    listed = obj(read_json(body)).get("items")
    if not isinstance(listed, list):
        return None
    found = [
        Listed(uuid_of(entry.get("id")), moment(entry.get("update_time")), moment(entry.get("create_time")))
        for entry in map(obj, items(listed))
    ]
    return [entry for entry in found if entry.conversation_id]


def _conversations(value: Any) -> list[dict[str, Any]]:
    listed = items(value) or items(obj(value).get("conversations")) or items(obj(value).get("items"))
    if listed:
        return [obj(item) for item in listed]
    whole = obj(value)
    if _holds_messages(whole):
        return [whole]
    # The batch form may also be keyed by id.
    keyed = obj(whole.get("conversations")) or whole
    return [{"conversation_id": key, **obj(item)} for key, item in keyed.items() if _holds_messages(obj(item))]


def _holds_messages(value: dict[str, Any]) -> bool:
    return isinstance(value.get("mapping"), dict) or isinstance(value.get("messages"), list)


def _named(value: dict[str, Any]) -> str:
    return uuid_of(value.get("conversation_id")) or uuid_of(value.get("id"))


def _activity_in(value: dict[str, Any]) -> Activity | None:
    return activity(value["async_status"]) if "async_status" in value else None


def _reading(value: dict[str, Any], conversation: str, before: str) -> Reading:
    named, told = _named(value) or conversation, _activity_in(value)
    mapping = value.get("mapping")
    whole = isinstance(mapping, dict)
    if whole and told == "over":
        told = "rest"
    if whole:
        messages, links = _tree(obj(mapping), named, settled=told == "rest")
    else:
        messages, links = _window(value, named, before, settled=told == "rest")
    results = [obj(result) for result in items(value.get("moderation_results"))]
    times = [moment(value.get("update_time")), *(message.created for message in messages)]
    return Reading(
        conversation_id=named,
        messages=tuple(messages),
        links=links,
        whole=whole,
        from_start=whole or obj(value.get("page_info")).get("has_previous_page") is False,
        activity=told,
        changed=max((at for at in times if at is not None), default=None),
        blocked=frozenset(text(result.get("message_id")) for result in results if result.get("blocked") is True),
        current=text(value.get("current_node")),
    )


def _tree(mapping: dict[str, Any], conversation: str, *, settled: bool) -> tuple[list[Message], dict[str, str]]:
    names = {key: text(obj(obj(entry).get("message")).get("id")) or key for key, entry in mapping.items()}
    messages: list[Message] = []
    links: dict[str, str] = {}
    for key, entry in mapping.items():
        above = text(obj(entry).get("parent"))
        parent = names.get(above, above)
        links[names[key]] = parent
        said = obj(obj(entry).get("message"))
        message = read_message(said, parent=parent, conversation=conversation, settled=settled)
        if message:
            messages.append(message)
    return messages, links


def _window(
    value: dict[str, Any], conversation: str, before: str, *, settled: bool
) -> tuple[list[Message], dict[str, str]]:
    """A message's parent is the one it names, else the one before it in the list. One that is named and left out
    follows what stands before it: the list is the branch in order. Pages hang together by their cursor."""
    listed = [obj(item) for item in items(value.get("messages"))]
    known = {text(said.get("id")) for said in listed}
    cursor = text(obj(value.get("page_info")).get("start_cursor"))
    above = _page(cursor) if cursor and cursor not in known else ""
    messages: list[Message] = []
    links: dict[str, str] = {}
    for said in listed:
        named = text(obj(said.get("metadata")).get("parent_id"))
        if named and named not in known:
            links.setdefault(named, above)
        message = read_message(said, parent=named or above, conversation=conversation, settled=settled)
        if message:
            messages.append(message)
            links[message.id] = message.parent
            above = message.id
    if before and messages:
        links[_page(before)] = above
    return messages, links


def _page(cursor: str) -> str:
    """The name of the end of the page before a cursor."""
    return f"before {cursor}"
