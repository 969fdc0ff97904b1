"""The one rule: when a turn is over, and when it only looks so."""

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import Pointer, StreamEnd, ToolError, Turn
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.watching.evidence import Cause, Moment, Verdict
from cdp_image_mcp.chatgpt.watching.verdict import verdict
from tests.chatgpt.talk import (
    COMPLETE,
    CONVERSATION,
    DONE,
    EXCHANGE,
    IMAGE_CASE,
    QUEUED,
    answer,
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

PAINTED = SeenImage(file=file_id(1), width=1254, height=1254, complete=True)
LONG = 10_000.0


def loaded(counts: Any = None, since: float | None = None, *, failed: bool = False) -> dict[str, Any]:
    """How often it was loaded for which cause, and when last."""
    return {"loads": counts or {}, "since_load": since, "load_failed": failed}


ONCE = loaded(counts={"late": 1, "doubt": 1, "error": 2, "shown": 1, "short": 1, "stale": 1}, since=LONG)
"""Each cause had its first loading."""
NO_MORE = loaded(counts=dict.fromkeys(("late", "doubt", "error", "shown", "short", "stale"), 5), since=LONG)


def after(
    heard: Transcript,
    quiet: float,
    *,
    page: dict[str, Any] | None = None,
    loads: dict[str, Any] | None = None,
    **how: Any,
) -> Verdict:
    """The verdict so many seconds after the last news; what was read was read then."""
    turn = heard.turn()
    times: dict[str, Any] = {"since_heard": quiet, "since_read": quiet if turn.conversation_read else None, **how}
    return verdict(turn, PageReport(**(page or {})), Moment(quiet=quiet, **times, **(loads or {})))


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
        found = after(queued_turn(), quiet, since_end=quiet, loads=NO_MORE)
        assert (found.action, found.load, found.recheck_seconds) == ("wait", None, None)


def test_the_card_on_the_page_and_a_stop_button_change_nothing() -> None:
    page = {"text": "Lots of people are creating images right now", "stop": True}
    assert after(queued_turn(), LONG, since_end=LONG, loads=ONCE, page=page).action == "wait"


def test_the_picture_is_final_at_once_when_the_site_is_at_rest() -> None:
    found = after(with_picture(status(4)), 0)
    assert (found.action, found.file_ids) == ("pictures_final", (file_id(1),))
    assert (after(with_picture(status(None)), 2).action, after(with_picture(status(None)), 3).action) == (
        "wait",
        "pictures_final",
    ), "null may be of the stream alone"


def test_the_recorded_conversation_is_final_at_once() -> None:
    heard = Transcript()
    heard.feed_request(recording("image-turn.request.json"))
    heard.feed_stream(recording("image-turn.sse"))
    heard.stream_ended(ok=True)
    assert after(heard, 1, since_end=1).action == "wait"
    heard.feed_conversation(recording("image-turn.conversation.json"))
    assert after(heard, 0, since_end=20).file_ids == ("file_00000000a1b2c3d4e5f60718293a4b5c",)


def test_while_the_status_says_drawing_a_little_quiet_is_wanted() -> None:
    waiting = after(with_picture(), 1)
    assert (waiting.action, waiting.recheck_seconds) == ("wait", 14)
    assert after(with_picture(), 15).action == "pictures_final"
    drawing = {"drawing": True}
    assert after(with_picture(), 59, page=drawing).action == "wait"
    assert after(with_picture(), 60, page=drawing).action == "pictures_final"


def test_without_any_status_a_moment_of_quiet_is_enough() -> None:
    heard = begun(call(), picture("leaf"), COMPLETE, DONE)
    assert after(heard, 2).action == "wait"
    assert after(heard, 3).action == "pictures_final"
    assert after(heard, 14, page={"drawing": True}).action == "wait"
    assert after(heard, 15, page={"drawing": True}).action == "pictures_final"


def test_when_both_witnesses_say_that_the_turn_is_over_no_quiet_is_wanted() -> None:
    heard = begun(call(), picture("leaf"), COMPLETE, DONE)
    usable = {"found": True}
    assert after(heard, 0, page=usable, since_heard=0.4, since_complete=0.1).action == "pictures_final"
    for page in ({}, {"found": True, "stop": True}, {"found": True, "drawing": True}):
        assert after(heard, 0, page=page, since_heard=0.4, since_complete=0.1).action == "wait"
    # It was complete before the picture came: another one may follow it.
    assert after(heard, 0, page=usable, since_heard=0.1, since_complete=20).action == "wait"


def test_a_stuck_stop_button_a_hidden_tab_and_a_drawing_page_do_not_delay_the_picture() -> None:
    page = {"stop": True, "drawing": True, "images": (SeenImage(file=file_id(1)),)}
    assert after(with_picture(status(4)), 0, page=page).action == "pictures_final"


def test_words_after_the_picture_do_not_take_it_away() -> None:
    heard = read_again(picture("leaf"), answer("Here it is.", parent="leaf"))
    assert after(heard, 0).action == "pictures_final"


def test_a_preview_is_never_final() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf", status="in_progress")]))
    pages: tuple[dict[str, Any], ...] = ({}, {"images": (PAINTED,)}, {"images": (PAINTED,), "stop": True})
    for page in pages:
        for loads in (loaded(), ONCE, NO_MORE):
            assert after(heard, LONG, since_end=LONG, loads=loads, page=page).action == "wait"


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


def test_a_topic_that_speaks_on_has_not_ended() -> None:
    """Its end may be that of the stream alone (row 40j)."""
    topic = f"conversation-turn-{EXCHANGE}"
    end = {"type": "message", "topic_id": topic, "payload": {"type": "done"}}
    heard = begun(typed("stream_handoff", turn_exchange_id=EXCHANGE, options=[]), DONE)
    heard.feed_socket(json.dumps([item(sse(call()), "s1"), end]))
    assert heard.turn().turn_complete
    heard.feed_socket(json.dumps([item(sse(picture("leaf")), "s2")]))
    assert heard.turn().topic_open
    assert after(heard, 59).action == "wait"
    heard.feed_socket(json.dumps([end]))
    assert not heard.turn().topic_open


def test_missing_pictures_are_given_up_when_a_reading_after_them_has_nothing_new() -> None:
    """A page that shows one of three may read no more, though its last word is that the stream is over (row 40b)."""
    heard = several(1, 2, announced=4)
    assert after(heard, LONG, loads=ONCE).action == "wait"
    heard.feed_socket(status(4))
    assert after(heard, 59).load is None
    assert after(heard, 60).load == "short"
    assert after(heard, 1, since_heard=61, since_read=2).action == "wait"
    found = after(heard, 1, since_heard=62, since_read=2)
    assert (found.action, found.why[0]) == ("pictures_final", "2")
    assert after(heard, 60, loads=NO_MORE).action == "pictures_final"


def test_where_no_status_is_told_missing_pictures_are_read_before_they_are_given_up() -> None:
    heard = several(1, announced=3)
    heard.feed_stream_status(b'{"status":"COMPLETE"}', CONVERSATION)
    heard.feed_conversation(window(prompt(), picture("leaf1")))
    assert heard.turn().read_after
    assert after(heard, 1, since_heard=10, since_read=1).action == "wait", "the stream alone may be over"
    assert (after(heard, 59).load, after(heard, 60).load) == (None, "short")
    assert after(heard, 1, since_heard=62, since_read=1).action == "pictures_final"
    assert after(heard, 60, loads=NO_MORE).action == "pictures_final"


def test_when_the_site_says_it_still_draws_the_others_they_are_looked_for_again_and_again() -> None:
    heard = several(1, announced=2)
    assert after(heard, 89).load is None
    assert after(heard, 90).load == "short"
    twice = loaded(counts={"short": 2}, since=LONG)
    assert (after(heard, 179, loads=twice).load, after(heard, 180, loads=twice).load) == (None, "short")
    assert after(heard, LONG, loads=NO_MORE).load is None


def test_a_status_that_is_never_taken_back_holds_no_longer_than_the_page_it_was_told_to() -> None:
    """The stream says 7, and a flat list has no status: of a failed tool nobody was told before the time limit."""
    heard = queued_turn()
    failed = message("failed", "tool", ["Error: image generation failed"], status="finished_failed", metadata=meta())
    heard.feed_conversation(window(prompt(), call(), failed))
    assert heard.turn().running
    how: dict[str, Any] = {"since_heard": 100.0, "since_running": 102.0}
    early = after(heard, 100, since_read=9, loads=loaded(counts={"doubt": 2}, since=10), **how)
    assert (early.action, early.recheck_seconds) == ("wait", 5)
    found = after(heard, 100, since_read=14, loads=loaded(counts={"doubt": 2}, since=15), **how)
    assert (found.action, found.kind) == ("no_picture", "tool_error")
    how["since_running"] = 3.0
    again = after(heard, 100, since_read=14, loads=loaded(counts={"doubt": 2}, since=15), **how)
    assert again.action == "wait", "the page that was loaded anew said it once more"


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
    assert after(with_picture(status(4)), 2, page={"panel": True}).action == "wait"
    assert after(read_again(first, second), 0).file_ids == (file_id(1), file_id(2))


def test_while_the_answers_stream_is_open_more_pictures_may_follow() -> None:
    """A thinking model draws one after the other, each by a call whose words come slowly (live 2026-08-26)."""
    heard = begun(call(), picture("leaf"), ended=False)
    for page in ({}, {"found": True}, {"drawing": True}):
        waiting = after(heard, 59, page=page, stream_open=True)
        assert (waiting.action, waiting.recheck_seconds) == ("wait", 1)
        assert after(heard, 60, page=page, stream_open=True).action == "pictures_final"
    second = begun(call(), picture("leaf"), call("another"), ended=False)
    assert after(second, 179, page={"drawing": True}, stream_open=True).action == "wait"
    assert after(second, 180, page={"drawing": True}, stream_open=True).action == "pictures_final"


def test_so_may_they_while_the_turns_own_topic_has_not_ended() -> None:
    heard = handed_off()
    heard.feed_socket(json.dumps([item(sse(call(), picture("leaf")), "s1")]))
    assert after(heard, 59).action == "wait"
    assert after(heard, 60).action == "pictures_final"
    for last in (item(sse(DONE), "s2"), item(sse(COMPLETE), "s2"), json.loads(status(4))[0]):
        ended = handed_off()
        ended.feed_socket(json.dumps([item(sse(call(), picture("leaf")), "s1"), last]))
        assert after(ended, 3).action == "pictures_final"


# The page alone


def read_without_a_picture(**how: Any) -> Transcript:
    """The conversation was read, and what the page shows is not in it."""
    heard = begun(call(), COMPLETE, DONE)
    heard.feed_conversation(window(prompt(), call(), **how))
    return heard


def test_what_only_the_page_shows_is_taken_once_the_conversation_was_read() -> None:
    page = {"images": (PAINTED,)}
    unread = begun(call(), COMPLETE, DONE)
    assert after(unread, 4, page=page, since_end=4).action == "wait"
    assert after(unread, 5, page=page, since_end=5).load == "shown"
    assert after(unread, 60, page=page, since_end=60, loads=ONCE).action == "wait"
    assert after(read_without_a_picture(), 4, page=page, since_end=60).action == "wait"
    found = after(read_without_a_picture(), 5, page=page, since_end=60)
    assert (found.action, found.from_page, found.file_ids) == ("pictures_final", True, (file_id(1),))


def test_what_was_read_before_the_stream_ended_says_nothing_of_its_end() -> None:
    page = {"images": (PAINTED,)}
    assert after(read_without_a_picture(), 5, page=page, since_end=5, since_read=9).load == "shown"


def test_nothing_is_taken_from_the_page_while_a_hand_off_is_open() -> None:
    heard = handed_off()
    heard.feed_conversation(window(prompt(identity=HANDED_OFF)))
    assert heard.turn().conversation_read
    for loads in (loaded(), ONCE, NO_MORE):
        found = after(heard, LONG, page={"images": (PAINTED,)}, since_end=LONG, loads=loads)
        assert found.action == "wait"


def test_what_the_page_shows_of_a_turn_that_was_handed_on_is_taken_before_it_is_given_up_as_at_rest() -> None:
    heard = handed_off()
    heard.feed_stream_status(b'{"status":"COMPLETE"}', CONVERSATION)
    heard.feed_conversation(window(prompt(identity=HANDED_OFF), call()))
    times: dict[str, Any] = {"since_end": LONG, "since_heard": LONG, "since_read": 90}
    assert after(heard, 90, loads=NO_MORE, **times).kind == "stopped"
    found = after(heard, 90, page={"images": (PAINTED,)}, loads=NO_MORE, **times)
    assert (found.action, found.from_page, found.file_ids) == ("pictures_final", True, (file_id(1),))


def test_nothing_is_taken_from_the_page_while_the_stream_is_open() -> None:
    page = {"images": (PAINTED,)}
    assert after(read_without_a_picture(), LONG, page=page, stream_open=True).action == "wait"


def test_a_stop_control_beside_a_picture_of_the_page_only_delays() -> None:
    page = {"images": (PAINTED,), "stop": True}
    assert after(read_without_a_picture(), 14, page=page).action == "wait"
    assert after(read_without_a_picture(), 15, page=page).action == "pictures_final"


def test_against_the_status_the_page_is_not_believed() -> None:
    page = {"images": (PAINTED,)}
    assert after(queued_turn(), 15, page=page).load == "shown"
    assert after(read_without_a_picture(async_status=3), LONG, page=page, loads=NO_MORE).action == "wait"


@pytest.mark.parametrize(
    "image",
    [
        SeenImage(file=file_id(1), width=1254, height=1254),
        SeenImage(width=64, height=64, complete=True),
        SeenImage(width=1254, height=100, complete=True),
        SeenImage(file=file_id(1), complete=True),
    ],
)
def test_skeletons_thumbnails_and_unpainted_images_are_no_pictures(image: SeenImage) -> None:
    assert after(read_without_a_picture(), 60, page={"images": (image,)}).action == "wait"


def test_a_canvas_is_never_a_picture() -> None:
    page = {"images": (PAINTED,), "drawing": True}
    assert after(read_without_a_picture(), LONG, page=page, loads=NO_MORE).action == "wait"


def test_a_blob_without_a_file_counts_only_where_drawing_has_begun() -> None:
    page = {"images": (SeenImage(blob="blob:x", width=1374, height=1145, complete=True),)}
    found = after(read_without_a_picture(), 5, page=page)
    assert (found.action, found.from_page, found.file_ids) == ("pictures_final", True, ())
    silent = begun(COMPLETE, DONE)
    silent.feed_conversation(window(prompt()))
    assert after(silent, LONG, page=page, loads=NO_MORE).action == "wait"


@pytest.mark.parametrize("page", [{}, {"error": "Something went wrong"}, {"retry": True}])
def test_the_persons_own_picture_beside_words_is_no_result(page: dict[str, Any]) -> None:
    """site-2026-10, F2: the reference stands beside the bubble as a blob in the picture's very size."""
    page = {**page, "images": (SeenImage(blob="blob:reference", width=1254, height=1254, complete=True),)}
    heard = begun(answer("I can't help with that."), COMPLETE, DONE)
    assert after(heard, 6, page=page).action == "wait"
    heard.feed_conversation(conversation(prompt(), answer("I can't help with that.")))
    assert after(heard, 6, page=page, since_error=7).kind == ("page_error" if page.get("error") else "answer")
    nothing = begun(DONE)
    assert after(nothing, LONG, page=page, since_end=LONG, loads=NO_MORE).action == "wait"


# No picture


def read_answer(words: str = "Which one?", *before: dict[str, Any]) -> Transcript:
    """Words told by the stream, and by the conversation that was read after."""
    heard = begun(*before, answer(words), COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt(), *before, answer(words)))
    return heard


