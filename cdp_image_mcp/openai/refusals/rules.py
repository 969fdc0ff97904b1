"""What the API's error answers mean: the rules of ``rules.json``, with where and when each was seen."""

import re
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.errors import Code, Fact

Again: TypeAlias = Literal["limit", "service"]
"""Why a request may be sent again by itself: a limit that clears; a fault before any work, a limit without a word."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table. An answer matches when every given condition holds; the first match counts.

    ``submitted`` is False where the server turned the request away at the door. ``again`` is set only where nothing
    can have been paid: an answer of 500, 502, 503 or 521 to 523 that held no picture is billed by nobody, unless it is
    a gateway's that had waited for the server, but whether the server began to work nobody knows either. It is told as
    ``submitted`` "unknown" and ``spent`` False, and stays so over every later try of the same generation unless one of
    them is worse or brings the pictures.
    """

    code: Code
    says: str
    seen: str
    """Where and when."""
    statuses: frozenset[int] = frozenset()
    """4 stands for all from 400 to 499."""
    names: frozenset[str] = frozenset()
    """Values of ``error.code``."""
    types: frozenset[str] = frozenset()
    param: str | None = None
    text: str | None = None
    """Regular expression, searched in the message without regard to case."""
    after: float = 0.0
    """Seconds of silence after which somebody spoke in the server's place: it says nothing of an error of its own."""
    submitted: Fact = False
    spent: Fact = False
    again: Again | None = None
    next_step: str | None = None

    def matches(self, status: int, name: str, kind: str, param: str, text: str, silence: float = 0.0) -> bool:
        """``silence``: 0 when the server itself speaks."""
        return (
            silence >= self.after
            and (not self.statuses or not self.statuses.isdisjoint((status, status // 100)))
            and (not self.names or name in self.names)
            and (not self.types or kind in self.types)
            and (self.param is None or param == self.param)
            and (self.text is None or re.search(self.text, text, re.IGNORECASE) is not None)
        )


_FILE = resources.files("cdp_image_mcp.openai.refusals").joinpath("rules.json")
RULES = msgspec.convert(msgspec.json.decode(_FILE.read_bytes())["rules"], tuple[Rule, ...])
