"""Who holds a browser profile, and where that browser can be reached.

Chromium 156, Linux (macOS is the same code there): ``SingletonLock`` is a link to ``<host>-<pid>``. Windows:
``lockfile`` is held open without sharing; read in the sources of puppeteer and Chromium, not yet seen by us.
"""

import contextlib
import errno
import os
import re
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from cdp_image_mcp.cdp.errors import ProfileNotWritable
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser, snap_problem

PORT_FILE = "DevToolsActivePort"
LOCK_LINK = "SingletonLock"
SOCKET_LINK = "SingletonSocket"
SOCKET_FOLDER = re.compile(r"(org\.chromium|com\.google|com\.microsoft|com\.brave)\.[A-Za-z.]+\.[A-Za-z0-9]{6}")
"""What Chromium calls its temporary folders (``base/files/file_util_posix.cc``); makers change the first part."""
LOCK_FILE = "lockfile"
BROWSER_NAMES = ("chrom", "edge", "brave")


@dataclass(frozen=True)
class Holder:
    """The browser that holds a profile. ``pid`` None: the system does not tell; ``here`` False: another host."""

    pid: int | None
    host: str
    here: bool


def read_holder(profile: Path) -> Holder | None:
    """The living browser that holds the profile, or one of another host; None when free.

    A lock of this host whose process is dead, or is no browser, is stale: Chrome takes it over, and so does this.
    """
    if sys.platform == "win32":
        return _read_lockfile(profile)
    try:
        target = os.readlink(profile / LOCK_LINK)  # noqa: PTH115 - the target is no path
    except OSError:
        return None
    host, _, number = target.rpartition("-")
    if not number.isdigit():
        return None
    pid = int(number)
    if host != socket.gethostname():
        return Holder(pid, host, here=False)
    return Holder(pid, host, here=True) if is_browser(pid) else None


def read_endpoint(profile: Path) -> str | None:
    """The websocket address in the profile's DevToolsActivePort, which may be an earlier browser's; None without one.

    The file outlives its browser. The uuid in the path tells browsers apart: a port used again answers 404 or nothing.
    """
    try:
        text = (profile / PORT_FILE).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.fullmatch(r"(\d{1,5})\n(/devtools/browser/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n?", text)
    return f"ws://127.0.0.1:{match[1]}{match[2]}" if match else None


def socket_folder(profile: Path, pid: int) -> Path | None:
    """The folder in the system's temporary place that the browser ``pid`` keeps while it holds the profile (POSIX).

    A browser ended by SIGTERM or by force leaves it there (Chromium 156): ask while it lives, then ``remove_remains``.
    """
    try:
        folder = (profile / SOCKET_LINK).readlink().parent
        owner = os.readlink(profile / LOCK_LINK)  # noqa: PTH115 - the target is no path
    except OSError:
        return None
    return folder if owner == f"{socket.gethostname()}-{pid}" and folder.is_absolute() else None


def remove_remains(folder: Path | None) -> None:
    """Remove a dead browser's socket folder. Takes only the two names that Chrome puts there."""
    if folder is None:
        return
    for name in (SOCKET_LINK, "SingletonCookie"):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def clear_dead(profile: Path) -> None:
    """Remove the socket folder of a browser that died on this profile: the next one takes the profile over and leaves
    that folder where it is (Chromium 156). Does nothing while anybody listens there or holds the profile."""
    try:
        link = (profile / SOCKET_LINK).readlink()
    except OSError:
        return
    if not link.is_absolute() or link.name != SOCKET_LINK or not SOCKET_FOLDER.fullmatch(link.parent.name):
        return
    # The holder is asked for last: a browser that is just starting has its lock before its socket.
    if _is_deserted(link) and read_holder(profile) is None:
        remove_remains(link.parent)


def _is_deserted(path: Path) -> bool:
    """A socket's file is there, and nobody listens behind it. On Windows a profile has none."""
    if sys.platform == "win32":
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


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


def prepare_profile(profile: Path, browser: FoundBrowser) -> None:
    """Make the profile folder, for its owner only, and see that it can be written. Raises ProfileNotWritable."""
    problem = snap_problem(browser, profile, Path.home())
    if problem is not None:
        raise ProfileNotWritable(profile, problem)
    try:
        if not profile.is_dir():
            for folder in (*reversed([p for p in profile.parents if not p.is_dir()]), profile):
                folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=profile) as probe:
            probe.write(bytes(65_536))
            probe.flush()
    except OSError as error:
        raise ProfileNotWritable(profile, _disk_reason(error), errno=error.errno) from error


def _read_lockfile(profile: Path) -> Holder | None:
    path = profile / LOCK_FILE
    if not path.exists():
        return None
    try:
        with path.open("rb"):
            return None  # nobody keeps it to himself: stale
    except PermissionError:
        pass
    except OSError:
        return None
    return Holder(_pid_by_command_line(profile), socket.gethostname(), here=True)


def _pid_by_command_line(profile: Path) -> int | None:
    wanted = os.path.normcase(str(profile))
    for process in psutil.process_iter(["pid", "cmdline"]):
        arguments: list[str] = process.info["cmdline"] or []
        if any(argument.startswith("--type=") for argument in arguments):
            continue
        for argument in arguments:
            if (
                argument.startswith("--user-data-dir=")
                and os.path.normcase(argument.split("=", 1)[1].strip('"')) == wanted
            ):
                return int(process.info["pid"])
    return None


def _disk_reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space"
    if error.errno == errno.EROFS:
        return "the file system is read-only. Choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission. Choose another folder, or make this one yours"
    return f"{error.strerror}. Choose another folder"
