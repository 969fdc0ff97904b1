"""What the index picks, as it lies on disk: the sidecar is what counts, a row only tells where to look."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.attendance import Attendance
from cdp_image_mcp.library.folder import Folder, Stamp, read_record
from cdp_image_mcp.library.index import Index, Row
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.day import last_midnight

T = TypeVar("T")

PAGE = 100
"""Rows that are looked at together where the first ones brought too little."""


class Entries:
    """The generations of ``index``, read when they are asked for. ``told`` gets a sentence for what cannot be read.
    Blocking: for threads."""

    def __init__(self, index: Index, attendance: Attendance, told: Callable[[str], object]) -> None:
        self._index = index
        self._attendance = attendance
        self._told = told

    def picked(self, rest: str, *values: object, most: int = sys.maxsize) -> list[Entry]:
        """Of those that the SQL after ``FROM generations`` picks the first ``most`` that can be read: what lies on a
        drive that is away is gone past."""
        found: dict[str, Entry] = {}
        stale: list[Row] = []
        for row in self._rows(rest, values, most):
            if (entry := self.readable(row, stale=stale)) is not None:
                found[row.id] = entry  # one that came in between shifts the others
            if len(found) == most:
                break
        if stale:
            self.keep_books(lambda db: [self.readable(row, db) for row in stale])
        return list(found.values())

    def _rows(self, rest: str, values: tuple[object, ...], first: int) -> Iterator[Row]:
        skip, page = 0, first
        while True:
            look = partial(self._index.found, rest=f"{rest} LIMIT ? OFFSET ?", values=(*values, page, skip))
            rows = self._index.view(look)
            yield from rows
            if len(rows) < page:
                return
            skip, page = skip + page, max(page, PAGE)

    def find(self, generation_id: str) -> Entry | None:
        """That generation; folders the index does not know yet are looked at too. Raises ImageError ``disk``."""

        def look(db: sqlite3.Connection, *, again: bool) -> list[Row]:
            if again:
                self._index.sync(db)
            return self._index.rows(db, "WHERE id = ?", generation_id)

        for again in (False, True):
            for row in self._index.view(partial(look, again=again)):
                if (entry := self._read(row)) is not None:
                    return entry
        return None

    def of_id(self, db: sqlite3.Connection, generation_id: str) -> Entry | None:
        return next((self.readable(row, db) for row in self._index.found(db, "WHERE id = ?", (generation_id,))), None)

    def of_today(self, db: sqlite3.Connection, backend: BackendName, *, needed: bool = False) -> list[Entry]:
        """A back end's generations of this day, and all its unfinished ones. ``needed``: see :meth:`readable`; one that
        was left on another day is not, or it would be in the way for ever."""
        midnight = last_midnight()
        # One condition with OR would be answered by looking at everything that this back end ever made.
        today = self._index.found(db, "WHERE backend = ? AND ended >= ?", (backend, midnight))
        left = self._index.found(db, "WHERE finished = 0 AND ended < ? AND +backend = ?", (midnight, backend))
        found = [*(self.readable(row, db, needed=needed) for row in today), *(self.readable(row, db) for row in left)]
        return [entry for entry in found if entry is not None]

    def readable(
        self, row: Row, db: sqlite3.Connection | None = None, *, stale: list[Row] | None = None, needed: bool = False
    ) -> Entry | None:
        """The generation, None when its folder is gone. A sidecar that is garbled or of a newer program is told of and
        left alone: it is never joined, adopted or written. One that the system refuses is too, unless it is ``needed``:
        what it says decides whether something may be paid for, so the ImageError ``disk`` is raised."""
        try:
            return self._read(row, db, stale)
        except ImageError as error:
            if needed and error.retryable:
                error.message = f"Nothing was sent. {error.message}"
                raise
            self._told(error.message)
            return None

    def _read(self, row: Row, db: sqlite3.Connection | None = None, stale: list[Row] | None = None) -> Entry | None:
        """A row that is behind is brought up in ``db`` or noted in ``stale``."""
        try:
            record, stamp = read_record(row.folder)
        except ImageError as error:
            if error.code == "not_found":
                return None
            raise
        if stamp != row.stamp and db is not None:
            self._index.put(db, row.folder, record, stamp)
        elif stamp != row.stamp and stale is not None:
            stale.append(row)
        return Entry(record, self.folder(row.folder), self._attendance.lives(record))

    def folder(self, path: Path) -> Folder:
        """A generation's folder, what is written into which is noted."""
        return Folder(path, self._noted)

    def _noted(self, record: Record, path: Path, stamp: Stamp) -> None:
        """The sidecar is written already and is what counts."""
        self.keep_books(lambda db: self._index.put(db, path, record, stamp))

    def keep_books(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """For what must not cost a caller its answer; an index that cannot follow is brought up later."""
        try:
            return self._index.run(work)
        except ImageError as error:
            self._told(f"Not noted in the library: {error.message}")
            return None
