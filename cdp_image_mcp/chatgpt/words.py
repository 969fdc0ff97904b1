"""Wordings of the site by language: the last resort, and only for our own turn's text or an alert."""

from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Meaning", "Rule", "Words", "load"]

Meaning: TypeAlias = Literal["quota", "upload_quota", "rate", "refused", "failed"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wording. It fits when every group of ``all`` has one of its phrases in the text, compared as folded text."""

    meaning: Meaning
    language: str
    all: tuple[tuple[str, ...], ...]
    source: str = ""
    date: str = ""


class Words(msgspec.Struct, frozen=True):
    """The wordings in force, the user's first."""

    rules: tuple[Rule, ...]

    def meaning(self, text: str) -> Meaning | None:
        raise NotImplementedError


def load(extra: dict[str, Any] | None = None) -> Words:
    """Ours plus ``extra`` (the ``words`` of ``CHATGPT_SITE_FILE``: ``{"rules": [rule, …]}``).

    Raises ImageError ``configuration`` naming the place in ``extra`` that cannot be used.
    """
    raise NotImplementedError
