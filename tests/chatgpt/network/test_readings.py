"""Conversations as the page of October reads them: a window of the branch, in order, with keys left out."""

import json
import sys
import time
from typing import Any

import pytest

from cdp_image_mcp.chatgpt.network.conversations import read_history
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.wire import moment
from tests.chatgpt.talk import (
    CARD_TEXT,
    COMPLETE,
    CONVERSATION,
    DONE,
    EXCHANGE,
    FOREIGN,
    USER,
    answer,
    begun,
    call,
    card,
    conversation,
    file_id,
    item,
    message,
    picture,
    pointer,
    prompt,
    queued_turn,
    request,
    site_at,
    sse,
    status,
    typed,
    update,
    window,
)

BARE: dict[str, Any] = {"metadata": {}}
QUEUED = typed("conversation_async_status", conversation_id=CONVERSATION, async_status=7)
STREAMS = typed("conversation_async_status", conversation_id=CONVERSATION, async_status=3)


def finals(heard: Transcript) -> list[str]:
    return [one.file_id for one in heard.turn().final_pictures]


def loose_picture(identity: str = "leaf", file: str = "", **more: Any) -> dict[str, Any]:
    """A finished picture that names nothing it belongs to (measured 2026-09-25)."""
    return message(identity, "tool", [pointer(file or file_id(1))], channel="final", **{**BARE, **more})


def test_the_picture_after_our_message_is_ours_by_the_order_alone() -> None:
    heard = begun(DONE)
    heard.feed_conversation(
        window(prompt("before", "u0"), loose_picture("old", file_id(7)), prompt(), answer("", "recap"), loose_picture())
    )
    assert finals(heard) == [file_id(1)]
    assert heard.turn().conversation_read
    assert heard.turn().unplaced_pictures == 0


def test_a_parent_that_was_left_out_of_the_list_follows_what_stands_before_it() -> None:
    heard = begun(DONE)
    left_out = loose_picture(metadata={"parent_id": "a hidden message"})
    heard.feed_conversation(window(prompt("before", "u0"), answer("x", "a0", parent="u0"), prompt(), left_out))
    assert finals(heard) == [file_id(1)]


def test_two_that_name_the_same_left_out_parent_are_placed_alike() -> None:
    heard = begun(DONE)
    hidden = {"metadata": {"parent_id": "hidden"}}
    heard.feed_conversation(
        window(prompt(), loose_picture("a", file_id(1), **hidden), loose_picture("b", file_id(2), **hidden))
    )
    assert finals(heard) == [file_id(1), file_id(2)]


def test_a_message_after_another_persons_prompt_is_not_ours() -> None:
    heard = begun(DONE)
    heard.feed_conversation(window(prompt(), prompt("brighter", "u2"), loose_picture()))
    assert finals(heard) == []


def test_a_missing_status_is_untold_and_null_says_nothing_of_pictures_in_a_window() -> None:
    heard = begun(call(), COMPLETE)
    heard.feed_conversation(window(prompt(), call()))
    assert (heard.turn().running, heard.turn().at_rest) == (False, False)
    heard.feed_conversation(window(prompt(), call(), async_status=None))
    assert (heard.turn().at_rest, heard.turn().read_after) == (False, True)
    heard.feed_conversation(window(prompt(), call(), async_status=4))
    assert heard.turn().at_rest


def test_a_missing_status_takes_back_nothing_that_was_told() -> None:
    heard = queued_turn()
    heard.feed_conversation(window(prompt(), call(), card()))
    assert heard.turn().running


def test_an_older_page_has_its_conversation_from_its_address_and_hangs_below_the_newer_one() -> None:
    heard = Transcript(conversation_id=CONVERSATION, user_message_id=USER)
    heard.feed_conversation(window(loose_picture(), cursor="c1"))
    assert heard.turn().unplaced_pictures == 1
    heard.feed_conversation(
        window(prompt(), answer("Sure.", "a1"), identity=""), conversation=CONVERSATION, before="c1"
    )
    assert finals(heard) == [file_id(1)]
    assert heard.turn().conversation_read


def test_an_older_page_of_another_conversation_is_nothing() -> None:
    heard = queued_turn()
    heard.feed_conversation(window(prompt(), call()))
    theirs = window(prompt(), loose_picture(), identity="")
    assert heard.feed_conversation(theirs, conversation=FOREIGN) is False


def test_what_a_window_leaves_out_is_not_gone() -> None:
    heard = queued_turn()
    heard.feed_conversation(window(prompt(), call(), card()))
    heard.feed_conversation(window(answer("older", "a0"), identity=""), conversation=CONVERSATION, before="c0")
    assert heard.turn().conversation_read
    assert heard.turn().card_waiting


