"""The process that a client starts, and the server proper behind it that may outlive it.

Clients end a server by closing its input, by SIGTERM, or by killing it and its whole group two to four seconds later
(Claude Desktop, Claude Code, the SDKs; 2026-11). A picture that is being paid for at the API takes up to minutes. So
the process that is started splits before anything is loaded: the front only waits and passes signals on; the server
works in a session of its own on the same pipes, and each of the two learns of the other's end by a pipe that the system
closes. Windows has no fork: there the server is a process of its own outside the client's job, where that is allowed.
"""

import os
import signal
import sys
from collections.abc import Iterable
from typing import NoReturn, Protocol

__all__ = ["Front", "silence", "split"]

PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


class Front(Protocol):
    """The process that the client started, as the server knows it."""

    async def gone(self) -> None:
        """Until it has been killed."""
        ...

    def let_go(self) -> None:
        """It ends, and the client sees its server end; this process goes on without pipes."""
        ...


class _Pipes:
    def __init__(self, life: int, leave: int) -> None:
        self._life = life
        self._leave = leave
        self._streams = {_what(handle) for handle in (0, 1, 2)} - {None}

    async def gone(self) -> None:
        import anyio

        await anyio.wait_readable(self._life)  # nothing is ever written there

    def let_go(self) -> None:
        silence(handle for handle in map(int, os.listdir("/dev/fd")) if _what(handle) in self._streams)  # noqa: PTH208
        try:
            os.write(self._leave, b".")
        except BrokenPipeError:
            return  # it was killed


def silence(handles: Iterable[int]) -> None:
    """Let open files lead nowhere: the standard streams and every duplicate of them (the SDK keeps some)."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in list(handles):
        os.dup2(nowhere, handle)
    os.close(nowhere)


def _what(handle: int) -> tuple[int, int] | None:
    """What an open file is, to be compared with others; None where the system does not tell."""
    try:
        facts = os.fstat(handle)
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if facts.st_ino else None


def split() -> Front | None:
    """Become two processes. Comes back in the server alone, with its front; None where there is none."""
    if sys.platform == "win32":
        from cdp_image_mcp.system.front_windows import split_on_windows

        return split_on_windows()
    life, living = os.pipe()
    leaving, leave = os.pipe()
    server = os.fork()
    if server:
        os.close(life)
        os.close(leave)
        _wait(server, leaving)
    os.close(living)
    os.close(leaving)
    os.setsid()
    return _Pipes(life, leave)


def _wait(server: int, leaving: int) -> NoReturn:
    """Until the server lets go or ends; then end as it did."""
    assert sys.platform != "win32"  # noqa: S101 - for the type checker
    for name in PASSED_ON:
        signal.signal(getattr(signal, name), lambda number, _: _pass_on(server, number))
    for handle in (0, 1):
        os.close(handle)
    # The first process of a container is waited for by all others: with its end they are killed.
    if os.read(leaving, 1) and os.getpid() != 1:
        os._exit(0)
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
