"""The processes of a browser, seen from outside."""

import anyio
import anyio.to_thread
import psutil

__all__ = ["ENDS", "tree", "wait_ended"]

ENDS = 30.0
"""Seconds after which a process that should have ended counts as staying: a condition, not a claim about speed."""


async def wait_ended(pids: list[int]) -> list[int]:
    """Those that stay."""
    living = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _gone, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(living, timeout=ENDS))
    return [process.pid for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def tree(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
