"""Whether our turn is over: the one rule, from the network's witness and the page's.

What could lose, double or mistake a picture here, and what is done:

- lose: giving up by a word, a button or an error while the site draws on. Such signs are *doubts*: they are believed
  only when the conversation was read after they came and is at rest; until then it is loaded anew, and waited for.
- mistake: the person's own reference, an earlier picture or a preview taken off the page. The page's pictures count
  only when the conversation was read since the stream's end, no hand-off is open but at rest, and the network has none.
- double: an end that is told too early makes the caller ask again. So every doubt ends in waiting, never in a word.

The rows are tried from the top; the first that fits gives the verdict. *Quiet* is the time in which nothing of our turn
changed, on page or network. *At rest*: the site says so (``async_status`` 4, or null in a whole conversation, not of
words that a promised picture may follow; and, where no picture was promised or none can follow the words, or the tool
failed, an answer that is said to be over and a reading since), or a reading said nothing new after the turn's content
had stood for a while: at once for words to which nothing else can follow, 60 s where a picture was promised, 180 s
where nothing came at all. That the *status says drawing* holds until the conversation was loaded anew and 15 s later,
unless it is said again. *Loaded* means: the conversation is loaded anew, for each cause first at the time the row
names, then after 90, 180 and 300 s of quiet, never twice within 15 s, ten times in all.

==  =====================================================================  ============================================
    What is seen                                                           What follows
==  =====================================================================  ============================================
0   Loading anew met an error, of the page or of what it then reads; the   loaded: after 15 s, at once, at once
    conversation's answer could not be read; a check answered the site's
    own calls
1   The network has finished pictures, all that were announced, and        pictures_final: at rest at once, and when the
    no message still draws                                                 site said after them that the turn is
                                                                           complete and the page is usable again; else
                                                                           after 3 s of quiet, 15 s while the status or
                                                                           the page says drawing, 60 s while both do or
                                                                           the answer streams, on its topic too:
                                                                           another may be asked for
2   The network has finished pictures, but fewer than announced, or        loaded after 60 s of quiet, 90 s while the
    a message still draws, or an A/B panel lacks its second                status says drawing, 180 s while the answer
                                                                           streams; unless it says drawing,
                                                                           pictures_final when a reading so long after
                                                                           the last news says nothing new, or it cannot
                                                                           be loaded
3   The site answered the prompt's own request with 5xx, or it broke off   no_picture unanswered 45 s later; loaded
    without a byte and the conversation, read since, does not hold it;     after 10 s where there is a conversation
    and nothing else was heard of our turn
4   The page shows an error in our turn                                    doubt: no_picture page_error 2 s after
                                                                           rest; loaded once more after 30 s
5   The stream carried an error                                            no_picture stream_error after 3 s where no
                                                                           conversation is known; else a doubt
6   The network has only previews, or the page draws (canvas,              wait (rows 10 and 11 still apply); the page's
    progress, skeleton), unless row 9 fits at rest                         own picture is not taken
7   The page shows finished pictures, the network none                     loaded after 5 s of quiet, 15 s with a stop
                                                                           control, unless the conversation was read
                                                                           since the stream's end, or twice loaded and
                                                                           never read; then pictures_final from the
                                                                           page after as long
8   A message of ours was blocked by moderation                            doubt: no_picture blocked 2 s after rest
9   Words that the network knows (the finished answer; others after       doubt: no_picture 2 s (words), 4 s (tool)
    20 s), or a tool failed                                                after rest: *tool_error* if a tool failed,
                                                                           *stopped* if drawing had started, else
                                                                           *answer*; first loaded after 20 s while the
                                                                           status says drawing
10  Loaded and read since, at rest, no picture and no card that promises   no_picture after 90 s of quiet: *blocked* if
    one                                                                    the picture message is empty, else *stopped*
11  90 s after the stream ended with nothing (30 s if it was cut), 30 s    loaded
    of them quiet; or 15 s of quiet after the site asked its page to
    read the conversation again, after its websocket closed for good, or
    after a picture that no id can place or that is said to be half drawn
    in a finished message
12  Anything else: the stream ended with a finished card in any            wait; pictures come seconds or many minutes
    language, a bare hand-off, silence                                     later
==  =====================================================================  ============================================

Never decided by: a finished card (a *tool* message to all with end of turn is a placeholder, recorded 2026-04-24), the
stop control alone, words in any language, the number or place of elements, an image's natural size in a hidden tab.
"""

