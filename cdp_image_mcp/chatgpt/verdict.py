"""Whether our turn is over, decided in one place from the network's witness and the page's.

======================================================================  =======================================
What is seen                                                            What follows
======================================================================  =======================================
(docstring completed with the rule)
======================================================================  =======================================
"""

from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.turn import Turn

__all__ = ["Kind", "PageImage", "PageSigns", "Verdict", "verdict"]

Kind: TypeAlias = Literal["answer", "stopped", "blocked", "tool_error", "stream_error", "page_error"]
"""Why no picture will come: answered in words; words after a started drawing; moderation; the tool failed;
the stream carried an error; the page shows an error in our turn."""


class PageImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image element inside our own turn."""

    file_id: str | None = None
    natural_width: int = 0
    natural_height: int = 0
    complete: bool = False
    blob: bool = False


class PageSigns(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows of our turn, filled by the page side. The default is a page that shows nothing."""

    images: tuple[PageImage, ...] = ()
    drawing: bool = False
    """Canvas, progress text, skeleton or loading state in our turn."""
    stop_visible: bool = False
    error_node: bool = False
    """An error element with a retry control in our turn."""
    turn_text: str = ""
    """The visible text of our answer alone: no prompt, no screen-reader headings, no buttons."""
    quiet_seconds: float = 0.0
    """Seconds since anything of our turn changed, on the page or on the network."""
    ab_panel: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. ``file_ids`` name the pictures to fetch; ``from_page`` means by the page's images instead."""

    action: Literal["pictures_final", "wait", "no_picture"]
    kind: Kind | None = None
    file_ids: tuple[str, ...] = ()
    from_page: bool = False
    text: str = ""
    """The turn's own words, for ``no_picture``."""
    missing: int = 0
    """Pictures that were announced and have not come."""
    advise: Literal["reload"] | None = None
    recheck_seconds: float | None = None
    """With ``wait``: when the same facts could give another verdict by time alone; None when only news can."""
    why: str = ""
    """The row of the table, in a few words, for logs."""


def verdict(
    turn: Turn, signs: PageSigns, *, since_stream_end: float | None = None, reloads: int = 0, network: bool = True
) -> Verdict:
    """Judge ``turn`` with ``signs``.

    ``since_stream_end``: seconds since the answer's stream ended (None while it runs or when never seen).
    ``reloads``: reloads of the conversation already done for this turn. ``network`` False: the network could not be
    watched during this turn, so that its silence means nothing.
    """
    raise NotImplementedError
