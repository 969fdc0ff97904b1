"""What the network says becomes one turn, whatever the order it is heard in."""

import itertools
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from cdp_image_mcp.chatgpt.address import file_id as named
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import ToolError, Turn
from cdp_image_mcp.chatgpt.page.locators import load
from cdp_image_mcp.chatgpt.words import Rule
from tests.chatgpt.talk import (
    COMPLETE,
    CONVERSATION,
    DONE,
    FOREIGN,
    IMAGE_CASE,
    QUEUED,
    USER,
    answer,
    batch,
    begun,
    call,
    card,
    conversation,
    file_id,
    item,
    message,
    meta,
    picture,
    pointer,
    prompt,
    queued_turn,
    recording,
    request,
    sse,
    status,
    typed,
    update,
    window,
)


def finals(turn: Turn) -> list[str]:
    return [found.file_id for found in turn.final_pictures]


def previews(turn: Turn) -> list[str]:
    return [found.file_id for found in turn.previews]


def recorded_turn() -> Transcript:
    heard = Transcript()
    heard.feed_request(recording("image-turn.request.json"))
    heard.feed_stream(recording("image-turn.sse"))
    heard.stream_ended(ok=True)
    return heard


# The request


def test_the_request_gives_our_message() -> None:
    assert recorded_turn().turn().user_message_id == USER


@pytest.mark.parametrize("interim", ["WEB:0d1c", "local-chatgpt:1", "new", ""])
def test_an_interim_id_is_no_conversation(interim: str) -> None:
    heard = Transcript()
    heard.feed_request(request(conversation=interim))
    assert heard.turn().conversation_id is None
    heard.feed_stream(sse(COMPLETE))
    assert heard.turn().conversation_id == CONVERSATION


def test_the_same_request_again_changes_nothing() -> None:
    heard = queued_turn()
    before = heard.turn()
    assert heard.feed_request(request()) is False
    assert heard.turn() == before


def test_a_new_request_begins_a_new_turn_and_the_old_pictures_are_not_its_own() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf")]))
    assert finals(heard.turn()) == [file_id(1)]
    heard.feed_request(request("again", "user-2", conversation=CONVERSATION, parent="leaf"))
    turn = heard.turn()
    assert (turn.user_message_id, turn.stream_ended) == ("user-2", None)
    assert turn.pictures == ()
    assert not turn.running


def test_a_late_picture_of_the_turn_before_is_not_ours() -> None:
    heard = queued_turn()
    heard.feed_request(request("again", "user-2", conversation=CONVERSATION, parent="card"))
    heard.feed_stream(
        sse(call("call-2", parent="user-2") | {"metadata": {"parent_id": "user-2", "turn_exchange_id": "e2"}})
    )
    heard.feed_socket(update("add-messages", messages=[picture("leaf")]))
    assert heard.turn().pictures == ()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"messages":7}', b'{"messages":[{"author":{"role":"assistant"},"id":"x"}]}']
)
def test_what_sends_no_message_of_a_person_is_no_request(body: bytes) -> None:
    heard = Transcript()
    assert heard.feed_request(body) is False
    assert heard.turn().user_message_id is None


def test_a_turn_whose_request_was_not_seen_is_known_by_its_own_stream() -> None:
    heard = Transcript()
    heard.feed_stream(sse(call(), QUEUED, card(), IMAGE_CASE, COMPLETE, DONE))
    heard.feed_socket(update("add-messages", messages=[picture("leaf", metadata={"parent_id": "card"})]))
    assert finals(heard.turn()) == [file_id(1)]
    earlier = [prompt("before", "old-user"), picture("old", file_id(5), metadata={"parent_id": "old-user"})]
    said = prompt(metadata={"parent_id": "old"})
    heard.feed_conversation(conversation(*earlier, said, call(metadata={"parent_id": USER}), picture("leaf")))
    turn = heard.turn()
    assert turn.user_message_id == USER
    assert turn.conversation_read
    assert finals(turn) == [file_id(1)]


def test_the_rest_of_a_conversation_before_our_message_says_nothing_about_our_turn() -> None:
    heard = Transcript(conversation_id=CONVERSATION)
    heard.feed_conversation(conversation(prompt("before", "u0"), answer("x", "a0", parent="u0"), async_status=4))
    heard.feed_socket(update("refetch-conversation"))
    heard.feed_request(request(conversation=CONVERSATION, parent="a0"))
    turn = heard.turn()
    assert (turn.at_rest, turn.conversation_read, turn.turn_complete, turn.stale) == (False, False, False, False)
    heard.feed_conversation(conversation(prompt("before", "u0"), answer("x", "a0", parent="u0")))
    assert not heard.turn().conversation_read
    assert heard.turn().answered_text is None


# The recorded turn


def test_the_recorded_stream_promises_a_picture_and_answers_nothing() -> None:
    turn = recorded_turn().turn()
    assert turn.stream_ended == "whole"
    assert turn.picture_promised
    assert turn.running
    assert turn.answered_text is None
    assert turn.partial_text is None
    assert turn.pictures == ()


def test_the_use_case_alone_is_a_promise_and_no_drawing() -> None:
    turn = begun(IMAGE_CASE, COMPLETE).turn()
    assert (turn.picture_promised, turn.drawing_started) == (True, False)
    assert recorded_turn().turn().drawing_started


def test_a_finished_card_is_never_an_answer_in_any_language() -> None:
    for words in (
        "正在创建图片",
        "Много людей создают изображения",
        "이미지 생성 중",
        "Đang tạo hình ảnh",
        "I can't create that image.",
    ):
        turn = begun(card(text=words, parent=USER), COMPLETE, DONE).turn()
        assert turn.answered_text is None
        assert turn.partial_text is None


def test_false_flags_do_not_take_the_promise_back() -> None:
    assert begun(card(parent=USER), COMPLETE).turn().picture_promised


def test_the_model_is_heard() -> None:
    turn = recorded_turn().turn()
    assert turn.model == "gpt-5-5"


