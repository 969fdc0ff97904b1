"""The queue for one account over all processes: one turn at a time, first come, first served, but for what nobody waits
for, which goes behind all others."""

import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel

from cdp_image_mcp.system.disk import doing, finish
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER, Presence, new_name

POLL_SECONDS = 0.25
"""No event tells a process on Linux, macOS and Windows alike that another one has let go or died, so those who wait
look four times a second. Within one process an event wakes them at once."""
SETTING = "CHATGPT_WEB_PROFILE_DIR"
DIGITS = 20
BEHIND = "behind-"
"""It sorts behind all numbers, and programs of before 2026-11-29 pass it over."""


@dataclass
class _Ticket:
    """One place in the queue. Places sort as their names do."""

    behind: Callable[[], bool]
    name: str = ""
    holds: bool = False


class Turns:
    """The queue of one profile; it lies in the profile, in small files. Opening touches nothing.

    Tickets give the order; that there is never more than one holder is the work of a lock which the system ties to
    the holder's process, so neither a file that goes nor one that stays can let two in.
    """

    def __init__(self, profile_dir: Path) -> None:
        folder = Path(os.path.realpath(profile_dir)) / OWN_FOLDER
        self._queue = Presence(folder / "queue", SETTING)
        self._lock = LockFile(folder / "turn.lock", SETTING)
        self._freed: anyio.Event | None = None

    @asynccontextmanager
    async def take(
        self, on_position: Callable[[int], None] | None = None, *, behind: Callable[[], bool] = lambda: False
    ) -> AsyncGenerator[None]:
        """Wait for the turn and hold it while the context is open. ``on_position`` is told the place (1 is next)
        at once and at every change; it is not called when the turn is free. As long as it is ``behind``, it comes after
        all who are not, whenever they come; see :meth:`wanted`.

        Cancelling while waiting gives the ticket back. A dead owner's ticket goes with it; nobody loses a turn by age.
        Raises ImageError ``disk`` when nothing can be written in the profile.
        """
        ticket = _Ticket(behind)
        told = 0
        try:
            while True:
                freed = self._freed = self._freed or anyio.Event()
                ahead = await finish(partial(self._look, ticket))
                if ticket.holds:
                    break
                if (place := max(1, ahead)) != told and on_position is not None:
                    told = place
                    on_position(place)
                with anyio.move_on_after(POLL_SECONDS):
                    await freed.wait()
            await anyio.lowlevel.checkpoint()
            yield
        finally:
            await finish(partial(self._give_back, ticket))
            freed, self._freed = self._freed, None
            if freed is not None:
                freed.set()

    async def wanted(self) -> None:
        """Until somebody waits for the turn who is not behind. For its holder, who took it behind all others."""
        while not await finish(self._is_wanted):  # noqa: ASYNC110 - other processes set no event
            await anyio.sleep(POLL_SECONDS)

    # What follows runs in threads.

    def busy(self) -> bool:
        """Whether anybody holds the turn or waits for it. Raises OSError."""
        return any(map(self._waits, self._queue.names()))

    def take_away(self) -> None:
        """Delete the queue, and its profile if nothing else is in it, as far as the system lets. For the holder, at the
        end of his turn: whoever waits makes it anew, and a turn that another has begun would lose its lock."""
        folder = self._lock.path.parent
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()

    def _look(self, ticket: _Ticket) -> int:
        """How many living tickets are before this one; with none, try to become the holder."""
        with doing("Queueing for the browser", self._lock.path.parent, SETTING):
            names, behind = self._numbered(), ticket.behind()
            if not ticket.name or (ticket.name.startswith(BEHIND) and not behind):
                self._queue.leave(ticket.name)
                # By the clock, and never below one that is there, should the clock have been set back.
                last = int(names[-1][:DIGITS]) if names else 0
                number = f"{max(last + 1, time.time_ns() // 1000):0{DIGITS}}-"
                ticket.name = f"{BEHIND if behind else number}{new_name()}"
            self._queue.enter(ticket.name)
            ahead = sum(self._waits(name) for name in names if name < ticket.name)
            ticket.holds = ahead == 0 and self._lock.try_acquire()
            if ticket.holds:
                self._queue.sweep()
            return ahead

    def _numbered(self) -> list[str]:
        """The tickets of those who are not behind, in order. Raises OSError."""
        return [name for name in self._queue.names() if name[:DIGITS].isdigit()]

    def _is_wanted(self) -> bool:
        with suppress(OSError):
            return any(map(self._waits, self._numbered()))
        return False

    def _waits(self, name: str) -> bool:
        """A ticket that cannot be looked at bars nobody's way for ever: the lock itself decides who is the holder."""
        try:
            return self._queue.is_there(name)
        except OSError:
            return False

    def _give_back(self, ticket: _Ticket) -> None:
        if ticket.holds:
            self._lock.release()
        self._queue.leave(ticket.name)
