"""Words that came from outside, made harmless: bounded, without control characters, ANSI codes, hidden letters."""

import re
import unicodedata
from typing import Any

# ECMA-48 escape sequences: CSI, OSC (ended by BEL or ST), and the two-character ones.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Joiners (U+200C, U+200D) stay: Persian, Hindi and family emoji need them.
_KEPT = {"\n", "\t", "\u200c", "\u200d"}
# The tag block can carry a whole hidden message that no screen shows and every model reads.
_TAGS = range(0xE0000, 0xE0080)
# Control, format (bidirectional overrides among them), lone surrogates, private use.
_REFUSED = {"Cc", "Cf", "Cs", "Co"}
# Whoever has a signed address has the picture.
_SIGNATURE = re.compile(r"(https?:[\\/]+[^\s\"'<>?]+\?)[^\s\"'<>,]+", re.IGNORECASE)
# Languages without spaces write their words right before one. fox@2x.png is a file.
_MAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@(?!\dx\.)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
LEVELS = 16
"""Of lists and objects within each other: what comes from outside may be nested until nobody can go through it."""


def _allowed(char: str) -> bool:
    return char in _KEPT or (unicodedata.category(char) not in _REFUSED and ord(char) not in _TAGS)


def clean(text: str, limit: int = 500) -> str:
    """``text`` without what a terminal or a model could be tricked by, at most ``limit`` characters long."""
    # A prefix far above the limit is enough: the rest would be cut anyway and may be megabytes.
    plain = _ANSI.sub("", text[: limit * 4 + 1000]).replace("\r\n", "\n").replace("\r", "\n")
    plain = "".join(char for char in plain if _allowed(char)).strip()
    if len(plain) > limit:
        return plain[: limit - 1].rstrip() + "…"
    return plain


def discreet(text: str, limit: int = 500) -> str:
    """The same for words of the site or the API, which go into files: without what addresses are signed with, and
    without e-mail addresses."""
    # What is cut off within one is one no longer.
    return clean(_MAIL.sub("[e-mail]", _SIGNATURE.sub(r"\1…", clean(text, limit * 2))), limit)


def clean_tree(value: Any, limit: int = 500, levels: int = LEVELS) -> Any:
    """The same for every string inside a JSON value, keys included, as far down as anybody reads."""
    if isinstance(value, str):
        return clean(value, limit)
    if not isinstance(value, dict | list | tuple):
        return value
    if not levels:
        return "…"
    if isinstance(value, dict):
        return {clean(str(key), 100): clean_tree(item, limit, levels - 1) for key, item in value.items()}  # type: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [clean_tree(item, limit, levels - 1) for item in value]  # type: ignore[reportUnknownVariableType]


def sound(text: str) -> str:
    """``text`` with lone surrogates (undecodable bytes of file names) replaced, so that it can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
