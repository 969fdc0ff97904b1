"""The event stream: split anywhere, any line end, the delta rules."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_image_mcp.chatgpt.network.stream import StreamDecoder, StreamEvent
from tests.chatgpt.talk import recording, sse


def decoded(data: bytes, cuts: list[int] | None = None) -> list[StreamEvent]:
    decoder = StreamDecoder()
    edges = [0, *sorted(cuts or []), len(data)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])]
    return events + decoder.close()


def deltas(*values: Any) -> bytes:
    return "".join(f"event: delta\ndata: {json.dumps(value)}\n\n" for value in values).encode()


def last_message(data: bytes) -> dict[str, Any]:
    return [event for event in decoded(data) if event.kind == "message"][-1].data["message"]


def text_of(data: bytes) -> str:
    return last_message(data)["content"]["parts"][0]


START = {"p": "", "o": "add", "v": {"message": {"id": "m", "content": {"parts": [""]}, "metadata": {}}}, "c": 0}
PLACE = "/message/content/parts/0"


@settings(deadline=None)
@given(st.lists(st.integers(0, len(recording("image-turn.sse"))), max_size=40))
def test_any_split_of_the_recorded_turn_gives_the_same_events(cuts: list[int]) -> None:
    data = recording("image-turn.sse")
    assert decoded(data, cuts) == decoded(data)


def test_the_recorded_turn_split_into_single_bytes_gives_the_same_events() -> None:
    data = recording("image-turn.sse")
    assert decoded(data, list(range(len(data)))) == decoded(data)


def test_the_recorded_turn_ends_with_a_finished_card_and_no_picture() -> None:
    events = decoded(recording("image-turn.sse"))
    assert [event.kind for event in events][-1] == "done"
    card = [event for event in events if event.kind == "message"][-1].data["message"]
    assert (card["author"]["role"], card["status"], card["end_turn"]) == ("tool", "finished_successfully", True)
    assert card["content"]["content_type"] == "text"
    kinds = [event.data["type"] for event in events if event.kind == "typed"]
    assert kinds == [
        "resume_conversation_token",
        "conversation_async_status",
        "message_marker",
        "title_generation",
        "server_ste_metadata",
        "message_stream_complete",
        "conversation_detail_metadata",
    ]


def test_the_recorded_turn_has_nothing_unreadable() -> None:
    decoder = StreamDecoder()
    events = [*decoder.feed(recording("image-turn.sse")), *decoder.close()]
    assert [event.kind for event in events if event.kind != "message"][-1] == "done"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_gives_the_same_events(end: str) -> None:
    plain = sse({"type": "a"}, {"type": "b"}, "[DONE]")
    assert decoded(plain.replace(b"\n", end.encode())) == decoded(plain)


def test_a_carriage_return_and_its_newline_in_two_pieces_are_one_line_end() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(b'data: {"type":\r') == []
    assert decoder.feed(b'\ndata: "a"}\r') == []
    assert [event.data["type"] for event in decoder.feed(b"\n\r\n")] == ["a"]


def test_a_carriage_return_ends_its_line_at_once() -> None:
    assert [event.data["type"] for event in StreamDecoder().feed(b'data: {"type":"a"}\r\r')] == ["a"]


def test_a_character_cut_in_the_middle_is_whole() -> None:
    data = deltas(START, {"p": PLACE, "o": "append", "v": "картина 画 🖼"})
    data = data.replace(b"\\u", b"\\u")
    raw = 'data: {"type":"t","v1":"画🖼"}\n\n'.encode()
    for cut in range(len(raw)):
        assert decoded(raw, [cut])[0].data["v1"] == "画🖼"
    assert text_of(data) == "картина 画 🖼"


def test_spaces_after_the_data_do_not_matter() -> None:
    assert decoded(b"data: [DONE]   \n\n") == [StreamEvent("done")]
    assert decoded(b'data: {"type":"x"}  \t\n\n')[0].data == {"type": "x"}


def test_a_byte_order_mark_before_the_first_line_is_skipped() -> None:
    assert decoded(b"\xef\xbb\xbfdata: [DONE]\n\n") == [StreamEvent("done")]


def test_the_last_event_is_read_without_its_blank_line() -> None:
    assert decoded(b"data: [DONE]") == [StreamEvent("done")]


def test_events_that_lost_the_blank_line_between_them_are_read_one_by_one() -> None:
    assert [e.data["type"] for e in decoded(b'data: {"type":"a"}\ndata: {"type":"b"}\n\n')] == ["a", "b"]


def test_one_value_on_several_data_lines_is_one_event() -> None:
    assert decoded(b'data: {"type":\ndata: "a"}\n\n')[0].data == {"type": "a"}


def test_the_encodings_name_may_be_bare() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(b"event: delta_encoding\ndata: v1\n\n") == []


def test_comments_and_known_fields_say_nothing() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(b": ping\nid: 4\nretry: 1000\nevent: x\n\n") == []


def test_absent_place_and_operation_are_those_of_the_delta_before() -> None:
    assert text_of(deltas(START, {"p": PLACE, "o": "append", "v": "a"}, {"v": "b"}, {"v": "c"})) == "abc"


def test_an_absent_channel_is_that_of_the_delta_before() -> None:
    other = {"p": "", "o": "add", "v": {"message": {"id": "n", "content": {"parts": ["x"]}}}, "c": 1}
    back = {"p": PLACE, "o": "append", "v": "!", "c": 0}
    events = decoded(deltas(START, other, {"p": PLACE, "o": "append", "v": "y"}, back, {"v": "?"}))
    texts = [(e.data["message"]["id"], e.data["message"]["content"]["parts"][0]) for e in events]
    assert texts[2:] == [("n", "xy"), ("m", "!"), ("m", "!?")]


def test_a_bare_message_is_added_whatever_came_before() -> None:
    bare = {"v": {"message": {"id": "n", "content": {"parts": ["new"]}}, "conversation_id": "c"}, "c": 3}
    message = last_message(deltas(START, {"p": PLACE, "o": "append", "v": "a"}, bare))
    assert message["id"] == "n"


def test_appending_an_object_merges_it() -> None:
    data = deltas(START, {"p": "/message/metadata", "o": "append", "v": {"a": 1}}, {"v": {"b": 2}})
    assert last_message(data)["metadata"] == {"a": 1, "b": 2}


def test_a_patch_may_lack_its_place_and_carries_its_own_list() -> None:
    steps = [
        {"p": PLACE, "o": "append", "v": "!"},
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
        {"p": "/message/metadata", "o": "append", "v": {"done": True}},
    ]
    message = last_message(deltas(START, {"p": PLACE, "o": "append", "v": "hi"}, {"o": "patch", "v": steps}))
    assert message["content"]["parts"] == ["hi!"]
    assert (message["status"], message["metadata"]) == ("finished_successfully", {"done": True})


def test_a_patch_with_a_place_applies_below_it() -> None:
    patch = {"p": "/message", "o": "patch", "v": [{"p": "/status", "o": "add", "v": "done"}]}
    assert last_message(deltas(START, patch))["status"] == "done"


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        ({"p": "/message/content/parts/0", "o": "add", "v": "z"}, ["z", "ab"]),
        ({"p": "/message/content/parts/-", "o": "add", "v": "z"}, ["ab", "z"]),
        ({"p": "/message/content/parts", "o": "append", "v": ["z", "y"]}, ["ab", "z", "y"]),
        ({"p": "/message/content/parts/0", "o": "replace", "v": "z"}, ["z"]),
        ({"p": "/message/content/parts/0", "o": "remove"}, []),
        ({"p": "/message/content/parts/0", "o": "truncate", "v": 1}, ["a"]),
        ({"p": "/message/content/parts", "o": "truncate", "v": 0}, []),
        ({"p": "/message/content/parts/1", "o": "append", "v": "z"}, ["ab", "z"]),
    ],
)
def test_each_operation_changes_what_it_says(step: dict[str, Any], parts: list[str]) -> None:
    data = deltas(START, {"p": PLACE, "o": "append", "v": "ab"}, step)
    assert last_message(data)["content"]["parts"] == parts


def test_a_pointer_undoes_its_escapes() -> None:
    data = deltas(START, {"p": "/message/metadata/a~1b~0c", "o": "add", "v": 1})
    assert last_message(data)["metadata"] == {"a/b~c": 1}


def test_an_earlier_event_stays_as_it_was_when_its_message_grows() -> None:
    events = decoded(deltas(START, {"p": PLACE, "o": "append", "v": "a"}, {"v": "b"}))
    assert [event.data["message"]["content"]["parts"][0] for event in events] == ["", "a", "ab"]


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {not json\n\n",
        b"data: 7\n\n",
        b"nonsense without a colon\n\n",
        b'data: {"p":"/message/id/x","o":"append","v":"x"}\n\n',
        b'data: {"p":"message","o":"add","v":1}\n\n',
        b'data: {"p":"","o":"explode","v":1}\n\n',
        b'data: {"p":"","o":"patch","v":"text"}\n\n',
        b'data: {"unknown":1}\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
    ],
)
def test_what_cannot_be_read_is_passed_over_and_the_stream_goes_on(bad: bytes) -> None:
    decoder = StreamDecoder()
    decoder.feed(deltas(START))
    events = decoder.feed(bad + b'data: {"type":"after"}\n\n')
    assert [event.data.get("type") for event in events] == ["after"]


def test_an_error_object_is_an_error_even_beside_an_empty_message() -> None:
    events = decoded(b'data: {"message":null,"conversation_id":"c","error":"Something went wrong"}\n\n')
    assert [(event.kind, event.data["error"]) for event in events] == [("error", "Something went wrong")]


def test_the_bare_body_of_a_refused_request_is_an_error() -> None:
    events = decoded(b'{"detail":"Too many requests"}')
    assert [(event.kind, event.data["error"]) for event in events] == [("error", "Too many requests")]


def test_whole_messages_without_deltas_are_read() -> None:
    events = decoded(b'data: {"message":{"id":"m"},"conversation_id":"c","error":null}\n\n')
    assert [event.kind for event in events] == ["message"]


def test_an_endless_line_is_dropped_and_the_stream_goes_on() -> None:
    decoder = StreamDecoder()
    for _ in range(10):
        decoder.feed(b"data: " + b"x" * 1_000_000)
    assert decoder.feed(b'\n\ndata: {"type":"after"}\n\n')[-1].data == {"type": "after"}


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_raise(chunks: list[bytes]) -> None:
    decoder = StreamDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
    decoder.close()


VALUES: list[Any] = [None, True, 0, -1, 2**70, 1.5, "", "text", [], ["a", 1], {}, {"message": {}}, {"message": 1}, [{}]]
JSON: st.SearchStrategy[Any] = st.sampled_from(VALUES)
POINTERS = st.sampled_from(
    ["", "/message", PLACE, "/message/content/parts", "/message/content/parts/-", "/a/b", "x", "/"]
)
DELTA: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "p": POINTERS,
        "o": st.sampled_from(["add", "append", "replace", "patch", "remove", "truncate", "?"]),
        "v": JSON | st.lists(st.fixed_dictionaries({"p": POINTERS, "o": st.just("append"), "v": JSON}), max_size=3),
        "c": st.integers(0, 3) | JSON,
    },
)


@settings(deadline=None, max_examples=100)
@given(st.lists(DELTA, max_size=12), st.lists(st.integers(0, 2000), max_size=8))
def test_random_deltas_never_raise_and_never_depend_on_the_split(values: list[dict[str, Any]], cuts: list[int]) -> None:
    stream = deltas(START, *values)
    assert decoded(stream, [min(cut, len(stream)) for cut in cuts]) == decoded(stream)
