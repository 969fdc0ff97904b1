"""A lock between processes that the system itself lets go when its holder dies."""

import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.disk import disk_error

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LockFile"]

RETRY_SECONDS = 0.02


class LockFile:
    """An exclusive lock tied to an open file, never to its existence or age; the file itself stays for ever.

    Blocking calls: for threads. One object may be used from many threads; each :meth:`held` is exclusive among them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = threading.Lock()
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free. Raises OSError when the file cannot be opened."""
        if not self._thread.acquire(blocking=False):
            return False
        taken = False
        try:
            taken = self._take_file()
        finally:
            if not taken:
                self._thread.release()
        return taken

    def release(self) -> None:
        """Let go. Only for the one who acquired it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _close(handle)
            self._thread.release()

    def acquire(self, seconds: float = 30.0) -> None:
        """Take the lock; waits at most ``seconds`` for it. Raises ImageError ``disk``."""
        deadline = time.monotonic() + seconds
        if not self._thread.acquire(timeout=seconds):
            raise self._busy(seconds)
        try:
            # No system wakes a thread when a file lock comes free without also letting it wait for ever.
            while not self._take_file() and time.monotonic() < deadline:
                time.sleep(RETRY_SECONDS)
        except OSError as error:
            raise disk_error(error, "Opening a lock file", self.path) from error
        finally:
            if self._handle is None:
                self._thread.release()
        if self._handle is None:
            raise self._busy(seconds)

    @contextmanager
    def held(self, seconds: float = 30.0) -> Generator[None]:
        """Hold the lock while the context is open. Raises as :meth:`acquire`."""
        self.acquire(seconds)
        try:
            yield
        finally:
            self.release()

    def _take_file(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        taken = False
        try:
            taken = _lock(handle) and self._still_there(handle)
        finally:
            if not taken:
                os.close(handle)
        self._handle = handle if taken else None
        return taken

    def _still_there(self, handle: int) -> bool:
        """A lock on a file somebody deleted meanwhile would keep nobody out."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False

    def _busy(self, seconds: float) -> ImageError:
        return ImageError(
            "disk",
            f"Another cdp-image-mcp process has kept {self.path} locked for {seconds:g} s.",
            next_step="Look for a stopped cdp-image-mcp process and end it, then call again.",
        )


def _lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _close(handle: int) -> None:
    if sys.platform == "win32":
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    os.close(handle)
