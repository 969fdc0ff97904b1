"""Folder names that are legal on Linux, macOS and Windows, whatever the prompt is made of."""

import unicodedata
from datetime import datetime

MAX_SLUG = 42
"""Characters. At four bytes each and with time and suffix a name stays far below the 255 bytes of ext4 and APFS."""

MARKS_PER_LETTER = 4
"""No script needs more; what piles up dozens only wants to be seen."""

READ = 2_000
"""Characters of the prompt that are looked at."""

FALLBACK = "image"


def slug(prompt: str) -> str:
    """Letters and digits of any script, lower case, joined by ``-``, NFC, at most 42 characters; else ``image``."""
    text = unicodedata.normalize("NFC", _folded(prompt[:READ]))
    end = MAX_SLUG
    while unicodedata.category(text[end : end + 1] or "-").startswith("M"):
        end -= 1  # a mark stays with its letter
    return text[:end].rstrip("-") or FALLBACK


def folder_name(prompt: str, at: datetime, attempt: int = 1) -> str:
    """``YYYYMMDD-HHMMSS-slug`` of a local time; from the second ``attempt`` on with ``-2``, ``-3``, … at the end."""
    suffix = f"-{attempt}" if attempt > 1 else ""
    # Not strftime: below the year 1000 it pads differently from system to system.
    return f"{at.year:04}{at.month:02}{at.day:02}-{at.hour:02}{at.minute:02}{at.second:02}-{slug(prompt)}{suffix}"


def _folded(text: str) -> str:
    """Letters, their marks and digits; one ``-`` for everything between them. The time in front of the slug keeps the
    device names of Windows (CON, NUL, …) from being a whole name, and nothing else it forbids is left."""
    out: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text).lower():
        kind = unicodedata.category(char)
        if kind in {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"}:
            out.append(char)
            marks = 0
        elif kind in {"Mn", "Mc"} and not _is_invisible(char):
            # A mark belongs to the letter before it; behind a separator it would hang in the air.
            if out and out[-1] != "-" and marks < MARKS_PER_LETTER:
                out.append(char)
                marks += 1
        elif kind == "Cf" or _is_invisible(char):
            continue  # joiners inside words of Persian or Hindi do not separate words
        elif out and out[-1] != "-":
            out.append("-")
    return "".join(out)


def _is_invisible(char: str) -> bool:
    """Variation selectors and the grapheme joiner: marks by category, but nothing to see."""
    return char in "\u034f\u180b\u180c\u180d\u180f" or "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0100"
