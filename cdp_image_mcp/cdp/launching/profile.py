"""A browser's profile folder: made and tried, the address of its browser, and what a dead one leaves elsewhere."""

import contextlib
import errno
import os
import re
import socket
import sys
import threading
from pathlib import Path

from cdp_image_mcp.cdp.errors import ProfileNotWritable
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser, snap_problem
from cdp_image_mcp.system.disk import make_path

PORT_FILE = "DevToolsActivePort"
LOCK_LINK = "SingletonLock"
SOCKET_LINK = "SingletonSocket"
COOKIE_LINK = "SingletonCookie"
LONGEST, ROOM_BELOW = 259, 150
"""Characters of a path on Windows, and what the browser needs of them below its profile (a service worker's cache)."""
REASONS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "the disk is full. Free some space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "no permission. Choose another folder, or make this one yours"),
    errno.EROFS: "the file system is read-only. Choose another folder",
}
SINGLETONS = (LOCK_LINK, SOCKET_LINK, COOKIE_LINK)
SOCKET_FOLDER = re.compile(r"(org\.chromium|com\.google|com\.microsoft|com\.brave)\.[A-Za-z.]+\.[A-Za-z0-9]{6}")
"""What Chromium calls its temporary folders (``base/files/file_util_posix.cc``); makers change the first part."""


def too_long(profile: Path, *, platform: str, long_paths: bool) -> bool:
    """Whether the browser's own files could get names that Windows does not take: longer than 259 characters, unless
    the system's LongPathsEnabled allows them (Microsoft, "Maximum Path Length Limitation")."""
    return platform == "win32" and not long_paths and len(str(profile)) + ROOM_BELOW > LONGEST


def long_paths_allowed() -> bool:
    """The setting of this Windows; not yet seen by us."""
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


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


def remove_remains(folder: Path) -> None:
    """Remove a dead browser's socket folder. Takes only the two names that Chrome puts there."""
    for name in (SOCKET_LINK, COOKIE_LINK):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def dead_socket_folder(profile: Path) -> Path | None:
    """The folder to which the profile's link leads, when nobody listens there any more."""
    try:
        link = (profile / SOCKET_LINK).readlink()
    except OSError:
        return None
    if not link.is_absolute() or link.name != SOCKET_LINK or not SOCKET_FOLDER.fullmatch(link.parent.name):
        return None
    return link.parent if _is_deserted(link) else None


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


def prepare_profile(profile: Path, browser: FoundBrowser) -> None:
    """Make the profile folder, for its owner only, and see that it can be written. Raises ProfileNotWritable."""
    # Not Path.home, which raises where a user has none: containers run as any number.
    problem = snap_problem(browser, profile, Path(os.path.expanduser("~")))  # noqa: PTH111
    if problem is not None:
        raise ProfileNotWritable(profile, problem)
    try:
        make_path(profile)
        _try_to_write(profile)
    except OSError as error:
        reason = REASONS.get(error.errno or 0, f"{error.strerror}. Choose another folder")
        raise ProfileNotWritable(profile, reason) from error


def _try_to_write(profile: Path) -> None:
    """Not by ``tempfile``: on Windows it takes a refusal for a name that is taken, and tries two thousand million
    others (CPython before 3.14); software that guards folders refuses just so."""
    probe = profile / f".write-{os.getpid()}-{threading.get_ident()}"
    number = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.write(number, bytes(65_536))
    finally:
        os.close(number)
        probe.unlink()
