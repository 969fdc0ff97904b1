"""How long a server asks to wait before it is asked again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 7 * 86_400.0
"""Seconds. No limit of a server lasts longer; what claims to (a date in the next century, 10^12) says nothing."""
UNITS = {
    **dict.fromkeys(("millisecond", "ms"), 0.001),
    **dict.fromkeys(("second", "sec", "s"), 1.0),
    **dict.fromkeys(("minute", "min", "m"), 60.0),
    **dict.fromkeys(("hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("day", "d"), 86400.0),
}
AMOUNT = rf"(\d+(?:\.\d+)?)\s?({'|'.join(UNITS)})s?(?![a-z])"


def _date(text: str) -> datetime | None:
    """A date as HTTP has it, None for what is none."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def stated_wait(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, else ``retry-after`` (seconds or a date), else
    "try again in 1m12s" in the message. None when it says nothing usable."""
    for header, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(header, "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            if float(value) * factor <= LONGEST_WAIT:
                return float(value) * factor
            continue
        if factor == 1.0 and (at := _date(value)) is not None:
            # By the clock of the server, which says beside it what time it is there.
            left = (at - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds()
            if left <= LONGEST_WAIT:
                return max(0.0, left)
    said = re.search(rf"try again in ((?:{AMOUNT}[\s,]*)+)", message, re.IGNORECASE)
    if not said:
        return None
    parts = re.findall(AMOUNT, said[1].lower())
    wait = sum(float(number) * UNITS[unit] for number, unit in parts)
    return wait if wait <= LONGEST_WAIT else None