def test_an_answer_in_words_is_known_within_seconds_in_any_language() -> None:
    for words in (
        "Which one?",
        "您想要哪一座灯塔？",
        "Какой маяк?",
        "어떤 등대인가요?",
        "Ngọn hải đăng nào?",
        "どの灯台ですか？",
    ):
        unread = after(begun(answer(words), COMPLETE, DONE), 2, since_end=2)
        assert (unread.action, unread.load) == ("wait", "doubt")
        found = after(read_answer(words), 2, since_end=4)
        assert (found.action, found.kind, found.text) == ("no_picture", "answer", words)


def test_an_answer_is_given_a_moment_to_be_followed() -> None:
    found = after(begun(answer("Which one?"), COMPLETE), 0.5)
    assert (found.action, found.recheck_seconds) == ("wait", 1.5)
    assert after(read_answer(), 0.5).action == "wait"


def test_what_was_read_before_the_words_came_says_nothing_of_them() -> None:
    assert after(read_answer(), 5, since_read=6).load == "doubt"


def test_an_answer_beside_a_search_is_still_only_an_answer() -> None:
    search = message("s", "assistant", ["{}"], recipient="web.run", metadata=meta("b"))
    assert after(read_answer("Done.", search), 2).kind == "answer"


def test_a_turn_called_an_image_turn_may_still_end_in_a_question() -> None:
    found = after(question_in_an_image_turn(), 2)
    assert (found.action, found.kind) == ("no_picture", "answer")


