"""The operations of the v1 delta encoding on one JSON document.

Documents are values: an operation gives a new document that shares every unchanged part with the old one, so that
what was handed out earlier stays as it was. A place that does not exist is UNSET, which a null is not. Operations and
their leniency as read in six public clients, 2026.
"""

from typing import Any, cast

from msgspec import UNSET

LONGEST_TEXT = 500_000
LONGEST_LIST = 10_000
DEEPEST = 32


class DeltaError(Exception):
    """A delta that does not fit its document."""


Path = tuple[str, ...]


def path_of(pointer: str) -> Path:
    """The segments of a JSON pointer (RFC 6901), escapes undone. Raises DeltaError."""
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise DeltaError(f"not a JSON pointer: {pointer[:80]!r}")
    segments = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    if len(segments) > DEEPEST:
        raise DeltaError("the pointer is too deep")
    return segments


def apply(node: Any, path: Path, operation: str, value: Any) -> Any:
    """``node`` after the operation; UNSET when it is removed itself. Raises DeltaError."""
    if not path:
        return _at(node, operation, value)
    head, rest = path[0], path[1:]
    if isinstance(node, dict):
        return _in_object(cast("dict[str, Any]", node), head, rest, operation, value)
    if isinstance(node, list):
        return _in_list(cast("list[Any]", node), head, rest, operation, value)
    raise DeltaError("the pointer leads nowhere")


def _in_object(node: dict[str, Any], head: str, rest: Path, operation: str, value: Any) -> Any:
    changed = apply(node.get(head, {} if rest else UNSET), rest, operation, value)
    if changed is UNSET:
        return {key: kept for key, kept in node.items() if key != head}
    return {**node, head: changed}


def _in_list(node: list[Any], head: str, rest: Path, operation: str, value: Any) -> Any:
    index = _index(head, len(node))
    if operation == "add" and not rest:
        if len(node) >= LONGEST_LIST:
            raise DeltaError("the list is too long")
        return [*node[:index], value, *node[index:]]
    child = node[index] if index < len(node) else UNSET
    changed = apply(child, rest, operation, value)
    return [*node[:index], *([] if changed is UNSET else [changed]), *node[index + 1 :]]


def _index(segment: str, length: int) -> int:
    if segment == "-":
        return length
    if not (segment.isascii() and segment.isdigit() and len(segment) < 6) or int(segment) > length:
        raise DeltaError("no such index")
    return int(segment)


def _at(node: Any, operation: str, value: Any) -> Any:
    match operation:
        case "add" | "replace":
            return value
        case "remove":
            return UNSET
        case "append":
            return _append(node, value)
        case "truncate":
            return _truncate(node, value)
        case _:
            raise DeltaError(f"unknown operation {operation[:40]!r}")


def _append(node: Any, value: Any) -> Any:
    if node is None or node is UNSET:
        return value
    if isinstance(node, str) and isinstance(value, str):
        if len(node) + len(value) > LONGEST_TEXT:
            raise DeltaError("the text is too long")
        return node + value
    if isinstance(node, list):
        added = cast("list[Any]", value) if isinstance(value, list) else [value]
        if len(cast("list[Any]", node)) + len(added) > LONGEST_LIST:
            raise DeltaError("the list is too long")
        return [*cast("list[Any]", node), *added]
    if isinstance(node, dict) and isinstance(value, dict):
        return {**cast("dict[str, Any]", node), **cast("dict[str, Any]", value)}
    raise DeltaError("nothing to append to")


def _truncate(node: Any, value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DeltaError("not a length")
    if not isinstance(node, str | list):
        raise DeltaError("nothing to truncate")
    return cast("str | list[Any]", node)[:value]
