"""All generations on disk: creating, finding, joining and adopting them, over processes and restarts."""

import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import index
from cdp_image_mcp.library.folder import (
    SIDECAR,
    Folder,
    Stamp,
    encode_record,
    new_folder,
    read_record,
    take_back_folder,
    write_record,
)
from cdp_image_mcp.library.joining import Admit, Claim, Entry, Told, candidates, end_of, rows_like, works
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.library.waiters import Waiters
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.database import Database
from cdp_image_mcp.system.day import last_midnight
from cdp_image_mcp.system.disk import disk_error, finish, make_path
from cdp_image_mcp.system.owner import Owner, is_alive, this_process

__all__ = ["Claim", "Entry", "Library"]

T = TypeVar("T")

KEPT_PROBLEMS = 100


class Library:
    """The generations under ``root`` and under other output folders used from here. Opening touches nothing; the
    index is made at the first use and again whenever it is missing, cut, garbled or of another version.

    All methods raise ImageError ``disk`` when something cannot be written. One object per process and root.
    """

    def __init__(self, root: Path, *, owner: Owner | None = None) -> None:
        self.root = root
        """``owner`` is this process unless a test plays another."""
        self.owner = owner or this_process()
        self._parents = index.Parents(root)
        self._problems: list[str] = []
        self._folders: weakref.WeakValueDictionary[Path, Folder] = weakref.WeakValueDictionary()
        self._waiters = Waiters(self.owner)
        self._fetched: set[Told] = set()
        self._guard = threading.Lock()
        self._born = ""
        self._database = Database(
            root / ".index.sqlite3", index.TABLES, index.VERSION, fill=self._fill, told=self._problems.append
        )

    async def claim_or_register(
        self, record: Record, parent: Path | None = None, *, admit: Admit | None = None
    ) -> Claim:
        """In one step over all processes: join an identical generation that nobody waits on, else create this one if
        ``admit`` does not raise.

        Identical means the same ``record.fingerprint``. Joined are (a) running ones, (b) ``saved``/``partial`` ones
        of the last 24 h that were never fetched and whose files are there, (c) generations whose owner died after
        submitting, and ``interrupted`` ones of the last 24 h whose picture may be at the site, (d) ends at the API of
        the last 24 h that may have been paid, brought nothing and were never told. The caller is
        registered as waiting in the same transaction, so two identical calls that are open at the same time become
        two generations. A new record is durable on disk when this returns, in a folder of its own (0700, made
        exclusively) under ``parent``, an allowed output folder, by default the root. ``record.owner`` is set to this
        process if unset.
        """
        return await finish(partial(self._accept, record, parent, admit))

    async def of_today(self) -> list[Entry]:
        """The web generations of this local day and all unfinished web ones."""
        return await anyio.to_thread.run_sync(self._view, self._of_today)

    @asynccontextmanager
    async def waiting(self, generation_id: str) -> AsyncGenerator[None]:
        """Register a call as waiting on a generation while the context is open (``wait_for_image``). Never raises: a
        disk that takes nothing any more must not keep a caller from its pictures; see :meth:`problems`."""
        waiter = await finish(partial(self._wait, generation_id))
        try:
            yield
        finally:
            await self.release(waiter)

    async def release(self, waiter: str) -> None:
        """The call of a :class:`Claim` has its answer. Idempotent, finishes also when cancelled, never raises."""
        await finish(partial(self._release, waiter))

    async def mark_fetched(self, told: Record) -> None:
        """A call was answered with this end of a generation: identical calls no longer join it. Nothing for an
        unfinished one, nor for one that was taken up again meanwhile: that end has not been told yet. Never raises;
        what the disk does not take is remembered by this process."""
        if told.finished:
            self._fetched.add(end_of(told))
            await finish(partial(self._keep_books, partial(self._mark_fetched, told=told)))

    async def adopt(self, generation_id: str, *, mine_idle: bool = False) -> Entry | None:
        """Make this process the owner of an unfinished generation whose owner is dead, or of an interrupted one whose
        picture may be at the site; None when it is finished, owned by a living process (ours included) or not there.
        Exactly one process ever gets it. ``mine_idle``: the caller knows that this process, should it be the owner,
        does not work on it, because taking it over failed half-way."""
        work = partial(self._adopt, generation_id=generation_id, mine_idle=mine_idle)
        return await finish(partial(self._run, work))

    def is_mine(self, record: Record) -> bool:
        """Whether the record names this very process as its owner."""
        return record.owner is not None and record.owner.pid == self.owner.pid and is_alive(record.owner)

    async def find(self, generation_id: str) -> Entry | None:
        """That generation, read from its sidecar; folders the index does not know yet are looked at too."""
        return await anyio.to_thread.run_sync(self._find, generation_id)

    async def newest(self, limit: int = 10) -> list[Entry]:
        """The newest generations, newest first."""
        return await self._entries("ORDER BY created DESC, id LIMIT ?", limit)

    async def unfinished(self) -> list[Entry]:
        """All generations in a state that is not final, newest first, running ones (``alive``) included."""
        found = await self._entries("WHERE finished = 0 ORDER BY created DESC, id")
        return [entry for entry in found if not entry.record.finished]

    async def collectable(self, seconds: float | None = None) -> list[Entry]:
        """Interrupted generations whose pictures may be at the site, newest first; with ``seconds`` only those that
        ended within so many."""
        found = await self._entries(
            "WHERE backend = 'chatgpt-web' AND state = 'interrupted' AND ended >= ? ORDER BY created DESC, id",
            0.0 if seconds is None else time.time() - seconds,
        )
        return [entry for entry in found if entry.record.collectable]

    async def latest_finished(self, backend: BackendName) -> Entry | None:
        """The newest generation of ``backend`` with pictures (``saved`` or ``partial``)."""
        found = await self._entries(
            "WHERE backend = ? AND state IN ('saved', 'partial') ORDER BY ended DESC LIMIT 20", backend
        )
        return next(iter(found), None)

    async def rescan(self) -> int:
        """Walk all known output folders and bring the index up to them; answers how many generations there are."""
        return await finish(self._rescan)

    async def changes(self, since: int, born: str, keep: Callable[[index.Row], T]) -> tuple[str, list[T], list[str]]:
        """What the index holds that is newer than ``since``: a token of the index, what ``keep`` makes of each row, and
        ids that are gone. With another ``born`` token than the answered one everything is given, for the old numbers
        mean nothing then."""
        look = partial(_changes, root=self.root, since=since, born=born, keep=keep)
        return await anyio.to_thread.run_sync(self._view, look)

    async def since(self, at: float) -> list[Record]:
        """The records of generations that ended, or if unfinished changed last, after ``at`` (epoch seconds)."""
        rest = "WHERE ended >= ? ORDER BY ended"
        look = partial(index.rows, root=self.root, rest=rest, values=(at,))
        found = await anyio.to_thread.run_sync(self._view, look)
        return [row.record for row in found]

    def problems(self) -> list[str]:
        """Sentences about garbled sidecars, a rebuilt index and the like, of this process so far."""
        return list(dict.fromkeys(self._problems))[-KEPT_PROBLEMS:]

    async def _entries(self, rest: str, *values: object) -> list[Entry]:
        def look() -> list[Entry]:
            found = self._view(partial(index.rows, root=self.root, rest=rest, values=values))
            entries = [(row, entry) for row in found if (entry := self._entry(row)) is not None]
            if stale := [row for row, entry in entries if row.record != entry.record]:
                self._keep_books(lambda db: [self._entry(row, db) for row in stale])
            return [entry for _, entry in entries]

        return await anyio.to_thread.run_sync(look)

    # What follows runs in threads.

    def _fill(self, db: sqlite3.Connection) -> int:
        return index.fill(db, self._parents, self._problems)

    def _sync(self, db: sqlite3.Connection) -> int:
        return index.sync(db, self._parents, self._problems)

    def _rescan(self) -> int:
        try:
            return self._run(partial(index.sync, parents=self._parents, problems=self._problems, tidy=True))
        except ImageError:
            return self._view(self._sync)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction, in which the waiting calls of this process are brought up to date as well."""

        def whole(db: sqlite3.Connection) -> tuple[str, set[str], T]:
            (born,) = db.execute("SELECT token FROM born").fetchone()
            released = self._waiters.renew(db, anew=born != self._born)
            return born, released, work(db)

        self._born, released, result = self._database.run(whole)
        self._waiters.settle(released)
        return result

    def _keep_books(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """For what must not cost a caller its answer."""
        try:
            self._run(work)
        except ImageError as error:
            self._problems.append(f"Not noted in the library: {error.message}")

    def _view(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._database.view(work)

    def _accept(self, record: Record, parent: Path | None, admit: Admit | None) -> Claim:
        record.owner = record.owner or self.owner
        data = encode_record(record)
        kept = msgspec.json.decode(data, type=Record)
        made: list[tuple[Path, Stamp]] = []

        def work(db: sqlite3.Connection) -> Claim:
            if (claim := self._join(db, record.fingerprint, record.generation_id)) is not None:
                return claim
            if admit is not None:
                admit(partial(self._of_today, db))
            if not made:
                made.append(self._make(kept, parent or self.root))
            path, stamp = made[0]
            index.put(db, self.root, path, kept, stamp)
            waiter = self._waiters.add(db, record.generation_id)
            return Claim("new", record, self._folder(path), waiter)

        try:
            claim = self._run(work)
        except BaseException:
            for path, _ in made:  # nothing was sent yet, and no answer will name it
                take_back_folder(path)
            raise
        if claim.joined:
            for path, _ in made:  # the index broke half way, and a second look found one to join
                take_back_folder(path)
        self._waiters.keep(claim.waiter, claim.record.generation_id)
        return claim

    def _of_today(self, db: sqlite3.Connection) -> list[Entry]:
        found = index.rows(
            db, self.root, "WHERE backend = 'chatgpt-web' AND (finished = 0 OR ended >= ?)", (last_midnight(),)
        )
        return [entry for row in found if (entry := self._entry(row, db)) is not None]

    def _make(self, record: Record, parent: Path) -> tuple[Path, Stamp]:
        try:
            make_path(parent)
            if parent.samefile(self.root):
                parent = self.root  # named in another way, through a link perhaps
            else:
                self._parents.add(parent)
        except OSError as error:
            raise disk_error(error, "Making a folder for the pictures", parent) from error
        return new_folder(parent, record)

    def _folder(self, path: Path) -> Folder:
        with self._guard:
            folder = self._folders.get(path)
            if folder is None:
                folder = self._folders[path] = Folder(path, self._noted)
            return folder

    def _noted(self, record: Record, path: Path, stamp: Stamp) -> None:
        """The sidecar is written already and is what counts; an index that cannot follow is brought up later."""
        try:
            self._run(lambda db: index.put(db, self.root, path, record, stamp))
        except ImageError as error:
            self._problems.append(f"The index is behind until the next rescan: {error.message}")

    def _wait(self, generation_id: str) -> str:
        waiter = secrets.token_hex(16)
        self._waiters.keep(waiter, generation_id)
        self._keep_books(partial(self._waiters.add, generation_id=generation_id, waiter=waiter))
        return waiter

    def _release(self, waiter: str) -> None:
        if self._waiters.release(waiter):
            self._keep_books(lambda _: None)  # every transaction takes out what was released

    def _join(self, db: sqlite3.Connection, fingerprint: str, own_id: str) -> Claim | None:
        found = candidates(
            rows_like(db, self.root, fingerprint, own_id),
            lambda row: self._entry(row, db),
            partial(self._waiters.is_waited_on, db),
            self._fetched,
        )
        for kind, entry in found:
            taken = self._take_over(db, entry) if kind == "orphaned" else entry
            waiter = self._waiters.add(db, taken.record.generation_id)
            return Claim(kind, taken.record, taken.folder, waiter)
        return None

    def _mark_fetched(self, db: sqlite3.Connection, told: Record) -> None:
        for row in index.rows(db, self.root, "WHERE id = ?", (told.generation_id,)):
            record, _ = read_record(row.folder)
            if record.finished and not record.fetched and end_of(record) == end_of(told):
                record.fetched = True
                index.put(db, self.root, row.folder, record, write_record(row.folder, record))

    def _adopt(self, db: sqlite3.Connection, generation_id: str, *, mine_idle: bool) -> Entry | None:
        for row in index.rows(db, self.root, "WHERE id = ?", (generation_id,)):
            entry = self._entry(row, db)
            if entry is None or (entry.alive and not (mine_idle and self.is_mine(entry.record))):
                continue
            if not entry.record.finished or entry.record.collectable:
                return self._take_over(db, entry)
        return None

    def _take_over(self, db: sqlite3.Connection, entry: Entry) -> Entry:
        entry.record.owner = self.owner
        if entry.record.finished:
            entry.record.state, entry.record.finished_at, entry.record.fetched = "starting", None, False
        path = entry.folder.path
        index.put(db, self.root, path, entry.record, write_record(path, entry.record))
        return Entry(entry.record, entry.folder, alive=True)

    def _find(self, generation_id: str) -> Entry | None:
        look = partial(index.rows, root=self.root, rest="WHERE id = ?", values=(generation_id,))

        for row in self._view(look):
            if (row.folder / SIDECAR).exists():
                return self._entry(row)

        def look_again(db: sqlite3.Connection) -> list[index.Row]:
            self._sync(db)
            return look(db)

        return next((self._entry(row) for row in self._view(look_again)), None)

    def _entry(self, row: index.Row, db: sqlite3.Connection | None = None) -> Entry | None:
        """The generation from its sidecar, which is what counts; None when its folder is gone. From a garbled sidecar
        nothing can be read, but the index still has its last good state."""
        try:
            record, stamp = read_record(row.folder)
        except ImageError as error:
            if error.code == "not_found":
                return None
            self._problems.append(error.message)
            record, stamp = row.record, None
        if stamp is not None and db is not None and record != row.record:
            index.put(db, self.root, row.folder, record, stamp)
        return Entry(record, self._folder(row.folder), not record.finished and works(record))


def _changes(
    db: sqlite3.Connection, root: Path, since: int, born: str, keep: Callable[[index.Row], T]
) -> tuple[str, list[T], list[str]]:
    (token,) = db.execute("SELECT token FROM born").fetchone()
    after = since if token == born else 0
    found = [keep(row) for row in index.each(db, root, "WHERE change > ? ORDER BY change", (after,))]
    gone = [id_ for (id_,) in db.execute("SELECT id FROM removed WHERE change > ?", (after,))]
    return str(token), found, gone
