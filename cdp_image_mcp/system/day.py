"""The local day that limits count by."""

from datetime import date, datetime, time, timedelta


def last_midnight() -> float:
    """Epoch seconds of the last local midnight."""
    # ``timestamp`` of a naive time knows summer time; adding hours to an aware one does not.
    return datetime.combine(_today(), time()).timestamp()


def next_midnight() -> str:
    """The next local midnight, ISO 8601 with offset."""
    return datetime.combine(_today() + timedelta(days=1), time()).astimezone().isoformat(timespec="seconds")


def in_seconds(seconds: float) -> str:
    """The time in so many seconds, ISO 8601 with offset."""
    return (datetime.now().astimezone() + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def _today() -> date:
    return datetime.now().astimezone().date()