def question_in_an_image_turn() -> Transcript:
    heard = begun(answer("Which one?"), IMAGE_CASE, COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt(), answer("Which one?")))
    return heard


def test_words_before_the_picture_end_nothing_while_no_status_says_rest() -> None:
    """site-2026-10, F4: the words are finished at 30 s, the picture comes 45 s later, no status is ever told."""
    words = answer("Here is the picture you asked for.")
    heard = begun(words, IMAGE_CASE, COMPLETE, DONE)
    assert after(heard, 2).load == "doubt"
    heard.feed_conversation(window(prompt(), words))
    for quiet in (2, 20, 59, 89):
        assert after(heard, quiet, since_heard=quiet + 5, loads=ONCE).load is None
        assert after(heard, quiet, since_heard=quiet + 5, loads=ONCE).action == "wait"
    assert after(heard, 90, since_heard=95, loads=ONCE).load == "doubt"
    # A second reading that says nothing new, a minute and more after the words came.
    assert after(heard, 2, since_heard=97, since_read=2, loads=ONCE).kind == "answer"


def test_words_to_which_nothing_can_follow_are_believed_when_a_reading_repeats_them() -> None:
    heard = begun(answer("Which one?"), COMPLETE, DONE)
    heard.feed_conversation(window(prompt(), answer("Which one?")))
    assert after(heard, 2, since_heard=3, since_read=2).kind == "answer"
    assert after(heard, 2, since_heard=2, since_read=2).load == "doubt"