def test_a_picture_heard_before_stays_when_a_window_does_not_hold_it() -> None:
    heard = queued_turn()
    heard.feed_socket(update("add-messages", messages=[picture("leaf")]))
    heard.feed_conversation(window(prompt(), call()))
    assert finals(heard) == [file_id(1)]


def test_a_stream_that_is_over_says_nothing_of_pictures_before_it_was_read_again_and_is_no_turn_at_rest() -> None:
    heard = queued_turn()
    heard.feed_stream_status(b'{"status":"IS_STREAMING"}', CONVERSATION)
    heard.feed_conversation(window(prompt(), call()))
    assert heard.turn().running
    heard.feed_stream_status(b'{"status":"COMPLETE"}', CONVERSATION)
    assert (heard.turn().running, heard.turn().read_after) == (False, False)
    heard.feed_conversation(window(prompt(), call(), loose_picture()))
    assert (heard.turn().at_rest, heard.turn().read_after) == (False, True)
    heard.feed_stream_status(b'{"status":"COMPLETE"}', CONVERSATION)
    assert heard.turn().read_after


def notice(leaf: str) -> str:
    told = {"conversation_id": CONVERSATION, "current_message_id": leaf}
    payload = {"type": "conversation-turn-complete", "payload": told}
    return json.dumps([{"type": "message", "topic_id": "conversations", "payload": payload}])


@pytest.mark.parametrize(("leaf", "stale"), [("leaf", True), ("card", False)])
def test_a_turn_that_ended_with_a_message_nobody_heard_is_to_be_read(leaf: str, stale: bool) -> None:
    heard = queued_turn()
    heard.feed_socket(notice(leaf))
    assert heard.turn().stale is stale
    heard.feed_conversation(window(prompt(), call(), picture("leaf")))
    assert not heard.turn().stale


def test_a_picture_read_after_the_notice_of_completion_is_no_sign_that_it_is_still_drawn() -> None:
    """The stream said that something is made (``conversation_async_status``), and a flat list without a status never
    takes that back."""
    heard = queued_turn()
    heard.feed_conversation(window(prompt(), call(), picture("leaf")))
    assert heard.turn().running
    heard.feed_socket(notice("leaf"))
    assert heard.turn().running, "the reading is older than the notice"
    heard.feed_conversation(window(prompt(), call(), picture("leaf")))
    assert heard.turn().read_after
    assert not heard.turn().running
    assert not heard.turn().at_rest, "the notice may be of the stream alone"


def test_the_last_word_on_whether_something_is_made_counts() -> None:
    heard = queued_turn()
    heard.feed_socket(status(4))
    heard.feed_stream_status(b'{"status":"COMPLETE"}', CONVERSATION)
    assert heard.turn().at_rest
    heard.feed_stream_status(b'{"status":"IS_STREAMING"}', CONVERSATION)
    assert heard.turn().running


@pytest.mark.parametrize("body", [b"{}", b'{"status":3}', b'{"status":"UNKNOWN"}', b"<html>", b""])
def test_a_stream_status_that_says_nothing_changes_nothing(body: bytes) -> None:
    heard = queued_turn()
    assert heard.feed_stream_status(body, CONVERSATION) is False
    assert heard.turn().running


def test_our_message_is_known_by_its_words_when_the_pages_request_was_not_seen() -> None:
    heard = Transcript()
    heard.expect("a lighthouse", frozenset())
    heard.feed_conversation(window(prompt("a lighthouse", "older"), answer("x", "a0"), prompt("  a  lighthouse", USER)))
    assert (heard.turn().user_message_id, heard.turn().conversation_id) == (USER, CONVERSATION)
    other = Transcript()
    other.expect("a lighthouse", frozenset())
    other.feed_conversation(window(prompt("a lighthouse", "older"), answer("x", "a0"), prompt("theirs", "u2")))
    assert other.turn().user_message_id is None


def test_an_earlier_turn_with_the_same_words_is_not_taken_for_ours() -> None:
    heard = Transcript(conversation_id=CONVERSATION)
    heard.expect("a lighthouse", frozenset({"older"}))
    heard.feed_conversation(window(prompt("a lighthouse", "older"), loose_picture()))
    assert (heard.turn().user_message_id, finals(heard)) == (None, [])


def test_the_conversation_may_be_named_by_the_pages_address_alone() -> None:
    heard = begun(DONE)
    heard.feed_address(CONVERSATION)
    assert heard.turn().conversation_id == CONVERSATION
    heard.feed_address("7b1f0c52-7d3e-4b8a-9c41-2e5f8a7b9d10")
    assert heard.turn().conversation_id == CONVERSATION


