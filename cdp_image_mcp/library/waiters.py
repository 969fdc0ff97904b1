"""The calls that wait on generations right now, of all processes, as the index holds them."""

import secrets
import sqlite3
import threading
import time

import msgspec

from cdp_image_mcp.library import index
from cdp_image_mcp.system.owner import Owner, is_alive, is_elsewhere

__all__ = ["Waiters", "lives"]

ELSEWHERE_SECONDS = 2 * 3600
"""An owner on another machine or in another container cannot be looked at. No record stays without a change, and no
call waits, for so long: the longest generation is 30 minutes."""


def lives(owner: Owner, heard_at: float) -> bool:
    """Whether the owner, last heard of at ``heard_at`` (epoch seconds), is to be taken as alive."""
    return is_alive(owner) or (is_elsewhere(owner) and time.time() - heard_at < ELSEWHERE_SECONDS)


class Waiters:
    """What this process knows of its own waiting calls, so that an index made anew learns of them again, and what a
    failing disk kept from being taken out is taken out later. All calls with a connection run in its transaction."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._guard = threading.Lock()
        self._open: dict[str, tuple[str, float]] = {}
        self._released: set[str] = set()

    def add(self, db: sqlite3.Connection, generation_id: str, waiter: str = "") -> str:
        """Write a waiting call into the index. It counts for this process from :meth:`keep` on, for the transaction
        may still fail."""
        waiter = waiter or secrets.token_hex(16)
        index.add_waiter(db, waiter, generation_id, self._owner, time.time())
        return waiter

    def keep(self, waiter: str, generation_id: str) -> None:
        """The call waits until it is released."""
        with self._guard:
            self._open[waiter] = (generation_id, time.time())

    def release(self, waiter: str) -> bool:
        """The call waits no longer; False if it did not wait. The next transaction of any kind takes it out."""
        with self._guard:
            if self._open.pop(waiter, None) is None:
                return False
            self._released.add(waiter)
            return True

    def renew(self, db: sqlite3.Connection, *, anew: bool) -> set[str]:
        """Take out what was released; after the index was made ``anew`` also put in what waits. Hand the answer to
        :meth:`settle` once the transaction is through."""
        with self._guard:
            waiting = list(self._open.items()) if anew else []
            released = set(self._released)
        for waiter, (generation_id, since) in waiting:
            index.add_waiter(db, waiter, generation_id, self._owner, since)
        for waiter in released:
            db.execute("DELETE FROM waiters WHERE id = ?", (waiter,))
        return released

    def settle(self, released: set[str]) -> None:
        """Those are out of the index for good."""
        with self._guard:
            self._released -= released

    def is_waited_on(self, db: sqlite3.Connection, generation_id: str) -> bool:
        """Whether a call of a living process waits on it; those of dead ones are taken out."""
        waited = False
        for waiter, since, raw in db.execute(
            "SELECT id, since, owner FROM waiters WHERE generation = ?", (generation_id,)
        ).fetchall():
            if lives(msgspec.json.decode(raw, type=Owner), since):
                waited = True
            else:
                db.execute("DELETE FROM waiters WHERE id = ?", (waiter,))
        return waited
