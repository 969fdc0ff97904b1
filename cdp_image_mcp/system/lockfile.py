"""A lock between processes that the system itself lets go when its holder dies."""

import errno
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.disk import doing

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RETRY_SECONDS = 0.02
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems without locks answer (NFS without lockd, some FUSE ones, Android)."""

HANGING = (
    "An output folder whose disk or share does not answer may be what it waits for: look at that, restart the client "
    "if it goes on, then call again."
)


class LockFile:
    """An exclusive lock tied to an open file, never to its existence or age; the file itself stays for ever.

    Blocking calls: for threads. One object may be used from many threads; each :meth:`held` is exclusive among them.
    """

    def __init__(self, path: Path, setting: str = "GPT_IMAGE_OUTPUT_DIR") -> None:
        """``setting`` is the variable that names another place for it."""
        self.path = path
        self._setting = setting
        self._thread = threading.Lock()
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free. Raises OSError when the file cannot be opened or locked."""
        return self._take(0.0)

    def release(self) -> None:
        """Let go. Only for the one who acquired it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            close(handle)
            self._thread.release()

    def acquire(self, seconds: float = 30.0) -> None:
        """Take the lock; waits at most ``seconds`` for it. Raises ImageError ``disk``."""
        with doing("Locking a file", self.path, self._setting):
            taken = self._take(seconds)
        if not taken:
            ours = self._handle is not None
            raise ImageError(
                "disk",
                f"{'This' if ours else 'Another'} cdp-image-mcp process has kept {self.path} locked for {seconds:g} s.",
                next_step=HANGING if ours else "Look for a stopped cdp-image-mcp process and end it, then call again.",
            )

    @contextmanager
    def held(self, seconds: float = 30.0) -> Generator[None]:
        """Hold the lock while the context is open. Raises as :meth:`acquire`."""
        self.acquire(seconds)
        try:
            yield
        finally:
            self.release()

    @property
    def still_there(self) -> bool:
        """Whether what is held is the file that others would lock: on a deleted one a lock keeps nobody out."""
        return self._handle is not None and self._is_at_its_place(self._handle)

    def _take(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        if not self._thread.acquire(timeout=seconds):
            return False
        taken = False
        try:
            # No system wakes a thread when a file lock comes free without also letting it wait for ever.
            while not (taken := self._take_file()) and time.monotonic() < deadline:
                time.sleep(RETRY_SECONDS)
        finally:
            if not taken:
                self._thread.release()
        return taken

    def _take_file(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        taken = False
        try:
            taken = take(handle) and self._is_at_its_place(handle)
        finally:
            if taken:
                self._handle = handle
            else:
                os.close(handle)
        return taken

    def _is_at_its_place(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


def take(handle: int, *, shared: bool = False) -> bool:
    """Lock an open file if that can be done at once; ``shared`` beside others who look the same way (Windows knows
    exclusive locks alone). Raises OSError, with ENOLCK where the file system has no locks of any kind."""
    if sys.platform == "win32":
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    for way in (fcntl.flock, fcntl.lockf):
        try:
            way(handle, kind)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        else:
            return True
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def close(handle: int) -> None:
    """Let a lock go with its file. Windows is asked for it: locks of closed files go there "as resources permit"
    (Microsoft, LockFile), and who is gone would be taken for present meanwhile."""
    if sys.platform == "win32":
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    os.close(handle)
