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
from cdp_image_mcp.library.folder import SIDECAR, Row, Stamp, Visit, is_link, read_record, write_record
from cdp_image_mcp.library.gallery.card import card
from cdp_image_mcp.library.record import ForeignError, Record, counted, decode_record, encode_record, epoch
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.database import Database
from cdp_image_mcp.system.day import last_midnight
from cdp_image_mcp.system.disk import PART, look, named_inside, read_file, replace_file
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.plaintext import sound
from cdp_image_mcp.system.presence import OWN_FOLDER

T = TypeVar("T")

NAME = "index-5.sqlite3"
"""With the version of its tables: programs of several versions each keep their own, made from the same sidecars."""
LOCK = "index.lock"
"""Without one: who gets an orphan, joins what or sets money aside is decided in a transaction, by one at a time."""
OUR_FOLDERS = re.compile(r"\d{8}-\d{6}-")
OTHERS = re.compile(r"index-\d+\.sqlite3")

TABLES = """
CREATE TABLE made_for (root TEXT NOT NULL, others INTEGER NOT NULL);
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
    drive TEXT NOT NULL,
    card TEXT NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX by_created ON generations (created);
CREATE INDEX by_fingerprint ON generations (fingerprint, finished);
CREATE INDEX by_finished ON generations (finished, created);
CREATE INDEX by_ended ON generations (backend, ended);
CREATE TABLE today (
    id TEXT PRIMARY KEY,
    backend TEXT NOT NULL,
    ended REAL NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX today_by_ended ON today (ended)
"""

CARDS = 500


