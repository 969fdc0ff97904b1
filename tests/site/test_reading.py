"""Conversations as flat lists of turns, held against the recordings of 2026-10-01 and -03 and later readings."""

import json
from typing import Any

import anyio
import msgspec
import pytest

from .visitor import Visit, as_object, events

pytestmark = pytest.mark.anyio

# chatarium c02-open-conversation, 2026-10-03.
TOP = {"title", "create_time", "update_time", "conversation_id", "messages", "current_node", "page_info"}
MESSAGE = {
    "id",
    "author",
    "create_time",
    "content",
    "status",
    "end_turn",
    "weight",
    "metadata",
    "recipient",
    "channel",
}
PAGE = {"start_cursor", "end_cursor", "has_previous_page", "has_next_page"}
# The same two days earlier had these beside them.
EARLIER = set(
    """moderation_results plugin_ids conversation_template_id gizmo_id gizmo_type is_archived is_starred safe_urls
    blocked_urls default_model_slug atlas_mode_enabled conversation_origin is_read_only voice async_status
    disabled_tool_ids is_temporary_chat is_do_not_remember memory_scope context_scopes sugar_item_id
    sugar_item_visible pinned_time is_study_mode owner""".split()  # noqa: SIM905 - names, as a list of words
)
QUICK: dict[str, Any] = {"generation": "october", "picture_delay_s": 0.01, "event_gap_s": 0.0, "size": (64, 64)}


