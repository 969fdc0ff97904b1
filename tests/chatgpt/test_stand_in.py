"""The witness against the stand-in site's own turns: another hand wrote them from the same field notes."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.outcome import turn_outcome
from cdp_image_mcp.chatgpt.page.locators import load
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.watching.evidence import Moment, Verdict
from cdp_image_mcp.chatgpt.watching.verdict import verdict
from fixtures.site.site import Site
from fixtures.site.switches import Switches
from fixtures.site.turn.conversations import Conversation
from fixtures.site.turn.messages import message, new_id, text_content
from fixtures.site.turn.sockets import Hub
from fixtures.site.turn.turns import Turn

QUICK: dict[str, Any] = {
    "picture_delay_s": 0.01,
    "preview_s": 0.01,
    "event_gap_s": 0.0,
    "between_pictures_s": 0.01,
    "size": (64, 64),
}


class Overheard(Hub):
    """A websocket that a transcript listens to."""

    def __init__(self, heard: Transcript) -> None:
        super().__init__()
        self._heard = heard

    async def tell(self, switches: Switches, conversation_id: str, update: str, content: dict[str, Any]) -> None:
        for frame in self._frames(switches, conversation_id, update, content):
            for _ in range(2 if switches.websocket_replay else 1):
                self._heard.feed_socket(msgspec.json.encode(frame))


async def played(**switches: Any) -> tuple[Transcript, Conversation]:
    """A turn of the stand-in from its prompt to its end, heard by stream and websocket."""
    heard, site, chat, user = Transcript(), Site(), Conversation("New chat"), new_id()
    site.set(**QUICK, **switches)
    site.hub = Overheard(heard)
    site.state.conversations[chat.id] = chat
    asked = message("user", text_content("a lighthouse"), message_id=user)
    chat.add(asked)
    heard.feed_request(json.dumps({"messages": [asked], "parent_message_id": "client-created-root"}).encode())
    turn = Turn(site, chat, "a lighthouse", number=1)

    async def listen() -> None:
        async for chunk in turn.tape.read():
            heard.feed_stream(chunk)
        heard.stream_ended(ok=True)

    with anyio.fail_after(60):
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            group.create_task(turn.run())
    return heard, chat


def judged(heard: Transcript) -> Verdict:
    return verdict(heard.turn(), PageReport(), Moment(quiet=5, since_end=5, since_heard=5, since_read=5))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("count", "switches"),
    [
        (1, {}),
        (1, {"previews": 2}),
        (1, {"previews": 2, "preview_ids": "same"}),
        (1, {"stream": "inline", "previews": 2, "preview_ids": "same"}),
        (3, {"stream": "inline", "pictures": 3}),
        (1, {"stream": "handoff"}),
        (1, {"stream": "cut"}),
        (4, {"pictures": 4, "batch_requests": True}),
        (3, {"pictures": 3, "doubled_pointers": True, "tool_text_after": True}),
        (2, {"paragen": True}),
        (1, {"websocket_form": "enveloped", "websocket_replay": True}),
        (1, {"websocket_form": "batch", "previews": 2, "websocket_replay": True}),
        (1, {"foreign_toast": True}),
        (1, {"sse_newline": "mixed", "sse_trailing_spaces": True, "sse_chunk": 7}),
    ],
)
async def test_every_way_a_picture_arrives_is_heard(count: int, switches: dict[str, Any]) -> None:
    heard, chat = await played(generation="classic", **switches)
    found = judged(heard)
    assert (found.action, len(found.file_ids)) == ("pictures_final", count)
    heard.feed_conversation(msgspec.json.encode(chat.as_json()))
    assert judged(heard).file_ids == found.file_ids


@pytest.mark.anyio
@pytest.mark.parametrize(
    "switches",
    [
        {"generation": "october"},
        {"generation": "october", "previews": 2},
        {"websocket_form": "refetch"},
        {"arrival": "poll"},
        {"stream": "inline", "previews": 2},
    ],
)
async def test_what_the_sockets_do_not_tell_the_conversation_does(switches: dict[str, Any]) -> None:
    heard, chat = await played(**switches)
    assert judged(heard).action == "wait"
    heard.feed_conversation(msgspec.json.encode(chat.as_json()))
    found = judged(heard)
    assert (found.action, len(found.file_ids)) == ("pictures_final", 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "code", "switches"),
    [
        ("refusal", "refused", {"language": "ko"}),
        ("guardrail", "refused", {"language": "vi"}),
        ("plan_limit", "quota_reached", {"language": "zh"}),
        ("upload_limit", "quota_reached", {"language": "ja"}),
        ("generation_failed", "service_error", {}),
        ("turn_error", "service_error", {}),
        ("clarify", "text_only", {"language": "ru"}),
        ("clarify", "text_only", {"stream": "handoff"}),
        ("text", "text_only", {}),
        ("need_source", "text_only", {}),
        ("pro_python", "text_only", {}),
    ],
)
async def test_every_way_to_get_no_picture_has_its_code(answer: str, code: str, switches: dict[str, Any]) -> None:
    heard, chat = await played(generation="classic", answers=[answer], **switches)
    assert judged(heard).load == "doubt"
    heard.feed_conversation(msgspec.json.encode(chat.as_json()))
    found = judged(heard)
    assert found.action == "no_picture"
    assert turn_outcome(found, heard.turn(), now=datetime.now(UTC), words=load().words).code == code
