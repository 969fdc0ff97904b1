"""What a verdict looks at: the turn, the page, what time adds to them; and when a sign may be believed."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage

Kind: TypeAlias = Literal["answer", "stopped", "blocked", "tool_error", "stream_error", "page_error", "unanswered"]
"""Why no picture will come: answered in words; words after a started drawing; moderation; the tool failed;
the stream carried an error; the page shows an error in our turn; the site failed before it took the prompt."""

Cause: TypeAlias = Literal["failed", "unread", "kept_out", "doubt", "error", "shown", "short", "late", "stale", "bytes"]
"""Why the conversation is loaded anew."""

Sign: TypeAlias = Literal[
    "quiet", "since_end", "since_heard", "since_read", "since_running", "since_complete", "since_error", "since_refused"
]
"""What a moment is told the time of."""

LADDER = (90.0, 180.0, 300.0)
"""Seconds of quiet before it is loaded for the same cause again."""
FAILED_LADDER = (15.0, 60.0, 180.0)
"""Seconds after a loading that met an error page."""
ERROR_AGAIN = 30.0
"""A page that shows an error while the site draws may tell nothing more by itself; by then it is often done."""
PAUSE = 15.0
MOST_LOADS = 10


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What time adds to the witnesses' words; seconds."""

    quiet: float = 0.0
    """Since anything of our turn changed, on the page or on the network."""
    since_end: float | None = None
    """Since the answer's stream ended; None while it runs or when it was never seen."""
    stream_open: bool = False
    since_heard: float = 0.0
    """Since the network said something new of what our turn holds."""
    since_read: float | None = None
    """Since our message was in a conversation that was read."""
    since_running: float | None = None
    """Since the site said last that something is being made."""
    since_complete: float | None = None
    """Since the site said that the turn is complete."""
    since_error: float | None = None
    """Since the page first showed an error in our turn."""
    since_refused: float | None = None
    """Since the prompt's own request was answered with a fault of the site, or the conversation, read after it had
    broken off, was seen not to hold it."""
    unread: bool = False
    """The page read the conversation and its answer could not be had: loading it anew tells what it said."""
    line_lost: bool = False
    """The page hears no news from the site any more: its websocket closed."""
    kept_out: bool = False
    """A check answered the site's own calls, and nothing is coming in that loading would cut off."""
    loads: Mapping[Cause, int] = {}
    """How often the conversation was loaded anew for this turn."""
    since_load: float | None = None
    load_failed: bool = False
    """The last loading ended in an error page."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. ``file_ids`` name the pictures to fetch; ``from_page`` means by the page's images instead."""

    action: Literal["pictures_final", "wait", "no_picture"]
    kind: Kind | None = None
    file_ids: tuple[str, ...] = ()
    from_page: bool = False
    text: str = ""
    """The turn's own words, for ``no_picture``."""
    load: Cause | None = None
    """With ``wait``: load the conversation anew now, for this cause."""
    recheck_seconds: float | None = None
    """With ``wait``: when the same facts could give another verdict by time alone; None when only news can."""
    why: str = ""
    """The row of the table, in a few words, for logs."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    turn: Turn
    page: PageReport
    moment: Moment
    pending: list[float]
    """Seconds until the conversation could be loaded for a cause that was met."""

    @property
    def shown(self) -> tuple[SeenImage, ...]:
        return self.page.results(drawn=self.turn.drawing_started)

    @property
    def troubled(self) -> bool:
        """Whether the page shows an error in our turn: by a sign of its own, or a control to try again beside words
        that the network does not know of."""
        turn, page = self.turn, self.page
        told = turn.answered_text or turn.partial_text or turn.tool_error
        return page.failed or (page.retry and not (page.images or page.drawing or told))

    @property
    def words(self) -> str:
        """What was said to our prompt. Words of the page alone are none: it also tells there how long it has worked
        (recorded 2026-09, outside of the answer)."""
        return self.turn.answered_text or self.turn.partial_text or (self.page.error or "").strip()

    @property
    def silent(self) -> bool:
        """Nothing was heard of what the site makes of our prompt."""
        turn = self.turn
        heard = turn.conversation_read or turn.tool_used or turn.drawing_started or turn.pictures
        return not (heard or turn.answered_text or turn.partial_text or turn.turn_complete)

    def after(self, seconds: float, then: Verdict, *, since: float | None = None) -> Verdict:
        """``then`` once it has been quiet for ``seconds``, or so long after ``since``, until then wait."""
        left = seconds - (self.moment.quiet if since is None else since)
        return then if left <= 0 else Verdict(action="wait", recheck_seconds=left, why=f"{then.why}; settling")

    def loadable(self, cause: Cause) -> bool:
        """Whether it may still be loaded for ``cause``: not often enough yet, and nothing is coming in that this would
        cut off."""
        loads = self.moment.loads
        most = len(_ladder(cause, 0))
        return loads.get(cause, 0) < most and sum(loads.values()) < MOST_LOADS and not self.moment.stream_open

    def load(self, cause: Cause, first: float, why: str, *, since: float | None = None) -> Verdict | None:
        """Load the conversation for ``cause`` if it is time. ``first`` counts from the last change, or from ``since``
        seconds ago."""
        if not self.loadable(cause):
            return None
        times, since_load = self.moment.loads.get(cause, 0), self.moment.since_load
        left = _ladder(cause, first)[times] - (self.moment.quiet if since is None else since)
        if since_load is not None:
            left = max(left, PAUSE - since_load)
        if left <= 0:
            return Verdict(action="wait", load=cause, why=why)
        self.pending.append(left)
        return None

    def rests(self, since: float) -> bool:
        """Whether a reading after what was seen ``since`` seconds ago found the turn at rest."""
        turn, moment = self.turn, self.moment
        if moment.since_read is None or not turn.conversation_read or turn.running or turn.stale:
            return False
        if moment.since_read > since:
            return False
        last = turn.tool_error is not None or turn.nothing_follows
        # Of words before a picture the site may say so too: what it says between the two was not recorded.
        if turn.at_rest and (last or turn.answered_text is None or not turn.picture_promised):
            return True
        if turn.read_after and (last or not self.promised):
            return True
        stood = moment.since_heard - moment.since_read
        # A card may stay where the words that took its place have come.
        ended = turn.answered_text is not None or turn.tool_error is not None
        unfinished = turn.previews or turn.unplaced_pictures or (turn.card_waiting and not ended)
        return not unfinished and stood > 0 and stood >= self.patience

    @property
    def promised(self) -> bool:
        return self.turn.picture_promised or self.turn.tool_used

    @property
    def patience(self) -> float:
        """How long a turn must have stood when a reading says nothing new, so that nothing more is to be expected."""
        turn = self.turn
        if turn.answered_text is None and turn.tool_error is None:
            return 60.0 if turn.error and not self.promised else 180.0
        return 60.0 if self.promised else 0.0

    def doubt(
        self, since: float, seconds: float, then: Verdict, *, first: float | None = None, cause: Cause = "doubt"
    ) -> Verdict | None:
        """``then`` after ``seconds`` of quiet, if a reading after the sign found the turn at rest; else it is loaded,
        the first time after ``first`` seconds of quiet."""
        if self.rests(since):
            return self.after(seconds, then)
        return self.load(cause, seconds if first is None else first, then.why)


def _ladder(cause: Cause, first: float) -> tuple[float, ...]:
    if cause == "failed":
        return FAILED_LADDER
    return (first, ERROR_AGAIN, *LADDER) if cause == "error" else (first, *LADDER)
