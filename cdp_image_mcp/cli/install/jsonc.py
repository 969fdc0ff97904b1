"""JSON with comments and trailing commas, changed in one place and left as it is everywhere else."""

import json
import re
from typing import Any

import msgspec

from cdp_image_mcp.cli.install.changing import UnsafeChangeError, same

__all__ = ["put", "read", "take_out"]

SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
WORD = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")


class _Member(msgspec.Struct):
    start: int
    """Of the name."""
    name: str
    value: "_Node"


class _Node(msgspec.Struct):
    start: int
    end: int
    value: Any
    members: list[_Member] | None = None
    """Of an object."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> _Node:
        node = self._value()
        self._skip()
        if self.at != len(self.text):
            raise self._broken("there is something behind its end")
        return node

    def _skip(self) -> None:
        found = SPACE.match(self.text, self.at)
        self.at = found.end() if found is not None else self.at

    def _next(self) -> str:
        self._skip()
        return self.text[self.at : self.at + 1]

    def _broken(self, why: str) -> UnsafeChangeError:
        return UnsafeChangeError(f"it is no JSON (line {self.text.count(chr(10), 0, self.at) + 1}: {why})")

    def _value(self) -> _Node:
        first, start = self._next(), self.at
        if first == "{":
            return self._object(start)
        if first == "[":
            return self._array(start)
        if first == '"':
            value = self._string()
            return _Node(start, self.at, value)
        if (found := WORD.match(self.text, self.at)) is None:
            raise self._broken("a value is missing")
        self.at = found.end()
        return _Node(start, self.at, self._decoded(found[0]))

    def _string(self) -> str:
        if (found := STRING.match(self.text, self.at)) is None:
            raise self._broken("a text is not closed")
        value = self._decoded(found[0])
        self.at = found.end()
        return value

    def _decoded(self, raw: str) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            raise self._broken("a value cannot be read") from None

    def _object(self, start: int) -> _Node:
        self.at += 1
        members: list[_Member] = []
        while self._next() != "}":
            begins = self.at
            if self._next() != '"':
                raise self._broken("a name is missing")
            name = self._string()
            if self._next() != ":":
                raise self._broken("a colon is missing")
            self.at += 1
            members.append(_Member(begins, name, self._value()))
            self._comma("}")
        self.at += 1
        names = [member.name for member in members]
        if len(set(names)) < len(names):
            raise UnsafeChangeError("a name stands in it twice")
        return _Node(start, self.at, {member.name: member.value.value for member in members}, members)

    def _array(self, start: int) -> _Node:
        self.at += 1
        values: list[Any] = []
        while self._next() != "]":
            values.append(self._value().value)
            self._comma("]")
        self.at += 1
        return _Node(start, self.at, values)

    def _comma(self, closing: str) -> None:
        after = self._next()
        if after == ",":
            self.at += 1
        elif after != closing:
            raise self._broken("a comma or the end is missing")


def _parsed(text: str) -> _Node:
    try:
        return _Reader(text).whole()
    except RecursionError:
        raise UnsafeChangeError("it is nested too deeply") from None


def read(text: str) -> Any:
    """What ``text`` says. Raises UnsafeChangeError for what is no JSON with comments."""
    return _parsed(text).value if text.strip() else {}


def put(text: str, path: tuple[str, ...], value: dict[str, Any]) -> str:
    """``text`` with ``value`` at ``path``; objects on the way are made. Raises UnsafeChangeError."""
    if not text.strip():
        text = "{}\n"
    root = node = _parsed(text)
    *way, name = path
    unit = _unit(text, root)
    for place, step in enumerate(way):
        member = _member(node, step)
        if member is None:
            made: Any = value
            for inner in reversed(path[place + 1 :]):
                made = {inner: made}
            return _checked(text, _inserted(text, node, step, made, unit), path, value)
        node = member.value
    member = _member(node, name)
    if member is None:
        return _checked(text, _inserted(text, node, name, value, unit), path, value)
    shown = _shown(value, unit, _indent_at(text, member.start), text)
    return _checked(text, text[: member.value.start] + shown + text[member.value.end :], path, value)


def take_out(text: str, path: tuple[str, ...]) -> str:
    """``text`` without what is at ``path``; the same text where nothing is. Raises UnsafeChangeError."""
    if not text.strip():
        return text
    node = _parsed(text)
    for step in path[:-1]:
        member = _member(node, step)
        if member is None:
            return text
        node = member.value
    members = node.members or []
    if (member := _member(node, path[-1])) is None:
        return text
    place = members.index(member)
    behind = _behind_comma(text, member.value.end)
    if place + 1 < len(members) or not place:
        changed = _joined(text[: member.start], text[behind:])
    else:
        # The last one: the comma before it goes too, comments between stay.
        before = members[place - 1].value.end
        comma = SPACE.match(text, before)
        at = comma.end() if comma is not None else before
        changed = text[:at] + text[at + 1 : member.start].rstrip() + text[behind:]
    return _checked(text, changed, path, None)


def _joined(head: str, tail: str) -> str:
    """Without the empty line that would be left."""
    line_end = re.match(r"[ \t]*\r?\n", tail)
    if head[head.rfind("\n") + 1 :].strip() == "" and line_end is not None:
        return head[: head.rfind("\n") + 1] + tail[line_end.end() :]
    return head + tail.lstrip(" ")


def _behind_comma(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    end = found.end() if found is not None else at
    return end + 1 if text[end : end + 1] == "," else at


def _member(node: _Node, name: str) -> _Member | None:
    if node.members is None:
        raise UnsafeChangeError("where the servers belong there is something else")
    return next((member for member in node.members if member.name == name), None)


def _inserted(text: str, node: _Node, name: str, value: Any, unit: str) -> str:
    """As the last member of an object, on a line of its own."""
    line = "\r\n" if "\r\n" in text else "\n"
    closing, outer = node.end - 1, _indent_at(text, node.start)
    members = node.members or []
    indent = _indent_at(text, members[0].start) if members and _alone(text, members[0].start) else outer + unit
    made = f"{indent}{json.dumps(name, ensure_ascii=False)}: {_shown(value, unit, indent, text)}"
    head = text[:closing]
    if members and _behind_comma(text, last := members[-1].value.end) == last:
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


def _unit(text: str, root: _Node) -> str:
    first = (root.members or [None])[0]
    return (_indent_at(text, first.start) if first is not None and _alone(text, first.start) else "") or "  "


def _checked(before: str, after: str, path: tuple[str, ...], value: Any) -> str:
    """``after``, if it says the same as ``before`` with that one change."""
    if not same(read(before), read(after), path, value):
        raise UnsafeChangeError("it is written in a way that this program cannot change safely")
    return after
