"""The forms in which models and clients send what the schemas name in one form only, and names that are nearly right.

Seen 2026: null for what was left out (zenrows-mcp PR#23), lists as JSON text (claude-code#86459), a lone path for a
list (copilot-cli#4301), a prompt that looks like a number (lmstudio-bug-tracker#1626), file addresses (oh-my-pi#4946),
the client's own arguments (Cline's ``task_progress``, cline#9684). Numbers as text are msgspec's own business.
"""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from cdp_image_mcp.studio.asked import ID
from cdp_image_mcp.system.plaintext import LEVELS

SYNONYMS: dict[str, dict[str, str]] = {
    "output_format": {"jpg": "jpeg"},
    "quality": {"hd": "high", "standard": "medium"},
    "size": {"square": "1:1", "portrait": "2:3", "landscape": "3:2"},
}
PATHS = frozenset(("reference_images", "mask", "output_dir"))
SIZE = re.compile(r"(\d{1,5})\s*([x*×/:])\s*(\d{1,5})", re.IGNORECASE)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
"""A scheme; one letter before the colon is a drive of Windows."""
ALIKE = 0.8
DRAWN = "images?|imgs?|pictures?|photos?"
BYTES = "b64|base64|bytes"
OTHER_NAMES: dict[str, tuple[str, str]] = {
    "n": (
        "n|num|numbers?|count|amount|quantity|samples?|variations?|batch|max(?=image|n|output)(?!.*size)",
        f"{DRAWN}|outputs|of|size|total",
    ),
    "size": ("size|ratio|width|height|dimensions|resolution|orientation|aspect", f"{DRAWN}|output"),
    "quality": ("quality", DRAWN),
    "output_format": ("format", f"{DRAWN}|file"),
    "background": ("transparent|background|transparency", f"{DRAWN}|output"),
    "output_compression": ("compression|compressionlevel", f"{DRAWN}|output|jpe?g|webp"),
    "timeout_seconds": ("timeout", "seconds|secs?|ms|max|request|generation"),
    "mask": ("mask", f"{DRAWN}|paths?|urls?|file|data|{BYTES}"),
    "reference_images": (
        f"{DRAWN}|references?|refs?",
        f"input|init|base|source|original|edit|paths?|urls?|files?|data|{BYTES}",
    ),
    "output_dir": ("dir|directory|folder|outputpath|savepath", "output|out|save|target"),
    "generation_id": ("id", "generation|job|task|image"),
    "continue_from": ("id|editof", "previous|parent|generation|response|job|task|image"),
    "prompt": ("prompt|text|description|query", f"{DRAWN}|user"),
}
"""Words of which other image tools make the names of arguments of ours: one that says which it is, and what may stand
beside it. To ignore such a name would make another picture than was asked for, or more of them, and either is paid
for."""
BEGINS = r"data:|~?/|\.{1,2}[/\\]|[a-z]:[\\/]|\\\\|[a-z][a-z0-9+.-]+://"
"""Of paths and addresses."""
ENDS = r"[^\n]*[^\s/\\]\.(?:png|jpe?g|webp|gif|avif|heic|bmp|tiff?)(?:\?[^\n]*)?$"
BARE = r"(?:[^\s?]*[/\\])?[^\s?./\\]+(?:\?\S*)?$"
"""The rest of one without an ending."""
SURE = rf"data:image/|iVBORw0KGgo|/9j/|UklGR|R0lGOD|(?:{BEGINS}){ENDS}"
NAMED = rf"{SURE}|file[-_][a-z0-9_-]+$|{ENDS}|(?:{BEGINS}){BARE}|(?P<id>{ID}(?:/\d+)?$)"
PICTURE = re.compile(SURE, re.IGNORECASE)
"""What can be nothing but a picture, by its kind, by its first bytes in Base64, or by its file's ending."""
FILE = re.compile(NAMED, re.IGNORECASE)
"""What may be one where the name says that it is a file: most are texts."""
ANY = re.compile(rf"{NAMED}|{BEGINS}", re.IGNORECASE)
"""What may be one where the name says picture."""
HOLDS = re.compile(r"files?|inputs?")
CARRIES = re.compile(rf"{DRAWN}|references?|refs?|attachments?|frames?|sketch|masks?")
SAVES = re.compile(r"outputs?|out|saved?|names?|filenames?|dest|destination|downloads?|results?")
WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
LONGEST_PATH = 5_000


class UnusableError(ValueError):
    """A value that is none of the forms; the text says why in a few words."""


def right_name(name: str, known: Iterable[str]) -> str | None:
    """The argument that whoever wrote ``name`` meant; None for something else altogether."""
    names = {_bare(each): each for each in known}
    bare = _bare(name)
    for meant, (says, beside) in OTHER_NAMES.items():
        if meant in names.values() and re.fullmatch(rf"(?:{beside})*(?:{says})(?:{says}|{beside})*", bare):
            return meant
    close = difflib.get_close_matches(bare, names, n=1, cutoff=ALIKE)
    return names[close[0]] if close else None


def carries(name: str, value: Any) -> str | None:
    """The argument in which the picture belongs that ``value`` holds under a name that the table does not foresee.
    None where it holds none, and where ``name`` says what the new one is to be called: that is made all the same."""
    words = [word.lower() for word in WORDS.findall(name[:100])]
    if any(SAVES.fullmatch(word) for word in words):
        return None
    says = FILE if any(HOLDS.fullmatch(word) for word in words) else PICTURE
    if any(CARRIES.fullmatch(word) for word in words):
        says = ANY
    for text in _texts(value, LEVELS):
        if (found := says.match(text.strip()[:LONGEST_PATH])) is not None:
            if found.groupdict().get("id"):
                return "continue_from"
            return "mask" if {"mask", "masks"} & {*words} else "reference_images"
    return None


def _texts(value: Any, levels: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and levels:
        inner = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for each in inner:
            yield from _texts(each, levels - 1)


def _bare(name: str) -> str:
    return re.sub(r"[_\s-]", "", name[:100]).lower()


def plain(field: str, value: Any) -> Any:
    """``value`` as the schema has it, if it is another usual form of it. Raises UnusableError."""
    if field == "prompt":
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        # Trimmed first, so that its limits count what would be sent.
        return value.strip() if isinstance(value, str) else value
    if field == "reference_images":
        value = [each for each in _listed(value) if each not in (None, "")]
    if field in PATHS:
        return [_path(each) for each in cast("list[Any]", value)] if isinstance(value, list) else _path(value)
    if not isinstance(value, str):
        return value
    value = value.strip().lower()
    value = SYNONYMS.get(field, {}).get(value, value)
    return _size(value) if field == "size" else value


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return cast("list[Any]", value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(msgspec.DecodeError, RecursionError):  # a name in brackets
            return msgspec.json.decode(value, type=list[Any])
    return [value]


def _size(value: str) -> str:
    found = SIZE.fullmatch(value)
    if found is None:
        return value
    between = ":" if found[2] in "/:" else "x"
    return f"{found[1]}{between}{found[3]}"


def _path(value: Any) -> Any:
    if not isinstance(value, str) or ADDRESS.match(value) is None:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        raise UnusableError("this is no address") from None
    if parts.scheme.lower() != "file" or parts.netloc not in {"", "localhost"}:
        raise UnusableError("addresses are not opened, only files of this machine")
    path = unquote(parts.path)
    return path.removeprefix("/") if sys.platform == "win32" else path
