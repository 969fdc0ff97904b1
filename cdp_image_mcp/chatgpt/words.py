"""Wordings of the site by language: the last resort, and only for our own turn's text or an alert."""

import unicodedata
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

Meaning: TypeAlias = Literal["quota", "upload_quota", "rate", "question", "refused", "suspicious", "failed"]

LONGEST = 6_000
"""Characters of a text that are looked at."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wording. It fits when every group of ``all`` has one of its phrases in the text, compared as folded text."""

    meaning: Meaning
    language: str
    all: tuple[tuple[str, ...], ...]
    source: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        if not self.all or not all(group and all(phrase.strip() for phrase in group) for group in self.all):
            raise ValueError("an empty group of phrases")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wordings in force, the user's first."""

    about: str = ""
    rules: tuple[Rule, ...] = ()

    def fails(self, text: str) -> bool:
        """Whether a tool's own words say that it failed, or what kept it from drawing."""
        return self.meaning(text) in {"failed", "quota", "rate", "refused"}

    def meaning(self, text: str) -> Meaning | None:
        """What the first wording that fits says."""
        plain = folded(text)
        for rule in self.rules:
            if all(any(_phrase(phrase) in plain for phrase in group) for group in rule.all):
                return rule.meaning
        return None


def folded(text: str) -> str:
    """``text`` for comparing: compatibility forms and case folded, accents off, quotes and spaces made plain."""
    plain = unicodedata.normalize("NFKD", text[:LONGEST]).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char) or "\u3099" <= char <= "\u309a")
    plain = unicodedata.normalize("NFC", plain).translate(_PLAIN)
    return " ".join(plain.split())


_PLAIN = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "–": "-", "—": "-", "đ": "d", "ł": "l"})


@lru_cache(maxsize=4096)
def _phrase(phrase: str) -> str:
    # A space at the end of a phrase says that the word ends there.
    return folded(phrase) + (" " if phrase.endswith(" ") else "")
