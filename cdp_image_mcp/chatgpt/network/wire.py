"""Reading JSON whose shape is the site's to change: a wrong type reads as absent."""

import re
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec

from cdp_image_mcp.cdp.wire import decode

K = TypeVar("K")
V = TypeVar("V")

MOST_MARKS = 1_000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def read_json(data: bytes | str) -> Any:
    """The JSON value, half characters in it mended; None for anything that is not JSON."""
    try:
        return decode(data, object)
    except (msgspec.DecodeError, RecursionError):
        return None


def obj(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int:
    """A whole number of sane size, else 0; the site writes some sizes as floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value < 2**53 else 0


def moment(value: Any) -> float | None:
    """A time as the site writes it: seconds since 1970, or ISO 8601, without an offset in UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        told = datetime.fromisoformat(text(value))
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def uuid_of(value: Any) -> str:
    """``value`` if it is a UUID, else empty: interim conversation ids are none."""
    return value.lower() if isinstance(value, str) and _UUID.fullmatch(value) else ""


def remember(kept: dict[K, V], key: K, value: V, most: int, *, always: Container[K] = ()) -> None:
    """Put it last; of more than ``most`` the first goes that is not ``always`` kept."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        del kept[next((old for old in kept if old not in always), key)]


def add(marks: set[str], mark: str) -> None:
    if mark and len(marks) < MOST_MARKS:
        marks.add(mark)


def sentence(error: Any) -> str:
    """What an error says, whatever its shape; empty when it has no words."""
    inner = obj(error)
    return text(error) or text(inner.get("message")) or text(inner.get("detail")) or text(inner.get("code"))
