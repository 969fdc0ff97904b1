"""The queue for one account over all processes: one turn at a time, first come, first served."""

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.database import Database
from cdp_image_mcp.system.disk import disk_error, finish
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.owner import Owner, is_alive, this_process

__all__ = ["Turns"]

POLL_SECONDS = 0.25
"""No event tells a process on Linux, macOS and Windows alike that another one has let go or died, so those who wait
look four times a second. Within one process an event wakes them at once."""

TABLES = "CREATE TABLE tickets (key TEXT PRIMARY KEY, number INTEGER NOT NULL, owner BLOB NOT NULL)"
VERSION = 1


class _Ticket:
    """One place in the queue. The number lasts: a queue that has to be made anew gets its old order back."""

    def __init__(self, owner: Owner) -> None:
        self.key = secrets.token_hex(16)
        self.owner = owner
        self.number = 0
        self.guard = threading.Lock()
        self.holds = False
        self.returned = False


class Turns:
    """The queue of one profile folder; it lies in small files beside it. Opening touches nothing.

    Tickets give the order; that there is never more than one holder is the work of a lock which the system ties to
    the holder's process, so neither a broken queue nor a wrong guess about who lives can let two in.
    """

    def __init__(self, profile_dir: Path) -> None:
        self.profile_dir = profile_dir
        beside = Path(os.path.realpath(profile_dir))
        self._problems: list[str] = []
        self._database = Database(
            beside.with_name(beside.name + ".turns.sqlite3"), TABLES, VERSION, told=self._problems.append
        )
        self._lock = LockFile(beside.with_name(beside.name + ".turn.lock"))
        self._freed: anyio.Event | None = None
        self._leftover: set[str] = set()
        """Tickets of ours that a failing disk kept from being taken out; they must not block the queue for ever."""

    @asynccontextmanager
    async def take(
        self, owner: Owner | None = None, on_position: Callable[[int], None] | None = None
    ) -> AsyncGenerator[None]:
        """Wait for the turn and hold it while the context is open. ``on_position`` is told the place (1 is next)
        at once and at every change; it is not called when the turn is free. ``owner``: this process by default.

        Cancelling while waiting gives the ticket back. A dead owner's ticket goes within 2 s; nobody loses a turn
        by age. Raises ImageError ``disk`` when the files beside the profile cannot be written.
        """
        ticket = _Ticket(owner or this_process())
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

    async def waiting(self) -> int:
        """How many living tickets there are, the holder's included."""
        return await anyio.to_thread.run_sync(self._database.run, _living)

    def problems(self) -> list[str]:
        """Sentences about a garbled queue file of this process so far."""
        return list(dict.fromkeys(self._problems))

    # What follows runs in threads.

    def _look(self, ticket: _Ticket) -> int:
        """How many living tickets are before this one; with none, try to become the holder."""
        with ticket.guard:
            if ticket.returned:
                return 0
            leftover = set(self._leftover)
            ahead = self._database.run(partial(_ahead, ticket=ticket, leftover=leftover))
            self._leftover -= leftover
            if ahead == 0 and not ticket.holds:
                try:
                    ticket.holds = self._lock.try_acquire()
                except OSError as error:
                    raise disk_error(error, "Opening the lock of the queue", self._lock.path) from error
            return ahead

    def _give_back(self, ticket: _Ticket) -> None:
        with ticket.guard:
            ticket.returned = True
            if ticket.holds:
                ticket.holds = False
                self._lock.release()
            if not ticket.number:
                return
            try:
                self._database.run(partial(_take_out, keys={ticket.key}))
            except ImageError as error:
                self._leftover.add(ticket.key)
                self._problems.append(f"A ticket could not be taken out of the queue yet: {error.message}")


def _take_out(db: sqlite3.Connection, keys: set[str]) -> None:
    for key in keys:
        db.execute("DELETE FROM tickets WHERE key = ?", (key,))


def _ahead(db: sqlite3.Connection, ticket: _Ticket, leftover: set[str]) -> int:
    _take_out(db, leftover)
    _living(db)
    if not db.execute("SELECT 1 FROM tickets WHERE key = ?", (ticket.key,)).fetchone():
        if not ticket.number:
            (last,) = db.execute("SELECT ifnull(max(number), 0) FROM tickets").fetchone()
            # By the clock, so that numbers still rise after the file had to be made anew.
            ticket.number = max(last + 1, time.time_ns() // 1000)
        db.execute(
            "INSERT INTO tickets VALUES (?, ?, ?)", (ticket.key, ticket.number, msgspec.json.encode(ticket.owner))
        )
    (ahead,) = db.execute(
        "SELECT count(*) FROM tickets WHERE (number, key) < (?, ?)", (ticket.number, ticket.key)
    ).fetchone()
    return int(ahead)


def _living(db: sqlite3.Connection) -> int:
    """Drop the tickets of dead owners; answers how many are left. A profile belongs to one machine (the browser
    refuses it on a second), so an owner that cannot be found here is dead."""
    left = 0
    alive: dict[bytes, bool] = {}
    for key, owner in db.execute("SELECT key, owner FROM tickets").fetchall():
        if owner not in alive:
            alive[owner] = is_alive(msgspec.json.decode(owner, type=Owner))
        if alive[owner]:
            left += 1
        else:
            _take_out(db, {key})
    return left
