"""Who holds a browser profile, and how that browser is reached.

Chromium 156, Linux (macOS is the same code there): ``SingletonLock`` is a link to ``<host>-<pid>``. Windows:
``lockfile`` is held open without sharing; read in the sources of puppeteer and Chromium, not yet seen by us.

Names of hosts change: laptops are renamed by DHCP and by macOS, and containers share a home. So a lock of another host
is judged by a lock of our own, which each browser that we start holds until its death: where nobody holds it, no
browser of ours lives on any machine that sees this folder, and the other host's lock is a remnant. So is one of this
host whose number a browser of another profile has.
"""

import contextlib
import logging
import os
import socket
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.cdp.connection import connect
from cdp_image_mcp.cdp.errors import CDPError, ProfileInUse
from cdp_image_mcp.cdp.launching.discovery import OUR_LOCK
from cdp_image_mcp.cdp.launching.process import is_browser, kill_foreign
from cdp_image_mcp.cdp.launching.profile import LOCK_LINK, SINGLETONS, dead_socket_folder, read_endpoint, remove_remains

log = logging.getLogger(__name__)

LOCK_FILE = "lockfile"
RELAUNCHER = "--type=relauncher"
# A browser that another process has just started needs this long at most until it can be attached to.
ATTACH_PATIENCE = 5.0
# A window for signing in whose server was killed is ended within this time.
LEAVING_PATIENCE = 3.0
# Of one without windows that holds the profile and answers nobody, after both.
HANGING_PATIENCE = 12.0
LOOK_AGAIN = 0.05

Manner = Literal["answers", "silent", "undriven"]
"""How a browser meets whoever asks it: it has a port and answers there, or not; or it has none."""


@dataclass(frozen=True)
class Holder:
    """The browser that holds a profile. ``pid`` None: the system does not tell; ``here`` False: another host."""

    pid: int | None
    host: str
    here: bool


def read_holder(profile: Path) -> Holder | None:
    """The living browser that holds the profile, or one of another host; None when free.

    A lock whose process is dead, or is no browser, is stale: Chrome takes it over, and so does this.
    """
    if sys.platform == "win32":
        return Holder(None, socket.gethostname(), here=True) if _is_locked(profile / LOCK_FILE) else None
    found = _read_link(profile)
    if found is None:
        return None
    host, pid = found
    here = host == socket.gethostname()
    if _works_on(pid, profile) or (here and is_browser(pid) and not _works_elsewhere(pid, profile)):
        return Holder(pid, host, here=True)
    if here and not is_browser(pid):
        return None
    with _alone(profile) as alone:
        return None if alone else Holder(pid, host, here=here)


def pid_of(holder: Holder, profile: Path) -> int | None:
    """The holder's process; asks every process for its command line where the lock does not tell (Windows)."""
    if holder.pid is not None:
        return holder.pid
    return next((pid for pid, arguments in _named_on(profile) if not _names(arguments, "--type")), None)


def note_program(profile: Path, program: Path) -> None:
    """Write into our lock file, for ``find_browser``, which browser has taken the profile."""
    lock = profile / OUR_LOCK
    try:
        if lock.read_text("utf-8", "replace") != str(program):
            lock.write_text(str(program), "utf-8")
    except OSError as error:
        log.info("which browser this profile is for could not be noted: %s", error)


def hold(profile: Path) -> int | None:
    """An open file that says, for as long as anybody has it open, that a browser of ours works on the profile; for the
    browser to inherit. None where the system has no such locks."""
    lock = profile / OUR_LOCK
    try:
        lock.touch(0o600)
    except OSError as error:
        log.info("the profile's lock cannot be made: %s", error)
        return None
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 10)  # above the numbers that are given out on purpose
    except OSError as error:
        log.info("this file system has no locks: %s", error)
        return None


