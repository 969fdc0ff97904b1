"""Who is there: a file with a lock on it for as long as its process lives or its call waits.

The system lets go of the lock when the process dies, in whatever way, so nothing here depends on clocks, process ids,
host names or on tidying up, and neither a container nor a share changes it as long as locks work there.
"""

import errno
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.disk import make_path
from cdp_image_mcp.system.lockfile import LockFile, close, take

OWN_FOLDER = ".cdp-image-mcp"
"""What lies beside pictures or in the profile, and is nobody's picture or profile."""
LOOKING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
"""Where others may write, one may lay a link, or a pipe that lets whoever opens it wait for ever."""
NAME = re.compile(r"[0-9a-z][0-9a-z.-]{0,99}")
"""Records name their owners, and somebody else may have written a record."""


def new_name() -> str:
    """A name that nobody else has."""
    return secrets.token_hex(12)


class Presence:
    """The present ones of one kind, by name, each a file in ``folder``. Blocking: for threads."""

    def __init__(self, folder: Path, setting: str = "GPT_IMAGE_OUTPUT_DIR") -> None:
        """``setting`` is the variable that names another place for it."""
        self.folder = folder
        self._setting = setting
        self._mine: dict[str, LockFile] = {}

    def enter(self, name: str) -> None:
        """Be there under ``name`` from now on. Raises OSError or ImageError ``disk``."""
        if not NAME.fullmatch(name):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        lock = self._mine.get(name)
        if lock is not None:
            if lock.still_there:
                return
            lock.release()
        make_path(self.folder)
        lock = LockFile(self.folder / name, self._setting)
        try:
            lock.acquire(5)  # who looks whether it is taken holds it for a moment
        except ImageError:
            with suppress(OSError):
                lock.path.unlink()  # where nothing can be locked, nobody could learn anything of it
            raise
        self._mine[name] = lock

    def leave(self, name: str) -> None:
        """Be there no longer. Never raises: a file that cannot be taken away says nothing without its lock."""
        lock = self._mine.pop(name, None)
        if lock is not None:
            lock.release()
            with suppress(OSError):
                lock.path.unlink()

    def is_there(self, name: str) -> bool:
        """Whether its process lives and has not left. Raises OSError."""
        return name in self._mine or self._look(name, sweep=False)

    def names(self) -> list[str]:
        """All files, in order; of those whose process is dead too. Raises OSError."""
        try:
            return sorted(os.listdir(self.folder))  # noqa: PTH208 - names are all that is wanted
        except FileNotFoundError:
            return []

    def sweep(self) -> None:
        """Take away what dead ones left, and leave alone what cannot be looked at: another user's, perhaps. Only under
        a lock that all who do so hold. Raises OSError."""
        for name in self.names():
            if name not in self._mine:
                with suppress(OSError):
                    self._look(name, sweep=True)

    def _look(self, name: str, *, sweep: bool) -> bool:
        path = self.folder / name
        if not NAME.fullmatch(name):
            return False
        try:
            handle = os.open(path, LOOKING)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return False
            if not take(handle, shared=True):
                return True
            # While it is locked nobody enters by it; whoever waits to finds it gone, and makes another.
            if sweep and os.path.samestat(os.fstat(handle), path.stat()) and sys.platform != "win32":
                path.unlink()
        except FileNotFoundError:
            return False
        finally:
            close(handle)
        if sweep and sys.platform == "win32":  # where nothing that is open can be deleted, ours or its owner's
            with suppress(OSError):
                path.unlink()
        return False
