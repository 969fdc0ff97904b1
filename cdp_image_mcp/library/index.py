"""The index of all sidecars: what the library asks often, in one file that can always be made again."""

import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR, Stamp, read_record, write_record
from cdp_image_mcp.library.gallery.card import card
from cdp_image_mcp.library.record import Record, decode_record, encode_record, epoch
from cdp_image_mcp.system.database import Database
from cdp_image_mcp.system.disk import PART, replace_file
from cdp_image_mcp.system.plaintext import sound
from cdp_image_mcp.system.presence import OWN_FOLDER

T = TypeVar("T")

NAME = "index-2.sqlite3"
"""With the version of its tables: programs of several versions each keep their own, made from the same sidecars."""
OTHERS = re.compile(r"index-\d+\.sqlite3")

TABLES = """
CREATE TABLE made_for (root TEXT NOT NULL);
CREATE TABLE generations (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL UNIQUE,
    backend TEXT NOT NULL,
    state TEXT NOT NULL,
    finished INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    created REAL NOT NULL,
    ended REAL NOT NULL,
    seconds REAL NOT NULL,
    mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    inode TEXT NOT NULL,
    card TEXT NOT NULL
);
CREATE INDEX by_created ON generations (created);
CREATE INDEX by_fingerprint ON generations (fingerprint, finished);
CREATE INDEX by_finished ON generations (finished, created);
CREATE INDEX by_ended ON generations (backend, ended)
"""

OUR_FOLDERS = re.compile(r"\d{8}-\d{6}-")
"""In folders that people keep other things in, only names like ours are looked into."""
CARDS = 500


class Row(msgspec.Struct, frozen=True):
    """One generation as the index has it."""

    id: str
    folder: Path
    stamp: Stamp
    """Of the sidecar that it was read from."""