from collections.abc import Callable

import msgspec

from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.watching.evidence import PAUSE, Case, Cause, Kind, Moment, Verdict

UNANSWERED_SECONDS = 45.0


def verdict(turn: Turn, page: PageReport, moment: Moment) -> Verdict:
    """Judge ``turn`` with ``page`` by the table above.

    Finished pictures of ``turn`` may be fetched and saved before the verdict is ``pictures_final``: it only says when
    to stop waiting for more.
    """
    case = Case(turn=turn, page=page, moment=moment, pending=[])
    loaded, said = moment.since_load, moment.since_running
    if turn.running and loaded is not None and said is not None and said >= loaded:
        # A page that can tell says it again once it is loaded; where nobody can, it would hold for ever.
        if loaded >= PAUSE:
            case = msgspec.structs.replace(case, turn=msgspec.structs.replace(turn, running=False))
        else:
            case.pending.append(PAUSE - loaded)
    judged = (rule(case) for rule in _RULES)
    found = next((one for one in judged if one is not None), None)
    found = found or Verdict(action="wait", why="12: nothing decisive yet")
    if found.action != "wait" or found.load is not None:
        return found
    times = [*case.pending, *([] if found.recheck_seconds is None else [found.recheck_seconds])]
    return msgspec.structs.replace(found, recheck_seconds=min(times, default=None))


def _blind(case: Case) -> Verdict | None:
    moment = case.moment
    if moment.load_failed:
        return case.load("failed", 0, "0: loading met an error", since=moment.since_load or 0.0)
    if case.turn.final_pictures:
        return None
    causes: tuple[tuple[Cause, bool], ...] = (("unread", moment.unread), ("kept_out", moment.kept_out))
    loads = (case.load(cause, 0, f"0: the conversation is {cause.replace('_', ' ')}") for cause, seen in causes if seen)
    return next(filter(None, loads), None)


def _pictures(case: Case) -> Verdict | None:
    turn, moment = case.turn, case.moment
    finals = turn.final_pictures
    if not finals:
        return None
    done = {picture.message_id for picture in finals}
    drawing = {picture.message_id for picture in turn.previews} - done
    wanted = max(turn.expected_count, 2 if turn.paragen or case.page.panel else 0)
    missing = max(wanted - len(finals), len(drawing))
    found = Verdict(action="pictures_final", file_ids=tuple(picture.file_id for picture in finals))
    streaming = turn.topic_open or moment.stream_open
    if missing:
        found = msgspec.structs.replace(found, why="2: finished pictures, fewer than announced")
        patience = 180 if streaming else 90 if turn.running else 60
        # A page that shows one picture may read no more.
        confirmed = moment.since_read is not None and moment.since_heard - moment.since_read >= patience
        if confirmed and not turn.running:
            return found
        if case.loadable("short") or turn.running:
            waiting = Verdict(action="wait", why=f"{found.why}; to be read once more")
            return case.load("short", patience, found.why) or waiting
        return case.after(patience, found)
    found = msgspec.structs.replace(found, why="1: finished pictures on the network")
    usable = case.page.found and not case.page.drawing and not case.page.stop
    completed = moment.since_complete is not None and moment.since_complete <= moment.since_heard
    if not streaming and (turn.at_rest or turn.read_after or (completed and usable and not turn.running)):
        return found
    drawn = case.page.drawing
    going_on = streaming or (turn.running and drawn)
    return case.after(60 if going_on else 15 if turn.running or drawn else 3, found)


def _unanswered(case: Case) -> Verdict | None:
    refused = case.moment.since_refused
    if refused is None or not case.silent:
        return None
    why = "3: the site failed to take the prompt"
    found = case.after(UNANSWERED_SECONDS, _none(case, "unanswered", why), since=refused)
    loadable = found.action == "wait" and case.turn.conversation_id and not case.moment.loads
    return (case.load("doubt", 10, why) if loadable else None) or found


def _page_error(case: Case) -> Verdict | None:
    if not case.troubled or case.shown:
        return None
    since = case.moment.since_error or 0.0
    words = case.words or case.page.text.strip()
    return case.doubt(since, 2, _none(case, "page_error", "4: error in our turn", words), cause="error")