async def test_a_flat_list_has_the_recorded_keys_and_no_mapping(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor:
            await visitor.ask("A fox")
            body = await visitor.turns(await visitor.over())
            assert set(body) == TOP
            assert set(body["page_info"]) == PAGE
            assert body["page_info"]["end_cursor"] == body["current_node"] == body["messages"][-1]["id"]
            assert all(set(message) == MESSAGE for message in body["messages"])
            assert all(set(message["author"]) == {"role", "name", "metadata"} for message in body["messages"])
            visitor.site.set(plural_status="told")
            assert set(await visitor.turns(body["conversation_id"])) == TOP | EARLIER
            visitor.site.set(plural_metadata="bare")
            told = [set(one["metadata"]) for one in (await visitor.turns(body["conversation_id"]))["messages"]]
            assert told == [set(), {"parent_id"}, {"parent_id"}]


async def test_only_the_first_message_of_a_turn_names_no_parent(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor:
            await visitor.ask("A fox")
            first = await visitor.turns(await visitor.over())
            await visitor.ask(
                "At night", conversation_id=first["conversation_id"], parent_message_id=first["current_node"]
            )
            messages = (await visitor.turns(await visitor.over()))["messages"]
            roles = [message["author"]["role"] for message in messages]
            assert roles == ["user", "assistant", "tool", "user", "assistant", "tool"]
            assert [("parent_id" in message["metadata"]) for message in messages] == [role != "user" for role in roles]
            assert messages[2]["metadata"]["parent_id"] == messages[1]["id"]


async def test_the_window_rolls_and_older_turns_come_without_the_conversations_id(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor:
            await visitor.ask("A fox")
            first = await visitor.turns(await visitor.over(), 1)
            chat = first["conversation_id"]
            assert first["page_info"]["has_previous_page"] is False
            await visitor.ask("At night", conversation_id=chat, parent_message_id=first["current_node"])
            await visitor.over()
            second = await visitor.turns(chat, 1)
            shown = {message["id"] for message in second["messages"]}
            assert not shown & {message["id"] for message in first["messages"]}
            assert second["page_info"]["has_previous_page"] is True
            cursor = second["page_info"]["start_cursor"]
            assert cursor not in shown
            query = f"before={cursor}&include_has_versions=true&num_turns=1"
            older = (await visitor.get(f"/conversations/{chat}/messages?{query}")).json()
            assert set(older) == {"messages", "page_info", "safe_urls", "blocked_urls"}
            assert [message["id"] for message in older["messages"]] == [message["id"] for message in first["messages"]]
            assert (await visitor.get(f"/conversations/{chat}?num_turns=100")).status_code == 500


async def test_the_picture_in_the_list_is_a_final_message_of_the_tool(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK) as visitor:
            await visitor.ask("A fox")
            picture = (await visitor.turns(await visitor.over()))["messages"][-1]
            (made,) = visitor.site.log.pictures()
            assert (picture["author"]["role"], picture["channel"]) == ("tool", "final")
            assert picture["content"]["content_type"] == "multimodal_text"
            (part,) = picture["content"]["parts"]
            assert part["asset_pointer"] == f"sediment://{made.file_id}"
            assert (part["mime_type"], part["size_bytes"]) == (made.mime, made.bytes)
            assert part["metadata"]["dalle"]["gen_id"] == part["metadata"]["generation"]["gen_id"]


async def test_while_a_thinking_model_draws_the_list_holds_its_recap_alone(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**(QUICK | {"stream": "handoff", "picture_delay_s": 0.2})) as visitor:
            await visitor.ask("A fox")
            chat = visitor.site.log.prompts[0].conversation_id
            during = (await visitor.turns(chat))["messages"]
            assert [message["content"]["content_type"] for message in during] == ["text", "reasoning_recap"]
            assert set(during[1]["content"]) == {"content_type", "content"}
            assert during[1]["channel"] is None
            await visitor.over()
            after = (await visitor.turns(chat))["messages"]
            assert [message["content"]["content_type"] for message in after][2:] == ["multimodal_text"]


async def test_words_may_come_first_and_an_empty_picture_before_its_own(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, words_first=True, words_first_s=0.3, empty_node=True) as visitor:
            await visitor.ask("A fox")
            chat = visitor.site.log.prompts[0].conversation_id
            during = (await visitor.turns(chat))["messages"]
            assert (during[2]["end_turn"], during[2]["channel"]) == (True, "final")
            assert during[3]["content"] == {"content_type": "multimodal_text", "parts": []}
            assert during[3]["status"] == "finished_successfully"
            assert (await visitor.get(f"/conversation/{chat}/stream_status")).json() == {"status": "IS_STREAMING"}
            await visitor.over()
            after = (await visitor.turns(chat))["messages"]
            assert after[3]["id"] == during[3]["id"]
            assert len(after[3]["content"]["parts"]) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_the_first_reads_of_a_conversation_may_fail_in_either_form(visit: Visit, status: int) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, read_errors=2, read_error_status=status) as visitor:
            await visitor.ask("A fox")
            chat = await visitor.over()
            paths = (
                f"/conversations/{chat}?num_turns=10",
                f"/conversation/{chat}",
                f"/conversations/{chat}?num_turns=10",
            )
            assert [(await visitor.get(path)).status_code for path in paths] == [status, status, 200]


@pytest.mark.parametrize("status", [404, 500])
async def test_an_account_with_lists_may_have_no_mapping(visit: Visit, status: int) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, singular_status=status) as visitor:
            await visitor.ask("A fox")
            chat = await visitor.over()
            assert (await visitor.conversation(chat)).status_code == status
            assert (await visitor.turns(chat))["conversation_id"] == chat


async def test_stream_status_says_how_a_turn_ended(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, answers=("image", "turn_error")) as visitor:
            for expected in ("COMPLETE", "FAILURE"):
                await visitor.ask("A fox")
                path = f"/conversation/{await visitor.over()}/stream_status"
                assert (await visitor.get(path)).json() == {"status": expected}
            visitor.site.set(stream_status="unavailable")
            assert (await visitor.get(path)).status_code == 404
            assert (await visitor.get("/conversation/0000/stream_status")).status_code == 404


async def test_half_an_emoji_stands_in_the_json_as_an_escape(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, surrogates=("json", "list", "stream")) as visitor:
            stream = await visitor.ask("A fox")
            read = await visitor.get(f"/conversations/{await visitor.over()}?num_turns=10")
            listed = await visitor.get("/conversations?offset=0&limit=28&order=updated")
            for raw in (stream, read.content, listed.content):
                assert rb"\ud83d" in raw
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(read.content)
            assert json.loads(read.content)["title"] == "A fox\ud83d"


async def test_a_signed_address_is_refused_when_its_time_is_over(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, signature_s=0.2) as visitor:
            await visitor.ask("A fox")
            await visitor.over()
            (made,) = visitor.site.log.pictures()
            address = await visitor.link(made.file_id)
            assert (await visitor.client.get(address)).status_code == 200
            while (answer := await visitor.client.get(address)).status_code == 200:
                await anyio.lowlevel.checkpoint()
            assert (answer.status_code, answer.json()) == (403, {"detail": "File stream access denied"})
            assert (await visitor.client.get(await visitor.link(made.file_id))).status_code == 200


@pytest.mark.parametrize(
    ("stated", "right"),
    [("dimensions", {"size_bytes"}), ("both", set[str]()), ("nothing", set[str]())],
)
async def test_what_a_message_says_of_its_file_may_be_wrong(visit: Visit, stated: str, right: set[str]) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, stated=stated) as visitor:
            await visitor.ask("A fox")
            body = await visitor.turns(await visitor.over())
            (made,) = visitor.site.log.pictures()
            (part,) = body["messages"][-1]["content"]["parts"]
            truth = {"size_bytes": made.bytes, "width": made.width, "height": made.height}
            assert {name for name, value in truth.items() if part.get(name) == value} == right
            assert (set(truth) & set(part) == set()) is (stated == "nothing")


async def test_the_stream_of_october_has_the_recorded_events_in_their_order(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(**QUICK, answers=("text",)) as visitor:
            found = [(name, as_object(data)) for name, data in events(await visitor.ask("A fox"))]
            named = [data.get("type", name) for name, data in found]
            recorded = ["delta_encoding", "input_message", "delta"]
            recorded += ["message_stream_complete", "conversation_detail_metadata"]
            assert [name for name in dict.fromkeys(named) if name in recorded] == recorded
            deltas = [data for name, data in found if name == "delta"]
            assert set(deltas[0]) == {"v", "c"}
            assert set(deltas[0]["v"]) == {"message", "conversation_id"}
            assert deltas[0]["v"]["message"]["channel"] == "final"
            (patch,) = [data["v"] for data in deltas if data.get("o") == "patch"]
            assert [part["p"] for part in patch] == ["/message/status", "/message/end_turn", "/message/metadata"]
