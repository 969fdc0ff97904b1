"""Whether the machine slept meanwhile, or this process was stopped: timers fire late then, and the clock jumps.

The event loop's clock counts a sleep on Windows, and a stopped process everywhere; on Linux and macOS it stands still
while the machine sleeps, and only the time of day tells.
"""

import asyncio
import time

import anyio

LATE_SECONDS = 30.0
"""No machine is as busy as that; whoever waited for an answer has not had his time yet."""

AGAIN_SECONDS = 150.0
"""What nobody took is sent again after pauses of two minutes at most (TCP on Linux)."""


def overslept(due: float) -> bool:
    """Whether a timer of this event loop, due at that time of its clock, fires so late that nobody waited meanwhile."""
    return asyncio.get_running_loop().time() - due > LATE_SECONDS


async def awake_for(seconds: float) -> None:
    """Until so many seconds have been waited. What was said while the machine slept is said again, so after a sleep
    that takes the last of them it is waited a while more."""
    while True:
        due = anyio.current_time() + seconds
        await anyio.sleep_until(due)
        if not overslept(due):
            return
        seconds = min(seconds, AGAIN_SECONDS)


def slept_since(then: float, awake: float) -> bool:
    """Whether more of the day has passed since ``then`` (``time.time()``) than the ``awake`` seconds that were waited
    for. A clock that was set anew is taken for a sleep too."""
    return time.time() - then > awake + LATE_SECONDS
