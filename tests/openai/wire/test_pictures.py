"""Pictures out of JSON as it arrives."""

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_image_mcp.openai.wire.pictures import LARGEST_REST, AnswerError, PictureReader, picture_index
from tests.system.cutting import cut


def read(chunks: list[bytes]) -> tuple[list[bytes], Any]:
    reader, pictures = PictureReader(), list[bytes]()
    for chunk in chunks:
        reader.feed(chunk)
        pictures += reader.whole()
    return pictures, reader.finish()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


TEXTS = st.text(max_size=30) | st.just('"b64_json": "AAAA"') | st.just("b64_json") | st.just('\\"url":"data:x')


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=80), TEXTS), max_size=4),
    st.lists(st.integers(0, 10_000), max_size=15),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_any_split_gives_the_same_pictures_and_the_rest_of_the_json(
    items: list[tuple[bytes, str]], places: list[int], indent: int | None, prefixed: bool
) -> None:
    start = "data:image/png;base64," if prefixed else ""
    data = [{"revised_prompt": text, "b64_json": start + b64(picture), "after": text} for picture, text in items]
    tree = {"created": 1, "data": data, "usage": {"total_tokens": 3}}
    pictures, rest = read(cut(json.dumps(tree, indent=indent).encode(), places))
    assert pictures == [picture for picture, _ in items]
    assert [picture_index(item["b64_json"]) for item in rest["data"]] == list(range(len(items)))
    assert [(item["revised_prompt"], item["after"]) for item in rest["data"]] == [(text, text) for _, text in items]
    assert rest["usage"] == {"total_tokens": 3}


@given(
    st.lists(st.tuples(st.booleans(), TEXTS), min_size=1, max_size=4),
    st.lists(st.integers(0, 1000), max_size=15),
    st.sampled_from([None, 2]),
)
def test_whether_a_picture_stands_alone_is_told_the_same_of_any_split(
    parts: list[tuple[bool, str]], places: list[int], indent: int | None
) -> None:
    """A text of the outermost object, or a list of objects with one."""
    tree = {"first": [1]}
    for number, (alone, text) in enumerate(parts):
        picture = {"b64_json": b64(bytes(100)), "after": text, "of": {"x": text}}
        tree |= picture if alone else {f"data {number}": [{"before": text}, picture, text]}
    reader, told = PictureReader(), list[bool]()
    for chunk in cut(json.dumps(tree, indent=indent).encode(), places):
        reader.feed(chunk)
        told.append(reader.is_event)
    assert told[-1] == any(alone for alone, _ in parts)
    assert told == sorted(told)


@given(
    st.binary(min_size=1, max_size=60),
    st.lists(st.integers(0, 1000), max_size=12),
    st.sampled_from(["php", "net", "ws", "bare"]),
)
def test_escapes_spaces_and_missing_padding_are_read(data: bytes, places: list[int], way: str) -> None:
    text = b64(data)
    written = {
        "php": text.replace("/", "\\/"),
        "net": text.replace("+", "\\u002B").replace("=", "\\u003d"),
        "ws": "\\n".join(text[at : at + 7] for at in range(0, len(text), 7)),
        "bare": text.rstrip("="),
    }[way]
    pictures, _ = read(cut(f'{{"b64_json":"{written}"}}'.encode(), places))
    assert pictures == [data]


def test_a_data_url_in_place_of_an_address_is_a_picture_and_an_address_is_not() -> None:
    pictures, rest = read([b'{"data":[{"url":"data:image\\/png;base64,QUJD"},{"url":"https://example.org/data:x"}]}'])
    assert pictures == [b"ABC"]
    assert [picture_index(item["url"]) for item in rest["data"]] == [0, None]


@pytest.mark.parametrize("text", ["QUJD!!!!", "QUI=QUJD", "A", "data:image/png;base64", "", "\\u00zz"])
def test_what_is_no_base64_is_told_and_the_next_picture_still_comes(text: str) -> None:
    reader = PictureReader()
    reader.feed(f'[{{"b64_json":"{text}"}},{{"b64_json":"QUJD"}}]'.encode())
    assert list(reader.damaged) == [0]
    assert list(reader.whole()) == [b"ABC"]


def test_a_cut_answer_is_told() -> None:
    reader = PictureReader()
    reader.feed(b'{"data":[{"b64_json":"QUJD')
    with pytest.raises(AnswerError, match="ends inside a picture"):
        reader.finish()


def test_what_can_be_read_of_a_cut_answer_is_read_in_one_go() -> None:
    """Words that hold JSON are full of quotes, and an answer of such words may be cut."""
    reader = PictureReader()
    reader.feed(b'{"data": [{"url": "https://a.example/1.png"}], "words": "' + b'{\\"a\\": \\"b\\"}' * 100_000 + b"\\")
    assert {"url": "https://a.example/1.png"} in reader.pieces()


def test_null_stays_null() -> None:
    assert read([b'{"b64_json": null}']) == ([], {"b64_json": None})


def test_an_endless_answer_without_pictures_is_given_up() -> None:
    reader = PictureReader()
    reader.feed(b" " * LARGEST_REST)
    with pytest.raises(AnswerError, match="beside pictures"):
        reader.feed(b" ")


def test_memory_holds_one_decoded_picture_and_no_text() -> None:
    size, pieces = 16 * 1024 * 1024, 65_536
    text = base64.b64encode(bytes(size))
    reader = PictureReader()
    tracemalloc.start()
    reader.feed(b'{"data":[{"b64_json":"')
    for at in range(0, len(text), pieces):
        reader.feed(text[at : at + pieces])
    reader.feed(b'"}]}')
    (data,) = reader.whole()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == size
    assert peak < 1.5 * size