def test_the_quota_is_heard_one_lower_already() -> None:
    quotas = {quota.feature: quota.remaining for quota in recorded_turn().quotas}
    assert quotas["image_gen"] == 117


def test_the_recorded_conversation_holds_the_picture_though_no_flag_says_so() -> None:
    heard = recorded_turn()
    assert heard.feed_conversation(recording("image-turn.conversation.json")) is True
    (found,) = heard.turn().pictures
    assert (found.file_id, found.width, found.height, found.size_bytes) == (
        "file_00000000a1b2c3d4e5f60718293a4b5c",
        1254,
        1254,
        2516385,
    )
    assert found.final
    assert not heard.turn().running
    assert not heard.turn().card_waiting


def test_the_recorded_conversation_is_enough_to_collect_a_turn_of_an_earlier_run() -> None:
    heard = Transcript(conversation_id=CONVERSATION, user_message_id=USER)
    heard.feed_conversation(recording("image-turn.conversation.json"))
    assert finals(heard.turn()) == ["file_00000000a1b2c3d4e5f60718293a4b5c"]


def test_a_bare_hand_off_ends_the_stream_and_says_nothing_else() -> None:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_stream(recording("thinking-handoff.sse"))
    heard.stream_ended(ok=True)
    turn = heard.turn()
    assert (turn.handed_off, turn.stream_ended, turn.turn_complete) == (True, "whole", False)
    assert not turn.picture_promised
    assert turn.answered_text is None


@pytest.mark.parametrize(
    ("objects", "ok", "end"),
    [((COMPLETE, DONE), True, "whole"), ((DONE,), True, "whole"), ((QUEUED,), True, "cut"), ((DONE,), False, "cut")],
)
def test_how_the_stream_ended_is_told_apart(objects: tuple[Any, ...], ok: bool, end: str) -> None:
    heard = begun(*objects, ended=False)
    heard.stream_ended(ok)
    assert heard.turn().stream_ended == end


def test_a_stream_that_runs_has_not_ended() -> None:
    assert begun(call(), ended=False).turn().stream_ended is None


# Any order, any repetition


def feeds() -> dict[str, Callable[[Transcript], object]]:
    leaf = json.loads(recording("image-turn.conversation.json"))["mapping"]
    found = next(entry["message"] for key, entry in leaf.items() if key.startswith("9f8e"))
    return {
        "stream": lambda heard: heard.feed_stream(recording("image-turn.sse")),
        "socket": lambda heard: heard.feed_socket(update("async-task-update-message", message=found)),
        "conversation": lambda heard: heard.feed_conversation(recording("image-turn.conversation.json")),
        "foreign": lambda heard: heard.feed_socket(
            update("add-messages", FOREIGN, messages=[picture("x", file_id(9), parent="y", conversation_id=FOREIGN)])
        ),
    }


@pytest.mark.parametrize("order", list(itertools.permutations(feeds())))
@pytest.mark.parametrize("at", [0, 2, 4])
def test_every_order_gives_the_same_pictures(order: tuple[str, ...], at: int) -> None:
    heard = Transcript()
    steps = [feeds()[name] for name in order]
    steps.insert(at, lambda heard: heard.feed_request(recording("image-turn.request.json")))
    for step in steps:
        step(heard)
    assert finals(heard.turn()) == ["file_00000000a1b2c3d4e5f60718293a4b5c"]
    assert heard.turn().conversation_id == CONVERSATION
    assert heard.turn().answered_text is None


def test_hearing_everything_twice_changes_nothing() -> None:
    heard = recorded_turn()
    for feed in feeds().values():
        feed(heard)
    before = heard.turn()
    for name in ("socket", "conversation", "foreign"):
        assert feeds()[name](heard) is False
    assert heard.turn() == before


# Pictures and previews


def test_a_preview_with_its_own_id_stays_a_preview_beside_the_picture() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file_id(7), status="in_progress")]))
    assert (finals(heard.turn()), previews(heard.turn())) == ([], [file_id(7)])
    heard.feed_socket(update("async-task-completed", message=picture("leaf", file_id(8))))
    assert (finals(heard.turn()), previews(heard.turn())) == ([file_id(8)], [file_id(7)])


def test_a_preview_under_the_same_id_becomes_the_picture_when_its_message_is_finished() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", status="in_progress")]))
    assert previews(heard.turn()) == [file_id(1)]
    heard.feed_socket(update("add-messages", messages=[picture("leaf")]))
    assert (finals(heard.turn()), previews(heard.turn())) == ([file_id(1)], [])


def test_a_pointer_patched_in_the_stream_leaves_a_preview_behind() -> None:
    place = "/message/content/parts/0/asset_pointer"
    patches = [
        {"p": place, "o": "replace", "v": f"sediment://{file_id(2)}"},
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
    ]
    turn = begun(picture("leaf", file_id(1), status="in_progress"), {"o": "patch", "p": "", "v": patches}).turn()
    assert (finals(turn), previews(turn)) == ([file_id(2)], [file_id(1)])


def test_a_finished_picture_replaced_by_another_is_no_longer_final() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file_id(1))]))
    heard.feed_socket(update("async-task-update-message", message=picture("leaf", file_id(2))))
    assert (finals(heard.turn()), previews(heard.turn())) == ([file_id(2)], [file_id(1)])


@pytest.mark.parametrize("state", ["in_progress", "finished_successfully"])
def test_a_late_replay_of_an_earlier_state_never_undoes_the_picture(state: str) -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file_id(1), status=state)]))
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file_id(2))]))
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file_id(1), status=state)]))
    assert finals(heard.turn()) == [file_id(2)]


def test_a_picture_that_stands_twice_is_final_when_one_of_them_is() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("a", status="in_progress"), picture("b")]))
    assert (finals(heard.turn()), previews(heard.turn())) == ([file_id(1)], [])


HALF = pointer(file_id(1), metadata={"generation": {"gen_id": "g", "height": 600, "width": 1254}})
HALF_DRAWN = message("leaf", "tool", [HALF], metadata=meta("call", async_task_type="image_gen"))


