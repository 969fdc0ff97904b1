"""Which process works on something, and whether that process still lives."""

import os
import platform
import sys
from functools import cache
from pathlib import Path

import msgspec

__all__ = ["Owner", "is_alive", "is_elsewhere", "this_process"]

SAME_START_SECONDS = 2.0
"""Start times of one process read at two moments differ by rounding; a pid is not reused within this time."""


class Owner(msgspec.Struct, frozen=True):
    """The process that works on a generation. A pid alone is reused; with its start time it is not."""

    pid: int
    started: float
    """``psutil.Process(pid).create_time()``, seconds since the epoch."""
    host: str
    mark: str = ""
    """Linux: boot id and start tick. There ``started`` moves whenever the clock is set, this does not."""


def this_process() -> Owner:
    """The owner to write into records and tickets of this process."""
    found = _look(os.getpid())
    if found is None:
        raise RuntimeError("this process cannot be found in its own process table")
    return found


def is_alive(owner: Owner) -> bool:
    """Whether that very process is running on this machine; a reused pid or a zombie does not count.

    The host is not compared: a laptop changes its name with the network, and a pid with the same start is the same
    process whatever the machine is called.
    """
    found = _look(owner.pid)
    if found is None:
        return False
    if owner.mark and found.mark:
        return owner.mark == found.mark
    return abs(owner.started - found.started) < SAME_START_SECONDS


def is_elsewhere(owner: Owner) -> bool:
    """Whether the owner was started on another machine (or container), about which nothing can be known here."""
    return owner.host != platform.node()


def _look(pid: int) -> Owner | None:
    import psutil  # records name owners; who only lists tools asks after none

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return Owner(pid=pid, started=process.create_time(), host=platform.node(), mark=_mark(pid))
    except (psutil.NoSuchProcess, OSError, ValueError, OverflowError):
        return None
    except psutil.AccessDenied:
        # Somebody else's process has the pid: not one of ours any more.
        return None


def _mark(pid: int) -> str:
    """psutil adds the boot time, which Linux recomputes from the clock, to the start ticks; taken raw they stay."""
    if sys.platform != "linux":
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return f"{_boot_id()}:{int(fields[19])}"
    except (OSError, ValueError, IndexError):
        return ""


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