class Index:
    """The sidecars under ``root`` and under other output folders, which are noted in a text file in the root, a JSON
    string a line. What lies in the root is kept by its way from there, so that the root can be moved with its index in
    it, and be named in several ways. ``told`` gets a sentence for what cannot be read. Blocking: for threads."""

    def __init__(self, root: Path, told: Callable[[str], object]) -> None:
        self.root = root
        self.path = root / OWN_FOLDER / NAME
        self._told = told
        self._other_folders = root / ".output-folders.txt"
        self._database = Database(self.path, TABLES, LockFile(self.path.with_name(LOCK)), fill=self.sync, told=told)

    def run(self, work: Callable[[sqlite3.Connection], T], *, patience: float = 30.0) -> T:
        """See :meth:`Database.run`."""
        return self._database.run(partial(self._brought_up, work), patience=patience)

    def view(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See :meth:`Database.view`."""
        return self._database.view(partial(self._brought_up, work))

    def _brought_up(self, work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
        """One transaction, which also knows that the folder was moved with its index in it, and what a program of
        another version has done meanwhile."""
        # Another process may name it through a link.
        now = (sound(os.path.realpath(self.root)), self._written_by_others())
        known = db.execute("SELECT root, others FROM made_for").fetchone()
        if known != now:
            if known is not None and known[0] != now[0]:
                db.execute("UPDATE generations SET size = -1")  # whatever is there is read again
            if known is not None or now[1]:
                self.sync(db)
            db.execute("DELETE FROM made_for")
            db.execute("INSERT INTO made_for VALUES (?, ?)", now)
        return work(db)

    def write(self, db: sqlite3.Connection, folder: Path, record: Record) -> None:
        """Replace the sidecar in ``folder``, and put it into the index. Raises ImageError ``disk``."""
        kept = decode_record(encode_record(record))  # half characters are none any more
        self.put(db, folder, kept, write_record(folder, kept))

    def put(
        self, db: sqlite3.Connection, folder: Path, record: Record, stamp: Stamp, visit: Visit | None = None
    ) -> None:
        """Insert or replace one generation, and whatever was in its folder. ``visit``: of whoever puts several."""
        timings, ended = record.timings, record.ended_at
        self._count(db, record, ended)
        db.execute(
            "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.generation_id,
                self._stored(folder),
                record.backend,
                record.state,
                record.finished,
                record.fingerprint,
                epoch(record.created_at),
                ended,
                timings.browser + timings.submit + timings.generate,
                stamp.mtime_ns,
                stamp.size,
                str(stamp.inode),  # may pass 63 bits on Windows
                (visit or Visit(self.root)).drive(folder.parent) or "",
                card(record, folder, self.root),
                encode_record(record) if self._may_go_away(folder) else b"",
            ),
        )

    def _count(self, db: sqlite3.Connection, record: Record, ended: float) -> None:
        """Note what the limits of the day count of it: that stays until midnight, also when its folder goes."""
        midnight = last_midnight()
        db.execute("DELETE FROM today WHERE ended < ? OR id = ?", (midnight, record.generation_id))
        if ended >= midnight:
            kept = encode_record(counted(record))
            db.execute("INSERT INTO today VALUES (?, ?, ?, ?)", (record.generation_id, record.backend, ended, kept))

    def gone_today(self, db: sqlite3.Connection, backend: BackendName) -> list[Record]:
        """What the limits of the day count of generations of which nothing else is left."""
        rest = "WHERE backend = ? AND ended >= ? AND NOT EXISTS (SELECT 1 FROM generations WHERE id = today.id)"
        found = db.execute(f"SELECT record FROM today {rest}", (backend, last_midnight()))  # noqa: S608
        return [decode_record(data) for (data,) in found]

    def rows(self, db: sqlite3.Connection, rest: str, *values: object) -> list[Row]:
        """The generations that the SQL after ``FROM generations`` picks."""
        columns = "id, folder, mtime_ns, size, inode, drive"
        found = db.execute(f"SELECT {columns} FROM generations {rest}", values)  # noqa: S608
        return [
            Row(name, self.root / folder, Stamp(mtime, size, int(inode)), drive)
            for name, folder, mtime, size, inode, drive in found
        ]

    def found(self, db: sqlite3.Connection, visit: Visit, rest: str, *values: object) -> list[Row]:
        """The same, after a look through all folders where one of them is not where it was: it may have been renamed.
        Each is looked at while the index is held: for few."""
        found = self.rows(db, rest, *values)
        if any(map(visit.is_gone, found)):
            self.sync(db)
            found = self.rows(db, rest, *values)
        return found

    def known(self, db: sqlite3.Connection, row: Row) -> Record | None:
        """Its record as it was read last, where it lies in a folder that may be away."""
        ((data,),) = db.execute("SELECT record FROM generations WHERE id = ?", (row.id,)).fetchall() or [(b"",)]
        return decode_record(data) if data else None

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

    def folders(self) -> Iterator[Path]:
        """Of all generations that are there, also those that are not known yet."""
        for parent in self.parents():
            yield from (folder for folder, _ in self._sidecars(parent, tidy=False))

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
        visit = Visit(self.root)
        for parent in self.parents():
            for folder, stamp in self._sidecars(parent, tidy=tidy):
                stored = self._stored(folder)
                db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (stored,))
                if all(visit.is_behind(row, stamp) for row in self.rows(db, "WHERE folder = ?", stored)):
                    self._read(db, folder, visit)
        for row in self.rows(db, "WHERE folder NOT IN (SELECT folder FROM seen)"):
            if visit.is_gone(row):
                db.execute("DELETE FROM generations WHERE id = ?", (row.id,))
        db.execute("DROP TABLE temp.seen")
        (count,) = db.execute("SELECT count(*) FROM generations").fetchone()
        return int(count)

    def _read(self, db: sqlite3.Connection, folder: Path, visit: Visit) -> None:
        """Put in what lies there, unless it is a copy of what is known."""
        try:
            record, stamp = read_record(folder, visit.patience)
        except ImageError as error:
            # Albums of other programs have such a file too, and so has the folder of pictures that this one replaces.
            if not isinstance(error.__cause__, ForeignError) or self.rows(db, "WHERE folder = ?", self._stored(folder)):
                self._told(error.message)
            return
        for known in self.rows(db, "WHERE id = ? AND folder != ?", record.generation_id, self._stored(folder)):
            try:
                # It may be the same under two names: of other capitals, of letters put together, through a link.
                is_copy = look(known.folder / SIDECAR) is not None and not known.folder.samefile(folder)
            except OSError:
                return  # what cannot be looked at just now keeps its place
            if is_copy:
                self._told(f"{folder} is a copy of {known.folder} (same generation_id) and is left out.")
                return
        self.put(db, folder, record, stamp, visit)

    def add_parent(self, parent: Path) -> Path:
        """Remember an output folder, and answer how it is called here. All other lines stay as they are, whoever wrote
        them. Raises OSError."""
        real = Path(os.path.realpath(parent))
        root = named_inside(real, Path(os.path.realpath(self.root)))
        place = parent if root is None else self.root / real.relative_to(root)
        lines = self._lines()
        if place not in self._parents(lines):
            lines.append(msgspec.json.encode(self._stored(place)))
            replace_file(self._other_folders, b"".join(line + b"\n" for line in lines))
        return place

    def _lines(self) -> list[bytes]:
        try:
            return read_file(self._other_folders)[0].splitlines()
        except FileNotFoundError:
            return []

    def _parents(self, lines: list[bytes]) -> list[Path]:
        """The root first. Lines that cannot be read, or name a place on another system, are passed over."""
        found, real_root = [self.root], os.path.realpath(self.root)
        for line in lines:
            try:
                named = Path(msgspec.json.decode(line, type=str))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if named.is_relative_to(real_root):
                named = named.relative_to(real_root)
            parent = self.root / named
            if (named.is_absolute() or not named.anchor) and parent not in found:
                found.append(parent)
        return found

    def parents(self) -> list[Path]:
        """All known output folders, the root first."""
        try:
            return self._parents(self._lines())
        except OSError as error:
            self._told(f"{self._other_folders} cannot be read: {error.strerror}.")
            return [self.root]

    def _written_by_others(self) -> int:
        """When an index of another version was written last (nanoseconds, 0 for never): it does not tell ours."""
        found = 0
        with suppress(OSError):
            names = [name for name in os.listdir(self.path.parent) if OTHERS.fullmatch(name) and name != NAME]  # noqa: PTH208
            for path in (self.root / ".index.sqlite3", *(self.path.with_name(name) for name in names)):
                with suppress(OSError):
                    found = max(found, path.stat().st_mtime_ns)
        return found

    def _sidecars(self, parent: Path, *, tidy: bool) -> Iterator[tuple[Path, Stamp]]:
        try:
            with os.scandir(parent) as entries:
                folders = sorted(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                    # In folders that people keep other things in, only names like ours are looked into.
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

    def _may_go_away(self, folder: Path) -> bool:
        """What lies in the root, which is most of all, is there whenever the index is."""
        with suppress(OSError):
            return folder.parent != self.root or is_link(folder)
        return True

    def _stored(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else str(folder)


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
