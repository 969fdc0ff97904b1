"""Nothing that arrives from outside can break a feeder."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_image_mcp.chatgpt.network.quota import read_quotas
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.outcome import alert_outcome, http_outcome, turn_outcome
from cdp_image_mcp.chatgpt.page.locators import load
from cdp_image_mcp.chatgpt.reset import reset_time
from cdp_image_mcp.chatgpt.watching.evidence import Kind, Verdict
from cdp_image_mcp.errors import CODES
from tests.chatgpt.talk import (
    CONVERSATION,
    NOW,
    QUEUED,
    answer,
    batch,
    call,
    card,
    conversation,
    item,
    picture,
    prompt,
    queued_turn,
    recording,
    request,
    sse,
    update,
)

VALUES: list[Any] = [
    None,
    True,
    -1,
    2**70,
    1e300,
    "",
    "x",
    "\ud83d",
    CONVERSATION,
    [],
    [[]],
    {},
    [None, {}],
    {"id": "x"},
]

WHOLE: list[Any] = [
    json.loads(recording("image-turn.conversation.json")),
    json.loads(recording("image-turn.request.json")),
    json.loads(conversation(prompt(), call(), picture("leaf"), answer("x", parent="leaf"))),
    json.loads(update("add-messages", messages=[picture("leaf")])),
    json.loads(batch("upsert-turn-message", message=card())),
    [item(sse(call(), QUEUED, card(), picture("leaf")), "s1")],
    {"limits_progress": [{"feature_name": "image_gen", "remaining": 1, "reset_after": "2026-04-25T10:03:21+00:00"}]},
    {"user": {"id": "u"}, "account": {"planType": "plus"}, "expires": "2026-12-01T00:00:00.000Z", "accessToken": "t"},
]


def broken(whole: Any, draw: Any) -> Any:
    """``whole`` with some of its values replaced by others that do not fit."""
    if draw(st.integers(0, 12)) == 0:
        return draw(st.sampled_from(VALUES))
    if isinstance(whole, dict):
        return {key: broken(value, draw) for key, value in whole.items()}  # type: ignore[reportUnknownVariableType]
    if isinstance(whole, list):
        return [broken(value, draw) for value in whole]  # type: ignore[reportUnknownVariableType]
    return whole


@st.composite
def bodies(draw: Any) -> bytes:
    if draw(st.booleans()):
        whole = draw(st.sampled_from(WHOLE))
        return json.dumps(broken(whole, draw)).encode("utf-8", "replace")
    return draw(st.binary(max_size=60))


FEEDS = st.lists(
    st.tuples(st.sampled_from(["request", "stream", "socket", "conversation", "end", "sse"]), bodies()), max_size=6
)


@settings(deadline=None, max_examples=150)
@given(FEEDS, st.booleans())
def test_no_garbage_raises_in_any_feeder(feeds: list[tuple[str, bytes]], begun: bool) -> None:
    heard = queued_turn() if begun else Transcript()
    for name, body in feeds:
        match name:
            case "request":
                heard.feed_request(body)
            case "stream":
                heard.feed_stream(body)
            case "sse":
                heard.feed_stream(b"data: " + body + b"\n\n")
            case "socket":
                heard.feed_socket(body)
                heard.feed_socket(body.decode("utf-8", "replace"))
            case "conversation":
                heard.feed_conversation(body)
                heard.feed_stream_status(body, CONVERSATION)
            case _:
                heard.stream_ended(ok=True)
        assert isinstance(heard.turn(), Turn)


@settings(deadline=None, max_examples=100)
@given(bodies())
def test_no_garbage_raises_in_the_readers(body: bytes) -> None:
    read_quotas(body)
    http_outcome(429, body, now=NOW, words=load().words)


@settings(deadline=None, max_examples=100)
@given(
    st.text(max_size=200), st.sampled_from(["answer", "stopped", "blocked", "tool_error", "stream_error", "page_error"])
)
def test_any_words_have_an_outcome(words: str, kind: Kind) -> None:
    found = turn_outcome(Verdict(action="no_picture", kind=kind, text=words), Turn(), now=NOW, words=load().words)
    assert found.code in CODES
    alert_outcome(words, now=NOW, words=load().words)
    moment = reset_time(words, NOW)
    assert moment is None or moment >= NOW.replace(microsecond=0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(["2026", "Aug", "16", "30:99", "24:60", "pm", "in", "999", "hours", "月", "日", ".", "下午"])
    )
)
def test_odd_times_are_no_times(parts: list[str]) -> None:
    reset_time(" ".join(parts), NOW)


def test_a_frame_of_great_depth_is_nothing() -> None:
    heard = queued_turn()
    deep = '{"payload":' * 3000 + "1" + "}" * 3000
    assert heard.feed_socket(deep) is False
    assert heard.feed_request(request()) is False
