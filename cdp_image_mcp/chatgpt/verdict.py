"""Whether our turn is over: the one rule, from the network's witness and the page's.

The rows are tried from the top; the first that fits gives the verdict. *Quiet* is the time in which nothing of our
turn changed, on page or network. *At rest* is an ``async_status`` that was told and is 4 or null.

==  =====================================================================  ============================================
    What is seen                                                           What follows
==  =====================================================================  ============================================
1   The network has finished pictures, all that were announced, and        pictures_final: at rest at once, else after
    no message still draws                                                 3 s of quiet; another may follow while the
                                                                           status says drawing (15 s), the page draws
                                                                           (15 s), or both (60 s)
2   The network has finished pictures, but fewer than announced, or        wait; pictures_final with ``missing`` after
    a message still draws, or an A/B panel lacks its second                8 s of quiet at rest, 60 s when no status was
                                                                           told; while it says drawing wait on, with
                                                                           one reload after 90 s of quiet
3   The page shows an error node in our turn                               no_picture page_error after 2 s of quiet;
                                                                           while the status says drawing: one reload,
                                                                           then the error decides nothing any more
4   The stream carried an error object                                     no_picture stream_error after 3 s; if
                                                                           drawing had started: one reload first, then
                                                                           only when the conversation is at rest
5   The network has only previews, or the page draws (canvas,              wait (rows 11 and 12 still apply); the page's
    progress, skeleton), unless row 8 fits at rest                         own picture is not taken
6   The page shows finished pictures, the network none                     pictures_final from the page after 5 s of
                                                                           quiet, 15 s with a stop button; while the
                                                                           status says drawing: one reload first
7   A message of ours was blocked by moderation                            no_picture blocked after 2 s of quiet
8   The finished answer in words (assistant, to all, end of turn)          no_picture after 2 s of quiet: *tool_error*
                                                                           if a tool failed, *stopped* if drawing had
                                                                           started, else *answer*; while the status
                                                                           says drawing: 20 s, and one reload first if
                                                                           drawing had started
9   A tool failed and nothing followed                                     no_picture tool_error after 4 s at rest,
                                                                           60 s otherwise
10  Words that are no finished answer, nothing promised, no tool, the      no_picture answer after 20 s of quiet
    turn over; or the network was not watched and the page has words
11  90 s after the stream ended with nothing (30 s if it was cut), 30 s    wait, and one reload is advised
    of them quiet; or 15 s of quiet after the site asked its page to
    read the conversation again, or after a picture that no id can place
    or that is said to be half drawn in a finished message
12  After that reload: the conversation was read, is at rest, holds no     no_picture after 90 s of quiet: *blocked* if
    picture and no card that promises one                                  the picture message is empty, else *stopped*
13  Anything else: the stream ended with a finished card in any            wait; pictures come seconds or many minutes
    language, a bare hand-off, silence                                     later
==  =====================================================================  ============================================

Never decided by: a finished card (a *tool* message to all with end of turn is a placeholder, recorded 2026-04-24), the
stop button alone, words in any language, the number or place of elements, an image's natural size in a hidden tab.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.chatgpt.network.turn import Turn

__all__ = ["SMALLEST", "Kind", "PageImage", "PageSigns", "Verdict", "verdict"]

Kind: TypeAlias = Literal["answer", "stopped", "blocked", "tool_error", "stream_error", "page_error"]
"""Why no picture will come: answered in words; words after a started drawing; moderation; the tool failed;
the stream carried an error; the page shows an error in our turn."""

SMALLEST = 256
"""Pixels of the shorter side below which an image of the page is no result (thresholds of nine drivers: 128 to 256)."""


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


class _Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the rule looks at."""

    turn: Turn
    signs: PageSigns
    since_end: float | None
    reloads: int
    network: bool

    @property
    def at_rest(self) -> bool:
        return self.turn.async_seen and not self.turn.running

    @property
    def shown(self) -> tuple[PageImage, ...]:
        sized = [image for image in self.signs.images if image.complete]
        return tuple(i for i in sized if min(i.natural_width, i.natural_height) >= SMALLEST)

    @property
    def words(self) -> str:
        turn = self.turn
        return turn.answered_text or turn.partial_text or self.signs.turn_text.strip()

    def after(self, seconds: float, then: Verdict) -> Verdict:
        """``then`` once it has been quiet for ``seconds``, until then wait."""
        left = seconds - self.signs.quiet_seconds
        return then if left <= 0 else Verdict(action="wait", recheck_seconds=left, why=f"{then.why}; settling")

    def reload_after(self, seconds: float, why: str) -> Verdict:
        return self.after(seconds, Verdict(action="wait", advise="reload", why=why))