@pytest.mark.parametrize("settle", ["status", "reading"])
def test_rows_still_missing_make_a_preview_until_the_conversation_is_at_rest(settle: str) -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[HALF_DRAWN]))
    assert previews(heard.turn()) == [file_id(1)]
    assert heard.turn().half_drawn
    if settle == "status":
        heard.feed_socket(status(4))
    else:
        heard.feed_conversation(conversation(prompt(), call(), HALF_DRAWN))
    assert finals(heard.turn()) == [file_id(1)]
    assert not heard.turn().half_drawn


def test_several_pictures_with_doubled_pointers_count_once_each_in_order() -> None:
    files = [file_id(n) for n in (5, 3, 4, 1, 2, 6)]
    first = [picture(f"a{n}", file, metadata=meta("call", image_gen_title="x")) for n, file in enumerate(files)]
    again = [picture(f"b{n}", file, metadata=meta("call", image_gen_title="x")) for n, file in enumerate(files)]
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), *first, *again))
    assert finals(heard.turn()) == files


def test_two_pictures_in_one_message_are_two() -> None:
    leaf = message("leaf", "tool", [pointer(file_id(1)), pointer(file_id(2))], metadata=meta("call"))
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[leaf]))
    assert finals(heard.turn()) == [file_id(1), file_id(2)]


def test_the_older_pointer_scheme_is_read() -> None:
    leaf = message("leaf", "tool", [pointer("", asset_pointer="file-service://file-AbC123xyz")], metadata=meta("call"))
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[leaf]))
    assert finals(heard.turn()) == ["file-AbC123xyz"]


def test_a_picture_of_the_assistants_own_message_counts() -> None:
    leaf = message("leaf", "assistant", [pointer(file_id(1))], metadata=meta("call", image_gen_task_id="t"))
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[leaf]))
    assert finals(heard.turn()) == [file_id(1)]


@pytest.mark.parametrize("read", [conversation, window])
@pytest.mark.parametrize("by", ["the person", "a tool"])
def test_a_picture_that_was_edited_later_on_is_still_ours(by: str, read: Callable[..., bytes]) -> None:
    """Who looks into the conversation before it is collected may go on from the picture there."""
    heard = Transcript(conversation_id=CONVERSATION, user_message_id=USER)
    shown = [pointer(file_id(1))]
    theirs = {"turn_exchange_id": "theirs", "async_task_id": "imagegen_2", "async_task_type": "image_gen"}
    edit = [
        message("edit", "user", [*(shown if by == "the person" else []), "brighter"], metadata={"parent_id": "leaf"}),
        call("call-2", metadata={**theirs, "parent_id": "edit"}),
        message(
            "leaf-2",
            "tool",
            [*(shown if by == "a tool" else []), pointer(file_id(2))],
            metadata={**theirs, "parent_id": "call-2"},
        ),
    ]
    heard.feed_conversation(read(prompt(), call(), picture("leaf", file_id(1)), *edit))
    assert [one.file_id for one in heard.turn().final_pictures] == [file_id(1)]


@pytest.mark.parametrize(("named", "shown_as"), [(file_id(2), file_id(2)), (file_id(1), "")])
def test_a_picture_tells_the_file_that_is_shown_in_its_place(named: str, shown_as: str) -> None:
    marked = pointer(file_id(1), metadata={"dalle": {}, "watermarked_asset_pointer": f"sediment://{named}"})
    heard = begun(call(), message("leaf", "tool", [marked], metadata=meta("call")))
    assert [(one.file_id, one.shown_as) for one in heard.turn().pictures] == [(file_id(1), shown_as)]


def test_references_of_the_person_never_count_even_when_a_tool_echoes_them() -> None:
    heard = begun(call(), QUEUED, card(), COMPLETE, references=[file_id(50)])
    echo = message("echo", "tool", [pointer(file_id(50)), pointer(file_id(1))], metadata=meta("call"))
    heard.feed_conversation(conversation(prompt(), call(), echo))
    assert heard.turn().known_files == {file_id(50)}
    assert [found.file_id for found in heard.turn().pictures] == [file_id(1)]


def test_references_are_known_from_the_conversation_too() -> None:
    asked = message(USER, "user", [pointer(file_id(50)), "make it blue"])
    heard = Transcript(conversation_id=CONVERSATION, user_message_id=USER)
    heard.feed_conversation(conversation(asked, call(), picture("leaf", file_id(50))))
    assert heard.turn().pictures == ()


def test_a_picture_of_an_older_turn_shown_again_is_not_ours() -> None:
    heard = begun(call(), QUEUED, card(), identity=USER, conversation=CONVERSATION, parent="old-leaf")
    old = picture(
        "old-leaf", file_id(40), parent="old-call", metadata={"parent_id": "old-call", "image_gen_title": "x"}
    )
    both = message("leaf", "tool", [pointer(file_id(40)), pointer(file_id(41))], metadata=meta("call"))
    said = prompt(metadata={"parent_id": "old-leaf"})
    asked = call("old-call", metadata={"parent_id": "old-user", "turn_exchange_id": "earlier"})
    heard.feed_conversation(conversation(prompt("first", "old-user"), asked, old, said, call(), both))
    assert finals(heard.turn()) == [file_id(41)]
    assert file_id(40) in heard.turn().known_files


@pytest.mark.parametrize("tool", ["python", "myfiles_browser", "browser.open", "container.exec", "local.read_file"])
def test_image_pointers_of_other_tools_are_no_pictures(tool: str) -> None:
    page = message(
        "page", "tool", [pointer(file_id(1), metadata={})], metadata=meta("call"), author={"role": "tool", "name": tool}
    )
    heard = begun(page, COMPLETE, DONE)
    assert heard.turn().pictures == ()
    assert not heard.turn().picture_promised


@pytest.mark.parametrize("name", ["dalle.text2im", "n7jupd_m", "t2uay3k.sj1i4kz", "tomorrow.zz9"])
def test_the_picture_tool_may_have_any_name(name: str) -> None:
    leaf = picture("leaf") | {"author": {"role": "tool", "name": name}}
    assert finals(begun(leaf, COMPLETE).turn()) == [file_id(1)]


