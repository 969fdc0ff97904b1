"""Who works on a library's generations, and which calls wait for them: each there as long as it holds its lock."""

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Owner, Record
from cdp_image_mcp.system.disk import doing
from cdp_image_mcp.system.presence import OWN_FOLDER, Presence, new_name


class Attendance:
    """This process and the others under ``root``, or with another root and an output folder in common. Blocking: for
    threads. ``told`` gets a sentence for what cannot be learnt."""

    def __init__(self, root: Path, told: Callable[[str], object]) -> None:
        self._root = root
        self.token = new_name()
        """This process in records."""
        self._alive = Presence(root / OWN_FOLDER / "alive")
        self._waiting = Presence(root / OWN_FOLDER / "waiting")
        self._leaving: set[str] = set()
        self._working: dict[Path, Presence] = {}
        self._works: dict[str, tuple[Presence, str]] = {}
        """Where and under which name this process works on a generation."""
        self._told = told

    def enter(self) -> Owner:
        """This process, present from now on. Raises ImageError ``disk``: without that others would take over what it
        works on."""
        with doing("Telling other processes of this one", self._alive.folder):
            if not self._alive.is_there(self.token):
                for kind in (self._alive, self._waiting):
                    kind.sweep()
            self._alive.enter(self.token)
        # When the process itself started, a system that hides /proc does not tell.
        return Owner(token=self.token, pid=os.getpid(), started=time.time(), host=platform.node())

    def leave(self) -> None:
        """This process works on nothing any more: what it leaves is an orphan from now on. Idempotent."""
        for generation_id in list(self._works):
            self.end_work(generation_id)
        self._alive.leave(self.token)

    def lives(self, record: Record, parent: Path | None) -> bool:
        """Whether somebody works on an unfinished generation in ``parent``; None: what is there cannot be seen now."""
        owner = record.owner
        if record.finished or owner is None:
            return False
        if self._is_there(self._alive, owner.token):
            return True
        return parent is not None and self.is_worked_on(record.generation_id, parent)

    def begin_work(self, generation_id: str, parent: Path) -> bool:
        """This process works on a generation in ``parent`` from now on, unless another does; of two that begin at once
        none may. That is noted where it lies: programs with another root may have the same folder. Where nothing can be
        locked there, only those with this root know it."""
        if generation_id not in self._works:
            place, name = self._at(parent), f"{generation_id}.{new_name()}"
            try:
                if parent == self._root:  # elsewhere those with other roots hold no lock in common
                    place.sweep()
                place.enter(name)
            except (OSError, ImageError) as problem:
                self._told(f"Programs with another output root do not see who works in {parent}: {problem}")
            else:
                self._works[generation_id] = place, name
        if self.is_worked_on(generation_id, parent):
            self.end_work(generation_id)
            return False
        return True

    def end_work(self, generation_id: str) -> None:
        """Others may go on with it. Idempotent, never raises."""
        if generation_id in self._works:
            place, name = self._works.pop(generation_id)
            place.leave(name)

    def is_worked_on(self, generation_id: str, parent: Path) -> bool:
        """Whether another process does, perhaps behind its end."""
        _, own = self._works.get(generation_id, (None, ""))
        try:
            return self._any(self._at(parent), f"{generation_id}.", but=own)
        except (PermissionError, NotADirectoryError):
            return False  # whoever can read the record could note nothing there either
        except OSError as error:
            self._told(f"Who works in {parent} cannot be learnt: {error.strerror}.")
            return True

    def works_on(self, generation_id: str) -> bool:
        """Whether this process does."""
        return generation_id in self._works

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
        return self._any(self._waiting, generation_id)

    def _at(self, parent: Path) -> Presence:
        return self._working.setdefault(parent, Presence(parent / OWN_FOLDER / "working"))

    def _any(self, kind: Presence, first: str, *, but: str = "") -> bool:
        names = [name for name in kind.names() if name.startswith(first) and name != but]
        return any(name not in self._leaving and self._is_there(kind, name) for name in names)

    def _is_there(self, kind: Presence, name: str) -> bool:
        """Of whom nothing can be learnt, another user's perhaps, that one is left alone."""
        try:
            return kind.is_there(name)
        except OSError as error:
            self._told(f"{kind.folder / name} cannot be asked for: {error.strerror}.")
            return True
