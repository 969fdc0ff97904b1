"""The forms of an answer's JSON: where it has its pictures, and what tells of an error."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from cdp_image_mcp.openai.wire.pictures import AnswerError, PictureReader, picture_index

PLACES = ("url", "image_url", "b64_json")
"""Fields in which a picture stands, or its address."""


def fields_of(tree: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", tree) if isinstance(tree, Mapping) else None


def parsed(reader: PictureReader) -> tuple[Mapping[str, Any] | None, str]:
    """A JSON object, or why it cannot be read."""
    try:
        return fields_of(reader.finish()), "it is no JSON object"
    except AnswerError as fault:
        return None, str(fault)


def items_of(tree: Mapping[str, Any], reader: PictureReader) -> Sequence[Mapping[str, Any]]:
    """The places for pictures of a whole answer. Forms of a server's own (``images``, SiliconFlow 2026) name their
    addresses alike, or list them and nothing else. Beside an error, or a picture that the answer names itself and in no
    other place, what is named farther in is a link to something else."""
    items = listed_in(tree)
    if items or reader.painted() is not None:
        return items
    itself = "" if "message" in tree else address_in(tree)
    if wrong_in(tree, []) is not None:
        return [tree] if itself else []
    pieces = [piece for piece in reader.pieces() if "message" not in piece]
    named = [address_in(piece) for piece in pieces]
    lists = (cast("list[Any]", value) for value in tree.values() if isinstance(value, list))
    texts = dict.fromkeys(each for listed in lists for each in listed if isinstance(each, str))
    bare = [each for each in texts if each.startswith("http")]
    if itself and [*named, *bare].count(itself) == 1:
        return [tree]
    return [*pieces, *({"url": each} for each in bare if each not in named)]


def near_in(tree: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The places for pictures of an event, which may be any of several: those it has itself."""
    data = fields_of(tree.get("data"))
    return listed_in(tree) or ([tree] if data is None or "message" in data else [tree, data])


def listed_in(tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = tree.get("data")
    listed = cast("list[Any]", data) if isinstance(data, list) else []
    return [cast("Mapping[str, Any]", item) for item in listed if isinstance(item, Mapping)]


def address_in(item: Mapping[str, Any]) -> str:
    """Where its picture is still to be had; empty when it says nothing of that."""
    said = (item.get(name) for name in PLACES)
    return next((each for each in said if isinstance(each, str) and each and picture_index(each) is None), "")


def wrong_in(tree: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What tells of an error: servers written in Go send the field always, with nothing in it."""
    for each in (tree, *items):
        error = each.get("error")
        if any(cast("Mapping[str, Any]", error).values()) if isinstance(error, Mapping) else error:
            return each
    return None