def test_words_after_a_started_drawing_are_a_stopped_drawing() -> None:
    heard = queued_turn()
    words = answer("I could not finish that.", parent="card")
    heard.feed_socket(update("add-messages", messages=[words]))
    assert after(heard, 5).action == "wait"
    heard.feed_socket(status(4))
    assert after(heard, 2).load == "doubt"
    heard.feed_conversation(conversation(prompt(), call(), card(), words))
    found = after(heard, 2)
    assert (found.action, found.kind, found.text) == ("no_picture", "stopped", "I could not finish that.")


def test_words_after_a_started_drawing_are_never_believed_against_the_status() -> None:
    heard = queued_turn()
    words = answer("I could not finish that.", parent="card")
    heard.feed_socket(update("add-messages", messages=[words]))
    assert (after(heard, 19).load, after(heard, 20).load) == (None, "doubt")
    heard.feed_conversation(conversation(prompt(), call(), card(), words, async_status=3))
    for loads in (ONCE, NO_MORE):
        assert after(heard, LONG, loads=loads).action == "wait"


def test_words_after_a_preview_end_the_turn_at_rest() -> None:
    heard = queued_turn()
    preview, words = picture("leaf", status="in_progress"), answer("Guardrails.", parent="card")
    heard.feed_conversation(conversation(prompt(), call(), preview, words, async_status=4))
    assert after(heard, 2, page={"drawing": True}).kind == "stopped"


def failed_tool() -> dict[str, Any]:
    content = {"content_type": "system_error", "name": "X", "text": "raw"}
    return message("e", "tool", content=content, metadata=meta("call"))


def test_a_failed_tool_is_believed_at_rest_alone() -> None:
    rest = read_again(failed_tool())
    assert (after(rest, 3).action, after(rest, 4).kind, after(rest, 4).text) == ("wait", "tool_error", "raw")
    alone = begun(call(), failed_tool(), COMPLETE)
    assert (after(alone, 3).load, after(alone, 4).load) == (None, "doubt")
    assert after(alone, LONG, loads=NO_MORE).action == "wait"
    with_words = read_again(failed_tool(), answer("Limit.", parent="e"))
    assert (after(with_words, 2).kind, after(with_words, 2).text) == ("tool_error", "Limit.")