# Several pictures announced, A/B panels


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"skipped_mainline":true}', 1),
        ('{"prompt":"a","size":"1024x1024","n":1}', 1),
        ('{"size":"1024x1536","n":3,"transparent_background":false}', 3),
        ('{"batch_requests":[{"prompt":"a"},{"prompt":"b"},{"prompt":"c"},{"prompt":"d"}]}', 4),
        ('{"prompt":"a question for another tool"}', 0),
        ('{"n":2,"size":"large"}', 0),
        ('{"search_query":[{"q":"lighthouse"}]}', 0),
        ("import matplotlib", 0),
    ],
)
def test_a_tool_call_announces_its_pictures(arguments: str, expected: int) -> None:
    turn = begun(call(arguments=arguments), COMPLETE).turn()
    assert turn.expected_count == expected
    assert turn.drawing_started == (expected > 0)
    assert turn.tool_used


def test_a_tool_call_in_plain_text_is_no_answer() -> None:
    said = message(
        "call",
        "assistant",
        ['{"prompt":"a","size":"auto","n":2}'],
        recipient="x1.y2",
        end_turn=True,
        metadata=meta(USER),
    )
    turn = begun(said, COMPLETE).turn()
    assert turn.answered_text is None
    assert turn.expected_count == 2


def test_placeholders_announce_a_picture_each() -> None:
    turn = begun(call(), card("a", task="t1"), card("b", task="t2"), card("b", task="t2"), COMPLETE).turn()
    assert turn.expected_count == 2


def test_a_call_that_failed_is_not_waited_for() -> None:
    failed = message(
        "e", "tool", content={"content_type": "system_error", "name": "X", "text": "no"}, metadata=meta("call")
    )
    turn = begun(call("call"), failed, call("call-2"), COMPLETE).turn()
    assert turn.expected_count == 1


def ab(number: int, **more: Any) -> dict[str, Any]:
    return picture(
        f"ab{number}", file_id(number), metadata=meta("call", image_gen_group_id="g1", generation_index=number, **more)
    )


def test_an_ab_panel_is_told_by_its_group_and_both_pictures_are_real() -> None:
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), ab(1), ab(2)))
    turn = heard.turn()
    assert turn.paragen
    assert turn.expected_count == 2
    assert len(turn.final_pictures) == 2


def test_an_ab_panel_is_over_once_one_was_chosen() -> None:
    heard = queued_turn()
    chosen = message("sel", "assistant", [""], metadata=meta("call", selected_image_message_id="ab1"))
    heard.feed_conversation(conversation(prompt(), call(), chosen, ab(1), ab(2)))
    assert not heard.turn().paragen


def test_the_socket_tells_when_an_ab_panel_opens_and_closes() -> None:
    heard = queued_turn()
    heard.feed_socket(batch("convert-turn-to-paragen"))
    assert heard.turn().paragen
    heard.feed_socket(batch("resolve-paragen"))
    assert not heard.turn().paragen


# Words


def test_the_finished_answer_of_the_assistant_is_heard() -> None:
    turn = begun(answer("Which lighthouse do you mean?"), COMPLETE, DONE, hint=False).turn()
    assert turn.answered_text == "Which lighthouse do you mean?"
    assert not turn.picture_promised


@pytest.mark.parametrize(
    "change",
    [
        {"status": "in_progress"},
        {"end_turn": False},
        {"end_turn": None},
        {"recipient": "t2uay3k.sj1i4kz"},
        {"channel": "commentary"},
        {"author": {"role": "tool", "name": "t2uay3k.sj1i4kz"}},
        {"content": {"content_type": "code", "text": "Which lighthouse?"}},
        {"content": {"content_type": "thoughts", "parts": ["Which lighthouse?"]}},
        {"metadata": {**meta(USER), "is_visually_hidden_from_conversation": True}},
    ],
)
def test_anything_less_than_the_finished_answer_is_none(change: dict[str, Any]) -> None:
    assert begun(answer("Which lighthouse?") | change, COMPLETE).turn().answered_text is None


def test_words_that_still_come_are_partial() -> None:
    said = answer("", status="in_progress", end_turn=None)
    grown = {"p": "/message/content/parts/0", "o": "append", "v": "I will "}
    turn = begun(said, grown, {"v": "draw"}, ended=False).turn()
    assert (turn.answered_text, turn.partial_text) == (None, "I will draw")


def test_a_text_of_the_tool_after_the_picture_is_no_answer() -> None:
    heard = queued_turn()
    after = message(
        "after", "tool", ["GPT-4o returned 1 images. From now on, do not say anything."], metadata=meta("leaf")
    )
    heard.feed_conversation(conversation(prompt(), call(), picture("leaf"), after))
    assert finals(heard.turn()) == [file_id(1)]
    assert heard.turn().answered_text is None


def test_an_answer_after_the_picture_leaves_the_picture() -> None:
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), picture("leaf"), answer("Here it is.", parent="leaf")))
    assert finals(heard.turn()) == [file_id(1)]
    assert heard.turn().answered_text == "Here it is."


def test_the_previous_answer_repeated_at_the_start_of_the_stream_is_not_ours() -> None:
    heard = Transcript()
    heard.feed_request(request(conversation=CONVERSATION, parent="previous"))
    heard.feed_stream(sse(answer("An earlier answer", "previous", parent="older"), call(), QUEUED, card(), COMPLETE))
    assert heard.turn().answered_text is None


def test_citation_marks_and_control_characters_are_taken_out_of_the_answer() -> None:
    turn = begun(answer("See \ue200cite\ue202turn0search1\ue201here\u0007."), COMPLETE).turn()
    assert turn.answered_text == "See here."


# Errors


@pytest.mark.parametrize("error", ["Something went wrong", {"message": "Something went wrong", "code": "x"}])
def test_an_error_object_in_the_stream_is_kept_as_one_sentence(error: Any) -> None:
    turn = begun({"message": None, "error": error}).turn()
    assert turn.error == "Something went wrong"