def verdict(
    turn: Turn, signs: PageSigns, *, since_stream_end: float | None = None, reloads: int = 0, network: bool = True
) -> Verdict:
    """Judge ``turn`` with ``signs`` by the table above.

    ``since_stream_end``: seconds since the answer's stream ended (None while it runs or when never seen).
    ``reloads``: reloads of the conversation already done for this turn. ``network`` False: the network could not be
    watched during this turn, so that its silence means nothing. Finished pictures of ``turn`` may be fetched and saved
    before the verdict is ``pictures_final``: it only says when to stop waiting for more.
    """
    case = _Case(turn=turn, signs=signs, since_end=since_stream_end, reloads=reloads, network=network)
    for rule in _RULES:
        found = rule(case)
        if found is not None:
            return found
    return Verdict(action="wait", recheck_seconds=_next_look(case), why="13: nothing decisive yet")


def _pictures(case: _Case) -> Verdict | None:
    turn = case.turn
    finals = turn.final_pictures
    if not finals:
        return None
    done = {picture.message_id for picture in finals}
    drawing = {picture.message_id for picture in turn.previews} - done
    wanted = max(turn.expected_count, 2 if turn.paragen or case.signs.ab_panel else 0)
    missing = max(wanted - len(finals), len(drawing))
    found = Verdict(action="pictures_final", file_ids=tuple(picture.file_id for picture in finals), missing=missing)
    if missing:
        found = msgspec.structs.replace(found, why="2: finished pictures, fewer than announced")
        return _short(case, found) if turn.running else case.after(8 if case.at_rest else 60, found)
    found = msgspec.structs.replace(found, why="1: finished pictures on the network")
    if case.at_rest:
        return found
    drawing = case.signs.drawing
    return case.after(60 if turn.running and drawing else 15 if turn.running or drawing else 3, found)


def _short(case: _Case, found: Verdict) -> Verdict:
    """Some have come and the site still draws: the others may take minutes each."""
    if not case.reloads:
        return case.reload_after(90, found.why)
    return Verdict(action="wait", missing=found.missing, why=f"{found.why}; the status says drawing")


def _page_error(case: _Case) -> Verdict | None:
    if not case.signs.error_node or case.shown:
        return None
    if not case.turn.running:
        return case.after(2, _none(case, "page_error", "3: error in our turn"))
    # The picture may still come and is paid for: giving up here would be final, waiting is not.
    return None if case.reloads else case.reload_after(2, "3: the page shows an error, the network says drawing")


def _stream_error(case: _Case) -> Verdict | None:
    if not case.turn.error or case.shown:
        return None
    if case.turn.drawing_started and not case.reloads:
        return case.reload_after(3, "4: an error in the stream of a picture turn")
    if case.turn.drawing_started and not (case.turn.conversation_read and case.at_rest):
        return None
    return case.after(3, _none(case, "stream_error", "4: an error in the stream", case.turn.error))


def _drawing(case: _Case) -> Verdict | None:
    if case.turn.answered_text is not None and case.at_rest:
        return None
    if case.signs.drawing or (case.turn.previews and not case.shown):
        return (
            _late(case)
            or _nothing_left(case)
            or Verdict(action="wait", recheck_seconds=_next_look(case), why="5: being drawn")
        )
    return None


