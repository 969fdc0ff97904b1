"""YAML, as far as a block of lines of ours can be put in or taken out. No reader of YAML is among the packages, so a
file is changed only where its lines say plainly what they are, and no line that is not ours is touched."""

import json
import re
from typing import Any, NamedTuple

from cdp_image_mcp.cli.install.changing import UnsafeChangeError

TOP = re.compile(r"([A-Za-z_][\w-]*):[ \t]*(.*?)[ \t]*(?:#.*)?")
PLAIN = re.compile(r"(?!.*(?:[ \t]#|:(?:[ \t]|$)))(?:-{0,2}[^\W\d]|\.(?!\d)|[/~])[^\x00-\x1f\x7f]*")
"""A text without quotation marks, where it can be nothing else: behind some first letters it could be a number."""
NO_TEXT = {"true", "false", "null", "~", "yes", "no", "on", "off", ".inf", ".nan"}
SINGLE = re.compile(r"'((?:[^']|'')*)'")
PAIR = re.compile(r"([\w-]+):(?:[ \t]+(.*?))?[ \t]*")

UNREAD = "its entry for this server is in a form that this program does not read"


class _Place(NamedTuple):
    """Lines by their numbers: from the first of them to the one behind the last."""

    section: tuple[int, int]
    indent: str
    """Of what stands in the section."""
    ours: tuple[int, int] | None


def edited(text: str, key: str, name: str, value: dict[str, Any] | None, *, listed: bool) -> str:
    """``text`` with ``value`` under ``key``: as the member ``name``, or ``listed`` as an item with that name; with
    None, without that entry, which is there. Raises UnsafeChangeError."""
    lines = _lines(text)
    place = _place(lines, key, name, listed=listed)
    if place is None:
        lines += [f"{key}:", *_block(name, value or {}, "  ", listed=listed)]
        return _joined(lines, text)
    start, end = place.section
    first, last = place.ours or (end, end)
    if value is not None:
        lines[start] = re.sub(r":[ \t]*(\{\}|\[\])", ":", lines[start])
        lines[first:last] = _block(name, value, place.indent, listed=listed)
    else:
        del lines[first:last]
        if not any(map(_says, lines[start + 1 : end - (last - first)])):
            lines[start] = re.sub(r":[ \t]*$", ": []" if listed else ": {}", lines[start])
    return _joined(lines, text)


def read_entry(text: str, key: str, name: str, *, listed: bool) -> dict[str, Any] | None:
    """Our entry, if it is there. Raises UnsafeChangeError if its lines are less plain than clients' own."""
    lines = _lines(text)
    place = _place(lines, key, name, listed=listed)
    if place is None or place.ours is None:
        return None
    own = lines[slice(*place.ours)]
    own = [own[0].replace("- ", "  ", 1), *own[1:]] if listed else own[1:]
    return _mapping([line for line in own if _says(line)])


def _place(lines: list[str], key: str, name: str, *, listed: bool) -> _Place | None:
    """Where ``key`` and our entry under it stand; None where the key does not. Raises UnsafeChangeError."""
    section = _section(lines, key)
    if section is None:
        return None
    start, end = section
    indent = _inner_indent(lines[start + 1 : end], listed=listed)
    end = _behind_the_last_word(lines, start, end, indent)
    quoted = rf"[\"']?{re.escape(name)}[\"']?"
    its_name = rf"[\"']?name[\"']?[ \t]*:[ \t]*{quoted}"
    member, named = re.compile(rf"{indent}{quoted}[ \t]*:[ \t]*(.*)"), re.compile(rf"{its_name}[ \t]*(#.*)?")
    for first in range(start + 1, end):
        if listed:
            if not lines[first].startswith(f"{indent}-"):
                continue
        elif (found := member.fullmatch(lines[first])) is None:
            continue
        elif found[1] and not found[1].startswith("#"):
            raise UnsafeChangeError(UNREAD)
        behind = range(first + 1, end)
        beside = next((at for at in behind if _says(lines[at]) and _indent(lines[at]) <= len(indent)), end)
        last = _behind_the_last_word(lines, first, beside, indent)
        if not listed or any(map(named.fullmatch, _own_lines(lines[first:last]))):
            return _Place((start, end), indent, (first, last))
    if listed and any(re.search(its_name, line) for line in lines[start + 1 : end] if _says(line)):
        raise UnsafeChangeError(UNREAD)
    return _Place((start, end), indent, None)