def test_a_failed_tool_may_be_tried_again_by_the_model() -> None:
    content = {"content_type": "system_error", "name": "X", "text": "raw"}
    failed = message("e", "tool", content=content, metadata=meta("call"))
    heard = begun(call(), failed, call("call-2"), picture("leaf", parent="call-2"), COMPLETE)
    assert after(heard, 3).action == "pictures_final"


def test_a_control_to_try_again_beside_words_that_nobody_sent_is_a_reason_to_load_and_never_an_end() -> None:
    """site-2026-10, F3: the page says that the network failed, in words of its own, while the site draws on."""
    page = {"retry": True, "text": "A network error occurred."}
    heard = begun(call(), card(), COMPLETE, DONE)
    assert (after(heard, 1, page=page).load, after(heard, 2, page=page).load) == (None, "error")
    heard.feed_conversation(window(prompt(), call(), card()))
    assert after(heard, LONG, page=page, loads=NO_MORE).action == "wait"


def test_a_page_that_hears_no_news_is_loaded_after_fifteen_seconds_of_quiet() -> None:
    assert after(queued_turn(), 14, line_lost=True).load is None
    assert after(queued_turn(), 15, line_lost=True).load == "stale"
    assert after(queued_turn(), 15).load is None


def test_an_error_in_our_turn_is_believed_when_a_reading_after_it_is_at_rest() -> None:
    page = {"error": "Image generation failed"}
    heard = begun(call(), COMPLETE)
    assert (after(heard, 1, page=page).load, after(heard, 2, page=page).load) == (None, "error")
    heard.feed_conversation(conversation(prompt(), call()))
    assert after(heard, 2, page=page, since_error=2, since_read=3).load == "error"
    found = after(heard, 2, page=page, since_error=4, since_read=3)
    assert (found.action, found.kind, found.text) == ("no_picture", "page_error", "Image generation failed")


def test_a_broken_live_channel_is_no_end_while_nothing_says_rest() -> None:
    """site-2026-10, F3: resume 404, an error with Retry in our turn, no status told, the server at work."""
    page = {"error": "A network error occurred.", "retry": True}
    heard = begun(ended=False)
    heard.stream_ended(ok=False)
    assert after(heard, 2, page=page, since_error=2).load == "error"
    heard.feed_conversation(window(prompt()))
    for loads in (ONCE, NO_MORE):
        found = after(heard, 89, page=page, since_error=LONG, since_read=80, loads=loads)
        assert (found.action, found.load) == ("wait", None)
    assert after(heard, 90, page=page, since_error=LONG, since_read=90, loads=ONCE).load == "error"


def test_a_control_to_try_again_below_words_is_no_error() -> None:
    found = after(read_answer(), 2, page={"retry": True, "text": "Which one?"}, since_error=1)
    assert found.kind == "answer"


def test_an_error_against_the_status_is_never_believed() -> None:
    page = {"error": "failed"}
    assert after(queued_turn(), 2, page=page).load == "error"
    waiting = after(queued_turn(), LONG, since_end=LONG, page=page, loads=NO_MORE)
    assert (waiting.action, waiting.load, waiting.recheck_seconds) == ("wait", None, None)


def test_an_error_on_the_page_is_looked_after_by_itself_whatever_else_was_loaded_for() -> None:
    others = loaded(counts={"late": 2, "stale": 1, "unread": 1}, since=LONG)
    assert after(begun(call(), COMPLETE), 2, page={"error": "failed"}, loads=others).load == "error"


def test_a_picture_that_the_page_shows_is_taken_when_loading_it_twice_has_brought_no_reading() -> None:
    """The page may read its conversations where nobody hears it (row 63p)."""
    heard = queued_turn()
    page = {"images": (PAINTED,), "found": True}
    once = loaded(counts={"shown": 1}, since=89)
    assert after(heard, 89, page=page, since_end=89, loads=once).action == "wait"
    assert after(heard, 90, page=page, since_end=90, loads=loaded(counts={"shown": 1}, since=90)).load == "shown"
    twice = loaded(counts={"shown": 2}, since=20)
    running = after(heard, 20, page=page, since_end=110, loads=twice, since_running=3)
    assert running.action == "wait", "the site says that it draws"
    found = after(heard, 20, page=page, since_end=110, loads=twice, since_running=110)
    assert (found.action, found.from_page) == ("pictures_final", True)


def test_a_tool_that_is_called_again_after_it_failed_is_waited_for() -> None:
    failed = message("failed", "tool", ["Error: image generation failed"], status="finished_failed", metadata=meta())
    heard = read_again(failed)
    assert after(heard, 4).kind == "tool_error"
    heard.feed_conversation(conversation(prompt(), call(), failed, call("another", parent="failed")))
    assert after(heard, 4).action == "wait"
    heard.feed_conversation(
        conversation(prompt(), call(), failed, call("another", parent="failed"), {**failed, "id": "f2"})
    )
    assert after(heard, 4).kind == "tool_error"