def test_a_failed_tool_is_kept_by_name_and_words() -> None:
    content = {
        "content_type": "system_error",
        "name": "ChatGPTAgentToolRateLimitException",
        "text": "You've hit the limit",
    }
    turn = begun(call(), message("e", "tool", content=content, metadata=meta("call")), COMPLETE).turn()
    assert turn.tool_error is not None
    assert (turn.tool_error.name, turn.tool_error.text) == (content["name"], content["text"])


@pytest.mark.parametrize(
    "words",
    [
        "The image generation tool encountered an error. Please try again.",
        "ChatGPTAgentToolRateLimitException: unable to invoke the image_gen.text2im tool. The limit resets in 5 hours.",
        "You've hit the Plus plan limit for image generation requests. It resets in 3 hours and 12 minutes.",
        "You're making requests too quickly. Too many requests.",
        "We're so sorry, but the image we created may violate our guardrails around third-party content.",
    ],
)
def test_a_tool_that_says_in_words_why_there_is_no_picture_has_failed(words: str) -> None:
    content = {"content_type": "text", "parts": [words]}
    said = message("e", "tool", content=content, metadata=meta("call"))
    found = heard_with_words(call(), said, COMPLETE).turn().tool_error
    assert found is not None
    assert found.text == words
    # What a search found says such things of others.
    said["author"]["name"] = "web.run"
    assert heard_with_words(call(), said, COMPLETE).turn().tool_error is None


def heard_with_words(*objects: Any) -> Transcript:
    heard = Transcript(fails=load().words.fails)
    heard.feed_request(request())
    heard.feed_stream(sse(*objects))
    heard.stream_ended(ok=True)
    return heard


def python_fails(parent: str = USER) -> list[dict[str, Any]]:
    """Python is called and ends in an error; the picture tool may be called after it."""
    code = {"content_type": "code", "text": "import foo"}
    content = {"content_type": "system_error", "name": "ModuleNotFoundError", "text": "No module named foo"}
    failed = message("oops", "tool", content=content, metadata=meta("python"))
    failed["author"]["name"] = "python"
    called = message("python", "assistant", content=code, recipient="python", metadata=meta(parent))
    return [called, failed]


BATCH = '{"batch_requests":[{"n":1,"size":"1024x1024"},{"n":1,"size":"1024x1024"}]}'


@pytest.mark.parametrize(("arguments", "expected"), [('{"skipped_mainline":true}', 1), (BATCH, 2)])
def test_another_tool_that_failed_is_no_failed_picture(arguments: str, expected: int) -> None:
    turn = begun(*python_fails(), call(arguments=arguments, parent="oops"), card(), COMPLETE).turn()
    assert (turn.tool_error, turn.expected_count, turn.card_waiting) == (None, expected, True)


def test_another_tool_that_failed_while_a_picture_is_drawn_takes_nothing_from_it() -> None:
    turn = begun(call(arguments=BATCH), card(), *python_fails(parent="card"), COMPLETE).turn()
    assert (turn.tool_error, turn.expected_count) == (None, 2)


def test_a_call_of_another_tool_that_failed_is_no_failed_picture() -> None:
    called, _ = python_fails()
    turn = begun(called | {"status": "finished_failed"}, call(parent="python"), card(), COMPLETE).turn()
    assert (turn.tool_error, turn.expected_count) == (None, 1)


def test_another_tool_that_failed_is_told_of_where_no_picture_was_called_for() -> None:
    turn = begun(*python_fails(), COMPLETE).turn()
    assert turn.tool_error == ToolError("ModuleNotFoundError", "No module named foo")


def test_a_card_below_a_failed_picture_promises_another_though_its_call_is_not_understood() -> None:
    failed = message("failed", "tool", ["raw"], status="finished_failed", metadata=meta("call"))
    again = [call("again", '"a lighthouse"', parent="failed"), card("second", parent="again", task="task-2")]
    heard = begun(call(), card(), failed, COMPLETE)
    assert heard.turn().tool_error is not None
    heard.feed_conversation(conversation(prompt(), call(), card(), failed, *again))
    assert heard.turn().tool_error is None
    heard.feed_conversation(conversation(prompt(), call(), card(), failed, *again, {**failed, "id": "f2"} | below()))
    assert heard.turn().tool_error is not None


def below(parent: str = "again") -> dict[str, Any]:
    return {"metadata": meta(parent)}


WORDS = load().words
SAID = [rule for rule in WORDS.rules if WORDS.fails(" ".join(group[0] for group in rule.all))]


@pytest.mark.parametrize("rule", SAID, ids=[f"{number}-{rule.language}" for number, rule in enumerate(SAID)])
def test_a_card_that_holds_a_pictures_place_says_nothing_by_its_words(rule: Rule) -> None:
    """It is in the person's language, and tells of many people and of waiting (recorded 2026-04-24)."""
    waiting = [" ".join(phrases) for phrases in itertools.product(*rule.all)]
    assert all(WORDS.fails(words) for words in waiting)
    turns = [heard_with_words(call(), card(text=words), COMPLETE).turn() for words in waiting]
    assert {(turn.tool_error, turn.expected_count, turn.card_waiting) for turn in turns} == {(None, 1, True)}


def test_a_card_that_holds_a_pictures_place_has_failed_when_its_own_status_says_so() -> None:
    failed = card(text="raw") | {"status": "finished_failed"}
    assert heard_with_words(call(), failed, COMPLETE).turn().tool_error == ToolError("", "raw")


@pytest.mark.parametrize(
    "change",
    [{"is_error": True}, {"metadata": {**meta("call"), "is_error": True}}, {"status": "finished_failed"}],
)
def test_every_sign_of_a_failed_message_is_heard_and_its_words_are_no_answer(change: dict[str, Any]) -> None:
    turn = begun(answer("We're so sorry.") | change, COMPLETE).turn()
    assert turn.tool_error is not None
    assert turn.tool_error.text == "We're so sorry."
    assert turn.answered_text is None


