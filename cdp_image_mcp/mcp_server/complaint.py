"""What is said about an argument that cannot be used: the field, what it takes, and what it was, in one sentence."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

from cdp_image_mcp.system.plaintext import clean

__all__ = ["is_sound", "missing", "unknown", "unusable"]

LONGEST_SHOWN = 60
"""Characters of a value that are repeated: enough to recognise it by."""

GENERATION_ID = "a generation_id from an earlier answer, 32 hexadecimal digits"
WORDS = {
    "size": "auto, WIDTHxHEIGHT in pixels such as 1024x1536, or a ratio such as 16:9",
    "generation_id": GENERATION_ID,
    "continue_from": GENERATION_ID,
    "mask": "an absolute path",
    "output_dir": "an absolute path",
    "reference_images": "a list of at most 16 absolute paths",
}
"""What a schema says with patterns and lengths alone."""


def unusable(field: str, value: Any, schema: Mapping[str, Any]) -> str:
    """``value`` is not what ``schema``, the field's own, takes."""
    if value is None:
        return f"{field} must be {_taken(field, schema)}; leave it out for the default."
    return f"{field} must be {_taken(field, schema)}; it {_was(value)}."


def is_sound(value: Any) -> bool:
    """Whether ``value`` can be used at all: half of a surrogate pair cannot be written to a record or typed into a
    page, and no clock knows infinity."""
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    return all(_whole(item) if isinstance(item, str) else _finite(item) for item in items)


def _whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def missing(field: str, schema: Mapping[str, Any]) -> str:
    return f"{field} is missing: it must be {_taken(field, schema)}."


def unknown(name: str, known: Iterable[str]) -> str:
    """There is no argument ``name``."""
    *others, last = known
    there = f"there are {', '.join(others)} and {last}" if others else f"there is {last}"
    return f"There is no argument {_shown(name)}; {there}."


def _taken(field: str, schema: Mapping[str, Any]) -> str:
    if field in WORDS:
        return WORDS[field]
    if "enum" in schema:
        *others, last = cast("list[str]", schema["enum"])
        return f"{', '.join(others)} or {last}"
    match schema["type"]:
        case "boolean":
            return "true or false"
        case "string":
            return f"text of {schema['minLength']} to {schema['maxLength']:,} characters"
        case kind:
            number = "a whole number" if kind == "integer" else "a number"
            return f"{number} from {schema['minimum']:g} to {schema['maximum']:g}"


def _was(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "is not finite"
    if not is_sound(value):
        return "holds half a character or a number that is not finite"
    if value in ("", [], {}):
        return "is empty"
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(told) <= LONGEST_SHOWN:
        return f"is {told}"
    if isinstance(value, list | dict):
        return f"has {len(cast('list[Any]', value))} entries"
    return f"has {len(value):,} characters" if isinstance(value, str) else f"is {told[:LONGEST_SHOWN]}…"


def _shown(text: str) -> str:
    return clean(text, LONGEST_SHOWN) or "of that name"