def test_a_block_is_believed_only_of_a_turn_that_was_read_at_rest() -> None:
    """What is blocked may be the words before the picture (row 67i)."""
    block = typed("moderation", message_id="words", moderation_response={"blocked": True})
    heard = begun(call(), answer("Here it is.", "words"), block, IMAGE_CASE, COMPLETE, DONE)
    assert heard.turn().blocked
    assert after(heard, 2).load == "doubt"
    heard.feed_conversation(window(prompt(), call(), answer("Here it is.", "words")))
    assert after(heard, 10, since_heard=20, since_read=5).action == "wait"
    heard.feed_conversation(conversation(prompt(), call(), answer("Here it is.", "words")))
    assert after(heard, 2).action == "wait"
    assert after(heard, 2, since_heard=62, since_read=2).kind == "blocked"


@pytest.mark.parametrize("rest", [None, 4])
def test_words_that_a_promised_picture_may_follow_are_not_believed_because_the_site_is_at_rest(
    rest: int | None,
) -> None:
    heard = begun(call(), answer("Here it is.", "words"), IMAGE_CASE, COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt(), call(), answer("Here it is.", "words"), async_status=rest))
    assert heard.turn().at_rest
    assert after(heard, 10, since_heard=20, since_read=5).action == "wait"
    assert after(heard, 2, since_heard=62, since_read=2).action == "no_picture"


def test_an_error_never_outweighs_a_finished_picture() -> None:
    assert after(with_picture(status(4)), 0, page={"error": "failed"}).action == "pictures_final"


def test_an_error_in_the_stream_ends_a_turn_of_which_nothing_else_is_known() -> None:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_stream(b'data: {"error":"Something went wrong"}' + b"\n\n")
    assert (after(heard, 2).action, after(heard, 3).kind, after(heard, 3).text) == (
        *("wait", "stream_error"),
        "Something went wrong",
    )


def test_an_error_in_the_stream_of_a_turn_that_was_taken_is_believed_at_rest_alone() -> None:
    heard = begun(call(), card(), {"error": "Something went wrong"})
    assert after(heard, 3).load == "doubt"
    assert after(heard, LONG, loads=NO_MORE).action == "wait"
    heard.feed_conversation(conversation(prompt()))
    assert after(heard, 3, loads=ONCE).kind == "stream_error"


def test_a_prompt_that_the_site_failed_to_take_ends_within_a_minute() -> None:
    heard = Transcript()
    heard.feed_request(request())
    waiting = after(heard, 44, since_refused=44)
    assert (waiting.action, waiting.load, waiting.recheck_seconds) == ("wait", None, 1)
    assert after(heard, 45, since_refused=45).kind == "unanswered"
    known = Transcript(conversation_id=CONVERSATION)
    known.feed_request(request(conversation=CONVERSATION))
    assert (after(known, 9, since_refused=9).load, after(known, 10, since_refused=10).load) == (None, "doubt")
    # Anything of our turn shows that the site took it.
    known.feed_conversation(window(prompt(), call()))
    assert after(known, 60, since_refused=60).kind is None


def test_a_blocked_turn_ends() -> None:
    heard = queued_turn()
    heard.feed_conversation(
        conversation(prompt(), call(), moderation_results=[{"message_id": "call", "blocked": True}])
    )
    assert after(heard, 2).kind == "blocked"


def test_loose_words_end_the_turn_only_when_nothing_else_could_come() -> None:
    loose = answer("Hm.", end_turn=None)

    def read(*said: Any) -> Transcript:
        heard = begun(*said, COMPLETE)
        heard.feed_conversation(conversation(prompt(), *(one for one in said if "author" in one)))
        return heard

    assert after(begun(loose, COMPLETE), 20).load == "doubt"
    assert after(read(loose), 19).action == "wait"
    assert after(read(loose), 20).kind == "answer"
    assert after(read(loose, IMAGE_CASE), 60, loads=NO_MORE).action == "wait"
    assert after(read(loose, call()), 60, loads=NO_MORE).action == "wait"
    assert after(begun(loose, ended=False), LONG, stream_open=True).load is None


def test_the_stop_control_alone_never_decides() -> None:
    for heard in (queued_turn(), begun(call(), ended=False), begun()):
        for quiet in (0.0, LONG):
            for visible in (True, False):
                found = after(heard, quiet, page={"stop": visible}, loads=NO_MORE, since_end=quiet)
                assert found.action == "wait"


# Loading anew


HANDED_OFF = "c0ffee00-3f52-4e19-8a66-5d0c9e1f2a34"


def handed_off() -> Transcript:
    heard = Transcript()
    heard.feed_request(request(identity=HANDED_OFF))
    heard.feed_stream(recording("thinking-handoff.sse"))
    heard.stream_ended(ok=True)
    return heard


@pytest.mark.parametrize("heard", [queued_turn(), handed_off()])
def test_ninety_seconds_after_the_end_with_nothing_it_is_loaded_and_later_again(heard: Transcript) -> None:
    assert after(heard, 89, since_end=89).load is None
    assert after(heard, 89, since_end=89).recheck_seconds == 1
    assert after(heard, 90, since_end=90).load == "late"
    for times, quiet in enumerate((90, 180, 300), 1):
        loads = loaded(counts={"late": times}, since=LONG)
        assert after(heard, quiet - 1, since_end=LONG, loads=loads).load is None
        assert after(heard, quiet, since_end=LONG, loads=loads).load == "late"
    assert after(heard, LONG, since_end=LONG, loads=NO_MORE).load is None


