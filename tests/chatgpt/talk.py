"""Messages, streams, frames and conversations as the site writes them, for tests to compose."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.locators import load

NOW = datetime(2026, 8, 14, 15, 0, tzinfo=timezone(timedelta(hours=2)))

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "recordings"
CONVERSATION = "6a1f0c52-7d3e-4b8a-9c41-2e5f8a7b9d10"
FOREIGN = "ffffffff-7d3e-4b8a-9c41-2e5f8a7b9d10"
USER = "b7c0a4de-3f52-4e19-8a66-5d0c9e1f2a34"
EXCHANGE = "1d2c3b4a-5f6e-4d7c-8b9a-0f1e2d3c4b5a"
TOOL = "t2uay3k.sj1i4kz"
CARD_TEXT = "Lots of people are creating images right now, so this may take a while."


def site_at(home: str) -> Site:
    """A site with the addresses and wordings that ship."""
    known = load()
    return Site(home, known.endpoints, known.words)


def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def file_id(number: int) -> str:
    return f"file_00000000{number:024x}"


def pointer(file: str, **more: Any) -> dict[str, Any]:
    base = {"content_type": "image_asset_pointer", "asset_pointer": f"sediment://{file}", "width": 1254, "height": 1254}
    return {**base, "size_bytes": 2516385, "metadata": {"dalle": {"gen_id": f"gen-{file}"}}, **more}


def message(
    identity: str, role: str, parts: list[Any] | None = None, *, content: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    kind = "multimodal_text" if any(isinstance(part, dict) for part in parts or []) else "text"
    return {
        "id": identity,
        "author": {"role": role, "name": TOOL if role == "tool" else None},
        "content": content or {"content_type": kind, "parts": parts or []},
        "status": "finished_successfully",
        "end_turn": None,
        "recipient": "all",
        "metadata": {},
        **more,
    }


def meta(parent: str = "", **more: Any) -> dict[str, Any]:
    return {"turn_exchange_id": EXCHANGE, **({"parent_id": parent} if parent else {}), **more}


def prompt(text: str = "a lighthouse", identity: str = USER, **more: Any) -> dict[str, Any]:
    return message(identity, "user", [text], **more)


def call(
    identity: str = "call", arguments: str = '{"skipped_mainline":true}', parent: str = USER, **more: Any
) -> dict[str, Any]:
    content = {"content_type": "code", "text": arguments}
    how: dict[str, Any] = {"recipient": TOOL, "end_turn": False, "metadata": meta(parent)}
    return message(identity, "assistant", content=content, **{**how, **more})


def card(identity: str = "card", text: str = CARD_TEXT, parent: str = "call", task: str = "task-1") -> dict[str, Any]:
    flags = {"ui_card": True, "image_gen_async": False, "trigger_async_ux": False, "image_gen_task_id": task}
    return message(identity, "tool", [text], end_turn=True, metadata=meta(parent, **flags))


def picture(identity: str = "leaf", file: str = "", parent: str = "call", **more: Any) -> dict[str, Any]:
    flags = {"async_task_id": "imagegen_1", "async_task_type": "image_gen", "image_gen_title": "Lighthouse"}
    return message(identity, "tool", [pointer(file or file_id(1))], **{"metadata": meta(parent, **flags), **more})


def answer(text: str, identity: str = "answer", parent: str = USER, **more: Any) -> dict[str, Any]:
    how: dict[str, Any] = {"end_turn": True, "metadata": meta(parent), **more}
    return message(identity, "assistant", [text], **how)


def request(
    text: str = "a lighthouse",
    identity: str = USER,
    *,
    conversation: str | None = None,
    parent: str = "client-created-root",
    references: Iterable[str] = (),
    hint: bool = True,
) -> bytes:
    pointers = [pointer(file, metadata=None) for file in references]
    attachments = [{"id": file, "name": "ref.png"} for file in references]
    hints = ["picture_v2"] if hint else []
    said = message(identity, "user", [*pointers, text], metadata={"system_hints": hints, "attachments": attachments})
    body: dict[str, Any] = {"action": "next", "messages": [said], "parent_message_id": parent, "system_hints": hints}
    if conversation:
        body["conversation_id"] = conversation
    return json.dumps(body).encode()


def sse(*objects: Any) -> bytes:
    """Events as the stream sends them; a message becomes an add delta on its own channel."""
    lines = ['event: delta_encoding\ndata: "v1"\n\n']
    channel = 0
    value: Any
    for value in objects:
        if "author" in value:
            document: dict[str, Any] = {"message": value, "conversation_id": CONVERSATION, "error": None}
            value = {"p": "", "o": "add", "v": document, "c": channel}  # noqa: PLW2901
            channel += 1
        lines.append(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n")
    return "".join(lines).encode()


def typed(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "conversation_id": CONVERSATION, **more}


COMPLETE = typed("message_stream_complete")
QUEUED = typed("conversation_async_status", async_status=7)
IMAGE_CASE = typed("server_ste_metadata", metadata={"turn_use_case": "image gen", "tool_invoked": False})
DONE = "[DONE]"


def update(kind: str, conversation: str = CONVERSATION, **content: Any) -> str:
    payload = {"conversation_id": conversation, "update_type": kind, "update_content": content}
    return json.dumps(
        [{"type": "message", "topic_id": "c", "payload": {"type": "conversation-update", "payload": payload}}]
    )


def status(value: int | None, conversation: str = CONVERSATION) -> str:
    return update("set-conversation-async-status", conversation, conversation_async_status=value)


def batch(kind: str, conversation: str = CONVERSATION, **more: Any) -> str:
    updates = [{"type": kind, "conversation_id": conversation, **more}]
    return json.dumps({"type": "conversation-updates", "payload": {"updates": updates}})


def item(encoded: bytes, identity: str = "", topic: str = f"conversation-turn-{EXCHANGE}") -> dict[str, Any]:
    said = {"type": "stream-item", "encoded_item": encoded.decode()}
    if identity:
        said["stream_item_id"] = identity
    return {"type": "message", "topic_id": topic, "payload": {"type": "conversation-turn-stream", "payload": said}}


def conversation(*messages: dict[str, Any], identity: str = CONVERSATION, **more: Any) -> bytes:
    """A conversation's JSON; each message's parent is its ``parent_id`` or the message before it."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    last = "root"
    for said in messages:
        parent = said["metadata"].get("parent_id") or last
        mapping[said["id"]] = {"id": said["id"], "message": said, "parent": parent}
        last = said["id"]
    whole: dict[str, Any] = {"conversation_id": identity, "mapping": mapping, "current_node": last}
    return json.dumps({**whole, "async_status": None, **more}).encode()


def window(*messages: dict[str, Any], identity: str = CONVERSATION, cursor: str = "", **more: Any) -> bytes:
    """A conversation as the page of 2026-10 reads it: the branch in order, no mapping, no status (recorded 2026-10-03).
    Without an ``identity`` it is an older page, which names no conversation."""
    body: dict[str, Any] = {"messages": list(messages), "page_info": {"start_cursor": cursor or "first"}}
    if identity:
        body |= {"conversation_id": identity, "current_node": messages[-1]["id"] if messages else None}
    return json.dumps({**body, **more}).encode()


def begun(*objects: Any, ended: bool = True, **how: Any) -> Transcript:
    """A transcript after our request and a stream of ``objects``."""
    heard = Transcript()
    heard.feed_request(request(**how))
    heard.feed_stream(sse(*objects))
    if ended:
        heard.stream_ended(ok=True)
    return heard


def queued_turn(**how: Any) -> Transcript:
    """The ordinary picture turn: its stream ends with a finished card, a status and no picture."""
    return begun(call(), QUEUED, card(), IMAGE_CASE, COMPLETE, DONE, **how)