@pytest.mark.parametrize("form", [conversation, window])
@pytest.mark.parametrize("first", ["the address", "the reading"])
def test_a_conversation_that_a_person_opened_in_our_page_is_not_ours_once_it_was_read(form: Any, first: str) -> None:
    """Before the first byte of the answer nothing but the address names a conversation, and that was theirs."""
    heard = begun(ended=False)
    heard.stream_ended(False)
    theirs = form(prompt("theirs", "u0"), answer("done", "a0"), identity=FOREIGN)
    for step in (first, "the address", "the reading", "the address"):
        heard.feed_address(FOREIGN) if step == "the address" else heard.feed_conversation(theirs)
    assert (heard.turn().conversation_id, heard.lacks, heard.turn().others) == (None, 0, {FOREIGN})
    heard.feed_conversation(form(prompt(), call(), loose_picture()))
    assert (heard.turn().conversation_id, finals(heard)) == (CONVERSATION, [file_id(1)])


@pytest.mark.parametrize("form", [conversation, window])
def test_half_a_character_in_a_conversation_hides_nothing_of_it(form: Any) -> None:
    body = form(prompt(), call(), loose_picture(), title="TITLE").replace(b"TITLE", rb"cut \ud83d")
    heard = begun(DONE)
    heard.feed_conversation(body)
    assert finals(heard) == [file_id(1)]


HIGH_DEMAND = "We are experiencing high demand. Please try again later."
LIMIT = "You have hit your image generation limit."


def judging(*objects: Any) -> Transcript:
    """After our request and a stream of these, by the wordings that ship."""
    heard = Transcript(fails=site_at("https://chatgpt.com/").words.fails)
    heard.feed_request(request())
    heard.feed_stream(sse(*objects))
    heard.stream_ended(ok=True)
    return heard


@pytest.mark.parametrize(
    ("text", "before", "waits"),
    [(CARD_TEXT, True, True), (CARD_TEXT, False, True), (HIGH_DEMAND, True, True), (HIGH_DEMAND, False, False)],
)
def test_a_card_in_a_list_that_says_nothing_of_its_task_still_holds_the_place_of_a_picture(
    text: str, *, before: bool, waits: bool
) -> None:
    """The list of 2026-10-03 has bare messages: the parent alone stands in their metadata."""
    heard = judging(call(), card(text=text), DONE) if before else judging(DONE)
    bare = card(text=text) | {"metadata": {"parent_id": "call"}}
    heard.feed_conversation(window(prompt(), call(), bare))
    told = heard.turn()
    assert told.card_waiting is waits
    assert (told.tool_error is None) is waits
    assert not told.nothing_follows


def test_what_takes_the_place_of_a_card_under_its_own_id_waits_for_nothing() -> None:
    heard = judging(call(), card(), DONE)
    heard.feed_conversation(window(prompt(), call(), picture("card", parent="call")))
    assert not heard.turn().card_waiting
    assert finals(heard) == [file_id(1)]
    heard = judging(call(), card(), DONE)
    heard.feed_conversation(window(prompt(), call(), card(text=LIMIT) | {"metadata": {"parent_id": "call"}}))
    assert not heard.turn().card_waiting
    assert heard.turn().tool_error is not None


@pytest.mark.parametrize("name", ["id", "conversation_id"])
@pytest.mark.parametrize("mapping", [{"mapping": None}, {}])
def test_a_row_of_a_batch_without_messages_tells_its_status_and_takes_nothing_away(
    name: str, mapping: dict[str, None]
) -> None:
    """Asked for during a turn and after it (a capture of 2026-09-29, which shows its status)."""
    heard = begun(call(), card(), DONE)
    heard.feed_conversation(window(prompt(), call(), card()))
    heard.feed_conversation(json.dumps([{name: CONVERSATION, "async_status": 3, **mapping}]).encode())
    told = heard.turn()
    assert told.running
    assert told.card_waiting
    assert (heard.lacks, heard.reads, heard.parts) == (0, 1, 0)


@pytest.mark.parametrize("named", [True, False])
def test_a_row_without_messages_is_no_reading(*, named: bool) -> None:
    heard = begun(call(), DONE) if named else begun(DONE)
    heard.feed_conversation(json.dumps([{"id": CONVERSATION, "async_status": 3, "mapping": None}]).encode())
    assert (heard.lacks, heard.reads, heard.parts) == (0, 0, 0)
    assert heard.turn().others == frozenset()
    assert heard.turn().running is named