def test_a_page_that_shows_an_error_is_looked_after_once_more_before_ninety_seconds() -> None:
    for times, quiet in enumerate((2, 30, 90, 180, 300)):
        seen: dict[str, Any] = {"page": {"error": "A network error occurred."}, "since_error": LONG}
        seen["loads"] = loaded(counts={"error": times}, since=LONG)
        assert after(queued_turn(), quiet - 1, **seen).load is None
        assert after(queued_turn(), quiet, **seen).load == "error"


def test_a_page_that_still_moves_is_not_loaded_anew() -> None:
    assert after(queued_turn(), 10, since_end=300).load is None


def test_a_stream_that_was_cut_is_looked_after_sooner() -> None:
    heard = begun(call(), ended=False)
    heard.stream_ended(ok=False)
    assert after(heard, 30, since_end=30).load == "late"


def test_a_stream_that_runs_is_never_cut_off() -> None:
    assert after(begun(call(), ended=False), LONG).load is None
    page = {"error": "failed"}
    assert after(begun(call(), ended=False), LONG, page=page, stream_open=True, unread=True).load is None


def test_what_the_site_wants_read_again_is_loaded_if_its_page_does_not() -> None:
    heard = queued_turn()
    heard.feed_socket(update("refetch-conversation"))
    assert after(heard, 14).recheck_seconds == 1
    assert after(heard, 15).load == "stale"


def test_a_picture_said_to_be_half_drawn_in_a_finished_message_is_read_again_soon() -> None:
    half = pointer(file_id(1), metadata={"generation": {"gen_id": "g", "height": 600, "width": 1254}})
    heard = begun(call(), message("leaf", "tool", [half], metadata=meta("call")), COMPLETE, DONE)
    assert after(heard, 14).action == "wait"
    assert after(heard, 15).load == "stale"


@pytest.mark.parametrize("cause", ["unread", "kept_out"])
def test_what_keeps_us_from_hearing_is_looked_after_at_once_and_then_with_pauses(cause: Cause) -> None:
    seen: dict[str, Any] = {cause: True}
    assert after(queued_turn(), 0, **seen).load == cause
    once = loaded(counts={cause: 1}, since=5)
    assert (after(queued_turn(), 5, loads=once, **seen).load, after(queued_turn(), 90, loads=once, **seen).load) == (
        None,
        None,
    )
    once = loaded(counts={cause: 1}, since=90)
    assert after(queued_turn(), 90, loads=once, **seen).load == cause


def test_two_loadings_never_follow_each_other_closely_and_there_are_ten_at_most() -> None:
    heard = queued_turn()
    heard.feed_socket(update("refetch-conversation"))
    close = loaded(counts={"late": 1}, since=14)
    assert (after(heard, 15, loads=close).load, after(heard, 15, loads=close).recheck_seconds) == (None, 1)
    many = loaded(counts={"bytes": 10}, since=LONG)
    assert after(heard, LONG, since_end=LONG, loads=many).load is None


def test_a_loading_that_met_an_error_page_is_made_again() -> None:
    met = loaded(counts={"late": 1}, since=14, failed=True)
    assert (after(queued_turn(), 0, loads=met).load, after(queued_turn(), 0, loads=met).recheck_seconds) == (None, 1)
    met = loaded(counts={"late": 1}, since=15, failed=True)
    assert after(queued_turn(), 0, loads=met).load == "failed"
    twice = loaded(counts={"late": 1, "failed": 1}, since=59, failed=True)
    assert after(queued_turn(), 0, loads=twice).load is None


def test_a_conversation_at_rest_without_anything_ends_after_it_was_loaded() -> None:
    heard = read_again()
    assert after(heard, LONG, since_end=LONG).load == "late"
    assert after(heard, 89, since_end=LONG, loads=ONCE).action == "wait"
    assert after(heard, 90, since_end=LONG, loads=ONCE).kind == "stopped"


def test_a_card_that_is_still_there_keeps_the_turn_waiting() -> None:
    heard = read_again(card())
    assert after(heard, LONG, since_end=LONG, loads=NO_MORE).action == "wait"


# Whatever is heard and shown

