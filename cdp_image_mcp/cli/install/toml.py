"""TOML, of which one table is put in or taken out as a block of lines."""

import json
import re
import tomllib
from typing import Any

from cdp_image_mcp.cli.install.changing import UnsafeChangeError, same

HEADER = re.compile(r"\s*\[")
WIDTH, INDENT = 100, "  "
BARE = re.compile(r"[A-Za-z0-9_-]+")


def read(text: str) -> dict[str, Any]:
    """What ``text`` says. Raises UnsafeChangeError for what is no TOML."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnsafeChangeError(f"it is no TOML ({error})") from None


def edited(text: str, path: tuple[str, ...], value: dict[str, Any] | None) -> str:
    """``text`` with that table, in the place of one that is there, else at the end; with None, without it. Raises
    UnsafeChangeError."""
    before = read(text)
    line = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    spans = _spans(lines, path)
    gone = {place for start, end in spans for place in range(start, end)}
    rest = [each for place, each in enumerate(lines) if place not in gone]
    if value is not None:
        block = _shown(path, value).replace("\n", line)
        if spans:
            rest.insert(spans[0][0], block)
        else:
            rest = [text.rstrip(), 2 * line if text.strip() else "", block]
    changed = "".join(rest)
    try:
        after = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        after = None
    # With its only table a table above it goes too, which TOML writes nowhere.
    emptied = after is not None and value is None and same(before, {**after, path[0]: {}}, path, None)
    if after is None or not (emptied or same(before, after, path, value)):
        raise UnsafeChangeError("it is written in a way that this program cannot change safely")
    return changed


def _shown(path: tuple[str, ...], value: dict[str, Any]) -> str:
    """One table with its header."""
    lines = [f"[{'.'.join(map(_key, path))}]", *(_line(name, each) for name, each in value.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    """A key and its value; a long list goes over several lines."""
    whole = f"{_key(name)} = {_value(value)}"
    if len(whole) <= WIDTH or not isinstance(value, list):
        return whole
    lines = [INDENT]
    for each in value:  # type: ignore[reportUnknownVariableType]
        item = f"{_value(each)}, "
        if len(lines[-1] + item) > WIDTH and lines[-1] != INDENT:
            lines.append(INDENT)
        lines[-1] += item
    return "\n".join((f"{_key(name)} = [", *map(str.rstrip, lines), "]"))


def _spans(lines: list[str], path: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the table and its own tables stand. What looks like a header inside a text is found out by the check."""
    names = r"\s*\.\s*".join(f"(?:{re.escape(each)}|\"{re.escape(each)}\"|'{re.escape(each)}')" for each in path)
    ours = re.compile(rf"\s*\[{{1,2}}\s*{names}\s*(?:\.[^\]]*)?\]")
    spans: list[tuple[int, int]] = []
    for start, line in enumerate(lines):
        if ours.match(line) is None:
            continue
        end = next((i for i in range(start + 1, len(lines)) if HEADER.match(lines[i])), len(lines))
        # Empty lines and comments above the next header belong to that one.
        while end > start + 1 and lines[end - 1].strip()[:1] in ("", "#"):
            end -= 1
        spans.append((start, end))
    return spans


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"  # type: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items())  # type: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)
