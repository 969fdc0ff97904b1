"""The local time, and the day that limits count by."""

import sys
import time as clock
from datetime import date, datetime, time, timedelta


def local_now() -> datetime:
    """The time where the machine is now. A laptop travels while the program runs, and but for Windows the zone is that
    of the process's start until it is asked for anew."""
    if sys.platform != "win32":
        clock.tzset()
    return datetime.now().astimezone()


def last_midnight() -> float:
    """Epoch seconds of the last local midnight."""
    # ``timestamp`` of a naive time knows summer time; adding hours to an aware one does not.
    return datetime.combine(_today(), time()).timestamp()


def next_midnight() -> str:
    """The next local midnight, ISO 8601 with offset."""
    return datetime.combine(_today() + timedelta(days=1), time()).astimezone().isoformat(timespec="seconds")


def in_seconds(seconds: float) -> str:
    """The time in so many seconds, ISO 8601 with offset."""
    return (local_now() + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def _today() -> date:
    return local_now().date()