def test_moderation_blocks_our_turn_by_the_messages_id() -> None:
    said = typed("moderation", message_id="answer", moderation_response={"blocked": True, "flagged": True})
    assert begun(answer("..."), said, COMPLETE).turn().blocked
    assert not begun(answer("..."), said | {"message_id": "other"}, COMPLETE).turn().blocked
    heard = queued_turn()
    heard.feed_conversation(
        conversation(prompt(), call(), moderation_results=[{"message_id": "call", "blocked": True}])
    )
    assert heard.turn().blocked


# The websocket


@pytest.mark.parametrize("file", ["file_1", "file-a", "file_00000000a1b2c3d4e5f60718293a4b5c"])
def test_a_picture_is_heard_however_long_the_id_of_its_file_is(file: str) -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", file)]))
    assert finals(heard.turn()) == [file]
    assert named(f"https://chatgpt.com/backend-api/estuary/content?id={file}&sig=x") == file


def test_a_picture_at_a_pointer_that_nobody_knows_is_not_one_that_was_taken_away() -> None:
    heard = queued_turn()
    unknown = picture("leaf")
    unknown["content"]["parts"][0]["asset_pointer"] = "asset://0a1b"
    heard.feed_socket(update("add-messages", messages=[unknown]))
    assert not heard.turn().empty_picture


@pytest.mark.parametrize("kind", ["add-messages", "async-task-insert-message"])
def test_a_list_of_messages_is_heard(kind: str) -> None:
    heard = queued_turn()
    heard.feed_socket(update(kind, messages=[picture("leaf")]))
    assert finals(heard.turn()) == [file_id(1)]


@pytest.mark.parametrize("kind", ["async-task-update-message", "async-task-completed", "async-task-start"])
def test_a_single_message_is_heard(kind: str) -> None:
    heard = queued_turn()
    heard.feed_socket(update(kind, message=picture("leaf")))
    assert finals(heard.turn()) == [file_id(1)]


@pytest.mark.parametrize("kind", ["add-turn-message", "replace-turn-message", "upsert-turn-message", "add", "replace"])
def test_a_batch_is_heard_with_messages_bare_or_as_nodes(kind: str) -> None:
    for shape in (picture("leaf"), {"id": "leaf", "parent": "call", "message": picture("leaf", metadata={})}):
        heard = queued_turn()
        heard.feed_socket(batch(kind, message=shape))
        assert finals(heard.turn()) == [file_id(1)]


def test_a_batch_may_name_its_conversation_once() -> None:
    heard = queued_turn()
    payload = {"conversation_id": CONVERSATION, "updates": [{"type": "convert-turn-to-paragen"}]}
    heard.feed_socket(json.dumps({"type": "conversation-updates", "payload": payload}))
    assert heard.turn().paragen
    other = {"conversation_id": FOREIGN, "updates": [{"type": "add-turn-message", "message": picture("leaf")}]}
    assert heard.feed_socket(json.dumps({"type": "conversation-updates", "payload": other})) is False


def test_a_foreign_message_that_names_only_its_own_conversation_is_not_ours() -> None:
    heard = queued_turn()
    theirs = {"id": "x", "parent": "call", "conversation_id": FOREIGN, "message": picture("x", file_id(9))}
    frame = {"type": "conversation-updates", "payload": {"updates": [{"type": "add-turn-message", "message": theirs}]}}
    assert heard.feed_socket(json.dumps(frame)) is False


def test_the_status_on_the_socket_is_heard_and_null_is_of_the_stream_alone() -> None:
    heard = queued_turn()
    for value in (3, 4, 7, None):
        heard.feed_socket(status(value))
        assert heard.turn().running == (value in {3, 7})
        assert heard.turn().at_rest == (value == 4)


@pytest.mark.parametrize(
    "frame",
    [
        update("refetch-conversation"),
        update("async-task-insert-message"),
        update("async-task-completed"),
        batch("discard-items"),
        batch("upsert-turn-message"),
    ],
)
def test_a_wish_to_read_again_is_kept_until_the_conversation_was_read(frame: str) -> None:
    heard = queued_turn()
    heard.feed_socket(frame)
    assert heard.turn().stale
    heard.feed_conversation(conversation(prompt(), call(), card()))
    assert not heard.turn().stale


def test_foreign_conversations_on_the_socket_are_nothing_to_us() -> None:
    heard = queued_turn()
    before = heard.turn()
    theirs = picture("x", file_id(9), parent="y")
    assert heard.feed_socket(update("add-messages", FOREIGN, messages=[theirs])) is False
    assert heard.feed_socket(status(4, FOREIGN)) is False
    assert heard.feed_socket(batch("convert-turn-to-paragen", FOREIGN)) is False
    assert heard.feed_conversation(conversation(prompt("x", "y"), theirs, identity=FOREIGN)) is False
    assert heard.turn() == before


def test_a_foreign_picture_heard_before_ours_was_known_is_forgotten() -> None:
    heard = Transcript()
    heard.feed_socket(update("add-messages", FOREIGN, messages=[picture("x", file_id(9))]))
    heard.feed_request(request())
    heard.feed_stream(sse(call(), QUEUED, card(), COMPLETE))
    assert heard.turn().pictures == ()
    assert heard.turn().conversation_id == CONVERSATION


def test_a_picture_of_our_conversation_that_no_id_places_is_not_taken_but_counted() -> None:
    heard = queued_turn()
    loose = message("loose", "tool", [pointer(file_id(1))], metadata={"image_gen_title": "x"})
    heard.feed_socket(update("add-messages", messages=[loose]))
    assert heard.turn().pictures == ()
    assert heard.turn().unplaced_pictures == 1
    heard.feed_conversation(conversation(prompt(), call(), loose))
    assert finals(heard.turn()) == [file_id(1)]
    assert heard.turn().unplaced_pictures == 0


def test_the_exchange_alone_places_a_picture() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", parent="never-seen")]))
    assert finals(heard.turn()) == [file_id(1)]


