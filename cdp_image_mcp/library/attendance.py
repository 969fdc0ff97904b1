"""Who works on a library's generations, and which calls wait for them: each there as long as it holds its lock."""

import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Owner, Record
from cdp_image_mcp.system.disk import doing
from cdp_image_mcp.system.presence import OWN_FOLDER, Presence, new_name


class Attendance:
    """This process and the others under ``root``. Blocking: for threads. ``told`` gets a sentence for what cannot be
    learnt."""

    def __init__(self, root: Path, told: Callable[[str], object]) -> None:
        self.token = new_name()
        """This process in records."""
        self._alive = Presence(root / OWN_FOLDER / "alive")
        self._waiting = Presence(root / OWN_FOLDER / "waiting")
        self._leaving: set[str] = set()
        self._told = told

    def enter(self) -> Owner:
        """This process, present from now on. Raises ImageError ``disk``: without that others would take over what it
        works on."""
        import psutil

        with doing("Telling other processes of this one", self._alive.folder):
            if not self._alive.is_there(self.token):
                for kind in (self._alive, self._waiting):
                    kind.sweep()
            self._alive.enter(self.token)
        own = psutil.Process()
        return Owner(token=self.token, pid=own.pid, started=own.create_time(), host=platform.node())

    def leave(self) -> None:
        """This process works on nothing any more. Idempotent."""
        self._alive.leave(self.token)

    def lives(self, record: Record) -> bool:
        """Whether somebody works on an unfinished generation."""
        owner = record.owner
        return not record.finished and owner is not None and self._is_there(self._alive, owner.token)

    def is_another(self, token: str | None) -> bool:
        """Whether that is a process which is there, and not this one."""
        return token is not None and token != self.token and self._is_there(self._alive, token)

    def wait(self, generation_id: str) -> str:
        """A call waits on it; without a word when the disk does not take that, for nobody loses a picture by it."""
        waiter = f"{generation_id}.{new_name()}"
        with suppress(OSError, ImageError):
            self._waiting.enter(waiter)
        return waiter

    def give_up(self, waiter: str) -> None:
        """The call waits no longer, as far as this process asks; :meth:`release` follows. Touches no disk."""
        self._leaving.add(waiter)

    def release(self, waiter: str) -> None:
        """The call waits no longer. Idempotent, never raises."""
        self._waiting.leave(waiter)
        self._leaving.discard(waiter)

    def is_waited_on(self, generation_id: str) -> bool:
        names = [name for name in self._waiting.names() if name.startswith(generation_id)]
        return any(name not in self._leaving and self._is_there(self._waiting, name) for name in names)

    def _is_there(self, kind: Presence, name: str) -> bool:
        """Of whom nothing can be learnt, another user's perhaps, that one is left alone."""
        try:
            return kind.is_there(name)
        except OSError as error:
            self._told(f"{kind.folder / name} cannot be asked for: {error.strerror}.")
            return True
