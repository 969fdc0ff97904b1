"""The one rule: when a turn is over, and when it only looks so."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import Pointer, StreamEnd, ToolError, Turn
from cdp_image_mcp.chatgpt.verdict import PageImage, PageSigns, Verdict, verdict
from tests.chatgpt.talk import (
    COMPLETE,
    DONE,
    IMAGE_CASE,
    QUEUED,
    answer,
    begun,
    call,
    card,
    conversation,
    file_id,
    message,
    meta,
    picture,
    pointer,
    prompt,
    queued_turn,
    recording,
    request,
    status,
    update,
)

PAINTED = PageImage(file_id=file_id(1), natural_width=1254, natural_height=1254, complete=True)
LONG = 10_000.0


def after(heard: Transcript, quiet: float, **how: Any) -> Verdict:
    signs = how.pop("signs", {})
    return verdict(heard.turn(), PageSigns(quiet_seconds=quiet, **signs), **how)


def with_picture(*frames: str) -> Transcript:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf")]))
    for frame in frames:
        heard.feed_socket(frame)
    return heard


def read_again(*messages: dict[str, Any], **how: Any) -> Transcript:
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), *messages, **how))
    return heard


# The ordinary turn


def test_after_the_card_it_waits_however_long_it_takes() -> None:
    for quiet in (0.0, 5.0, 60.0, 600.0, LONG):
        found = after(queued_turn(), quiet, since_stream_end=quiet, reloads=1)
        assert found.action == "wait"
        assert found.advise is None


def test_the_card_on_the_page_and_a_stop_button_change_nothing() -> None:
    signs = {"turn_text": "Lots of people are creating images right now", "stop_visible": True}
    assert after(queued_turn(), LONG, since_stream_end=LONG, reloads=1, signs=signs).action == "wait"


def test_the_picture_is_final_at_once_when_the_site_is_at_rest() -> None:
    found = after(with_picture(status(4)), 0)
    assert (found.action, found.file_ids, found.missing) == ("pictures_final", (file_id(1),), 0)
    assert after(with_picture(status(None)), 0).action == "pictures_final"


def test_the_recorded_conversation_is_final_at_once() -> None:
    heard = Transcript()
    heard.feed_request(recording("image-turn.request.json"))
    heard.feed_stream(recording("image-turn.sse"))
    heard.stream_ended(ok=True)
    assert after(heard, 1, since_stream_end=1).action == "wait"
    heard.feed_conversation(recording("image-turn.conversation.json"))
    assert after(heard, 0, since_stream_end=20).file_ids == ("file_00000000a1b2c3d4e5f60718293a4b5c",)


def test_while_the_status_says_drawing_a_little_quiet_is_wanted() -> None:
    waiting = after(with_picture(), 1)
    assert (waiting.action, waiting.recheck_seconds) == ("wait", 14)
    assert after(with_picture(), 15).action == "pictures_final"
    drawing = {"drawing": True}
    assert after(with_picture(), 59, signs=drawing).action == "wait"
    assert after(with_picture(), 60, signs=drawing).action == "pictures_final"


def test_without_any_status_a_moment_of_quiet_is_enough() -> None:
    heard = begun(call(), picture("leaf"), COMPLETE, DONE)
    assert after(heard, 2).action == "wait"
    assert after(heard, 3).action == "pictures_final"
    assert after(heard, 14, signs={"drawing": True}).action == "wait"
    assert after(heard, 15, signs={"drawing": True}).action == "pictures_final"


def test_a_stuck_stop_button_a_hidden_tab_and_a_drawing_page_do_not_delay_the_picture() -> None:
    signs = {"stop_visible": True, "drawing": True, "images": (PageImage(file_id=file_id(1)),)}
    assert after(with_picture(status(4)), 0, signs=signs).action == "pictures_final"


def test_words_after_the_picture_do_not_take_it_away() -> None:
    heard = read_again(picture("leaf"), answer("Here it is.", parent="leaf"))
    assert after(heard, 0).action == "pictures_final"


def test_a_preview_is_never_final() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", status="in_progress")]))
    for signs in ({}, {"images": (PAINTED,)}, {"images": (PAINTED,), "stop_visible": True}):
        for reloads in (0, 1):
            assert after(heard, LONG, since_stream_end=LONG, reloads=reloads, signs=signs).action == "wait"


# Several


def several(*numbers: int, announced: int) -> Transcript:
    arguments = '{"batch_requests":[' + ",".join(["{}"] * announced) + "]}"
    heard = begun(call(arguments=arguments), QUEUED, card(), COMPLETE, DONE)
    for number in numbers:
        heard.feed_socket(update("add-messages", messages=[picture(f"leaf{number}", file_id(number))]))
    return heard


def test_all_announced_pictures_are_waited_for() -> None:
    assert after(several(1, 2, announced=4), 60).action == "wait"
    found = after(several(1, 2, 3, 4, announced=4), 15)
    assert (found.action, len(found.file_ids)) == ("pictures_final", 4)


def test_missing_pictures_are_given_up_only_at_rest() -> None:
    heard = several(1, 2, announced=4)
    assert after(heard, LONG, reloads=1).action == "wait"
    heard.feed_socket(status(4))
    assert after(heard, 7).action == "wait"
    found = after(heard, 8)
    assert (found.action, found.missing) == ("pictures_final", 2)


def test_when_the_site_says_it_still_draws_the_others_one_reload_is_advised() -> None:
    heard = several(1, announced=2)
    assert after(heard, 89).advise is None
    assert after(heard, 90).advise == "reload"
    assert after(heard, LONG, reloads=1).advise is None


def test_more_pictures_than_announced_are_all_taken() -> None:
    heard = several(1, 2, 3, announced=1)
    assert len(after(heard, 15).file_ids) == 3


def test_a_second_message_that_still_draws_is_waited_for() -> None:
    heard = with_picture(status(4))
    heard.feed_socket(update("add-messages", messages=[picture("other", file_id(2), status="in_progress")]))
    assert after(heard, 2).action == "wait"


def test_both_pictures_of_an_ab_panel_are_waited_for() -> None:
    first = picture("ab1", file_id(1), metadata=meta("call", image_gen_group_id="g"))
    second = picture("ab2", file_id(2), metadata=meta("call", image_gen_group_id="g"))
    assert after(read_again(first), 2).action == "wait"
    assert after(with_picture(status(4)), 2, signs={"ab_panel": True}).action == "wait"
    assert after(read_again(first, second), 0).file_ids == (file_id(1), file_id(2))


# The page alone


def test_what_only_the_page_shows_is_taken_after_it_was_quiet() -> None:
    heard = begun(call(), COMPLETE, DONE)
    signs = {"images": (PAINTED,)}
    assert after(heard, 4, signs=signs).action == "wait"
    found = after(heard, 5, signs=signs)
    assert (found.action, found.from_page, found.file_ids) == ("pictures_final", True, (file_id(1),))


def test_a_stop_button_beside_a_picture_of_the_page_only_delays() -> None:
    signs = {"images": (PAINTED,), "stop_visible": True}
    assert after(begun(call(), COMPLETE), 14, signs=signs).action == "wait"
    assert after(begun(call(), COMPLETE), 15, signs=signs).action == "pictures_final"


def test_the_page_is_reloaded_once_before_it_is_believed_against_the_status() -> None:
    signs = {"images": (PAINTED,)}
    assert after(queued_turn(), 15, signs=signs).advise == "reload"
    assert after(queued_turn(), 15, signs=signs, reloads=1).action == "pictures_final"


@pytest.mark.parametrize(
    "image",
    [
        PageImage(file_id=file_id(1), natural_width=1254, natural_height=1254),
        PageImage(natural_width=64, natural_height=64, complete=True),
        PageImage(natural_width=1254, natural_height=100, complete=True),
        PageImage(file_id=file_id(1), complete=True),
    ],
)
def test_skeletons_thumbnails_and_unpainted_images_are_no_pictures(image: PageImage) -> None:
    assert after(begun(call(), COMPLETE), 60, signs={"images": (image,)}).action == "wait"


def test_a_canvas_is_never_a_picture() -> None:
    signs = {"images": (PAINTED,), "drawing": True}
    assert after(begun(call(), COMPLETE), LONG, signs=signs, reloads=1).action == "wait"


def test_without_the_network_the_page_alone_decides() -> None:
    turn = Turn()
    shown = PageSigns(images=(PAINTED,), quiet_seconds=5)
    assert verdict(turn, shown, network=False).action == "pictures_final"
    words = PageSigns(turn_text="Which lighthouse?", quiet_seconds=20)
    found = verdict(turn, words, network=False)
    assert (found.action, found.kind, found.text) == ("no_picture", "answer", "Which lighthouse?")
    assert verdict(turn, msgspec.structs.replace(words, stop_visible=True), network=False).action == "wait"
    assert verdict(turn, msgspec.structs.replace(words, drawing=True), network=False).action == "wait"
    assert verdict(turn, words).action == "wait"


def test_a_blob_without_an_id_is_given_by_the_page() -> None:
    blob = PageImage(natural_width=1374, natural_height=1145, complete=True, blob=True)
    found = after(begun(call(), COMPLETE), 5, signs={"images": (blob,)})
    assert (found.action, found.from_page, found.file_ids) == ("pictures_final", True, ())


# No picture


def test_an_answer_in_words_is_known_within_seconds_in_any_language() -> None:
    for words in (
        "Which one?",
        "您想要哪一座灯塔？",
        "Какой маяк?",
        "어떤 등대인가요?",
        "Ngọn hải đăng nào?",
        "どの灯台ですか？",
    ):
        found = after(begun(answer(words), COMPLETE, DONE), 2, since_stream_end=2)
        assert (found.action, found.kind, found.text) == ("no_picture", "answer", words)


def test_an_answer_is_given_a_moment_to_be_followed() -> None:
    found = after(begun(answer("Which one?"), COMPLETE), 0.5)
    assert (found.action, found.recheck_seconds) == ("wait", 1.5)


def test_an_answer_beside_a_search_is_still_only_an_answer() -> None:
    search = message("s", "assistant", ["{}"], recipient="web.run", metadata=meta("b"))
    assert after(begun(search, answer("Done."), COMPLETE), 2).kind == "answer"


def test_a_turn_called_an_image_turn_may_still_end_in_a_question() -> None:
    found = after(begun(answer("Which one?"), IMAGE_CASE, COMPLETE, DONE), 2)
    assert (found.action, found.kind) == ("no_picture", "answer")


def test_words_after_a_started_drawing_are_a_stopped_drawing() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[answer("I could not finish that.", parent="card")]))
    assert after(heard, 5).action == "wait"
    heard.feed_socket(status(4))
    found = after(heard, 2)
    assert (found.action, found.kind, found.text) == ("no_picture", "stopped", "I could not finish that.")


def test_words_after_a_started_drawing_against_the_status_want_one_reload() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[answer("I could not finish that.", parent="card")]))
    assert after(heard, 20).advise == "reload"
    assert after(heard, 20, reloads=1).kind == "stopped"


def test_words_after_a_preview_end_the_turn_at_rest() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", status="in_progress")]))
    heard.feed_socket(update("add-messages", messages=[answer("Guardrails.", parent="card")]))
    heard.feed_socket(status(4))
    assert after(heard, 2, signs={"drawing": True}).kind == "stopped"


def test_a_failed_tool_with_the_assistants_words_is_a_tool_error() -> None:
    content = {"content_type": "system_error", "name": "X", "text": "raw"}
    failed = message("e", "tool", content=content, metadata=meta("call"))
    found = after(begun(call(), failed, answer("Limit.", parent="e"), COMPLETE), 2)
    assert (found.kind, found.text) == ("tool_error", "Limit.")
    alone = begun(call(), failed, COMPLETE)
    rest = read_again(failed)
    assert (after(rest, 3).action, after(rest, 4).kind) == ("wait", "tool_error")
    assert after(alone, 59).action == "wait"
    assert (after(alone, 60).kind, after(alone, 60).text) == ("tool_error", "raw")


def test_a_failed_tool_may_be_tried_again_by_the_model() -> None:
    content = {"content_type": "system_error", "name": "X", "text": "raw"}
    failed = message("e", "tool", content=content, metadata=meta("call"))
    heard = begun(call(), failed, call("call-2"), picture("leaf", parent="call-2"), COMPLETE)
    assert after(heard, 3).action == "pictures_final"


def test_an_error_node_in_our_turn_ends_it() -> None:
    signs = {"error_node": True, "turn_text": "Image generation failed"}
    found = after(begun(call()), 2, signs=signs)
    assert (found.action, found.kind, found.text) == ("no_picture", "page_error", "Image generation failed")


def test_an_error_node_against_the_status_wants_one_reload_first() -> None:
    signs = {"error_node": True}
    assert after(queued_turn(), 2, signs=signs).advise == "reload"
    waiting = after(queued_turn(), LONG, since_stream_end=LONG, signs=signs, reloads=1)
    assert (waiting.action, waiting.advise, waiting.recheck_seconds) == ("wait", None, None)


def test_an_error_node_ends_the_turn_once_the_status_says_no_more_that_it_is_drawn() -> None:
    heard = queued_turn()
    heard.feed_socket(status(4))
    assert after(heard, 2, signs={"error_node": True}, reloads=1).kind == "page_error"


def test_a_block_is_told_although_the_page_shows_an_error_and_the_status_says_drawing() -> None:
    turn = msgspec.structs.replace(queued_turn().turn(), blocked=True)
    signs = PageSigns(quiet_seconds=2, error_node=True)
    assert verdict(turn, signs, reloads=1).kind == "blocked"


def test_an_error_node_never_outweighs_a_finished_picture() -> None:
    assert after(with_picture(status(4)), 0, signs={"error_node": True}).action == "pictures_final"


def test_an_error_in_the_stream_ends_the_turn_unless_a_picture_was_promised() -> None:
    found = after(begun({"error": "Something went wrong"}), 3)
    assert (found.kind, found.text) == ("stream_error", "Something went wrong")
    promised = begun(call(), card(), {"error": "Something went wrong"})
    assert after(promised, 3).advise == "reload"
    assert after(promised, LONG, reloads=1).action == "wait"
    promised.feed_conversation(conversation(prompt()))
    assert after(promised, 3, reloads=1).kind == "stream_error"


def test_a_blocked_turn_ends() -> None:
    heard = queued_turn()
    heard.feed_conversation(
        conversation(prompt(), call(), moderation_results=[{"message_id": "call", "blocked": True}])
    )
    assert after(heard, 2).kind == "blocked"


def test_loose_words_end_the_turn_only_when_nothing_else_could_come() -> None:
    loose = answer("Hm.", end_turn=None)
    assert after(begun(loose, COMPLETE), 19).action == "wait"
    assert after(begun(loose, COMPLETE), 20).kind == "answer"
    assert after(begun(loose, IMAGE_CASE, COMPLETE), LONG, reloads=1).action == "wait"
    assert after(begun(loose, call(), COMPLETE), LONG, reloads=1).action == "wait"
    assert after(begun(loose, ended=False), LONG).action == "wait"


def test_the_stop_button_alone_never_decides() -> None:
    for heard in (queued_turn(), begun(call(), ended=False), begun()):
        for quiet in (0.0, LONG):
            for visible in (True, False):
                signs = {"stop_visible": visible}
                assert after(heard, quiet, signs=signs, reloads=1, since_stream_end=quiet).action == "wait"


# The reload


def handed_off() -> Transcript:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_stream(recording("thinking-handoff.sse"))
    heard.stream_ended(ok=True)
    return heard


@pytest.mark.parametrize("heard", [queued_turn(), handed_off()])
def test_one_reload_is_advised_ninety_seconds_after_the_end_with_nothing(heard: Transcript) -> None:
    assert after(heard, 89, since_stream_end=89).advise is None
    assert after(heard, 89, since_stream_end=89).recheck_seconds == 1
    assert after(heard, 90, since_stream_end=90).advise == "reload"
    assert after(heard, LONG, since_stream_end=LONG, reloads=1).advise is None


def test_a_page_that_still_moves_is_not_reloaded() -> None:
    assert after(queued_turn(), 10, since_stream_end=300).advise is None


def test_a_stream_that_was_cut_is_looked_after_sooner() -> None:
    heard = begun(call(), ended=False)
    heard.stream_ended(ok=False)
    assert after(heard, 30, since_stream_end=30).advise == "reload"


def test_a_stream_that_runs_is_never_reloaded() -> None:
    assert after(begun(call(), ended=False), LONG).advise is None


def test_what_the_site_wants_read_again_is_reloaded_if_its_page_does_not() -> None:
    heard = queued_turn()
    heard.feed_socket(update("refetch-conversation"))
    assert after(heard, 14).recheck_seconds == 1
    assert after(heard, 15).advise == "reload"


def test_a_picture_said_to_be_half_drawn_in_a_finished_message_is_read_again_soon() -> None:
    half = pointer(file_id(1), metadata={"generation": {"gen_id": "g", "height": 600, "width": 1254}})
    heard = begun(call(), message("leaf", "tool", [half], metadata=meta("call")), COMPLETE, DONE)
    assert after(heard, 14).action == "wait"
    assert after(heard, 15).advise == "reload"


def test_a_conversation_at_rest_without_anything_ends_after_the_reload() -> None:
    heard = read_again()
    assert after(heard, LONG, since_stream_end=LONG).advise == "reload"
    assert after(heard, 89, since_stream_end=LONG, reloads=1).action == "wait"
    assert after(heard, 90, since_stream_end=LONG, reloads=1).kind == "stopped"


def test_a_card_that_is_still_there_keeps_the_turn_waiting() -> None:
    heard = read_again(card())
    assert after(heard, LONG, since_stream_end=LONG, reloads=1).action == "wait"


# Whatever is heard and shown

PICTURES = st.builds(
    Pointer, file_id=st.sampled_from([file_id(1), file_id(2)]), message_id=st.sampled_from("ab"), final=st.booleans()
)
WORDS = st.none() | st.just("words")
ENDS: st.SearchStrategy[StreamEnd | None] = st.sampled_from([None, "complete", "done", "cut"])
TURNS = st.builds(
    Turn,
    pictures=st.lists(PICTURES, max_size=3).map(tuple),
    expected_count=st.integers(0, 4),
    drawing_started=st.booleans(),
    picture_promised=st.booleans(),
    tool_used=st.booleans(),
    async_status=st.none() | st.integers(1, 7),
    async_seen=st.booleans(),
    handed_off=st.booleans(),
    stream_ended=ENDS,
    turn_complete=st.booleans(),
    conversation_read=st.booleans(),
    answered_text=WORDS,
    partial_text=WORDS,
    error=WORDS,
    tool_error=st.none() | st.just(ToolError("X", "raw")),
    blocked=st.booleans(),
    card_waiting=st.booleans(),
    paragen=st.booleans(),
    stale=st.booleans(),
)
SIGNS = st.builds(
    PageSigns,
    images=st.sampled_from([(), (PAINTED,), (PageImage(),)]),
    drawing=st.booleans(),
    stop_visible=st.booleans(),
    error_node=st.booleans(),
    turn_text=st.sampled_from(["", "words"]),
    quiet_seconds=st.floats(0, 200),
    ab_panel=st.booleans(),
)
SINCE = st.none() | st.floats(0, 200)


@settings(deadline=None, max_examples=400)
@given(TURNS, SIGNS, SINCE, st.integers(0, 1))
def test_whatever_is_seen_the_verdict_keeps_its_promises(
    turn: Turn, signs: PageSigns, since: float | None, reloads: int
) -> None:
    found = verdict(turn, signs, since_stream_end=since, reloads=reloads)
    if turn.final_pictures:
        assert found.action != "no_picture"
    if found.action == "pictures_final" and not found.from_page:
        assert found.file_ids == tuple(p.file_id for p in turn.final_pictures)
    if found.action == "no_picture":
        assert found.kind is not None
    if found.advise:
        assert reloads == 0
    if found.recheck_seconds is not None:
        assert found.action == "wait"
        assert found.recheck_seconds > 0


@settings(deadline=None, max_examples=300)
@given(TURNS, SIGNS, SINCE)
def test_looking_again_when_told_to_gives_something_new_or_another_time(
    turn: Turn, signs: PageSigns, since: float | None
) -> None:
    for _ in range(20):
        found = verdict(turn, signs, since_stream_end=since)
        if found.recheck_seconds is None:
            return
        step = found.recheck_seconds + 1e-6
        signs = msgspec.structs.replace(signs, quiet_seconds=signs.quiet_seconds + step)
        since = None if since is None else since + step
    pytest.fail("the verdict keeps asking to be asked again")