def test_a_picture_that_hangs_below_a_persons_later_prompt_is_ours_by_its_exchange() -> None:
    heard = queued_turn()
    answered = answer("Brighter it is.", "words", metadata={"turn_exchange_id": "other", "parent_id": "later"})
    theirs = message(
        "theirs", "tool", [pointer(file_id(2))], metadata={"turn_exchange_id": "other", "parent_id": "leaf"}
    )
    whole = (prompt(), call(), prompt("brighter", "later"), answered, picture("leaf", parent="later"), theirs)
    heard.feed_conversation(conversation(*whole))
    assert finals(heard.turn()) == [file_id(1)]


@pytest.mark.parametrize("where", ["below the answer", "below the prompt", "last in a window"])
def test_an_earlier_prompts_picture_that_comes_late_and_hangs_below_ours_is_not_ours(where: str) -> None:
    earlier = {"turn_exchange_id": "earlier"}
    before = [
        prompt("a boat", "user-0", metadata=earlier),
        call("call-0", metadata=earlier | {"parent_id": "user-0"}),
    ]
    ours = [prompt(metadata=meta("call-0")), call()]
    above = {"below the answer": {"parent_id": "call"}, "below the prompt": {"parent_id": USER}}
    late = message("late", "tool", [pointer(file_id(9))], metadata=earlier | above.get(where, {}))
    told = window if where == "last in a window" else conversation
    heard = begun(call(), QUEUED, conversation=CONVERSATION, parent="call-0")
    heard.feed_conversation(told(*before, *ours, late))
    turn = heard.turn()
    assert (finals(turn), turn.followed, file_id(9) in turn.known_files) == ([], False, True)
    heard.feed_conversation(told(*before, *ours, late, picture("leaf")))
    assert finals(heard.turn()) == [file_id(1)]


def test_a_later_prompts_picture_that_hangs_below_our_call_is_not_ours() -> None:
    heard = queued_turn()
    theirs = {"turn_exchange_id": "other"}
    later = prompt("brighter", "later", metadata=theirs | {"parent_id": "leaf"})
    misplaced = message("theirs", "tool", [pointer(file_id(2))], metadata=theirs | {"parent_id": "call"})
    heard.feed_conversation(conversation(prompt(), call(), picture("leaf"), later, misplaced))
    assert finals(heard.turn()) == [file_id(1)]


def test_another_exchange_of_the_same_conversation_is_not_ours() -> None:
    heard = queued_turn()
    other = picture("leaf", parent="never-seen") | {"metadata": {"turn_exchange_id": "other", "image_gen_title": "x"}}
    heard.feed_socket(update("add-messages", messages=[other]))
    assert heard.turn().pictures == ()
    assert heard.turn().unplaced_pictures == 0


def test_the_image_task_alone_places_a_picture() -> None:
    heard = queued_turn()
    loose = message("loose", "tool", [pointer(file_id(1))], metadata={"image_gen_task_id": "task-1"})
    heard.feed_socket(update("add-messages", messages=[loose]))
    assert finals(heard.turn()) == [file_id(1)]


def test_the_next_turn_of_the_same_conversation_is_not_ours() -> None:
    heard = queued_turn()
    ties = {"parent_id": "user-2", "turn_exchange_id": "e2"}
    later = [prompt("next", "user-2", metadata={"parent_id": "leaf"}), call("call-2", metadata=ties)]
    theirs = picture("leaf-2", file_id(2), parent="call-2", metadata={"parent_id": "call-2", "image_gen_title": "x"})
    heard.feed_conversation(conversation(prompt(), call(), picture("leaf"), *later, theirs))
    assert finals(heard.turn()) == [file_id(1)]


def handed_off() -> Transcript:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_stream(recording("thinking-handoff.sse"))
    heard.stream_ended(ok=True)
    return heard


def test_the_topic_a_turn_was_handed_to_goes_on_with_it() -> None:
    heard = handed_off()
    said = sse(call(metadata={}), IMAGE_CASE, picture("leaf", metadata={}), COMPLETE, DONE)
    heard.feed_socket(json.dumps([item(said, "s1")]))
    turn = heard.turn()
    assert finals(turn) == [file_id(1)]
    assert turn.picture_promised
    assert turn.turn_complete


def test_the_topic_may_be_heard_before_the_hand_off() -> None:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_socket(json.dumps([item(sse(picture("leaf", metadata={})), "s1")]))
    heard.feed_stream(recording("thinking-handoff.sse"))
    assert finals(heard.turn()) == [file_id(1)]


def test_replayed_items_of_a_topic_are_heard_once() -> None:
    heard = handed_off()
    said = answer("", status="in_progress")
    first = item(sse(said), "s1")
    second = item(b'event: delta\ndata: {"p":"/message/content/parts/0","o":"append","v":"Hello"}', "s2")
    third = item(b'event: delta\ndata: {"v":" there"}', "s3")
    heard.feed_socket(json.dumps([first, second]))
    replay = {"type": "reply", "reply": {"type": "subscribe", "catchups": [first, second, third]}}
    heard.feed_socket(json.dumps([replay]))
    assert heard.turn().partial_text == "Hello there"


def test_another_topics_items_do_not_mix_with_ours() -> None:
    heard = handed_off()
    theirs = picture("x", file_id(9), metadata={})
    document: dict[str, Any] = {"v": {"message": theirs, "conversation_id": FOREIGN}, "c": 0}
    heard.feed_socket(json.dumps([item(sse(document), "s1", topic="conversation-turn-other")]))
    assert heard.turn().pictures == ()


def test_no_stream_takes_our_turn_into_another_conversation_once_ours_was_named() -> None:
    heard = handed_off()
    document = {"v": {"message": picture("x", file_id(9), metadata={}), "conversation_id": FOREIGN}, "c": 0}
    handed = {"type": "stream_handoff", "conversation_id": FOREIGN, "turn_exchange_id": "theirs"}
    heard.feed_stream(sse(document, handed))
    assert heard.turn().conversation_id == CONVERSATION
    assert heard.turn().pictures == ()


