"""When a limit ends, in the site's own words: "in 3 hours and 20 minutes", "after 4:30 PM", or a whole timestamp.

The JSON's own ``reset_after`` comes first (``network/quota.py``); dates in words were never seen and are not guessed.
"""

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta

from cdp_image_mcp.chatgpt.words import folded

FARTHEST = timedelta(days=62)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
JUST_PASSED = 2 * MINUTE
"""The site tells to the minute, and its clock may be a little behind ours: what passed so short a time ago is not meant
to come in a day."""

# Everything below is folded text: lower case, accents off, Latin d and l for đ and ł.
_UNITS: tuple[tuple[timedelta, str], ...] = (
    (timedelta(seconds=1), r"seconds?|secs?|segundos?|sekunden?|sekundy?|secondes?|секунд\w*|giay|秒钟?|초"),
    (timedelta(minutes=1), r"minut[a-z]*|mins?|минут\w*|phut|分钟|分鐘|分間|分|분"),
    (
        timedelta(hours=1),
        r"hours?|hrs?|horas?|stunden?|heures?|godzin\w*|час(?:а|ов)?|gio|tieng|个?小时|個?小時|時間|시간",
    ),
    (timedelta(days=1), r"days?|dias?|tage?n?|jours?|dzien|dni|день|дня|дней|ngay|天|日間?|일"),
    (timedelta(weeks=1), r"weeks?|semanas?|wochen?|semaines?|tydzien|tygodni\w*|недел\w*|tuan|周|週間?|주"),
)
_ONE = r"an?|one|un|una|une|um|uma|eine?[mnr]?|jedn[aeą]|через|одну|один|mot|一"
_DURATION = re.compile(
    rf"(?:(?P<number>\d{{1,4}}(?:[.,]\d+)?)|(?<!\w)(?P<one>{_ONE}))\s?(?:"
    + "|".join(f"(?P<u{index}>{words})" for index, (_, words) in enumerate(_UNITS))
    + r")(?![a-z])"
)
_UNDER_A_MINUTE = ("less than a minute", "不到一分", "меньше минуты", "менее минуты", "niz minut")
_CUES = (
    "reset", "again", "restablec", "intental", "redefin", "reinici", "tente", "zuruckgesetzt", "versuch", "reinitialis",
    "reessay", "odnowi", "sprobuj", "сброс", "сбрас", "через", "обнов", "попроб", "重置", "恢复", "恢復", "再试",
    "再試", "リセット", "待ち", "재설정", "초기화", "다시", "dat lai", "thu lai", "until", "after", "wait",
)  # fmt: skip
_CLOCK_IN_UNITS = re.compile(r"\d{1,2}\s?(?:点|點|时|時(?!間)|시(?!간))\s?\d{1,2}\s?(?:分|분)")
_SENTENCE = re.compile(r"[.!?;](?=\s|$)|[。！？；]|\n")
_TOMORROW = re.compile(
    r"\btomorrow\b|明天|\bзавтра\b|내일|明日|\bngay mai\b|\bmanana\b|\bamanha\b|\bmorgen\b|\bdemain\b|\bjutro\b"
)

_AFTER_NOON = {"pm", "ch", "오후", "下午", "午後", "晚上"}
_BEFORE_NOON = {"am", "sa", "오전", "上午", "午前", "凌晨"}
_CLOCK = re.compile(
    r"(?P<before>오전|오후|上午|下午|午前|午後|凌晨|晚上)?\s?(?<!\d)(?P<hour>[01]?\d|2[0-4])"
    r"(?:(?::|h|时|時|点|點|시)\s?(?P<minute>[0-5]\d)?(?:分|분)?)?"
    r"\s?(?P<after>a\.?m\.?|p\.?m\.?|sa|ch)?(?![a-z0-9:])"
)
_RATIO = re.compile(r"(?<![\d:])9:(?:16|21)(?![\d:]|\s?[ap]\.?m)")
"""Of a picture, which looks like a clock time; without its half of the day that has a zero ahead."""

_YEAR = re.compile(r"(?<!\d)20\d\d(?!\d)")
_STAMP = re.compile(r"20\d\d-\d\d-\d\dt\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:z|[+-]\d\d:?\d\d)")


