"""The browser's process: started in a group of its own, its output drained, on a leash if it is driven.

The leash is Chrome's debugging pipe: nothing is ever written to it, and when its other end closes, by ``drop_leash``
or by the death of this process however sudden, the browser ends in order (Chromium 156, 70-215 ms, cookies kept). On
Linux and macOS it has a name in the profile, so that several processes may hold it: the browser ends with the last.
"""

import asyncio
import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import psutil

if sys.platform == "win32":
    from cdp_image_mcp.cdp.launching.process_windows import close_windows, guard, hold_leash, is_held, spawn
else:
    from cdp_image_mcp.cdp.launching.process_posix import guard, hold_leash, is_held, spawn

log = logging.getLogger(__name__)

__all__ = ["BrowserProcess", "guard", "hold_leash", "is_browser", "is_held", "kill_foreign", "spawn", "wait_foreign"]

TERMINATE_PATIENCE = 3.0
HELPERS_PATIENCE = 3.0
# A killed process is gone at once, but for one that waits for a device.
KILL_PATIENCE = 5.0
LINES = 40
LINE_LENGTH = 500
ASKED_TO_END = frozenset((-1, -2, -15, 128 + 1, 128 + 2, 128 + 15))
"""Exit codes of SIGHUP, SIGINT and SIGTERM, with which a desktop's session ends: of a browser that does not hear them
yet (it answers 0 otherwise), and of a shell script round it."""
BROWSER_NAMES = ("chrom", "edge", "brave")
_LISTENING = re.compile(r"DevTools listening on (ws://\S+)")