def _stream_error(case: Case) -> Verdict | None:
    turn = case.turn
    if not turn.error or case.shown:
        return None
    found = _none(case, "stream_error", "5: an error in the stream", turn.error)
    if turn.conversation_id is None and case.silent:
        return case.after(3, found)
    return case.doubt(case.moment.since_heard, 3, found)


def _drawing(case: Case) -> Verdict | None:
    turn = case.turn
    if turn.answered_text is not None and case.rests(case.moment.since_heard):
        return None
    if case.page.drawing or (turn.previews and not case.shown):
        return _nothing_left(case) or _late(case) or Verdict(action="wait", why="6: being drawn")
    return None


def _page_pictures(case: Case) -> Verdict | None:
    """The page shows what the network did not tell: its frames were missed, or this is a preview or a reference."""
    turn, moment = case.turn, case.moment
    if not case.shown or moment.stream_open:
        return None
    ids = tuple(dict.fromkeys(image.file for image in case.shown if image.file))
    why = "7: the page shows a picture"
    if turn.previews and (not ids or {picture.file_id for picture in turn.previews}.intersection(ids)):
        return case.load("shown", 15, f"{why}, the network a preview")
    unread = moment.since_read is None or (moment.since_end is not None and moment.since_read > moment.since_end)
    handed = turn.handed_off and not (turn.turn_complete or turn.at_rest or case.rests(moment.since_heard))
    patience = 15 if case.page.stop or turn.running else 5
    # Nothing was read though it was loaded for this twice: nobody hears how this page reads.
    deaf = moment.since_read is None and moment.loads.get("shown", 0) > 1
    if turn.running or (not deaf and (unread or handed)):
        return case.load("shown", patience, f"{why}, the network none")
    if turn.answered_text is not None and not turn.drawing_started:
        return None
    return case.after(patience, Verdict(action="pictures_final", file_ids=ids, from_page=True, why=why))


def _blocked(case: Case) -> Verdict | None:
    if not case.turn.blocked:
        return None
    return case.doubt(case.moment.since_heard, 2, _none(case, "blocked", "8: blocked by moderation"))


def _words(case: Case) -> Verdict | None:
    turn = case.turn
    if turn.answered_text is None and turn.tool_error is None:
        return _loose_words(case)
    kind: Kind = "tool_error" if turn.tool_error else "stopped" if turn.drawing_started else "answer"
    seconds, why = (4, "9: the tool failed") if turn.answered_text is None else (2, "9: the finished answer in words")
    first = 20 if turn.running else seconds
    return case.doubt(case.moment.since_heard, seconds, _none(case, kind, why), first=first)


def _loose_words(case: Case) -> Verdict | None:
    """Words that are no finished answer, and nothing else that could come."""
    turn = case.turn
    open_yet = turn.picture_promised or turn.tool_used or turn.running or case.page.stop or case.moment.stream_open
    if open_yet or not turn.partial_text:
        return None
    return case.doubt(case.moment.since_heard, 20, _none(case, "answer", "9: words and nothing else"))


def _late(case: Case) -> Verdict | None:
    turn, moment = case.turn, case.moment
    if (turn.stale or moment.line_lost or turn.unplaced_pictures or turn.half_drawn) and (
        found := case.load("stale", 15, "11: the conversation is to be read again")
    ) is not None:
        return found
    if moment.since_end is None:
        return None
    patience = 30.0 if turn.stream_ended == "cut" else 90.0
    # So long after the end, and the last part of it quiet.
    first = max(patience - moment.since_end + moment.quiet, 30.0)
    return case.load("late", first, "11: nothing came after the stream ended")


def _nothing_left(case: Case) -> Verdict | None:
    turn = case.turn
    if not case.moment.loads or not case.rests(case.moment.since_heard):
        return None
    if turn.unplaced_pictures or turn.card_waiting:
        return None
    kind: Kind = "blocked" if turn.empty_picture else "stopped"
    return case.after(90, _none(case, kind, "10: at rest without a picture"))


_RULES: tuple[Callable[[Case], Verdict | None], ...] = (
    _blind,
    _pictures,
    _unanswered,
    _page_error,
    _stream_error,
    _drawing,
    _page_pictures,
    _blocked,
    _words,
    _nothing_left,
    _late,
)


def _none(case: Case, kind: Kind, why: str, words: str = "") -> Verdict:
    text = words or case.words
    if kind == "tool_error" and not text and case.turn.tool_error:
        text = case.turn.tool_error.text
    return Verdict(action="no_picture", kind=kind, text=text, why=why)