def clear_dead(profile: Path) -> None:
    """Remove what a browser left that died on this profile: its socket folder, which the next one leaves where it is
    (Chromium 156), and its links under another host's name or with the number of a browser of another profile, with
    which Chromium would not start. Does nothing while anybody listens there or holds the profile."""
    if sys.platform == "win32":
        return
    for name in SINGLETONS:  # no links at all: the profile was copied by what knows none, and Chromium would not start
        with contextlib.suppress(OSError):
            if stat.S_ISREG((profile / name).lstat().st_mode):
                (profile / name).unlink()
    from cdp_image_mcp.cdp.launching.process_posix import drop_dead_leashes

    folder = dead_socket_folder(profile)
    # The holder is asked for last: a browser that is just starting has its lock before its socket.
    if folder is not None and read_holder(profile) is None:
        remove_remains(folder)
    drop_dead_leashes(profile)
    found = _read_link(profile)
    if found is None or _works_on(found[1], profile):
        return
    if found[0] == socket.gethostname() and not _works_elsewhere(found[1], profile):
        return
    with _alone(profile) as alone:
        if alone and _read_link(profile) == found:
            log.info("the profile was last used as %s; nothing runs there any more", found[0])
            for name in SINGLETONS:
                with contextlib.suppress(OSError):
                    (profile / name).unlink()


async def look_at(profile: Path) -> tuple[int | None, Manner] | None:
    """The browser that holds the profile, for those who only look: it is asked once, and neither waited for nor ended.
    Raises ProfileInUse for one of another host."""
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    if holder is None:
        return None
    if not holder.here:
        raise in_use_elsewhere(profile, holder)
    pid = await anyio.to_thread.run_sync(pid_of, holder, profile)
    endpoint = read_endpoint(profile)
    if endpoint is not None and await _answers(endpoint):
        return pid, "answers"
    return pid, "silent" if await anyio.to_thread.run_sync(_has_port, holder, profile) else "undriven"


async def reach(profile: Path, holder: Holder) -> str | None:
    """The address of the browser that holds the profile, or None when it ended meanwhile or was ended: one without
    windows that hangs is, so that this is only for those beside whom nobody may work in it. Raises ProfileInUse."""
    if not holder.here:
        raise in_use_elsewhere(profile, holder)
    with anyio.move_on_after(ATTACH_PATIENCE):
        if (endpoint := await _wait_for_answer(profile, holder, while_has_port=True)) is not None:
            return endpoint
        if not await _still_held(profile, holder):
            return None
    with anyio.move_on_after(LEAVING_PATIENCE):
        while await _still_held(profile, holder):  # noqa: ASYNC110 - another process's end sends us no event
            await anyio.sleep(LOOK_AGAIN)
        return None
    pid = await anyio.to_thread.run_sync(pid_of, holder, profile)
    if pid is not None and await anyio.to_thread.run_sync(_is_windowless, pid):
        with anyio.move_on_after(HANGING_PATIENCE):
            if (endpoint := await _wait_for_answer(profile, holder)) is not None:
                return endpoint
        log.warning("the browser (process %s) answers nobody and is ended by force", pid)
        await anyio.to_thread.run_sync(kill_foreign, pid)
        if not await _still_held(profile, holder):
            return None
    raise in_use_undriven(profile, pid)


def in_use_elsewhere(profile: Path, holder: Holder) -> ProfileInUse:
    """The error for a lock of another host."""
    where = f"by a browser (process {holder.pid}) on the computer {holder.host}. Close it there"
    return ProfileInUse(profile, f"{where}; if that computer is gone, delete {profile / LOCK_LINK}")


def in_use_undriven(profile: Path, pid: int | None) -> ProfileInUse:
    """The error for a browser that is not ours to drive."""
    return ProfileInUse(profile, f"by a browser that cannot be driven (process {pid or 'unknown'}). Close that window")


async def _wait_for_answer(profile: Path, holder: Holder, *, while_has_port: bool = False) -> str | None:
    """The holder's address as soon as it answers there; None when it has ended or, if asked, has no port at all."""
    while await _still_held(profile, holder):
        endpoint = read_endpoint(profile)
        if endpoint is not None and await _answers(endpoint):
            return endpoint
        if while_has_port and not await anyio.to_thread.run_sync(_has_port, holder, profile):
            return None
        await anyio.sleep(LOOK_AGAIN)
    return None


