"""The front on Windows, by the documentation of CreateProcess and of job objects; never run (2026-11).

Clients put servers into a job that kills its members with the client. A child started with
``CREATE_BREAKAWAY_FROM_JOB`` lives outside it where the job allows that (``JOB_OBJECT_LIMIT_BREAKAWAY_OK``); where it
does not, starting it is refused, and the process that the client started serves by itself and dies with its client.
"""

import os
import subprocess
import sys

import psutil

__all__ = ["WindowsFront", "split_on_windows"]

MARK = "CDP_IMAGE_MCP_FRONT"
"""Set for the server: the process id of its front."""
BREAKAWAY_FROM_JOB, NEW_PROCESS_GROUP, NO_WINDOW = 0x01000000, 0x00000200, 0x08000000


class WindowsFront:
    """See :class:`cdp_image_mcp.system.front.Front`."""

    def __init__(self, front: psutil.Process) -> None:
        self._front = front

    async def gone(self) -> None:
        import anyio.to_thread

        await anyio.to_thread.run_sync(self._front.wait, abandon_on_cancel=True)

    def let_go(self) -> None:
        from cdp_image_mcp.system.front import silence

        silence((0, 1, 2))
        self._front.kill()


def split_on_windows() -> WindowsFront | None:
    """In the process that a client started: start the server and end as it does. In the server: come back."""
    if front := os.environ.pop(MARK, ""):
        try:
            return WindowsFront(psutil.Process(int(front)))
        except psutil.NoSuchProcess:
            return None
    try:
        server = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "cdp_image_mcp", *sys.argv[1:]],
            stdin=0,
            stdout=1,
            stderr=2,
            env={**os.environ, MARK: str(os.getpid())},
            creationflags=BREAKAWAY_FROM_JOB | NEW_PROCESS_GROUP | NO_WINDOW,
        )
    except OSError:
        return None
    from cdp_image_mcp.system.front import silence

    silence((0, 1))
    os._exit(server.wait())
