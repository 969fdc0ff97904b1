"""The process that is started, and the server proper behind it that may outlive it; the same for ``generate``.

Clients end a server by closing its input, by SIGTERM, or by killing it and its whole group two to four seconds later
(Claude Desktop, Claude Code, the SDKs; 2026-11). A picture that is being paid for at the API takes up to minutes. So
the process that is started splits before anything is loaded: the front only waits and passes signals on; the server
works in a session of its own on the same pipes, and each of the two learns of the other's end by a pipe that the system
closes.

Windows has no fork. Clients put servers into a job there that kills its members with the client; a child started with
``CREATE_BREAKAWAY_FROM_JOB`` lives outside it where the job allows that (``JOB_OBJECT_LIMIT_BREAKAWAY_OK``). Where it
does not, starting it is refused, and the process that the client started serves by itself and dies with its client. By
the documentation of CreateProcess and of job objects; never run (2026-11).
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from cdp_image_mcp.system.telling import silence

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil

PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")

MARK = "CDP_IMAGE_MCP_FRONT"
"""Set for the server: the process id of its front."""
BREAKAWAY_FROM_JOB, NEW_PROCESS_GROUP, NO_WINDOW = 0x01000000, 0x00000200, 0x08000000


class _Pipes:
    def __init__(self, life: int, leave: int) -> None:
        self._life = life
        self._leave = leave
        self._streams = {_what(handle) for handle in (0, 1, 2)} - {None}

    async def gone(self) -> None:
        """Until it has been killed."""
        import anyio

        await anyio.wait_readable(self._life)  # nothing is ever written there

    def let_go(self, code: int = 0) -> None:
        """It ends with that exit code, and whoever started it sees that; this process goes on without pipes."""
        # Every duplicate of the standard streams too: the SDK keeps some.
        silence(handle for handle in map(int, os.listdir("/dev/fd")) if _what(handle) in self._streams)  # noqa: PTH208
        try:
            os.write(self._leave, bytes([code]))
        except BrokenPipeError:
            return  # it was killed


def _what(handle: int) -> tuple[int, int] | None:
    """What an open file is, to be compared with others; None where the system does not tell."""
    try:
        facts = os.fstat(handle)
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if facts.st_ino else None


def split() -> "Front | None":
    """Become two processes. Comes back in the server alone, with its front; None where there is none."""
    if sys.platform == "win32":
        return _split_on_windows()
    life, living = os.pipe()
    leaving, leave = os.pipe()
    # One that came before it is passed on would end the front alone, and what it was to stop would go on and be paid.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in PASSED_ON})
    try:
        server = os.fork()
    except OSError:  # no more processes are allowed here
        for handle in (life, living, leaving, leave):
            os.close(handle)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        return None
    if server:
        os.close(life)
        os.close(leave)
        _wait(server, leaving, masked)
    os.close(living)
    os.close(leaving)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    return _Pipes(life, leave)


def _wait(server: int, leaving: int, masked: "Iterable[int]") -> NoReturn:
    """Until the server lets go or ends; then end as it did. ``masked``: what is held back from then on."""
    assert sys.platform != "win32"  # noqa: S101 - for the type checker
    for number in (getattr(signal, name) for name in PASSED_ON):
        if signal.getsignal(number) is not signal.SIG_IGN:  # see ``stopping``
            signal.signal(number, lambda number, _: _pass_on(server, number))
    # Ctrl-Z would stop this one alone, and the other would write over the shell's own lines. It must not stop at all:
    # what it waits for may be paid.
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    for handle in (0, 1):
        os.close(handle)
    # The first process of a container is waited for by all others: with its end they are killed.
    if (code := os.read(leaving, 1)) and os.getpid() != 1:
        os._exit(code[0])
    _, state = os.waitpid(server, 0)
    status = os.waitstatus_to_exitcode(state)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _pass_on(server: int, number: int) -> None:
    try:
        os.kill(server, number)
    except ProcessLookupError:
        return


class _Process:
    def __init__(self, front: "psutil.Process") -> None:
        self._front = front

    async def gone(self) -> None:
        import asyncio
        import threading
        from contextlib import suppress

        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def wait() -> None:
            self._front.wait()
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(over.set)

        # A daemon: a wait for a process cannot be cancelled, and the front ends only after this process.
        threading.Thread(target=wait, name="front", daemon=True).start()
        await over.wait()

    def let_go(self, code: int = 0) -> None:  # noqa: ARG002  Windows gives no choice to who ends another process
        silence((0, 1, 2))
        self._front.kill()


Front: TypeAlias = _Pipes | _Process
"""The process that the client started, as the server knows it."""


def _split_on_windows() -> _Process | None:
    """In the process that a client started: start the server and end as it does. In the server: come back."""
    import subprocess

    import psutil

    if front := os.environ.pop(MARK, ""):
        try:
            return _Process(psutil.Process(int(front)))
        except psutil.NoSuchProcess:
            return None
    try:
        server = subprocess.Popen(  # noqa: S603 - ourselves
            # As this was: by ``-m`` what lies in the working folder, a client's project, would be taken for modules.
            [sys.executable, *sys.orig_argv[1:]],
            stdin=0,
            stdout=1,
            stderr=2,
            env={**os.environ, MARK: str(os.getpid())},
            creationflags=BREAKAWAY_FROM_JOB | NEW_PROCESS_GROUP | NO_WINDOW,
        )
    except OSError:
        return None
    silence((0, 1))
    code = server.wait()
    os._exit(code - (1 << 32) if code >> 31 > 0 else code)  # Windows counts without a sign, ``_exit`` with one