def reset_time(text: str, now: datetime) -> datetime | None:
    """The moment ``text`` names, in ``now``'s zone; None when it names none. ``now`` must have an offset.

    A clock time is its next occurrence, and in a minute where it has just passed; beside a year it belongs to a date
    that is not read, and names none.
    """
    plain = _RATIO.sub(" ", folded(text))
    span, uncued = _spans(plain)
    clock = None if _YEAR.search(plain) else _clocked(plain, now)
    if span is None and clock is None and _clock(plain) is None:
        span = uncued  # "3 images a day" says how many, and how long to wait only where nothing else says that
    moment = _stamp(plain, now) or (clock if span is None else now + min(span, 2 * FARTHEST))
    if moment is None or not now <= moment <= now + FARTHEST:
        return None
    return moment.replace(microsecond=0)


def _stamp(plain: str, now: datetime) -> datetime | None:
    found = _STAMP.search(plain)
    try:
        return datetime.fromisoformat(found[0].upper()).astimezone(now.tzinfo) if found else None
    except ValueError:
        return None


def _spans(plain: str) -> tuple[timedelta | None, timedelta | None]:
    """The sum of neighbouring spans in the first sentence that speaks of a reset, and in the last that does not. Where
    a clock time comes first behind the word for it, that says when, and a span there only how many are had in it."""
    cued: list[timedelta] = []
    uncued: list[timedelta] = []
    for sentence in _SENTENCE.split(plain):
        behind = _behind_cue(sentence)
        if (span := _span(sentence)) is not None and not _begins_with_clock(behind or ""):
            (uncued if behind is None else cued).append(span)
    return next(iter(cued), None), next(reversed(uncued), None)


def _behind_cue(sentence: str) -> str | None:
    """From its first word of a reset on; None where it speaks of none."""
    found = [at for cue in _CUES if (at := sentence.find(cue)) >= 0]
    return sentence[min(found) :] if found else None


def _begins_with_clock(text: str) -> bool:
    starts = [at for at, _ in _clocks(text)] + [found.start() for found in _TOMORROW.finditer(text)]
    span = next(_durations(text), None)
    return bool(starts) and (span is None or min(starts) < span.start())


def _durations(text: str) -> Iterator[re.Match[str]]:
    return _DURATION.finditer(_CLOCK_IN_UNITS.sub(lambda clock: " " * len(clock[0]), text))


def _span(sentence: str) -> timedelta | None:
    total, end = timedelta(), None
    for found in _durations(sentence):
        if end is not None and found.start() - end > 12:
            # "3 images per 24 hours … in 5 hours": the later one is the answer.
            total = timedelta()
        end = found.end()
        unit = next(unit for index, (unit, _) in enumerate(_UNITS) if found[f"u{index}"])
        total += unit * float((found["number"] or "1").replace(",", "."))
    if end is None and any(words in sentence for words in _UNDER_A_MINUTE):
        return MINUTE
    return total if end is not None else None


def _clocked(plain: str, now: datetime) -> datetime | None:
    clock = _clock(plain)
    tomorrow = _TOMORROW.search(plain) is not None
    if clock is None and not tomorrow:
        return None
    moment = datetime.combine(now, clock or time(), now.tzinfo)
    if tomorrow:
        return moment + DAY
    ago = (now - moment) % DAY
    return now + MINUTE if ago < JUST_PASSED else now - ago + DAY


def _clock(plain: str) -> time | None:
    """The first behind a word of a reset, else the first of all."""
    behind = (_behind_cue(sentence) or "" for sentence in _SENTENCE.split(plain))
    return next((clock for text in (*behind, plain) for _, clock in _clocks(text)), None)


def _clocks(text: str) -> Iterator[tuple[int, time]]:
    """Each clock time, and where it stands."""
    for found in _CLOCK.finditer(text):
        half = (found["before"] or found["after"] or "").replace(".", "")
        if not half and found["minute"] is None:
            continue
        hour = int(found["hour"])
        if half in _AFTER_NOON and hour < 12:
            hour += 12
        elif half in _BEFORE_NOON and hour == 12:
            hour = 0
        yield found.start(), time(hour % 24, int(found["minute"] or 0))