async def _still_held(profile: Path, holder: Holder) -> bool:
    return await anyio.to_thread.run_sync(read_holder, profile) == holder


async def _answers(endpoint: str) -> bool:
    try:
        async with connect(endpoint, timeout=2.0) as connection:
            await connection.browser.call("Browser.getVersion", timeout=2.0)
    except CDPError:
        return False
    return True


def _has_port(holder: Holder, profile: Path) -> bool:
    """The browser was started with a debugging port, so that one can be waited for."""
    arguments = _arguments(pid_of(holder, profile))
    return arguments is None or _names(arguments, "--remote-debugging-port")


def _is_windowless(pid: int) -> bool:
    """Another process of ours started it, and no person can have anything in it."""
    arguments = _arguments(pid) or []
    return _names(arguments, "--headless") and _names(arguments, "--remote-debugging-port")


def _arguments(pid: int | None) -> list[str] | None:
    try:
        return None if pid is None else psutil.Process(pid).cmdline()
    except psutil.Error:
        return None


def _names(arguments: list[str], switch: str) -> bool:
    return any(argument.partition("=")[0] == switch for argument in arguments)


def _folders(arguments: list[str]) -> list[str]:
    """The profiles, one as a rule, that a browser was started on."""
    return [each.partition("=")[2] for each in arguments if each.startswith("--user-data-dir=")]


def _read_link(profile: Path) -> tuple[str, int] | None:
    """Host and pid of Chromium's own lock."""
    try:
        host, _, number = os.readlink(profile / LOCK_LINK).rpartition("-")  # noqa: PTH115 - the target is no path
    except OSError:
        return None
    return (host, int(number)) if number.isdigit() else None


def _works_on(pid: int, profile: Path) -> bool:
    """That process of this machine is a browser on this very profile, whatever the machine was called then."""
    return is_browser(pid) and str(profile) in _folders(_arguments(pid) or [])


def _works_elsewhere(pid: int, profile: Path) -> bool:
    """That process says that it works on another folder, or is a browser's helper, which holds none. A number that a
    dead browser left in its lock is another's after a restart of the machine. (It may also be ours still, on a profile
    that was moved: our own lock tells.)"""
    arguments = _arguments(pid) or []
    folders, real = _folders(arguments), os.path.realpath(profile)
    elsewhere = [os.path.isabs(folder) and os.path.realpath(folder) != real for folder in folders]  # noqa: PTH117
    return _names(arguments, "--type") or (bool(folders) and all(elsewhere))


@contextmanager
def _alone(profile: Path) -> Generator[bool]:
    """Whether no browser of ours holds the profile, here or anywhere; none can begin to while the block lasts."""
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context((profile / OUR_LOCK).open("r+"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False  # held; or no browser of ours was ever here, and nothing can be told
        else:
            yield True


def _is_locked(path: Path) -> bool:
    """Whether somebody keeps the file to himself."""
    try:
        with path.open("rb"):
            return False  # stale
    except PermissionError:
        return True
    except OSError:
        return False


def undriven_on(profile: Path) -> int | None:
    """The process of a browser that nobody drives and that works on the profile, or is about to start another one there
    (macOS). Asks every process for its command line."""
    for pid, arguments in _named_on(profile):
        driven = _names(arguments, "--remote-debugging-port") or _names(arguments, "--remote-debugging-pipe")
        if not driven and (RELAUNCHER in arguments or not _names(arguments, "--type")):
            return pid
    return None


def _named_on(profile: Path) -> Generator[tuple[int, list[str]]]:
    """Processes that name the profile as theirs, each with its command line."""
    wanted = os.path.normcase(str(profile))
    for process in psutil.process_iter(["pid", "cmdline"]):
        arguments: list[str] = process.info["cmdline"] or []
        if any(os.path.normcase(folder.strip('"')) == wanted for folder in _folders(arguments)):
            yield int(process.info["pid"]), arguments