def test_both_forms_come_in_a_batch() -> None:
    heard = queued_turn()
    whole = json.loads(window(prompt(), call(), loose_picture()))
    heard.feed_conversation(json.dumps({"conversations": [whole]}).encode())
    assert finals(heard) == [file_id(1)]


def test_the_historys_list_names_conversations_and_their_times() -> None:
    listed = {"items": [{"id": CONVERSATION, "update_time": "2026-10-07T10:00:00Z"}, {"id": "WEB:1"}, "x"]}
    found = read_history(json.dumps(listed).encode())
    assert found is not None
    assert [(one.conversation_id, one.changed) for one in found] == [(CONVERSATION, 1791367200.0)]
    assert read_history(b'{"detail":"Too many requests"}') is None


# The stream and the socket (site-2026-10, F7)


def test_an_error_object_by_its_type_is_an_error() -> None:
    assert begun({"type": "error", "message": "Something went wrong"}).turn().error == "Something went wrong"
    assert begun({"type": "error"}).turn().error


def topic(payload: dict[str, Any], exchange: str = EXCHANGE) -> str:
    return json.dumps([{"type": "message", "topic_id": f"conversation-turn-{exchange}", "payload": payload}])


@pytest.mark.parametrize("wrapped", [False, True])
def test_our_turns_topic_says_that_it_is_done_or_failed(wrapped: bool) -> None:
    def said(payload: dict[str, Any]) -> str:
        return topic({"type": "conversation-turn-stream", "payload": payload} if wrapped else payload)

    heard = begun(typed("stream_handoff", turn_exchange_id=EXCHANGE), DONE)
    heard.feed_socket(said({"type": "done"}))
    assert heard.turn().turn_complete
    heard.feed_socket(said({"type": "error", "message": "network_error"}))
    assert heard.turn().error == "network_error"


def test_another_turns_topic_says_nothing_of_ours() -> None:
    heard = begun(call(), DONE)
    other = "2d2c3b4a-5f6e-4d7c-8b9a-0f1e2d3c4b5a"
    heard.feed_socket(topic({"type": "done"}, other))
    heard.feed_socket(topic({"type": "error", "message": "x"}, other))
    assert (heard.turn().turn_complete, heard.turn().error) == (False, None)


def test_a_review_for_safety_is_no_error() -> None:
    review = {"type": "safety_review_update", "active": True, "message": "Our systems are thinking a bit more."}
    turn = begun(call(), review).turn()
    assert (turn.error, turn.blocked, turn.answered_text) == (None, False, None)


def test_half_a_character_in_the_stream_costs_nothing() -> None:
    heard = Transcript()
    heard.feed_request(request())
    heard.feed_stream(rb'data: {"type":"title_generation","title":"a \ud83d"}' + b"\n\n")
    heard.feed_stream(b'data: {"error":"late"}\n\n')
    assert heard.turn().error == "late"
    odd = {"type": "conversation-update", "payload": {"update_content": {"title": "CUT"}}}
    assert heard.feed_socket(json.dumps(odd).replace("CUT", r"\ud83d")) in {True, False}


