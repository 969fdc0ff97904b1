"""What a turn without a picture means in the contract's codes."""

from datetime import datetime
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.turn import Turn
from cdp_image_mcp.chatgpt.verdict import Verdict
from cdp_image_mcp.chatgpt.words import Words
from cdp_image_mcp.errors import Code, ImageError

__all__ = ["Outcome", "alert_outcome", "http_outcome", "turn_outcome"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A code of the contract with what is known beside it. ``spent`` is unknown unless structure tells."""

    code: Code
    message: str
    reset_at: str | None = None
    retry_after_seconds: float | None = None
    details: dict[str, Any] = {}

    def error(self) -> ImageError:
        """The exception for a turn that was submitted."""
        raise NotImplementedError


def turn_outcome(found: Verdict, turn: Turn, *, now: datetime, words: Words | None = None) -> Outcome:
    """The outcome of a ``no_picture`` verdict; structure first, the turn's own words last. ``now`` has an offset."""
    raise NotImplementedError


def alert_outcome(text: str, *, now: datetime, words: Words | None = None) -> Outcome | None:
    """What an alert or a dialog outside our turn means, None when it says nothing known."""
    raise NotImplementedError


def http_outcome(status: int, body: bytes, *, now: datetime, words: Words | None = None) -> Outcome | None:
    """What a refused POST of the conversation means, None below 400."""
    raise NotImplementedError
