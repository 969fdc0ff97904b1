"""The conversation stream and what is left of it in the conversation, held against the recordings."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from .visitor import Visit, Visitor, as_object, decoded, events

pytestmark = pytest.mark.anyio


async def finished(visitor: Visitor, conversation_id: str) -> dict[str, Any]:
    """The conversation once its turn has ended on the server."""
    while True:
        if visitor.site.find_turn(conversation_id) is None:
            return (await visitor.conversation(conversation_id)).json()
        await anyio.sleep(0.02)


def named(found: list[tuple[str, Any]]) -> list[str]:
    """One word per event."""
    words: list[str] = []
    for name, data in found:
        event = as_object(data)
        words.append(str(event.get("type") or ("add" if event["p"] == "" else "delta")) if event else name or str(data))
    return words


async def test_the_recorded_turn_ends_its_stream_with_a_finished_card_and_no_picture(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(generation="classic") as visitor:
            found = events(await visitor.ask("A fox"))
            assert named(found) == [
                "delta_encoding",
                "resume_conversation_token",
                "add",
                "delta",
                "conversation_async_status",
                "message_marker",
                "add",
                "title_generation",
                "server_ste_metadata",
                "message_stream_complete",
                "conversation_detail_metadata",
                "[DONE]",
            ]
            assert found[0] == ("delta_encoding", "v1")
            call, card = (document["message"] for document in decoded(found).values())
            assert call["content"] == {
                "content_type": "code",
                "language": "unknown",
                "response_format_name": None,
                "text": '{"skipped_mainline":true}',
            }
            assert call["status"] == "finished_successfully"
            assert call["end_turn"] is False
            assert card["author"]["role"] == "tool"
            assert card["end_turn"] is True
            assert card["status"] == "finished_successfully"
            assert card["metadata"]["image_gen_async"] is False
            assert card["metadata"]["image_gen_task_id"]
            assert found[4][1]["async_status"] == 7
            metadata = next(data["metadata"] for _, data in found if data != "[DONE]" and "metadata" in data)
            assert metadata["tool_invoked"] is False
            quota = found[-2][1]["limits_progress"][0]
            assert quota["remaining"] == visitor.site.switches.remaining - 1, "charged at the start"


async def test_the_finished_conversation_is_the_recorded_one(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit() as visitor:
            await visitor.ask("A fox")
            prompt = visitor.site.log.prompts[0]
            chat = await finished(visitor, prompt.conversation_id)
            (made,) = visitor.site.log.pictures()
            leaf = chat["mapping"][chat["current_node"]]["message"]
            assert leaf["author"]["role"] == "tool"
            assert leaf["end_turn"] is None
            assert leaf["create_time"] is None
            assert leaf["weight"] == 0
            assert set(leaf["metadata"]) == {
                "async_task_id",
                "async_task_title",
                "async_task_type",
                "image_gen_title",
                "response_message_id",
                "turn_exchange_id",
            }
            (part,) = leaf["content"]["parts"]
            assert part["asset_pointer"] == f"sediment://{made.file_id}"
            assert (part["width"], part["height"], part["size_bytes"]) == (made.width, made.height, made.bytes)
            messages = [node["message"] for node in chat["mapping"].values() if node["message"]]
            assert not any(message["metadata"].get("ui_card") for message in messages), "the placeholder is gone"
            assert chat["async_status"] == 4
            exchange = {message["metadata"].get("turn_exchange_id") for message in messages if message["weight"] != 0}
            assert leaf["metadata"]["turn_exchange_id"] in exchange


async def test_the_bare_hand_off_says_nothing_of_a_picture(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(generation="classic", stream="handoff") as visitor:
            found = events(await visitor.ask("A fox"))
            assert named(found) == ["delta_encoding", "resume_conversation_token", "stream_handoff", "[DONE]"]
            await finished(visitor, visitor.site.log.prompts[0].conversation_id)
            assert len(visitor.site.log.pictures()) == 1


@pytest.mark.parametrize("newline", ["lf", "crlf", "mixed"])
@pytest.mark.parametrize("ids", ["own", "same"])
async def test_a_picture_in_the_stream_comes_after_its_previews(visit: Visit, newline: str, ids: str) -> None:
    with anyio.fail_after(20):
        async with visit(
            stream="inline",
            previews=2,
            preview_ids=ids,
            sse_newline=newline,
            sse_trailing_spaces=True,
            sse_chunk=5,
        ) as visitor:
            raw = await visitor.ask("A fox")
            assert (b"\r\n" in raw) is (newline != "lf")
            assert b"  \n" in raw.replace(b"\r\n", b"\n")
            documents = decoded(events(raw))
            final = documents[max(documents)]["message"]
            (made,) = visitor.site.log.pictures()
            previews = visitor.site.log.pictures("preview")
            (part,) = final["content"]["parts"]
            assert final["status"] == "finished_successfully"
            assert part["asset_pointer"] == f"sediment://{made.file_id}"
            assert part["width"] == made.width
            assert len(previews) == 2
            assert ({preview.file_id for preview in previews} == {made.file_id}) is (ids == "same")
            assert made.sha256 not in {preview.sha256 for preview in previews}


async def test_several_pictures_stand_twice_in_the_mapping_when_asked(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(pictures=3, doubled_pointers=True, tool_text_after=True, between_pictures_s=0.01) as visitor:
            await visitor.ask("Foxes")
            chat = await finished(visitor, visitor.site.log.prompts[0].conversation_id)
            messages = [node["message"] for node in chat["mapping"].values() if node["message"]]
            pointers = [
                part["asset_pointer"]
                for message in messages
                if message["content"]["content_type"] == "multimodal_text"
                for part in message["content"]["parts"]
            ]
            assert len(pointers) == 6
            assert len(set(pointers)) == 3
            leaf = chat["mapping"][chat["current_node"]]["message"]
            assert leaf["author"]["role"] == "tool"
            assert leaf["content"]["content_type"] == "text"


@pytest.mark.parametrize("language", ["en", "zh", "ru", "ko", "ja", "vi"])
@pytest.mark.parametrize("kind", ["refusal", "plan_limit", "upload_limit", "clarify", "need_source", "pro_python"])
async def test_words_instead_of_a_picture_end_with_an_assistant_message(visit: Visit, language: str, kind: str) -> None:
    with anyio.fail_after(20):
        async with visit(language=language, answers=(kind,), event_gap_s=0) as visitor:
            documents = decoded(events(await visitor.ask("A fox")))
            last = documents[max(documents)]["message"]
            assert last["author"]["role"] == "assistant"
            assert last["recipient"] == "all"
            assert last["end_turn"] is True
            assert last["status"] == "finished_successfully"
            chat = await finished(visitor, visitor.site.log.prompts[0].conversation_id)
            leaf = chat["mapping"][chat["current_node"]]["message"]
            assert leaf["content"]["parts"] == last["content"]["parts"]
            assert visitor.site.log.pictures() == []


async def test_a_guardrail_takes_the_place_of_the_card(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(generation="classic", answers=("guardrail",), picture_delay_s=0.05) as visitor:
            found = events(await visitor.ask("A fox"))
            assert "message_stream_complete" in named(found)
            chat = await finished(visitor, visitor.site.log.prompts[0].conversation_id)
            leaf = chat["mapping"][chat["current_node"]]["message"]
            assert leaf["author"]["role"] == "assistant"
            assert "guardrails" in leaf["content"]["parts"][0]
            messages = [as_object(node["message"]) for node in chat["mapping"].values()]
            assert not any(as_object(message.get("metadata")).get("ui_card") for message in messages)


async def test_a_stream_that_is_cut_can_be_resumed(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(generation="classic", stream="cut", arrival="resume", picture_delay_s=0.4) as visitor:
            found = events(await visitor.ask("A fox"))
            assert "[DONE]" not in named(found)
            conversation_id = visitor.site.log.prompts[0].conversation_id
            answer = await visitor.client.post(
                "/backend-api/f/conversation/resume", json={"conversation_id": conversation_id}, headers=visitor.bearer
            )
            rest = events(answer.content)
            assert rest[-1][1] == "[DONE]"
            (document,) = decoded(rest).values()
            assert document["message"]["content"]["content_type"] == "multimodal_text"


async def test_answers_go_by_turn_and_turns_share_a_conversation(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(answers=("image", "refusal"), picture_delay_s=0.01) as visitor:
            await visitor.ask("First")
            first = visitor.site.log.prompts[0]
            chat = await finished(visitor, first.conversation_id)
            await visitor.ask("Second", conversation_id=first.conversation_id, parent_message_id=chat["current_node"])
            second = visitor.site.log.prompts[1]
            assert second.conversation_id == first.conversation_id
            assert second.parent_id == chat["current_node"]
            chat = await finished(visitor, first.conversation_id)
            assert chat["mapping"][chat["current_node"]]["message"]["author"]["role"] == "assistant"
            assert len(visitor.site.log.pictures()) == 1


async def test_a_picture_is_finished_although_nobody_is_there_any_more(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(picture_delay_s=0.3) as visitor:
            async with anyio.create_task_group() as asking:
                asking.start_soon(visitor.ask, "A fox")
                while not visitor.site.log.prompts:
                    await anyio.lowlevel.checkpoint()
                asking.cancel_scope.cancel()
            conversation_id = visitor.site.log.prompts[0].conversation_id
            await finished(visitor, conversation_id)
            assert len(visitor.site.log.pictures()) == 1


async def test_a_turn_is_given_up_without_a_page_when_the_switch_says_so(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(picture_delay_s=1.5, finish_without_page=False) as visitor:
            await visitor.ask("A fox")
            await finished(visitor, visitor.site.log.prompts[0].conversation_id)
            assert visitor.site.log.pictures() == []


async def test_stopping_ends_the_turn_and_is_logged(visit: Visit) -> None:
    with anyio.fail_after(20):
        async with visit(picture_delay_s=60) as visitor:
            await visitor.ask("A fox")
            conversation_id = visitor.site.log.prompts[0].conversation_id
            await visitor.client.post(
                "/backend-api/stop_conversation", json={"conversation_id": conversation_id}, headers=visitor.bearer
            )
            chat = await finished(visitor, conversation_id)
            assert chat["async_status"] is None
            assert [stop.conversation_id for stop in visitor.site.log.stops] == [conversation_id]