def test_the_completion_notice_of_our_conversation_ends_the_turn() -> None:
    def notice(conversation_id: str) -> str:
        payload = {"type": "conversation-turn-complete", "payload": {"conversation_id": conversation_id}}
        return json.dumps([{"type": "message", "topic_id": "conversations", "payload": payload}])

    heard = handed_off()
    heard.feed_socket(notice(FOREIGN))
    assert not heard.turn().turn_complete
    heard.feed_socket(notice(CONVERSATION))
    assert heard.turn().turn_complete


@pytest.mark.parametrize("read", [False, True])
def test_an_earlier_turns_completion_that_is_told_late_says_nothing_of_ours(read: bool) -> None:
    def complete(leaf: str) -> bool:
        payload = {"conversation_id": CONVERSATION, "current_message_id": leaf}
        notice = {"type": "conversation-turn-complete", "payload": payload}
        heard.feed_socket(json.dumps([{"type": "message", "topic_id": "conversations", "payload": notice}]))
        return heard.turn().turn_complete or heard.turn().stale

    heard = begun(call(), QUEUED, ended=False, conversation=CONVERSATION, parent="old-leaf")
    if read:
        before = prompt("first", "old-user"), picture("old-leaf", file_id(40), parent="old-user", metadata={})
        body = conversation(*before, prompt(metadata={"parent_id": "old-leaf"}), call(), async_status=3)
        heard.feed_conversation(body)
    assert not complete("old-leaf")
    assert complete("leaf")


@pytest.mark.parametrize("frame", ["", "ping", "[]", "{}", '{"id":2,"command":{"type":"subscribe"}}', b"\x00\xff"])
def test_frames_that_say_nothing_change_nothing(frame: str | bytes) -> None:
    heard = queued_turn()
    assert heard.feed_socket(frame) is False


# The conversation


def test_the_batch_form_is_read_in_every_shape() -> None:
    ours = json.loads(conversation(prompt(), call(), picture("leaf")))
    theirs = json.loads(conversation(prompt("x", "y"), picture("z", file_id(9)), identity=FOREIGN))
    keyed = {CONVERSATION: {key: value for key, value in ours.items() if key != "conversation_id"}, FOREIGN: theirs}
    for whole in (
        [theirs, ours],
        {"conversations": [theirs, ours]},
        {"items": [ours]},
        keyed,
        {"conversations": keyed},
    ):
        heard = queued_turn()
        heard.feed_conversation(json.dumps(whole).encode())
        assert finals(heard.turn()) == [file_id(1)]


@pytest.mark.parametrize(
    ("told", "running", "at_rest"),
    [
        (7, True, False),
        (3, True, False),
        (0, False, False),
        (8, False, False),
        (4, False, True),
        (None, False, True),
        (True, False, False),
        ("3", False, False),
    ],
)
def test_the_status_of_a_reading_is_heard_and_what_is_no_status_says_nothing(
    told: Any, running: bool, at_rest: bool
) -> None:
    heard = begun(call(), COMPLETE)
    heard.feed_conversation(conversation(prompt(), call(), async_status=told))
    assert (heard.turn().running, heard.turn().at_rest) == (running, at_rest)


def test_a_status_on_the_socket_that_is_no_number_changes_nothing() -> None:
    heard = queued_turn()
    assert heard.feed_socket(status(cast("int", "4"))) is False
    assert heard.turn().running


def test_a_message_told_again_without_its_exchange_keeps_it() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", parent="unknown", status="in_progress")]))
    heard.feed_socket(update("add-messages", messages=[picture("leaf", metadata={"image_gen_title": "x"})]))
    assert finals(heard.turn()) == [file_id(1)]


def test_a_reading_without_a_status_is_not_at_rest() -> None:
    whole = json.loads(conversation(prompt(), call(), card()))
    del whole["async_status"]
    heard = queued_turn()
    heard.feed_conversation(json.dumps(whole).encode())
    assert heard.turn().running


@pytest.mark.parametrize("body", [b'{"detail":"conversation_inaccessible"}', b"null", b"<html>", b'{"mapping":{}}'])
def test_an_error_instead_of_the_conversation_changes_nothing(body: bytes) -> None:
    heard = queued_turn()
    assert heard.feed_conversation(body) is False


def test_a_placeholder_without_its_picture_is_empty_and_not_blocked() -> None:
    nothing: dict[str, Any] = {"content_type": "multimodal_text", "parts": []}
    empty = message("leaf", "tool", content=nothing, metadata=meta("call", image_gen_task_id="t"))
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), empty))
    assert heard.turn().empty_picture
    assert not heard.turn().blocked


def test_a_circle_of_parents_ends() -> None:
    a = message("a", "tool", [pointer(file_id(1))], metadata={"parent_id": "b"})
    b = message("b", "tool", ["x"], metadata={"parent_id": "a"})
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), a, b))
    assert heard.turn().pictures == ()


def test_a_long_conversation_is_judged_by_its_own_turn() -> None:
    old: list[dict[str, Any]] = []
    for number in range(300):
        old += [prompt("x", f"u{number}"), answer("y", f"a{number}", metadata={"turn_exchange_id": f"e{number}"})]
    heard = begun(call(), QUEUED, card(), conversation=CONVERSATION, parent="a299")
    heard.feed_conversation(conversation(*old, prompt(), call(), picture("leaf")))
    turn = heard.turn()
    assert finals(turn) == [file_id(1)]
    assert turn.answered_text is None


def test_many_foreign_topics_and_messages_leave_our_turn_as_it_was() -> None:
    heard = handed_off()
    before = heard.turn()
    for number in range(60):
        heard.feed_socket(update("add-messages", messages=[message(f"m{number}", "tool", ["x" * 50_000])]))
        heard.feed_socket(json.dumps([item(sse(DONE), f"s{number}", topic=f"conversation-turn-{number}")]))
    assert heard.turn() == before
    heard.feed_socket(json.dumps([item(sse(picture("leaf")), "s1")]))
    assert finals(heard.turn()) == [file_id(1)]
