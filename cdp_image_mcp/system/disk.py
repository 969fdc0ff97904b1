"""Files written whole or not at all, and what a failing disk is called."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread

from cdp_image_mcp.errors import THEN_CALL, ImageError
from cdp_image_mcp.system.tasks import shielded

if sys.platform == "darwin":
    from fcntl import F_FULLFSYNC, fcntl

P = ParamSpec("P")
T = TypeVar("T")

PART = ".part"
"""Ending of temporary files. They start with a dot and never meet a reader."""

OWNER_ONLY = 0o777 if sys.platform == "win32" else 0o700
"""The mode of our folders. On Windows 0700 makes a list of rights of its own that shuts out the same user once he runs
a program without an administrator's rights (CPython since 3.12.4); what a user's folder hands down is right there."""

PATIENCE = 3.0 if sys.platform == "win32" else 0.0
"""Seconds in which files that are refused may be free again; elsewhere a refusal is no matter of time."""

NOT_FOR_WANT_OF_LINKS = {errno.EEXIST, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT}
"""Everything else is what some file system without hard links answers to one: FAT, FUSE, 9p, vboxsf, some shares."""

BYTES_PER_PICTURE = 8 * 1024 * 1024
"""Room looked for before a picture is asked for; a large PNG needs about that."""

FREE_SPACE = f"Ask the user to free space on that disk, {THEN_CALL}"
PERMISSIONS = "Ask the user to correct the folder's permissions or to choose another one with {setting}."
NO_LOCKS = "Ask the user to choose a folder on a disk of this machine with {setting}."

CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", FREE_SPACE),
    errno.EDQUOT: ("the user's disk quota is used up", FREE_SPACE),
    errno.EFBIG: ("the file would be larger than the system allows here", FREE_SPACE),
    errno.EROFS: ("the disk is mounted read-only", PERMISSIONS),
    errno.EACCES: ("permission is denied", PERMISSIONS),
    errno.EPERM: ("the system does not permit it", PERMISSIONS),
    errno.ENOENT: ("the folder is gone", "Ask the user whether the folder was moved or deleted."),
    errno.ENOTDIR: ("a file lies where a folder should be", "Ask the user to move that file away."),
    errno.EEXIST: ("a file lies where a folder should be", "Ask the user to move that file away."),
    errno.ENOLCK: ("the folder's file system has no locks, which keep two programs from doing the same", NO_LOCKS),
    errno.EIO: ("the disk reports an error", "Ask the user to check the disk; keep no other work on it."),
}


TOO_LONG = (
    "the path is longer than the system takes",
    "Ask the user to choose a shorter folder with {setting}; on Windows longer ones can be allowed (LongPathsEnabled).",
)
FILENAME_EXCED_RANGE = 206
MOST_CHARACTERS = 248
"""From here on Windows makes no folder, and from 260 on no file, where longer paths are not allowed ("Maximum Path
Length Limitation", Microsoft, 2026-11)."""


async def finish(work: Callable[[], T], *, own_thread: bool = False) -> T:
    """Run blocking ``work`` in a thread and see it through, even when the caller is, or already was, cancelled. All of
    the loop's threads may hang on a disk that does not answer: with ``own_thread`` it waits for none of them."""
    begun, limiter = False, anyio.CapacityLimiter(1) if own_thread else None

    def run() -> T:
        nonlocal begun
        begun = True
        return work()

    with shielded():
        try:
            return await anyio.to_thread.run_sync(run, limiter=limiter)
        except RuntimeError:
            if begun:
                raise
            # The system gives no more threads, and what is to be written may be paid for: all else waits meanwhile.
            return work()


def in_thread(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A blocking function as one to be awaited, which runs as in :func:`finish`."""

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await finish(partial(work, *args, **kwargs))

    return run


class Patience:
    """How long one errand waits for files that are refused, all of them together: on a drive without its card each one
    is, and they may be thousands."""

    def __init__(self) -> None:
        self._end: float | None = None

    def is_over(self) -> bool:
        """Asked at each refusal; the first one begins it."""
        now = time.monotonic()
        if self._end is None:
            self._end = now + PATIENCE
        return now >= self._end


@contextlib.contextmanager
def doing(what: str, path: Path, setting: str = "GPT_IMAGE_OUTPUT_DIR") -> Generator[None]:
    """What the disk refuses in the block is told as ImageError ``disk``: what was being done, to which path, why it
    failed, and what to do; ``setting`` is the variable that names another place."""
    try:
        yield
    except OSError as error:
        cause, step = CAUSES.get(error.errno or 0, (error.strerror or type(error).__name__, None))
        if _is_too_long(error, path):
            cause, step = TOO_LONG
        raise ImageError(
            "disk",
            f"{what} failed: {cause} ({path}). What was saved before is untouched.",
            next_step=step and step.format(setting=setting),
            details={"path": str(path), "errno": errno.errorcode.get(error.errno or 0, "")},
        ) from error


def _is_too_long(error: OSError, path: Path) -> bool:
    """Windows mostly says of such a path that there is none."""
    if sys.platform != "win32":
        return error.errno == errno.ENAMETOOLONG
    longest = max(len(str(name)) for name in (path, error.filename or ""))
    return error.winerror == FILENAME_EXCED_RANGE or (error.errno == errno.ENOENT and longest >= MOST_CHARACTERS)


def write_part(path: Path, data: bytes | Iterable[bytes]) -> tuple[Path, os.stat_result]:
    """Write ``data``, or its pieces as they come, durably to a new temporary file beside ``path``, 0600. Raises OSError
    and leaves nothing then."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(part, flags, 0o600)
    try:
        try:
            for piece in (data,) if isinstance(data, bytes) else data:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(handle, rest) :]
            _sync(handle)
            facts = os.fstat(handle)
        finally:
            os.close(handle)
    except BaseException:
        _drop(part)
        raise
    return part, facts


def replace_file(path: Path, data: bytes | Iterable[bytes]) -> os.stat_result:
    """Put ``data`` in the place of ``path`` in one step, durable on return; a reader sees the old or the new file.

    Raises OSError; the old file is then as it was. The answer describes the new file.
    """
    part, facts = write_part(path, data)
    try:
        _patiently(partial(part.replace, path))
    except BaseException:
        _drop(part)
        raise
    sync_folder(path.parent)
    return facts


def read_file(
    path: Path, most: int = sys.maxsize, *, known: bool = False, patience: Patience | None = None
) -> tuple[bytes, os.stat_result]:
    """The first ``most`` bytes, and what describes the very file that they are of. ``known``: there is such a file, and
    should it be missing, then for a moment (on Windows, while another one takes its place: microsoft/STL#5501, 2025).
    ``patience``: of whoever reads several. Raises OSError."""

    def read() -> tuple[bytes, os.stat_result]:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            # No more than is there: room for what is asked is made at once.
            return file.read(min(facts.st_size, most)), facts

    return _patiently(read, (PermissionError, FileNotFoundError) if known else (PermissionError,), patience)


def settle(part: Path, path: Path) -> None:
    """Give a finished temporary file its name, never over another file. Raises FileExistsError."""
    if sys.platform == "win32":
        _patiently(partial(part.rename, path))  # refuses an existing name there
        return
    try:
        path.hardlink_to(part)
    except OSError as error:
        if error.errno in NOT_FOR_WANT_OF_LINKS:
            raise
        # The empty file makes the name ours; replacing it then overwrites nothing of anybody's.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(path)
    else:
        part.unlink()


def look(path: Path) -> os.stat_result | None:
    """What is there, None for nothing. Raises OSError for what may not be looked at: to Path.exists and its like that
    is nothing from Python 3.14 on ("What's new", pathlib, 2025-10), and some of it before."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_folder(path: Path) -> bool:
    """Raises OSError as :func:`look`."""
    return (found := look(path)) is not None and stat.S_ISDIR(found.st_mode)


def named_inside(real: Path, folder: Path) -> Path | None:
    """The folder as ``real`` names it, None when it does not lie there; both without links. On macOS and Windows other
    letters may name the same folder: capitals, and letters put together of two signs."""
    if real.is_relative_to(folder):
        return folder
    for place in (real, *real.parents):
        with contextlib.suppress(OSError):
            if place.samefile(folder):
                return place
    return None


def make_folder(path: Path) -> None:
    """A new folder, 0700, its name durable on return. Raises FileExistsError when there is anything of that name."""
    path.mkdir(OWNER_ONLY)
    sync_folder(path.parent)


def make_path(path: Path) -> None:
    """Make a folder and what is missing above it, 0700, names durable on return. Raises OSError."""
    if path.is_dir():
        return
    if path.parent != path:
        make_path(path.parent)
    try:
        make_folder(path)
    except FileExistsError:
        if not path.is_dir():  # otherwise another process was faster
            raise


def sync_folder(path: Path) -> None:
    """Make names in a folder durable where the system can (Windows cannot, and does it by itself)."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some shares refuse to sync folders; the file itself is safe already
            os.fsync(handle)
    finally:
        os.close(handle)


def _sync(handle: int) -> None:
    if sys.platform == "darwin":
        # Plain fsync leaves the bytes in the drive's own cache there; shares do not know the strong form.
        with contextlib.suppress(OSError):
            fcntl(handle, F_FULLFSYNC)
            return
    os.fsync(handle)


def _patiently(
    step: Callable[[], T], passing: tuple[type[OSError], ...] = (PermissionError,), patience: Patience | None = None
) -> T:
    """On Windows a virus scanner or a reader that holds a file for a moment makes a rename fail, and a rename that is
    under way makes a reading fail."""
    patience = patience or Patience()
    while True:
        try:
            return step()
        except passing:
            if patience.is_over():
                raise
            time.sleep(0.02)


def _drop(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()


def free_space(place: Path) -> int | None:
    """Free bytes on its disk; None where the file system does not tell (some of FUSE answer with zeros). Raises
    OSError."""
    usage = shutil.disk_usage(place)
    return usage.free if usage.total else None


def check_room(pictures: int, parent: Path) -> None:
    """Raise ImageError ``disk`` when the disk of ``parent``, which need not exist yet, has clearly no room for them."""
    place = next((folder for folder in (parent, *parent.parents) if folder.is_dir()), parent)
    with doing("Looking for free space", place):
        free = free_space(place)
    wanted = pictures * BYTES_PER_PICTURE
    if free is not None and free < wanted:
        raise ImageError(
            "disk",
            f"Nothing was sent: the disk of {parent} has {free / 1e6:.0f} MB free, and {pictures} pictures may need"
            f" {wanted / 1e6:.0f} MB.",
        )