PICTURES = st.builds(
    Pointer, file_id=st.sampled_from([file_id(1), file_id(2)]), message_id=st.sampled_from("ab"), final=st.booleans()
)
WORDS = st.none() | st.just("words")
ENDS: st.SearchStrategy[StreamEnd | None] = st.sampled_from([None, "whole", "cut"])
TURNS = st.builds(
    Turn,
    conversation_id=st.none() | st.just(CONVERSATION),
    pictures=st.lists(PICTURES, max_size=3).map(tuple),
    expected_count=st.integers(0, 4),
    drawing_started=st.booleans(),
    picture_promised=st.booleans(),
    tool_used=st.booleans(),
    running=st.booleans(),
    at_rest=st.booleans(),
    handed_off=st.booleans(),
    read_after=st.booleans(),
    stream_ended=ENDS,
    topic_open=st.booleans(),
    turn_complete=st.booleans(),
    conversation_read=st.booleans(),
    nothing_follows=st.booleans(),
    answered_text=WORDS,
    partial_text=WORDS,
    error=WORDS,
    tool_error=st.none() | st.just(ToolError("X", "raw")),
    blocked=st.booleans(),
    empty_picture=st.booleans(),
    card_waiting=st.booleans(),
    paragen=st.booleans(),
    unplaced_pictures=st.integers(0, 2),
    half_drawn=st.booleans(),
    stale=st.booleans(),
)
BARE = st.builds(
    Turn,
    conversation_id=st.none() | st.just(CONVERSATION),
    running=st.booleans(),
    at_rest=st.booleans(),
    conversation_read=st.booleans(),
    answered_text=WORDS,
    error=WORDS,
    tool_error=st.none() | st.just(ToolError("X", "raw")),
    stale=st.booleans(),
)
"""Turns without a picture: of those in which all may be so, hardly one comes to an end. So of the moments below."""
PAGES = st.just(PageReport()) | st.builds(
    PageReport,
    found=st.booleans(),
    images=st.sampled_from([(), (PAINTED,), (SeenImage(),)]),
    drawing=st.booleans(),
    stop=st.booleans(),
    error=WORDS,
    retry=st.booleans(),
    text=st.sampled_from(["", "words"]),
    panel=st.booleans(),
)
SINCE = st.none() | st.floats(0, 200)
CAUSES: tuple[Cause, ...] = get_args(Cause)
MOMENTS = st.builds(
    Moment,
    quiet=st.floats(0, 200),
    since_end=SINCE,
    stream_open=st.booleans(),
    since_heard=st.floats(0, 400),
    since_read=SINCE,
    since_running=SINCE,
    since_complete=SINCE,
    since_error=SINCE,
    since_refused=SINCE,
    unread=st.booleans(),
    line_lost=st.booleans(),
    kept_out=st.booleans(),
    loads=st.dictionaries(st.sampled_from(CAUSES), st.integers(1, 5)),
    since_load=SINCE,
    load_failed=st.booleans(),
).filter(lambda moment: moment.since_load is not None or not moment.load_failed)


CALM = st.builds(
    Moment,
    quiet=st.floats(0, 200),
    since_heard=st.floats(0, 400),
    since_read=SINCE,
    since_running=SINCE,
    loads=st.dictionaries(st.sampled_from(CAUSES), st.integers(1, 5)),
    since_load=SINCE,
)


def still_said(moment: Moment) -> bool:
    """Whether it holds what the site has said of something being made: the conversation was not loaded since, or the
    page that was loaded may yet say it again."""
    said, loaded = moment.since_running, moment.since_load
    return said is None or loaded is None or said < loaded or loaded < 15


@settings(deadline=None, max_examples=2000)
@given(BARE | TURNS, PAGES, CALM | MOMENTS)
def test_whatever_is_seen_the_verdict_keeps_its_promises(turn: Turn, page: PageReport, moment: Moment) -> None:
    found = verdict(turn, page, moment)
    if turn.final_pictures:
        assert found.action != "no_picture"
    if found.action == "pictures_final" and not found.from_page:
        assert found.file_ids == tuple(p.file_id for p in turn.final_pictures)
    if found.from_page:
        assert moment.since_read is not None or moment.loads["shown"] > 1
        assert not moment.stream_open
    if found.action == "no_picture":
        assert found.kind is not None
        if found.kind == "unanswered":
            assert moment.since_refused is not None
            assert moment.since_refused >= 45
            assert not turn.conversation_read
        elif turn.conversation_id is not None or found.kind != "stream_error":
            assert turn.conversation_read
            assert moment.since_read is not None
            assert not (turn.running and still_said(moment))
    if found.load:
        assert found.action == "wait"
        assert not moment.stream_open
        assert moment.since_load is None or moment.since_load >= 15
        assert sum(moment.loads.values()) < 10
    if found.recheck_seconds is not None:
        assert found.action == "wait"
        assert found.recheck_seconds > 0


@settings(deadline=None, max_examples=300)
@given(TURNS, PAGES, MOMENTS)
def test_looking_again_when_told_to_gives_something_new_or_another_time(
    turn: Turn, page: PageReport, moment: Moment
) -> None:
    for _ in range(30):
        found = verdict(turn, page, moment)
        if found.recheck_seconds is None:
            return
        moment = later(moment, found.recheck_seconds + 1e-6)
    pytest.fail("the verdict keeps asking to be asked again")


def later(moment: Moment, seconds: float) -> Moment:
    times = ("quiet", *(name for name in Moment.__struct_fields__ if name.startswith("since_")))
    known = {name: getattr(moment, name) for name in times}
    moved = {name: value + seconds for name, value in known.items() if value is not None}
    return msgspec.structs.replace(moment, **moved)


def test_words_that_only_the_page_shows_are_no_answer() -> None:
    """It also says there how long it has worked (recorded 2026-09), with the stream over and nothing read yet."""
    heard = begun()
    heard.stream_ended(ok=True)
    heard.feed_stream_status(b'{"status": "COMPLETE"}', CONVERSATION)
    heard.feed_conversation(window(prompt()))
    worked = {"text": "Worked for 12s", "found": True}
    for quiet in (5, 25, 89):
        assert after(heard, quiet, page=worked, since_end=quiet, since_read=0).action == "wait"
    late = after(heard, 95, page=worked, since_end=95, since_read=0, loads=ONCE)
    assert (late.action, late.kind, late.text) == ("no_picture", "stopped", "")
