"""The program on an odd system: ``python -m tests.faults.odd``.

``FAULTS_CLOCK`` names a file with the seconds by which the clock is wrong, read whenever somebody looks at the clock:
it may jump at any moment. ``FAULTS_NO_LOCKS`` is set where no file can be locked, as on some shares.
"""

import datetime as dt
import errno
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Any

REAL_TIME, REAL_TIME_NS = time.time, time.time_ns


def wrong_by() -> float:
    try:
        return float(Path(os.environ["FAULTS_CLOCK"]).read_text() or 0)
    except (OSError, ValueError):
        return 0.0


class WrongClock(dt.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)


def no_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def main() -> int:
    if "FAULTS_CLOCK" in os.environ:
        time.time = lambda: REAL_TIME() + wrong_by()
        time.time_ns = lambda: REAL_TIME_NS() + round(wrong_by() * 1e9)
        dt.datetime = WrongClock
    if sys.platform != "win32" and "FAULTS_NO_LOCKS" in os.environ:
        fcntl.flock = fcntl.lockf = no_locks
    from cdp_image_mcp.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
