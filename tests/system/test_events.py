"""Server-sent events: the same events however the bytes are cut."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdp_image_mcp.system.events import EventReader, JsonReader
from tests.system.cutting import cut


def read(chunks: list[bytes], reader: EventReader | JsonReader | None = None) -> list[tuple[str, bytes]]:
    """All events of a stream, each with its name and its data."""
    reader, found, data = reader or EventReader(), list[tuple[str, bytes]](), bytearray()
    for token in [*(token for chunk in chunks for token in reader.feed(chunk)), *reader.close()]:
        if isinstance(token, str):
            found.append((token, bytes(data)))
            data.clear()
        else:
            data += token
    return found


def plainly(data: bytes) -> list[tuple[str, bytes]]:
    """The events of a whole stream by the rules of the standard, read line by line: the second opinion. One thing the
    standard does not know: data that begins with a colon is a comment in a relay's wrapping."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[tuple[str, bytes]] = []
    name, lines = "", list[bytes]()
    for line in [*text.split(b"\n"), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if lines:
                events.append((name, b"\n".join(lines)))
            name, lines = "", []
        elif field == b"data":
            lines += [] if value.startswith(b":") else [value]
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return events


NEWLINES = st.sampled_from([b"\n", b"\r\n", b"\r"])
FIELDS = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"unknown", b"datas"])
VALUES = st.one_of(
    st.binary(max_size=30).map(lambda value: value.translate(None, b"\r\n{[")),
    st.sampled_from([b"}", b'"', b"\\", b" ", b"a"]),
)
"""Words: what begins as JSON has its own rules."""
LINES = st.one_of(
    st.just(b""),
    st.tuples(FIELDS, st.sampled_from([b":", b": ", b":  ", b""]), VALUES).map(
        lambda parts: parts[0] + parts[1] + (parts[2] if parts[1] else b"")
    ),
)
STREAMS = st.lists(st.tuples(LINES, NEWLINES), max_size=25).map(lambda lines: b"".join(a + b for a, b in lines))


@example(data=b"data::\n", places=[], mark=False)
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
def test_any_split_of_the_bytes_gives_the_events_of_the_standard(data: bytes, places: list[int], mark: bool) -> None:
    data = b"\xef\xbb\xbf" + data if mark else data
    assert read(cut(data, places)) == plainly(data)


@given(STREAMS)
def test_bytes_one_by_one_give_the_same_events(data: bytes) -> None:
    assert read([bytes([byte]) for byte in data]) == plainly(data)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_several_data_lines_are_joined_by_a_line_feed(newline: bytes) -> None:
    assert read([newline.join([b"event: a", b"data: 1", b"data:2", b"data", b"", b""])]) == [("a", b"1\n2\n")]


def test_a_carriage_return_and_its_line_feed_may_arrive_apart() -> None:
    assert read([b"data: 1\r", b"\n\r", b"\n", b"data: 2\r\n\r\n"]) == [("", b"1"), ("", b"2")]


def test_an_event_without_its_blank_line_counts_at_the_end_of_the_stream() -> None:
    assert read([b"event: done\ndata: {}"]) == [("done", b"{}")]


def test_comments_and_events_without_data_are_passed_over() -> None:
    assert read([b": still there\n\nevent: ping\n\nid: 7\nretry: 10\n\ndata: x\n\n"]) == [("", b"x")]


def test_a_line_of_many_megabytes_is_handed_out_as_it_comes() -> None:
    reader, piece = EventReader(), b"A" * 65_536
    reader.feed(b"data: ")
    for _ in range(256):
        assert reader.feed(piece) == [piece]
    assert reader.feed(b"\n\n") == [""]


def test_the_events_name_may_follow_its_data() -> None:
    assert read([b"data: 1\nevent: late\n\n"]) == [("late", b"1")]


def test_a_whole_json_is_an_event_of_its_own_where_its_blank_line_is_missing() -> None:
    assert read([b'event: a\ndata: {"a": [\ndata: {}]}\nevent: b\ndata: {}\ndata: [DONE]\n']) == [
        *(("a", b'{"a": [\n{}]}'), ("b", b"{}")),
        ("", b"[DONE]"),
    ]


TREES = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.text('{}[]\\"\n ', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@given(
    st.lists(st.tuples(TREES, st.sampled_from(["\n", " \r\n", "\n\n \t", "", ","])), min_size=1, max_size=4),
    st.sampled_from([None, 0, 2]),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_json_texts_are_told_apart_wherever_they_are_cut(
    texts: list[tuple[dict[str, object], str]], indent: int | None, places: list[int]
) -> None:
    whole = "".join(json.dumps(tree, indent=indent) + end for tree, end in texts).encode()
    found = [data for _, data in read(cut(whole, places), JsonReader())]
    assert [json.loads(data) for data in found] == [tree for tree, _ in texts]


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b"]), TREES), min_size=1, max_size=4),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["", "\n", ": PING\n", "id: 7\n"]),
    st.sampled_from([":", ": ", ":  "]),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_events_of_json_keep_their_names_with_blank_lines_between_them_and_without(
    events: list[tuple[str, dict[str, object]]], indent: int | None, between: str, colon: str, places: list[int]
) -> None:
    def written(name: str, tree: dict[str, object]) -> str:
        data = "".join(f"data{colon}{line}\n" for line in json.dumps(tree, indent=indent).split("\n"))
        return (f"event: {name}\n" if name else "") + data

    whole = between.join(written(*each) for each in events).encode()
    assert [(name, json.loads(data)) for name, data in read(cut(whole, places))] == events
