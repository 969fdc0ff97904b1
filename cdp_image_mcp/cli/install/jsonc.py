"""JSON with comments and trailing commas, changed in one place and left as it is everywhere else."""

import json
import re
from functools import lru_cache
from typing import Any

import msgspec

from cdp_image_mcp.cli.install.changing import UnsafeChangeError, same

SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
STRING = r'"(?:[^"\\\n]|\\.)*"'
COMMENT = re.compile(rf"{STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
LAST_COMMA = re.compile(rf"{STRING}|,(?=\s*[}}\]])")


class _Member(msgspec.Struct):
    """Where a name of an object begins, and its value begins and ends."""

    start: int
    value: int
    end: int


@lru_cache(2)
def _plain(text: str) -> str:
    """The same without comments and trailing commas, each character where it was."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])

    return LAST_COMMA.sub(blank, COMMENT.sub(blank, text))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise UnsafeChangeError("a name stands in it twice")
    return dict(pairs)


def _no_json(name: str) -> Any:
    raise UnsafeChangeError(f"it is no JSON ({name})")


DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_json)


def read(text: str) -> Any:
    """What ``text`` says. Raises UnsafeChangeError for what is no JSON with comments."""
    if not text.strip():
        return {}
    try:
        return DECODER.decode(_plain(text))
    except RecursionError:
        raise UnsafeChangeError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UnsafeChangeError(f"it is no JSON (line {error.lineno}: {error.msg})") from None


def edited(text: str, path: tuple[str, ...], value: dict[str, Any] | None) -> str:
    """``text`` with ``value`` at ``path``, objects on the way made; with None, without what is there. Raises
    UnsafeChangeError."""
    text = text if text.strip() else "{}\n"
    before = read(text)
    changed = _without(text, path) if value is None else _with(text, path, value)
    if not same(before, read(changed), path, value):
        raise UnsafeChangeError("it is written in a way that this program cannot change safely")
    return changed


def _members(text: str, start: int) -> tuple[dict[str, _Member], int]:
    """Of the object that begins at ``start`` of a text that can be read, and where it ends."""
    plain = _plain(text)
    if plain[start] != "{":
        raise UnsafeChangeError("where the servers belong there is something else")
    members: dict[str, _Member] = {}
    at = _behind_space(plain, start + 1)
    while plain[at] != "}":
        name, end = DECODER.raw_decode(plain, at)
        value = _behind_space(plain, _behind_space(plain, end) + 1)
        _, end = DECODER.raw_decode(plain, value)
        members[name] = _Member(at, value, end)
        at = _behind_space(plain, _behind_comma(plain, end))
    return members, at + 1


def _with(text: str, path: tuple[str, ...], value: dict[str, Any]) -> str:
    at = _behind_space(text, 0)
    start, end = at, at
    # As deep as one step is indented there.
    first = next((member.start for member in _members(text, at)[0].values()), None)
    unit = (_indent_at(text, first) if first is not None and _alone(text, first) else "") or "  "
    for depth, step in enumerate(path):
        there = _members(text, at)[0].get(step)
        if there is None:
            for inner in reversed(path[depth + 1 :]):
                value = {inner: value}
            return _inserted(text, at, step, value, unit)
        start, at, end = there.start, there.value, there.end
    return text[:at] + _shown(value, unit, _indent_at(text, start), text) + text[end:]


def _without(text: str, path: tuple[str, ...]) -> str:
    at = _behind_space(text, 0)
    for step in path[:-1]:
        at = _members(text, at)[0][step].value
    members = _members(text, at)[0]
    names = list(members)
    there, place = members[path[-1]], names.index(path[-1])
    behind = _behind_comma(text, there.end)
    if place + 1 < len(names) or not place:
        return _joined(text[: there.start], text[behind:])
    # The last one: the comma before it goes too, comments between stay.
    comma = _behind_space(text, members[names[place - 1]].end)
    return text[:comma] + text[comma + 1 : there.start].rstrip() + text[behind:]


def _joined(head: str, tail: str) -> str:
    """Without the empty line that would be left."""
    line_end = re.match(r"[ \t]*\r?\n", tail)
    if head[head.rfind("\n") + 1 :].strip() == "" and line_end is not None:
        return head[: head.rfind("\n") + 1] + tail[line_end.end() :]
    return head + tail.lstrip(" ")


def _behind_space(text: str, at: int) -> int:
    """Behind comments too."""
    found = SPACE.match(text, at)
    return found.end() if found is not None else at


def _behind_comma(text: str, at: int) -> int:
    end = _behind_space(text, at)
    return end + 1 if text[end : end + 1] == "," else at


def _inserted(text: str, start: int, name: str, value: Any, unit: str) -> str:
    """As the last member of the object that begins there, on a line of its own."""
    line = "\r\n" if "\r\n" in text else "\n"
    members, end = _members(text, start)
    there = list(members.values())
    closing, outer = end - 1, _indent_at(text, start)
    indent = _indent_at(text, there[0].start) if there and _alone(text, there[0].start) else outer + unit
    made = f"{indent}{json.dumps(name, ensure_ascii=False)}: {_shown(value, unit, indent, text)}"
    head = text[:closing]
    if there and _behind_comma(text, last := there[-1].end) == last:
        head = f"{head[:last]},{head[last:]}"
    return f"{head.rstrip()}{line}{made}{line}{outer}{text[closing:]}"


def _shown(value: Any, unit: str, indent: str, text: str) -> str:
    shown = json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", "\n" + indent)
    return shown.replace("\n", "\r\n") if "\r\n" in text else shown


def _alone(text: str, at: int) -> bool:
    return text[text.rfind("\n", 0, at) + 1 : at].strip() == ""


def _indent_at(text: str, at: int) -> str:
    """Of the line in which ``at`` stands."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]