@pytest.mark.parametrize(
    ("told", "since"),
    [
        (1764238530.5, 1764238530.5),
        ("2025-11-27T10:15:30+00:00", 1764238530),
        ("2025-11-27T19:15:30+09:00", 1764238530),
        ("2025-11-27T10:15:30", 1764238530),
        (True, None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_time_is_read_the_same_wherever_this_computer_is(
    told: object, since: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows keeps a process in the zone of the computer")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment(told) == since
    finally:
        monkeypatch.undo()
        time.tzset()


BLOCKED = typed("moderation", message_id="call", moderation_response={"blocked": True})


@pytest.mark.parametrize(
    ("stream", "later", "last"),
    [
        pytest.param((answer("No."), COMPLETE), (), True, id="an answer, and no tool called"),
        pytest.param((call(), answer("Here it is.", parent="call"), COMPLETE), (), False, id="a call without reply"),
        pytest.param((call(), card(), answer("Here.", parent="card"), COMPLETE), (), False, id="a placeholder alone"),
        pytest.param(
            (call(), message("told", "tool", ["Not drawn."]), answer("No.", parent="told"), COMPLETE),
            (),
            True,
            id="a reply",
        ),
        pytest.param(
            (call(), message("told", "tool", ["Not drawn."]), call("again"), answer("Now.", parent="again"), COMPLETE),
            (),
            False,
            id="a reply, and one more call",
        ),
        pytest.param((call(), card(), COMPLETE), (answer("No.", parent="card"),), True, id="words after the stream"),
        pytest.param((call(), BLOCKED, COMPLETE), (), True, id="a call that was blocked"),
        pytest.param((QUEUED, call(), BLOCKED, COMPLETE), (), True, id="a call that was queued and blocked"),
        pytest.param((answer("Sure."),), (), False, id="a stream that broke off"),
        pytest.param((QUEUED, answer("Sure."), COMPLETE), (), False, id="a call that is told nowhere"),
        pytest.param((STREAMS, answer("No."), COMPLETE), (), True, id="an answer that is said to stream"),
        pytest.param(
            (typed("stream_handoff", turn_exchange_id=EXCHANGE), answer("Sure."), COMPLETE),
            (),
            False,
            id="a stream that goes on elsewhere",
        ),
    ],
)
def test_no_picture_follows_words_after_the_stream_or_without_an_open_call(
    stream: tuple[Any, ...], later: tuple[Any, ...], last: bool
) -> None:
    heard = begun(*stream, ended=False)
    heard.stream_ended(ok=COMPLETE in stream)
    heard.feed_conversation(window(prompt(), *later))
    assert heard.turn().answered_text is not None or heard.turn().blocked
    assert heard.turn().nothing_follows is last


HANDED = typed("stream_handoff", turn_exchange_id=EXCHANGE)


@pytest.mark.parametrize("way", ["topic", "resumed"])
@pytest.mark.parametrize(
    ("before", "after", "last"),
    [
        pytest.param((), (answer("No."), COMPLETE), True, id="an answer"),
        pytest.param((), (answer("No."),), False, id="one that goes on"),
        pytest.param((call(),), (answer("Sure.", parent="call"), COMPLETE), False, id="an open call before"),
        pytest.param((), (call(), answer("Sure.", parent="call"), COMPLETE), False, id="an open call"),
        pytest.param(
            (call(),),
            (message("told", "tool", ["Not drawn."]), answer("No.", parent="told"), COMPLETE),
            True,
            id="a reply",
        ),
    ],
)
def test_no_picture_follows_words_where_what_the_stream_was_handed_to_was_heard_to_its_end(
    way: str, before: tuple[Any, ...], after: tuple[Any, ...], last: bool
) -> None:
    heard = begun(*before, HANDED, DONE)
    if way == "topic":
        heard.feed_socket(json.dumps([item(sse(*after))]))
    else:
        heard.stream_begins()
        heard.feed_stream(sse(*after))
        heard.stream_ended(ok=True)
    heard.feed_conversation(window(prompt(), *(one for one in after if "author" in one)))
    assert heard.turn().answered_text is not None
    assert heard.turn().nothing_follows is last


def test_words_of_a_topic_of_which_something_was_missed_may_be_followed() -> None:
    heard = begun(HANDED, DONE)
    heard.missed()
    heard.feed_socket(json.dumps([item(sse(answer("Sure."), COMPLETE))]))
    heard.feed_conversation(window(prompt(), answer("Sure.")))
    assert not heard.turn().stale
    assert not heard.turn().nothing_follows


def test_words_that_a_stream_handed_on_twice_has_not_reached_may_be_followed() -> None:
    heard = begun(HANDED, DONE)
    heard.stream_begins()
    heard.feed_stream(sse(answer("Sure."), HANDED, COMPLETE))
    heard.stream_ended(ok=True)
    assert not heard.turn().nothing_follows


def renamed(text: str = "a lighthouse") -> dict[str, Any]:
    """Our message as the site keeps it, under an id of its own."""
    return message("theirs", "user", [text], metadata={"turn_exchange_id": EXCHANGE})


def test_our_message_is_known_by_the_id_that_the_stream_says_it_was_kept_under() -> None:
    heard = begun(typed("input_message", input_message=renamed(), conversation_id=CONVERSATION), COMPLETE, DONE)
    assert heard.turn().user_message_id == "theirs"
    heard.feed_conversation(conversation(renamed(), call(parent="theirs"), picture("leaf")))
    assert heard.turn().conversation_read
    assert len(heard.turn().final_pictures) == 1


def test_our_message_is_known_by_what_our_stream_answered_if_it_says_what_we_sent() -> None:
    heard = begun(call(), COMPLETE, DONE)
    heard.feed_conversation(conversation(renamed("something else"), call(parent="theirs"), picture("leaf")))
    assert not heard.turn().conversation_read
    heard.feed_conversation(conversation(renamed(), call(parent="theirs"), picture("leaf")))
    assert (heard.turn().user_message_id, heard.turn().conversation_read) == ("theirs", True)
    assert len(heard.turn().final_pictures) == 1