def _page_pictures(case: _Case) -> Verdict | None:
    """The page shows what the network did not tell: its frames were missed, or this is a preview."""
    if not case.shown:
        return None
    ids = tuple(dict.fromkeys(image.file_id for image in case.shown if image.file_id))
    previews = {picture.file_id for picture in case.turn.previews}
    if case.network and (case.turn.running or case.turn.previews):
        if not case.reloads:
            return case.reload_after(15, "6: the page shows a picture, the network says drawing")
        if case.turn.previews and (not ids or previews.intersection(ids)):
            return Verdict(action="wait", why="6: the page shows a preview")
    found = Verdict(action="pictures_final", file_ids=ids, from_page=True, why="6: finished pictures on the page")
    return case.after(15 if case.signs.stop_visible or case.turn.running else 5, found)


def _blocked(case: _Case) -> Verdict | None:
    if not case.turn.blocked:
        return None
    return case.after(2, _none(case, "blocked", "7: blocked by moderation"))


def _answer(case: _Case) -> Verdict | None:
    turn = case.turn
    if turn.answered_text is None:
        return None
    kind: Kind = "tool_error" if turn.tool_error else "stopped" if turn.drawing_started else "answer"
    found = _none(case, kind, "8: the finished answer in words")
    if not turn.running:
        return case.after(2, found)
    if turn.drawing_started and not case.reloads:
        return case.reload_after(20, "8: an answer in words, the network says drawing")
    return case.after(20, found)


def _tool_error(case: _Case) -> Verdict | None:
    if not case.turn.tool_error:
        return None
    return case.after(4 if case.at_rest else 60, _none(case, "tool_error", "9: the tool failed"))


def _loose_words(case: _Case) -> Verdict | None:
    turn = case.turn
    silent = not turn.picture_promised and not turn.tool_used and not turn.running
    if not silent or not case.words or case.signs.stop_visible:
        return None
    if case.network and not turn.turn_complete:
        return None
    return case.after(20, _none(case, "answer", "10: words and nothing else"))


def _late(case: _Case) -> Verdict | None:
    left = _next_look(case)
    if left is None or left > 0:
        return None
    return Verdict(action="wait", advise="reload", why="11: nothing came after the stream ended")


def _nothing_left(case: _Case) -> Verdict | None:
    turn = case.turn
    if not case.reloads or not turn.conversation_read or not case.at_rest or turn.stale:
        return None
    if turn.unplaced_pictures or turn.card_waiting:
        return None
    kind: Kind = "blocked" if turn.empty_picture else "stopped"
    return case.after(90, _none(case, kind, "12: at rest without a picture"))


_RULES: tuple[Callable[[_Case], Verdict | None], ...] = (
    _pictures,
    _page_error,
    _stream_error,
    _drawing,
    _page_pictures,
    _blocked,
    _answer,
    _tool_error,
    _loose_words,
    _late,
    _nothing_left,
)


def _none(case: _Case, kind: Kind, why: str, words: str = "") -> Verdict:
    text = words or case.words
    if kind == "tool_error" and not text and case.turn.tool_error:
        text = case.turn.tool_error.text
    return Verdict(action="no_picture", kind=kind, text=text, why=why)


def _next_look(case: _Case) -> float | None:
    """Seconds until row 11 fits if nothing happens; 0 when it does, None when only news can change anything."""
    if case.reloads:
        return None
    quiet = case.signs.quiet_seconds
    waits: list[float] = []
    if case.since_end is not None:
        patience = 30 if case.turn.stream_ended == "cut" else 90
        waits.append(max(patience - case.since_end, 30 - quiet, 0.0))
    if case.turn.stale or case.turn.unplaced_pictures or case.turn.half_drawn:
        waits.append(max(15 - quiet, 0.0))
    return min(waits, default=None)
