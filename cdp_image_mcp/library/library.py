"""All generations on disk: creating, finding, joining and adopting them, over processes and restarts."""

import math
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import strays
from cdp_image_mcp.library.attendance import Attendance
from cdp_image_mcp.library.entries import Entries, out_of_reach
from cdp_image_mcp.library.folder import Folder, Stamp, Visit, new_folder, take_back_folder
from cdp_image_mcp.library.index import Index
from cdp_image_mcp.library.joining import JOIN_SECONDS, Admit, Claim, Entry, Kind, joinable
from cdp_image_mcp.library.record import CLOCK_SLACK, Record, decode_record, encode_record
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.disk import doing, finish, in_thread, make_path

T = TypeVar("T")

KEPT_PROBLEMS = 100
ASKED_BEFORE = "The same was asked for before and may be paid for; what came of it was never fetched, and it"


class Library:
    """The generations under ``root`` and under other output folders used from here. Opening touches nothing; the
    index is made at the first use and again whenever it is missing, cut or garbled.

    All methods raise ImageError ``disk`` when something cannot be written. One object per process and root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._problems: dict[str, None] = {}
        self.tell: Callable[[str], object] = self._problems.setdefault
        """For sentences that :meth:`problems` gives."""
        self.index = Index(root, self.tell)
        self._attendance = Attendance(root, self.tell)
        self._entries = Entries(self.index, self._attendance, self.tell)
        self.find = in_thread(self._entries.find)
        self.rescan = in_thread(self.index.rescan)
        self.token, self.close = self._attendance.token, self._attendance.leave
        self._fetched: set[tuple[str, str | None]] = set()

    def problems(self) -> list[str]:
        """Sentences about garbled sidecars, a rebuilt index and the like, of this process so far."""
        return list(self._problems)[-KEPT_PROBLEMS:]

    @in_thread
    def claim_or_register(
        self,
        record: Record,
        parent: Path | None = None,
        *,
        marks: Sequence[str] = (),
        admit: Admit | None = None,
    ) -> Claim:
        """In one step over all processes: join an identical generation that nobody waits on, else create this one if
        ``admit`` does not raise.

        Identical means its fingerprint, or one of ``marks``; what is joined, and as what: :class:`Kind`. The caller is
        registered as waiting in the same step, so two identical calls that are open at the same time become two
        generations. Where one that would be joined lies on a drive that is away, ImageError ``disk`` says so: what may
        lie there is not paid for again unasked. A new record is durable on disk when this returns, in a folder of its
        own under ``parent``, by default the root. It is owned by this process.
        """
        made: list[tuple[Path, Stamp]] = []
        waiters: list[str] = []

        def wait(generation_id: str) -> str:
            waiters.append(self._attendance.wait(generation_id))
            return waiters[-1]

        def work(db: sqlite3.Connection) -> Claim:
            self._nobody_waits(waiters)  # as a first look did, in an index that broke at its end
            if (found := self._joinable(db, (record.fingerprint, *marks), record.generation_id)) is not None:
                kind, entry = found
                return Claim(kind, entry.record, entry.folder, wait(entry.record.generation_id))
            if admit is not None:
                admit(partial(self._entries.of_today, db, strict=True))
            record.owner, record.session = self._attendance.enter(), self.token
            kept = decode_record(encode_record(record))
            if not made:
                made.append(self._make(kept, parent or self.root))
            path, stamp = made[0]
            self.index.put(db, path, kept, stamp)
            return Claim("new", record, self._entries.folder(path), wait(record.generation_id))

        claim: Claim | None = None
        try:
            claim = self.index.run(work)
            return claim
        finally:
            if claim is None:
                self._nobody_waits(waiters)
            # Nothing was sent yet, and no answer will name it; or the index broke half way, and a second look joined.
            if claim is None or claim.joined:
                self._attendance.end_work(record.generation_id)
                for path, _ in made:
                    take_back_folder(path)

    @in_thread
    def of_today(self, backend: BackendName) -> list[Entry]:
        """The generations of this local day at one back end, and all its unfinished ones."""
        return self.index.view(partial(self._entries.of_today, backend=backend))

    @in_thread
    def wait(self, generation_id: str) -> str:
        """Somebody waits for that generation until :meth:`release` is given this waiter, perhaps asking after it now
        and then: an identical request does not join it. Never raises: a disk that takes nothing any more must not keep
        a caller from its pictures; see :meth:`problems`."""
        return self._attendance.wait(generation_id)

    async def release(self, waiter: str) -> None:
        """The call of a :class:`Claim`, or whoever else waited, has its answer, or was given up. Idempotent, finishes
        also when cancelled, never raises."""
        # Programs that give a call up ask the same again in the same moment: that is to find nobody waiting.
        self._attendance.give_up(waiter)
        await finish(partial(self._attendance.release, waiter))

    @in_thread
    def mark_fetched(self, told: Record) -> None:
        """A call was answered with this end of a generation: identical calls no longer join it. Nothing for an
        unfinished one, nor for one that was taken up again meanwhile: that end has not been told yet. Never raises;
        what the disk does not take is remembered by this process."""

        def work(db: sqlite3.Connection) -> None:
            entry = self._entries.of_id(db, told.generation_id)
            if entry is None or not entry.record.finished or entry.record.fetched or entry.record.end != told.end:
                return
            entry.record.fetched = True
            self.index.write(db, entry.folder.path, entry.record)

        if told.finished:
            self._fetched.add(told.end)
            self._entries.keep_books(work)

    @in_thread
    def adopt(self, generation_id: str) -> Entry | None:
        """Make this process the owner of an unfinished generation whose owner is dead, or of an interrupted one whose
        picture may be at the site; None when it is finished, another living process's or not there. At most one process
        gets it, whatever its root. Only for whoever knows that this process, should it be the owner, does not work on
        it; :meth:`let_go` follows."""

        def work(db: sqlite3.Connection) -> Entry | None:
            if (entry := self._taken(db, generation_id)) is None:
                return None
            record = entry.record
            if (entry.alive and not self.is_mine(record)) or (record.finished and not record.collectable):
                return None
            if record.finished:
                record.state, record.finished_at, record.fetched = "starting", None, False
            record.owner, record.over_time = self._attendance.enter(), False
            record.facts["taken_up"] = True  # from now on it is only collected, or ended
            self.index.write(db, entry.folder.path, record)
            return Entry(record, entry.folder, alive=True)

        adopted: Entry | None = None
        try:
            adopted = self.index.run(work)
        finally:
            if adopted is None:
                self._attendance.end_work(generation_id)
        return adopted

    @in_thread
    def let_go(self, generation_id: str) -> None:
        """This process has written all that it will about what it registered or adopted. Idempotent, never raises."""
        self._attendance.end_work(generation_id)

    @in_thread
    def amend(self, record: Record, folder: Folder, admit: Admit) -> None:
        """Change the record of a generation of this process, unless ``admit``, which changes it, raises; of several
        that do so at once each sees the others. For the one who writes the record, and writes nothing meanwhile."""

        def work(db: sqlite3.Connection) -> None:
            admit(partial(self._entries.of_today, db, strict=True))
            self.index.write(db, folder.path, record)

        self.index.run(work)

    def is_mine(self, record: Record) -> bool:
        """Whether the record names this very process as its owner."""
        return record.owner is not None and record.owner.token == self.token

    def is_of_another(self, record: Record) -> bool:
        """Whether it was asked for through another process, which still runs. Blocking."""
        return self._attendance.is_another(record.session)

    @in_thread
    def is_worked_on(self, entry: Entry) -> bool:
        """Whether another process works on it, perhaps behind its end."""
        return self._attendance.is_worked_on(entry.record.generation_id, entry.folder.path.parent)

    @in_thread
    def newest(self, limit: int = 10) -> list[Entry]:
        """The newest generations, newest first."""
        return self._entries.picked("ORDER BY created DESC, id", most=limit)

    @in_thread
    def ids(self, beginning: str) -> list[str]:
        """Of all generations whose ids begin so, newest first, after a look through all folders: also of those that
        cannot be read, or are away."""

        def work(db: sqlite3.Connection) -> list[str]:
            self.index.sync(db)
            rest = "WHERE substr(id, 1, ?) = ? ORDER BY created DESC, id"
            return [row.id for row in self.index.rows(db, rest, len(beginning), beginning)]

        return self.index.view(work)

    @in_thread
    def unfinished(self) -> list[Entry]:
        """All generations in a state that is not final, newest first, running ones (``alive``) included."""
        found = self._entries.picked("WHERE finished = 0 ORDER BY created DESC, id")
        return [entry for entry in found if not entry.record.finished]

    @in_thread
    def collectable(self, seconds: float = math.inf) -> list[Entry]:
        """Interrupted generations whose pictures may be at the site, newest first; with ``seconds`` only those that
        were sent within so many."""
        found = self._entries.picked(
            "WHERE backend = 'chatgpt-web' AND state = 'interrupted' AND ended >= ? ORDER BY created DESC, id",
            time.time() - seconds,
        )
        return [one for one in found if one.record.collectable and time.time() - one.record.left_at <= seconds]

    @in_thread
    def with_strays(self, seconds: float = math.inf) -> list[Entry]:
        """Generations that have ended for good and beside whose records something lies that :meth:`rescue` had better
        look at, newest first; with ``seconds`` only those that ended within so many."""
        ways: tuple[BackendName, ...] = get_args(BackendName)
        # All of them, so that the index of ends is used and not that of everything that has ever finished.
        found = self._entries.picked(
            f"WHERE backend IN ({', '.join('?' * len(ways))}) AND ended >= ? AND finished = 1"
            " ORDER BY created DESC, id",
            *ways,
            time.time() - seconds,
        )
        return [entry for entry in found if not entry.record.collectable and self._may_have_strays(entry)]

    @in_thread
    def rescue(self, entry: Entry) -> bool:
        """Take into the record of a generation that has ended what was paid for and lies beside it, and answer whether
        there was anything. Nothing while a process works on it, or the one that it was asked through runs: it may be
        writing just then. A disk that refuses keeps nobody from what is recorded."""
        take_in = partial(self._take_in, generation_id=entry.record.generation_id)
        return self._may_have_strays(entry) and bool(self._entries.keep_books(take_in))

    def _may_have_strays(self, entry: Entry) -> bool:
        try:
            return strays.may_be(entry.folder.path, entry.record)
        except ImageError as error:
            self.tell(error.message)
            return False

    @in_thread
    def latest_finished(
        self,
        backends: Sequence[BackendName],
        before: float = math.inf,
        *,
        but: Sequence[tuple[str | None, object]] = (),
    ) -> Entry | None:
        """The generation with pictures (``saved`` or ``partial``) that was seen last of those that ended at one of
        ``backends`` ``before`` that epoch second, ``but`` for those that one of these sent (``Record.sent_by``). What a
        clock that was once wrong dated into the future comes behind all others."""
        condition = (
            f"WHERE backend IN ({', '.join('?' * len(backends))}) AND state IN ('saved', 'partial')"
            " AND ended < ? ORDER BY ended DESC"
        )
        for latest in (min(before, time.time() + CLOCK_SLACK), before):
            if (found := self._seen_last(condition, *backends, latest, but=but)) is not None:
                return found
        return None

    def _seen_last(self, latest_first: str, *values: object, but: Sequence[tuple[str | None, object]]) -> Entry | None:
        """Nothing is seen after its end, by which they are picked: as a rule the first one is it."""
        most = 1
        while True:
            found = self._entries.picked(latest_first, *values, most=most, fits=lambda one: one.sent_by not in but)
            last = max(found, key=lambda entry: entry.record.seen_at, default=None)
            if last is None or len(found) < most or last.record.seen_at >= found[-1].record.ended_at:
                return last
            most *= 4

    @in_thread
    def typical_seconds(self, backend: BackendName) -> float | None:
        """Median of what the last 20 whole generations took without queue and sign-in, None without any."""
        last = "SELECT seconds FROM generations WHERE backend = ? AND state = 'saved' ORDER BY ended DESC LIMIT 20"
        seconds = self.index.view(lambda db: [seconds for (seconds,) in db.execute(last, (backend,))])
        return statistics.median(seconds) if seconds else None

    def _make(self, record: Record, parent: Path) -> tuple[Path, Stamp]:
        with doing("Making a folder for the pictures", parent):
            make_path(parent)
            parent = self.index.add_parent(parent)
        self._attendance.begin_work(record.generation_id, parent)  # before anybody can see its record
        return new_folder(parent, record)

    def _nobody_waits(self, waiters: list[str]) -> None:
        """Without a claim there is none to give them back, and as long as this process lives nobody would join."""
        while waiters:
            self._attendance.release(waiters.pop())

    def _joinable(self, db: sqlite3.Connection, marks: Sequence[str], own_id: str) -> tuple[Kind, Entry] | None:
        condition = f"WHERE fingerprint IN ({', '.join('?' * len(marks))}) AND id != ? AND (finished = 0 OR ended >= ?)"
        visit, away = Visit(self.root), list[Path]()
        values = (*marks, own_id, time.time() - JOIN_SECONDS)
        for row in self.index.found(db, visit, f"{condition} ORDER BY created, id", *values):
            if self._attendance.is_waited_on(row.id) or (entry := self._entries.deciding(row, visit, db)) is None:
                continue
            if (kind := joinable(entry, fetched=entry.record.end in self._fetched)) is None:
                continue
            if not entry.away:
                return kind, entry
            away.append(row.folder)
        if away:
            raise out_of_reach(away[0], f"Nothing was sent. {ASKED_BEFORE}")
        return None

    def _take_in(self, db: sqlite3.Connection, generation_id: str) -> bool:
        if self._attendance.works_on(generation_id):
            return False
        try:
            entry = self._taken(db, generation_id)
            if entry is None or not entry.record.finished or self.is_of_another(entry.record):
                return False
            record, found = entry.record, strays.gather(entry.folder.path, entry.record)
            if not any(found):
                return False
            found.end_anew(record)
            self.index.write(db, entry.folder.path, record)
            return True
        finally:
            self._attendance.end_work(generation_id)

    def _taken(self, db: sqlite3.Connection, generation_id: str) -> Entry | None:
        """One that no other process works on, as it is once this one does."""
        entry = self._entries.of_id(db, generation_id)
        if entry is None or not self._attendance.begin_work(generation_id, entry.folder.path.parent):
            return None
        return self._entries.of_id(db, generation_id)  # one with another root may have had it meanwhile