class Index:
    """The sidecars under ``root`` and under other output folders, which are noted in a text file in the root, a JSON
    string a line. ``told`` gets a sentence for what cannot be read. Blocking: for threads."""

    def __init__(self, root: Path, told: Callable[[str], object]) -> None:
        self.root = root
        self.path = root / OWN_FOLDER / NAME
        self._told = told
        self._other_folders = root / ".output-folders.txt"
        self._strangers = 0
        self._database = Database(self.path, TABLES, fill=self.sync, told=told)

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See :meth:`Database.run`."""
        return self._database.run(partial(self._brought_up, work))

    def view(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See :meth:`Database.view`."""
        return self._database.view(partial(self._brought_up, work))

    def _brought_up(self, work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
        """One transaction, which also knows what a program of another version has done meanwhile."""
        moved = self._was_moved(db)
        if (written := self._written_by_others()) > self._strangers or moved:
            self._strangers = written
            self.sync(db)
        return work(db)

    def write(self, db: sqlite3.Connection, folder: Path, record: Record) -> None:
        """Replace the sidecar in ``folder``, and put it into the index. Raises ImageError ``disk``."""
        kept = decode_record(encode_record(record))  # half characters are none any more
        self.put(db, folder, kept, write_record(folder, kept))

    def put(self, db: sqlite3.Connection, folder: Path, record: Record, stamp: Stamp) -> None:
        """Insert or replace one generation, and whatever was in its folder."""
        timings = record.timings
        db.execute(
            "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.generation_id,
                self._stored(folder),
                record.backend,
                record.state,
                record.finished,
                record.fingerprint,
                epoch(record.created_at),
                epoch(record.finished_at or record.updated_at),
                timings.browser + timings.submit + timings.generate,
                stamp.mtime_ns,
                stamp.size,
                str(stamp.inode),  # may pass 63 bits on Windows
                card(record, folder, self.root),
            ),
        )

    def rows(self, db: sqlite3.Connection, rest: str, *values: object) -> list[Row]:
        """The generations that the SQL after ``FROM generations`` picks."""
        found = db.execute(f"SELECT id, folder, mtime_ns, size, inode FROM generations {rest}", values)  # noqa: S608
        return [
            Row(name, self.root / folder, Stamp(mtime, size, int(inode))) for name, folder, mtime, size, inode in found
        ]

    def cards(self) -> Iterator[list[str]]:
        """All generations as the gallery shows them, newest first, some hundred at a time, between which the index is
        free. Raises ImageError ``disk`` also where there is no index and none can be made."""
        last: tuple[float, str] = (math.inf, "")
        columns = "SELECT created, id, card FROM generations"
        more = f"{columns} WHERE (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT ?"
        while True:
            found = self.run(lambda db, last=last: db.execute(more, (*last, CARDS)).fetchall())
            yield [card for *_, card in found]
            if len(found) < CARDS:
                return
            last = found[-1][:2]

    def rescan(self) -> int:
        """Walk all known output folders and bring the index up to them; answers how many generations there are."""
        try:
            return self.run(partial(self.sync, tidy=True))
        except ImageError:
            return self.view(self.sync)

    def sync(self, db: sqlite3.Connection, *, tidy: bool = False) -> int:
        """The same within a transaction; only sidecars that changed are read. ``tidy`` takes away folders whose maker
        died before the record was in them: only under the lock of the index, which every maker holds."""
        # Names alone, and gone with the transaction: there may be a hundred thousand.
        db.execute("CREATE TEMP TABLE seen (folder TEXT PRIMARY KEY) WITHOUT ROWID")
        for parent in self._parents():
            for folder, stamp in self._sidecars(parent, tidy=tidy):
                stored = self._stored(folder)
                db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (stored,))
                if any(row.stamp == stamp for row in self.rows(db, "WHERE folder = ?", stored)):
                    continue
                try:
                    record, stamp = read_record(folder)  # noqa: PLW2901 - of the very file that was read
                except ImageError as error:
                    self._told(error.message)
                    continue
                twins = self.rows(db, "WHERE id = ? AND folder != ?", record.generation_id, stored)
                if twins and (twins[0].folder / SIDECAR).exists():
                    self._told(f"{folder} is a copy of {twins[0].folder} (same generation_id) and is left out.")
                    continue
                self.put(db, folder, record, stamp)
        for row in self.rows(db, "WHERE folder NOT IN (SELECT folder FROM seen)"):
            # A parent that is away (a drive that is not plugged in) says nothing about what is in it.
            if row.folder.parent.is_dir():
                db.execute("DELETE FROM generations WHERE id = ?", (row.id,))
        db.execute("DROP TABLE temp.seen")
        (count,) = db.execute("SELECT count(*) FROM generations").fetchone()
        return int(count)

    def add_parent(self, parent: Path) -> None:
        """Remember an output folder. Raises OSError."""
        known = self._parents()
        if parent not in known:
            lines = [msgspec.json.encode(str(path)) + b"\n" for path in [*known[1:], parent]]
            replace_file(self._other_folders, b"".join(lines))

    def _parents(self) -> list[Path]:
        """The root first. Lines that cannot be read are passed over: their folders come back with their next use."""
        found = [self.root]
        try:
            lines = self._other_folders.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                parent = Path(msgspec.json.decode(line, type=str))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if parent.is_absolute() and parent not in found:
                found.append(parent)
        return found

    def _written_by_others(self) -> int:
        """When an index of another version was written last (nanoseconds, 0 for never): it does not tell ours."""
        found = 0
        with suppress(OSError):
            names = [name for name in os.listdir(self.path.parent) if OTHERS.fullmatch(name) and name != NAME]  # noqa: PTH208
            for path in (self.root / ".index.sqlite3", *(self.path.with_name(name) for name in names)):
                with suppress(OSError):
                    found = max(found, path.stat().st_mtime_ns)
        return found

    def _was_moved(self, db: sqlite3.Connection) -> bool:
        """Forget everything that was noted for another place, and answer whether there was one: the folder was moved
        with its index in it."""
        (known,) = db.execute("SELECT ifnull(max(root), '') FROM made_for").fetchone()
        here = sound(os.path.realpath(self.root))  # another process may name it through a link
        if known == here:
            return False
        if known:
            db.execute("DELETE FROM generations")
            db.execute("DELETE FROM made_for")
        db.execute("INSERT INTO made_for VALUES (?)", (here,))
        return bool(known)

    def _sidecars(self, parent: Path, *, tidy: bool) -> Iterator[tuple[Path, Stamp]]:
        try:
            with os.scandir(parent) as entries:
                folders = sorted(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                    and (parent == self.root or OUR_FOLDERS.match(entry.name))
                    and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return
        except OSError as error:
            self._told(f"The output folder {parent} cannot be read: {error.strerror}.")
            return
        for name in folders:
            if not name.isprintable():
                self._told(f"{parent}: the folder {name!r} has a name that cannot be kept; it is left out.")
                continue
            try:
                yield parent / name, Stamp.of((parent / name / SIDECAR).stat())
            except FileNotFoundError:
                if OUR_FOLDERS.match(name) and not _is_abandoned(parent / name, tidy=tidy):
                    self._told(f"{parent / name} has no {SIDECAR}; it is left out.")
            except OSError as error:
                self._told(f"{parent / name / SIDECAR} cannot be read: {error.strerror}.")

    def _stored(self, folder: Path) -> str:
        """Folders in the root are kept by name, so that the root can be moved with its index in it."""
        return folder.name if folder.parent == self.root else str(folder)


def _is_abandoned(folder: Path, *, tidy: bool) -> bool:
    """Whether nothing but the beginning of a first record lies there: nothing can have been sent for it."""
    with suppress(OSError):
        parts = list(folder.iterdir())
        if all(part.name.startswith(f".{SIDECAR}.") and part.name.endswith(PART) for part in parts):
            if tidy:
                for part in parts:
                    part.unlink()
                folder.rmdir()
            return True
    return False