def _own_lines(item: list[str]) -> list[str]:
    """Of an item of a list, the lines that stand as far in as its first word."""
    lines = [line for line in (item[0].replace("-", " ", 1), *item[1:]) if _says(line)]
    return [line.strip() for line in lines if _indent(line) == _indent(lines[0])]


def _mapping(lines: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        indent = _indent(lines[at])
        found = PAIR.fullmatch(lines[at].strip())
        # Items of a list may stand as far out as their key.
        behind = range(at + 1, len(lines))
        end = next((to for to in behind if _indent(lines[to]) < indent + (not _is_item(lines[to]))), len(lines))
        inner = lines[at + 1 : end]
        if found is None or (found[2] is not None and inner):
            raise UnsafeChangeError(UNREAD)
        made[found[1]] = _below(inner) if found[2] is None else _scalar(found[2])
        at = end
    return made


def _below(lines: list[str]) -> Any:
    """What the lines below a key say: nothing, a list of single values, or a mapping."""
    if not lines:
        return None
    if not _is_item(lines[0]):
        return _mapping(lines)
    if not all(_is_item(line) and _indent(line) == _indent(lines[0]) for line in lines):
        raise UnsafeChangeError(UNREAD)
    return [_scalar(line.strip().removeprefix("- ").strip()) for line in lines]


def _is_item(line: str) -> bool:
    return line.lstrip().startswith("- ")


def _scalar(raw: str) -> Any:
    if (quoted := SINGLE.fullmatch(raw)) is not None:
        return quoted[1].replace("''", "'")
    if PLAIN.fullmatch(raw) and raw.lower() not in NO_TEXT:
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise UnsafeChangeError(UNREAD) from None


def _shown(value: dict[str, Any], indent: str) -> list[str]:
    """A mapping of texts, numbers, lists and mappings, a line each."""
    lines: list[str] = []
    for name, each in value.items():
        if isinstance(each, dict) and each:
            lines += [f"{indent}{name}:", *_shown(each, indent + "  ")]  # type: ignore[reportUnknownArgumentType]
        else:
            lines.append(f"{indent}{name}: {json.dumps(each, ensure_ascii=False)}")
    return lines


def _block(name: str, value: dict[str, Any], indent: str, *, listed: bool) -> list[str]:
    inner = _shown(value, indent + "  ")
    if listed:
        return [f"{indent}- {inner[0].strip()}", *inner[1:]]
    return [f"{indent}{name}:", *inner]


def _section(lines: list[str], key: str) -> tuple[int, int] | None:
    """The line of a key at the outermost, and the one of the next key there. Raises UnsafeChangeError where lines do
    not say plainly what belongs to what."""
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in lines):
        raise UnsafeChangeError("it is indented with tabs")
    starts = [place for place, line in enumerate(lines) if line[:1].strip() and not line.startswith("#")]
    # Items of a list may stand as far out as their key.
    keys = [lines[place] for place in starts if not f"{lines[place]} ".startswith("- ")]
    odd = [line for line in keys if TOP.fullmatch(line) is None]
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
    return start, next((place for place in starts if place > start and not lines[place].startswith("-")), len(lines))


def _inner_indent(lines: list[str], *, listed: bool) -> str:
    inner = [line for line in lines if _says(line)]
    if not inner:
        return "  "
    if listed is not inner[0].lstrip().startswith("-"):
        raise UnsafeChangeError("the servers stand in it in another form")
    return inner[0][: _indent(inner[0])]


def _behind_the_last_word(lines: list[str], first: int, end: int, indent: str) -> int:
    """Empty lines and comments at the end belong to what comes next. What stands further in than the entries do may be
    the last line of a long text, whatever it begins with."""
    words = (at for at in range(end - 1, first, -1) if _says(lines[at]) or len(indent) < _indent(lines[at]))
    return next(words, first) + 1


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _lines(text: str) -> list[str]:
    """Without their ends; other characters that Unicode counts as line ends are part of a line here."""
    return re.split(r"\r?\n", text.removesuffix("\n").removesuffix("\r")) if text.strip() else []


def _joined(lines: list[str], text: str) -> str:
    line = "\r\n" if "\r\n" in text else "\n"
    return line.join(lines) + line
