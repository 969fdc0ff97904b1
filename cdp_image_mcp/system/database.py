"""A small SQLite file that several processes share and that may be broken at any time without harm."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.disk import doing, is_folder, make_path
from cdp_image_mcp.system.lockfile import LockFile

T = TypeVar("T")
BUSY_SECONDS = 10.0
IN_MEMORY = "PRAGMA temp_store = MEMORY"
"""The disk for temporary files may be another one, and full."""
TABLE = re.compile(r"CREATE TABLE (\w+)")

GARBLED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}
CUT = sqlite3.SQLITE_IOERR_SHORT_READ


class _UnusableError(Exception):
    """The file is cut or garbled."""


class Database:
    """Short transactions on a file that is made when missing and made anew when it is unusable. Its name
    carries the version of its tables: programs of several versions keep several files.

    The lock is held for each: nobody works on the old file while another process puts a new one in its place (and on
    Windows, it can be renamed). Blocking: for threads. Every call opens and closes the file, so a deleted or replaced
    one is never written to.
    """

    def __init__(
        self,
        path: Path,
        tables: str,
        lock: LockFile,
        *,
        fill: Callable[[sqlite3.Connection], int],
        told: Callable[[str], object],
    ) -> None:
        """``tables`` is the SQL of an empty file, ``lock`` one for all versions, ``fill`` puts in what is known from
        elsewhere and answers how many rows that were, ``told`` gets a sentence when a file had to be made anew."""
        self.path = path
        self._tables = tables
        self._fill = fill
        self._told = told
        self._lock = lock
        self._checked: tuple[int, int] | None = None

    def run(self, work: Callable[[sqlite3.Connection], T], *, patience: float = 30.0) -> T:
        """Do ``work`` in one immediate transaction. It may be done twice when the file turns out to be unusable only
        on the way; its first transaction has then left no trace. Raises ImageError ``disk``, also where others hold
        the lock for longer than ``patience`` (seconds)."""
        with doing("Making a folder", self.path.parent):
            make_path(self.path.parent)
        with self._lock.held(patience), doing("Opening the index", self.path):
            try:
                return self._attempt(work)
            except _UnusableError as unusable:
                self._told(f"{self.path} was unusable ({unusable}) and was made anew.")
                try:
                    self.path.unlink(missing_ok=True)
                    return self._attempt(work, quiet=True)
                except _UnusableError as again:
                    raise ImageError("disk", f"{self.path} breaks again as soon as it is made: {again}") from again

    def view(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As :meth:`run` for reading. Where there is no file and none can be made, ``fill`` makes a passing one in
        memory; a root that may not be looked at is told, for its pictures may be there. Raises ImageError ``disk``."""
        root = self.path.parent.parent
        with doing("Looking for the index", root):
            there = is_folder(root)
        try:
            if there:
                return self.run(work)
        except ImageError as error:
            if error.code != "disk":
                raise
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.execute(IN_MEMORY)
            connection.executescript(self._tables)
            self._fill(connection)
            return work(connection)

    def _attempt(self, work: Callable[[sqlite3.Connection], T], *, quiet: bool = False) -> T:
        try:
            self._make_if_missing(quiet=quiet)
            with contextlib.closing(self._open()) as connection:
                self._check(connection)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        with contextlib.suppress(sqlite3.Error):  # closing rolls back as well
                            connection.execute("ROLLBACK")
                    raise
                return result
        except sqlite3.Error as error:
            raise self._judge(error) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # A journal that stays needs no new room on a disk that has become full, and a row can still be deleted.
            connection.execute("PRAGMA journal_mode = PERSIST")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(IN_MEMORY)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _make_if_missing(self, *, quiet: bool) -> None:
        if self.path.exists() and self.path.stat().st_size:
            return
        for ending in ("-journal", "-wal", "-shm"):  # of a file that is gone, played back into the new one otherwise
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in self._tables.split(";"):
                connection.execute(statement)
            rows = self._fill(connection)
            connection.execute("COMMIT")
        if rows and not quiet:
            self._told(f"{self.path} was missing and was made anew from {rows} records.")

    def _check(self, connection: sqlite3.Connection) -> None:
        """Look a file over when this process meets it first; later damage shows itself as an error."""
        facts = self.path.stat()
        if self._checked == (facts.st_dev, facts.st_ino):
            return
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _UnusableError(str(verdict))
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if missing := set(TABLE.findall(self._tables)) - found:
            raise _UnusableError(f"no table {', '.join(sorted(missing))}")
        self._checked = (facts.st_dev, facts.st_ino)

    def _judge(self, error: sqlite3.Error) -> Exception:
        extended = getattr(error, "sqlite_errorcode", None) or 0
        if extended & 0xFF in GARBLED or extended == CUT or str(error).startswith("no such "):
            return _UnusableError(str(error))
        return ImageError(
            "disk",
            f"{self.path} cannot be used now: {error}. What was saved before is untouched.",
            details={"path": str(self.path), "sqlite": getattr(error, "sqlite_errorname", "")},
        )
