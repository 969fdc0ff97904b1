"""The faults: what each one does to a running program, and how it is undone."""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil

from tests.browser import is_root
from tests.faults.peer import Peer
from tests.web.program import profile_processes, words_of


class Stage:
    """What the faults work on."""

    def __init__(self, folder: Path, peer: Peer) -> None:
        self.folder = folder
        self.peer = peer
        self.output = folder / "output"
        self.filler = self.output / "filler"

    def browser(self) -> psutil.Process | None:
        """The browser's main process on our profile."""
        for process in browser_processes(self.folder):
            if not any(word.startswith("--type=") for word in words_of(process)):
                return process
        return None

    def renderers(self) -> list[psutil.Process]:
        return [p for p in browser_processes(self.folder) if "--type=renderer" in words_of(p)]


def browser_processes(folder: Path) -> list[psutil.Process]:
    return [p for p in profile_processes(folder) if any("--user-data-dir=" in w for w in words_of(p))]


async def kill_browser(stage: Stage) -> bool:
    return _kill(stage.browser())


async def kill_renderer(stage: Stage) -> bool:
    killed = [_kill(process) for process in stage.renderers()]
    return any(killed)


async def kill_server(stage: Stage) -> bool:
    """A crash: nothing of it is left to finish anything."""
    return stage.peer.crash()


async def kill_front(stage: Stage) -> bool:
    """What clients kill is the process that they started."""
    return _done(stage.peer.process.kill)


async def kill_group(stage: Stage) -> bool:
    """Or its whole group."""
    return _done(stage.peer.kill_group)


async def end_server(stage: Stage) -> bool:
    return _done(stage.peer.process.terminate)


async def client_vanishes(stage: Stage) -> bool:
    await stage.peer.vanish()
    return True


async def cut_websocket(stage: Stage) -> bool:
    """Cut the connection between server and browser, for both of them."""
    port_file, server = stage.folder / "profile" / "DevToolsActivePort", stage.peer.server
    lines = port_file.read_text().splitlines() if port_file.exists() else []
    if server is None or not lines:
        return False
    try:
        handles = [each.fd for each in server.net_connections("tcp") if each.raddr and str(each.raddr.port) == lines[0]]
        cut = [_shut(server.pid, handle) for handle in handles]
    except (psutil.NoSuchProcess, OSError):  # one of the two has ended meanwhile
        return False
    return any(cut)


async def stall_browser(stage: Stage) -> bool:
    process = stage.browser()
    if process is None:
        return False
    try:
        process.suspend()
        await anyio.sleep(1.5)
        process.resume()
    except psutil.NoSuchProcess:
        return False
    return True


async def fill_disk(stage: Stage) -> bool:
    """Only on a file system of its own; see ``mount``."""
    if not os.path.ismount(stage.output):
        return False
    with stage.filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    return True


async def end_input(stage: Stage) -> bool:
    """The orderly end, in the middle of things."""
    if stage.peer.process.stdin is None:
        return False
    await stage.peer.process.stdin.aclose()
    return True


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of all generations below ``folder``, as they lie on disk."""
    found = sorted((folder / "output").glob("*/*/metadata.json"))
    return [msgspec.json.decode(path.read_bytes()) for path in found]


def working_in(folder: Path) -> list[psutil.Process]:
    """All processes whose working folder is ours; browsers take it over from their server."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _done(act: Callable[[], None]) -> bool:
    """Whether the process was still there for it."""
    try:
        act()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    return True


def _kill(process: psutil.Process | None) -> bool:
    return process is not None and _done(process.kill)


PIDFD_GETFD = 438
"""The number of this system call, on every machine the same; Python has no name for it."""


def _shut(pid: int, handle: int) -> bool:
    """Shut another process's socket down by a copy of its handle, which only Linux gives. Raises OSError."""
    if sys.platform != "linux":
        return False
    process = os.pidfd_open(pid)
    copy = ctypes.CDLL(None).syscall(PIDFD_GETFD, process, handle, 0)
    os.close(process)
    if copy < 0:
        return False
    with socket.socket(fileno=copy) as connection:
        connection.shutdown(socket.SHUT_RDWR)
    return True


def mount(output: Path, megabytes: int = 160) -> Callable[[], None] | None:
    """A small file system for the pictures, when we may; answers how to take it away."""
    output.mkdir(parents=True, exist_ok=True)
    if not is_root():
        return None
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(output)], capture_output=True
    )
    if done.returncode != 0:
        return None

    def unmount() -> None:
        subprocess.run(["umount", "-l", str(output)], check=True)

    return unmount


FAULTS = {
    "browser killed": kill_browser,
    "renderer killed": kill_renderer,
    "server killed": kill_server,
    "front killed": kill_front,
    "server ended": end_server,
    "client gone": client_vanishes,
    "websocket cut": cut_websocket,
    "browser stalled": stall_browser,
    "disk full": fill_disk,
}
"""What may happen to a generation at the site."""

PROCESS_FAULTS = {
    "server killed": kill_server,
    "front killed": kill_front,
    "group killed": kill_group,
    "server ended": end_server,
    "input ended": end_input,
    "client gone": client_vanishes,
    "disk full": fill_disk,
}
"""What may happen to one at the API, beside what happens on the line."""

ENDS_SERVERS = {"server killed", "front killed", "group killed", "server ended", "input ended", "client gone"}
"""Behind these nobody is answered any more."""
