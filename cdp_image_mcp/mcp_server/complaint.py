"""What is said about an argument that cannot be used: the field, what it was, and what it takes."""

import json
import math
from typing import Any, cast

from cdp_image_mcp.system.plaintext import clean

LONGEST_SHOWN = 60
"""Characters of a value that are repeated: enough to recognise it by."""


def is_sound(value: Any) -> bool:
    """Whether ``value`` can be used at all: half of a surrogate pair cannot be written to a record or typed into a
    page, and no clock knows infinity."""
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    return all(_whole(item) if isinstance(item, str) else _finite(item) for item in items)


def _whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def shown(value: Any) -> str:
    """The value in a few words: ``"big"``, ``33,000 characters of text``, ``empty``."""
    if isinstance(value, float) and not math.isfinite(value):
        return "infinite or no number"
    if not is_sound(value):
        return "text with half a character"
    if value in (None, "", [], {}):
        return "empty"
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(told) <= LONGEST_SHOWN:
        return clean(told)
    if isinstance(value, list | dict):
        return f"{len(cast('list[Any]', value))} entries"
    return f"{len(value):,} characters of text" if isinstance(value, str) else f"{told[:LONGEST_SHOWN]}…"
