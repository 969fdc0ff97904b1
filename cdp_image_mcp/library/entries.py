"""What the index picks, as it lies on disk: the sidecar is what counts, a row only tells where to look."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.attendance import Attendance
from cdp_image_mcp.library.folder import Folder, Row, Visit, read_record, write_record
from cdp_image_mcp.library.index import Index
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.day import last_midnight

T = TypeVar("T")
LOCK_SECONDS = 2.0
"""How long the writing of a generation may wait for the index: its next picture is saved, or its call answered, when
that is over."""


class Entries:
    """The generations of ``index``, read when they are asked for. ``told`` gets a sentence for what cannot be read.
    Blocking: for threads."""

    def __init__(self, index: Index, attendance: Attendance, told: Callable[[str], object]) -> None:
        self._index = index
        self._attendance = attendance
        self._told = told

    def picked(
        self, rest: str, *values: object, most: int = sys.maxsize, fits: Callable[[Record], bool] | None = None
    ) -> list[Entry]:
        """Of those that the SQL after ``FROM generations`` picks the first ``most`` that can be read and whose record
        ``fits``: what lies on a drive that is away is gone past. Where one is not where it was, all folders are looked
        through: it may have been renamed, and a deleted one stands in the place of another."""
        read_first = partial(self._read_first, most, rest, values, fits or (lambda _: True))
        found = read_first()
        if found is None:
            self._index.view(self._index.sync)
            found = read_first(lost=True)
        return found or []

    def _read_first(
        self, most: int, rest: str, values: tuple[object, ...], fits: Callable[[Record], bool], *, lost: bool = False
    ) -> list[Entry] | None:
        """Read without the lock of the index, for they may be many. None where one is not where it was, unless it may
        be ``lost``."""
        visit, found, stale = Visit(self._index.root), list[Entry](), list[Row]()
        for row in self._rows(most, rest, values):
            if visit.is_away(row):
                continue
            if (entry := self.readable(row, visit, stale=stale)) is not None:
                found += [entry] if fits(entry.record) else []
            elif not lost and visit.is_gone(row):
                return None
            if len(found) == most:
                break
        if stale:
            self.keep_books(lambda db: [self.readable(row, visit, db) for row in stale])
        return found

    def _rows(self, first: int, rest: str, values: tuple[object, ...]) -> Iterator[Row]:
        """All that are picked, as a rule without asking for more than the ``first``."""
        rows = self._index.view(lambda db: self._index.rows(db, f"{rest} LIMIT ?", *values, first))
        yield from rows
        if len(rows) == first:
            seen = {row.id for row in rows}
            rows = self._index.view(lambda db: self._index.rows(db, rest, *values))
            yield from (row for row in rows if row.id not in seen)

    def find(self, generation_id: str) -> Entry | None:
        """That generation; folders the index does not know yet are looked at too. Raises ImageError ``disk``, also for
        one that lies on a drive that is away."""
        visit, rows = Visit(self._index.root), list[Row]()
        for again in (False, True):
            if again:
                self._index.view(self._index.sync)
            rows = self._index.view(lambda db: self._index.rows(db, "WHERE id = ?", generation_id))
            for row in rows:
                if (entry := self._read(row, visit)) is not None:
                    return entry
        if rows:
            raise out_of_reach(rows[0].folder, f"Generation {generation_id}")
        return None

    def of_id(self, db: sqlite3.Connection, generation_id: str) -> Entry | None:
        visit = Visit(self._index.root)
        found = self._index.found(db, visit, "WHERE id = ?", generation_id)
        return next((self.readable(row, visit, db) for row in found), None)

    def of_today(self, db: sqlite3.Connection, backend: BackendName, *, strict: bool = False) -> list[Entry]:
        """A back end's generations of this day, and all its unfinished ones. Those of the day that lie on a drive that
        is away, and those sent whose folder has gone, count as they were known last; for ``strict`` see
        :meth:`deciding`. What was left on another day is neither, or it would be in the way for ever."""
        midnight, visit = last_midnight(), Visit(self._index.root)
        # One condition with OR would be answered by looking at everything that this back end ever made.
        today = self._index.found(db, visit, "WHERE backend = ? AND ended >= ?", backend, midnight)
        left = self._index.found(db, visit, "WHERE finished = 0 AND ended < ? AND +backend = ?", midnight, backend)
        found = [
            *(self.deciding(row, visit, db, strict=strict) for row in today),
            *(self.readable(row, visit, db) for row in left),
            *(self._gone(record) for record in self._index.gone_today(db, backend) if record.submitted is not False),
        ]
        return [entry for entry in found if entry is not None]

    def readable(
        self, row: Row, visit: Visit, db: sqlite3.Connection | None = None, *, stale: list[Row] | None = None
    ) -> Entry | None:
        """The generation, None when its folder is gone. A sidecar that is garbled, of a newer program or refused by the
        system is told of and left alone: it is never joined, adopted or written."""
        try:
            return self._read(row, visit, db, stale)
        except ImageError as error:
            self._told(error.message)
            return None

    def deciding(self, row: Row, visit: Visit, db: sqlite3.Connection, *, strict: bool = True) -> Entry | None:
        """The same, where what it says decides whether something may be paid for: what lies on a drive that is away is
        taken as it was known last, and where the system refuses a record, ImageError ``disk`` is raised if ``strict``.
        """
        if not visit.is_away(row):
            try:
                if (entry := self._read(row, visit, db)) is not None or visit.is_gone(row):
                    return entry
            except ImageError as error:
                if strict and error.retryable:
                    error.message = f"Nothing was sent. {error.message}"
                    raise
                self._told(error.message)
                return None
        if (record := self._index.known(db, row)) is None:
            return None
        return Entry(record, self.folder(row.folder), self._attendance.lives(record, None), away=True)

    def _gone(self, record: Record) -> Entry:
        """Where it lay nobody knows any more, and nothing is there."""
        nowhere = self.folder(self._index.root / record.generation_id)
        return Entry(record, nowhere, self._attendance.lives(record, None), away=True)

    def _read(
        self, row: Row, visit: Visit, db: sqlite3.Connection | None = None, stale: list[Row] | None = None
    ) -> Entry | None:
        """A row that is behind is brought up in ``db`` or noted in ``stale``."""
        try:
            record, stamp = read_record(row.folder, visit.patience)
        except ImageError as error:
            if error.code == "not_found":
                return None
            raise
        if visit.is_behind(row, stamp):
            if db is not None:
                self._index.put(db, row.folder, record, stamp, visit)
            elif stale is not None:
                stale.append(row)
        return Entry(record, self.folder(row.folder), self._attendance.lives(record, row.folder.parent))

    def folder(self, path: Path) -> Folder:
        """A generation's folder, what is written into which is noted."""
        return Folder(path, self._write)

    def _write(self, folder: Path, record: Record) -> None:
        """The sidecar is what counts: it is also written where the index takes nothing, and does not wait for it."""
        ends = partial(self._write_end, folder, record)
        if not (record.finished and self.keep_books(ends, patience=LOCK_SECONDS)):
            stamp = write_record(folder, record)
            self.keep_books(lambda db: self._index.put(db, folder, record, stamp), patience=LOCK_SECONDS)

    def _write_end(self, folder: Path, record: Record, db: sqlite3.Connection) -> bool:
        """Whoever works on it may write on after its end, and another process may have told that end meanwhile."""
        with suppress(ImageError):
            known, _ = read_record(folder)
            record.fetched |= known.fetched and known.end == record.end
        self._index.write(db, folder, record)
        return True

    def keep_books(self, work: Callable[[sqlite3.Connection], T], *, patience: float = 30.0) -> T | None:
        """For what must not cost a caller its answer; an index that cannot follow is brought up later."""
        try:
            return self._index.run(work, patience=patience)
        except ImageError as error:
            self._told(f"Not noted in the library: {error.message}")
            return None


def out_of_reach(folder: Path, what: str) -> ImageError:
    return ImageError(
        "disk",
        f"{what} lies in {folder}, which is not there now.",
        next_step="Ask the user to plug in or mount the drive that it lies on, then call again; if it was deleted, or "
        "to have another one made, change a word of the prompt.",
        details={"path": str(folder)},
    )