class BrowserProcess:
    """A started browser, as ``spawn`` tells of it; belongs to the event loop it was made in."""

    def __init__(self, pid: int, output: int, wait: Callable[[], int], leash: Sequence[int]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.endpoint: str | None = None
        self._wait_for_exit = wait
        self._output = output
        self._leash = list(leash)
        self._lines: deque[str] = deque(maxlen=LINES)
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        # Daemon threads: a wait for a process cannot be cancelled, and must not keep the interpreter alive.
        threading.Thread(target=self._drain, name=f"browser-{pid}-output", daemon=True).start()
        threading.Thread(target=self._watch, name=f"browser-{pid}-exit", daemon=True).start()

    def lines(self) -> tuple[str, ...]:
        """The last lines the browser wrote, oldest first."""
        return tuple(self._lines)

    async def wait(self) -> int:
        """Wait for the exit, its helpers' too; its code (negative: the signal). Cancelling only stops the wait."""
        await self._exited.wait()
        return self.returncode if self.returncode is not None else -1

    @property
    def crashed(self) -> bool:
        """Whether it ended, and by nobody's wish. An orderly end is 0 on each system, also with the desktop's session
        (chrome_main.cc; Chromium 156 on Linux, 2026-11)."""
        return self.returncode not in {None, 0, *ASKED_TO_END}

    async def wait_drained(self) -> None:
        """After an exit: wait for its last lines. Bounded, since a child may hold the output open."""
        with anyio.move_on_after(0.5):
            await self._drained.wait()

    def drop_leash(self) -> None:
        """Let go: the browser ends in order. Idempotent."""
        while self._leash:
            os.close(self._leash.pop())

    def ask_to_end(self) -> None:
        """As the function of that name. Harmless after its end."""
        if self.returncode is None:
            ask_to_end(self.pid)

    def terminate(self) -> None:
        """End the browser's process, and no more than that. Harmless after its end."""
        if self.returncode is None:
            _terminate(self.pid)

    def kill_tree(self) -> None:
        """End the browser and all of its group at once."""
        if sys.platform == "win32":
            _kill(self.pid, lambda _member: True)
        else:
            import signal

            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def end(self, patience: float) -> None:
        """Wait ``patience`` seconds for an orderly end, then insist: SIGTERM, 3 s, the whole group, 3 s. What waits for
        a device outlives even that, and is left."""
        for insist in (self.terminate, self.kill_tree, None):
            with anyio.move_on_after(patience):
                await self.wait()
                return
            if insist is not None:
                insist()
            patience = TERMINATE_PATIENCE
        log.error("the browser (process %s) was ended by force and is still there", self.pid)

    def _drain(self) -> None:
        rest = b""
        try:
            while chunk := os.read(self._output, 65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[-65_536:]
                for line in lines:
                    self._take_line(line)
        except OSError:
            pass  # the descriptor was closed under us: the end all the same
        if rest:
            self._take_line(rest)
        os.close(self._output)
        self._tell(self._drained.set)

    def _take_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self._lines.append(text[:LINE_LENGTH])
        listening = _LISTENING.search(text)
        if listening:
            self.endpoint = listening[1]

    def _watch(self) -> None:
        try:
            self.returncode = self._wait_for_exit()
            wait_for_helpers(self.pid)
        finally:
            self._tell(self._on_exited)

    def _on_exited(self) -> None:
        self._exited.set()
        self.drop_leash()

    def _tell(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(function)


def ask_to_end(pid: int) -> None:
    """The one orderly end that an undriven browser understands: its windows are closed on Windows, elsewhere it gets
    SIGTERM (cookies of the last 30 s are lost on Linux)."""
    if sys.platform == "win32" and close_windows(pid):
        return
    _terminate(pid)


def _terminate(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).terminate()


def is_browser(pid: int) -> bool:
    """The process lives and is a browser's (a zombie is dead; a process whose name we may not read counts as one)."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        names = [process.name().lower()]
        with contextlib.suppress(psutil.AccessDenied):
            names.append(Path(process.exe()).name.lower())
        with contextlib.suppress(psutil.AccessDenied):
            if any(argument.startswith("--user-data-dir=") for argument in process.cmdline()):
                return True
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(part in name for name in names for part in BROWSER_NAMES)


def wait_for_helpers(pid: int) -> None:
    """After the end of a browser that leads a group: until its helpers have ended too, 3 s at most. Blocking.

    Its network service outlives it by up to 0.2 s on a busy machine, writes cookies meanwhile and makes a deleted
    profile's folder again (Chromium 156 on Linux, 2026-11; Windows has no groups, and keeps open files).
    """
    end = time.monotonic() + HELPERS_PATIENCE
    # Looking is a courtesy: where the system refuses it, the end must be told all the same.
    with contextlib.suppress(OSError, RuntimeError, psutil.Error):
        while _has_helpers(pid) and time.monotonic() < end:
            time.sleep(0.01)


def _has_helpers(group: int) -> bool:
    """Whether helpers of the browser with that group live. What a person opened from the browser does not count."""
    if sys.platform == "win32":
        return False
    for number in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(number) == group and is_helper(number):
                return True
    return False


def is_helper(pid: int) -> bool:
    """Whether that process is one of a browser's that is not its first. Raises psutil.Error."""
    return any(word.startswith("--type=") for word in psutil.Process(pid).cmdline())


def wait_foreign(pid: int, patience: float) -> None:
    """Until a browser of another process has ended, its helpers too. Blocking."""
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).wait(patience)
    wait_for_helpers(pid)


def kill_foreign(pid: int) -> None:
    """End a browser of another process of ours at once, with its helpers. Blocking."""
    if is_browser(pid):
        _kill(pid, lambda member: member == pid or is_helper(member))
        wait_foreign(pid, KILL_PATIENCE)


def _kill(pid: int, meant: Callable[[int], bool]) -> None:
    """End at once what is meant of a process and all that it started, as far as the system lets us."""
    with contextlib.suppress(psutil.Error):
        members = [psutil.Process(pid)]
        with contextlib.suppress(OSError, psutil.Error):  # of what a system hides, psutil raises either
            members += members[0].children(recursive=True)
        for member in members:
            with contextlib.suppress(psutil.Error):
                if meant(member.pid):
                    member.kill()
