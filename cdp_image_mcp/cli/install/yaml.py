"""YAML, as far as a block of lines of ours can be put in or taken out. No reader of YAML is among the packages, so a
file is changed only where its lines say plainly what they are, and no line that is not ours is touched."""

import json
import re
from typing import Any

from cdp_image_mcp.cli.install.changing import UnsafeChangeError

__all__ = ["put", "read_entry", "shown", "take_out"]

TOP = re.compile(r"([A-Za-z_][\w-]*):[ \t]*(.*?)[ \t]*(?:#.*)?")
PLAIN = re.compile(r"[A-Za-z./_~][\w./@:\\ -]*")
PAIR = re.compile(r"([\w-]+):(?:[ \t]+(.*?))?[ \t]*")

BY_HAND = "its entry for this server was written by hand, in a way that cannot be read safely"


def shown(value: dict[str, Any], indent: str = "") -> str:
    """A mapping of texts, numbers, lists and mappings, a line each."""
    lines: list[str] = []
    for name, each in value.items():
        if isinstance(each, dict) and each:
            lines.append(f"{indent}{name}:")
            lines.append(shown(each, indent + "  ").rstrip("\n"))  # type: ignore[reportUnknownArgumentType]
        else:
            lines.append(f"{indent}{name}: {json.dumps(each, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def put(text: str, key: str, name: str, value: dict[str, Any], *, listed: bool) -> str:
    """``text`` with ``value`` under ``key``: as the member ``name``, or ``listed`` as an item with that name. Raises
    UnsafeChangeError."""
    lines = text.splitlines()
    if not text.strip():
        return _joined([f"{key}:", *_block(name, value, "  ", listed=listed)], text)
    section = _section(lines, key)
    if section is None:
        return _joined([*lines, f"{key}:", *_block(name, value, "  ", listed=listed)], text)
    start, end = section
    lines[start] = re.sub(r":[ \t]*(\{\}|\[\])", ":", lines[start])
    indent = _inner_indent(lines[start + 1 : end], listed=listed)
    block = _block(name, value, indent, listed=listed)
    ours = _ours(lines, section, name, indent, listed=listed)
    first, last = ours if ours is not None else (end, end)
    return _joined([*lines[:first], *block, *lines[last:]], text)


def take_out(text: str, key: str, name: str, *, listed: bool) -> str:
    """``text`` without that entry; the same text where there is none. Raises UnsafeChangeError."""
    lines = text.splitlines()
    section = _section(lines, key) if text.strip() else None
    if section is None:
        return text
    ours = _ours(lines, section, name, _inner_indent(lines[section[0] + 1 : section[1]], listed=listed), listed=listed)
    if ours is None:
        return text
    rest = [*lines[: ours[0]], *lines[ours[1] :]]
    if not any(_says(line) for line in rest[section[0] + 1 : section[1] - (ours[1] - ours[0])]):
        rest[section[0]] = re.sub(r":[ \t]*$", ": []" if listed else ": {}", rest[section[0]])
    return _joined(rest, text)


def read_entry(text: str, key: str, name: str, *, listed: bool) -> dict[str, Any] | None:
    """Our entry, if it is there. Raises UnsafeChangeError if its lines are not as plain as ours are."""
    lines = text.splitlines()
    section = _section(lines, key) if text.strip() else None
    if section is None:
        return None
    indent = _inner_indent(lines[section[0] + 1 : section[1]], listed=listed)
    ours = _ours(lines, section, name, indent, listed=listed)
    if ours is None:
        return None
    own = lines[ours[0] : ours[1]]
    own = [own[0].replace("- ", "  ", 1), *own[1:]] if listed else own[1:]
    return _mapping([line for line in own if _says(line)])


def _mapping(lines: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        indent = _indent(lines[at])
        found = PAIR.fullmatch(lines[at].strip())
        inner = _until(lines[at + 1 :], indent)
        if found is None or (found[2] is not None and inner):
            raise UnsafeChangeError(BY_HAND)
        made[found[1]] = _mapping(inner) if found[2] is None else _scalar(found[2])
        at += 1 + len(inner)
    return made


def _until(lines: list[str], indent: int) -> list[str]:
    end = next((place for place, line in enumerate(lines) if _indent(line) <= indent), len(lines))
    return lines[:end]


def _scalar(raw: str) -> Any:
    if PLAIN.fullmatch(raw) and raw not in {"true", "false", "null", "yes", "no", "on", "off"}:
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        raise UnsafeChangeError(BY_HAND) from None


def _block(name: str, value: dict[str, Any], indent: str, *, listed: bool) -> list[str]:
    inner = shown(value, indent + "  ").splitlines()
    if listed:
        return [f"{indent}- {inner[0].strip()}", *inner[1:]]
    return [f"{indent}{name}:", *inner]


def _section(lines: list[str], key: str) -> tuple[int, int] | None:
    """The line of a key at the outermost, and the one behind its last. Raises UnsafeChangeError where lines do not say
    plainly what belongs to what."""
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in lines):
        raise UnsafeChangeError("it is indented with tabs")
    starts = [place for place, line in enumerate(lines) if line[:1].strip() and not line.startswith("#")]
    odd = [lines[place] for place in starts if TOP.fullmatch(lines[place]) is None and not _closes_a_list(lines, place)]
    if odd and not (odd == ["---"] and starts[0] == lines.index("---")):
        raise UnsafeChangeError(f"it is written in a way that this program cannot change safely ({odd[0][:40]!r})")
    found = [place for place in starts if lines[place].startswith(f"{key}:")]
    if len(found) > 1:
        raise UnsafeChangeError(f"{key} stands in it twice")
    if not found:
        return None
    start = found[0]
    top = TOP.fullmatch(lines[start])
    if top is None or top[2] not in ("", "{}", "[]"):
        raise UnsafeChangeError(f"{key} is written in one line there")
    end = next((place for place in starts if place > start and not lines[place].startswith("-")), len(lines))
    while end > start + 1 and not _says(lines[end - 1]):
        end -= 1
    return start, end


def _closes_a_list(lines: list[str], place: int) -> bool:
    """Items of a list may stand as far out as their key."""
    return lines[place].startswith("- ") or lines[place] == "-"


def _inner_indent(lines: list[str], *, listed: bool) -> str:
    inner = [line for line in lines if _says(line)]
    if not inner:
        return "  "
    if listed is not inner[0].lstrip().startswith("-"):
        raise UnsafeChangeError("the servers stand in it in another form")
    return inner[0][: _indent(inner[0])]


def _ours(
    lines: list[str], section: tuple[int, int], name: str, indent: str, *, listed: bool
) -> tuple[int, int] | None:
    start, end = section
    if listed:
        return _our_item(lines, start + 1, end, name, indent)
    head = re.compile(rf"{indent}[\"']?{re.escape(name)}[\"']?:[ \t]*(#.*)?")
    first = next((place for place in range(start + 1, end) if head.fullmatch(lines[place])), None)
    return None if first is None else (first, _end_of(lines, first, end, len(indent)))


def _our_item(lines: list[str], start: int, end: int, name: str, indent: str) -> tuple[int, int] | None:
    named = re.compile(rf"[-\s]*name:[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*(#.*)?")
    items = [place for place in range(start, end) if lines[place].startswith(f"{indent}-")]
    for first in items:
        last = _end_of(lines, first, end, len(indent))
        if any(named.fullmatch(line) for line in lines[first:last]):
            return first, last
    return None


def _end_of(lines: list[str], first: int, end: int, indent: int) -> int:
    last = next(
        (place for place in range(first + 1, end) if _says(lines[place]) and _indent(lines[place]) <= indent), end
    )
    while last > first + 1 and not _says(lines[last - 1]):
        last -= 1
    return last


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _joined(lines: list[str], text: str) -> str:
    line = "\r\n" if "\r\n" in text else "\n"
    return line.join(lines) + line
