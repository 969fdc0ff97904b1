"""The index of all sidecars: what the library asks often, in one file that can always be made again."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR, Stamp, read_record
from cdp_image_mcp.library.gallery.card import card
from cdp_image_mcp.library.record import Record, epoch
from cdp_image_mcp.system.disk import PART, replace_file
from cdp_image_mcp.system.presence import OWN_FOLDER

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


class Row(msgspec.Struct, frozen=True):
    """One generation as the index has it."""

    id: str
    folder: Path
    stamp: Stamp
    """Of the sidecar that it was read from."""


class Parents:
    """The output folders in use: the root, and others noted in a text file beside the index, a JSON string a line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / ".output-folders.txt"

    def all(self) -> list[Path]:
        """The root first. Lines that cannot be read are passed over: their folders come back with their next use."""
        found = [self.root]
        try:
            lines = self.file.read_bytes().splitlines()
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

    def add(self, parent: Path) -> None:
        """Remember an output folder. Raises OSError."""
        known = self.all()
        if parent not in known:
            lines = [msgspec.json.encode(str(path)) + b"\n" for path in [*known[1:], parent]]
            replace_file(self.file, b"".join(lines))


def path_of(root: Path) -> Path:
    """Where the index of this version lies."""
    return root / OWN_FOLDER / NAME


def strangers(root: Path) -> int:
    """When an index of another version was written last (nanoseconds, 0 for never): it does not tell ours."""
    found, ours = 0, path_of(root)
    with suppress(OSError):
        names = [name for name in os.listdir(ours.parent) if OTHERS.fullmatch(name) and name != NAME]  # noqa: PTH208
        for path in (root / ".index.sqlite3", *(ours.with_name(name) for name in names)):
            with suppress(OSError):
                found = max(found, path.stat().st_mtime_ns)
    return found


def put(connection: sqlite3.Connection, root: Path, folder: Path, record: Record, stamp: Stamp) -> None:
    """Insert or replace one generation, and whatever was in its folder."""
    timings = record.timings
    connection.execute(
        "INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.generation_id,
            _stored(root, folder),
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
            card(record, folder, root),
        ),
    )


def rows(connection: sqlite3.Connection, root: Path, rest: str, values: tuple[object, ...] = ()) -> list[Row]:
    """The generations that the SQL after ``FROM generations`` picks."""
    columns = "id, folder, mtime_ns, size, inode"
    found = connection.execute(f"SELECT {columns} FROM generations {rest}", values)  # noqa: S608
    return [Row(id_, root / folder, Stamp(mtime_ns, size, int(inode))) for id_, folder, mtime_ns, size, inode in found]


def follow(connection: sqlite3.Connection, root: Path) -> bool:
    """Forget everything that was noted for another place, and answer whether there was one: the folder was moved with
    its index in it."""
    (known,) = connection.execute("SELECT ifnull(max(root), '') FROM made_for").fetchone()
    if known == str(root):
        return False
    if known:
        connection.execute("DELETE FROM generations")
        connection.execute("DELETE FROM made_for")
    connection.execute("INSERT INTO made_for VALUES (?)", (str(root),))
    return bool(known)


def sync(connection: sqlite3.Connection, parents: Parents, problems: list[str], *, tidy: bool = False) -> int:
    """Walk the output folders and bring the index up to them; only sidecars that changed are read.

    ``tidy`` takes away folders whose maker died before the record was in them. Only under the lock of the index,
    which every maker holds.
    """
    root = parents.root
    # Names alone, and gone with the transaction: there may be a hundred thousand.
    connection.execute("CREATE TEMP TABLE seen (folder TEXT PRIMARY KEY) WITHOUT ROWID")
    for parent in parents.all():
        for folder, stamp in _sidecars(parent, strict=parent != root, problems=problems, tidy=tidy):
            stored = _stored(root, folder)
            connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (stored,))
            if any(row.stamp == stamp for row in rows(connection, root, "WHERE folder = ?", (stored,))):
                continue
            try:
                record, stamp = read_record(folder)  # noqa: PLW2901 - of the very file that was read
            except ImageError as error:
                problems.append(error.message)
                continue
            twins = rows(connection, root, "WHERE id = ? AND folder != ?", (record.generation_id, stored))
            if twins and (twins[0].folder / SIDECAR).exists():
                problems.append(f"{folder} is a copy of {twins[0].folder} (same generation_id) and is left out.")
                continue
            put(connection, root, folder, record, stamp)
    for row in rows(connection, root, "WHERE folder NOT IN (SELECT folder FROM seen)"):
        # A parent that is away (a drive that is not plugged in) says nothing about what is in it.
        if row.folder.parent.is_dir():
            connection.execute("DELETE FROM generations WHERE id = ?", (row.id,))
    connection.execute("DROP TABLE temp.seen")
    (count,) = connection.execute("SELECT count(*) FROM generations").fetchone()
    return int(count)


def _sidecars(parent: Path, *, strict: bool, problems: list[str], tidy: bool) -> Iterator[tuple[Path, Stamp]]:
    try:
        with os.scandir(parent) as entries:
            folders = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and (not strict or OUR_FOLDERS.match(entry.name))
                and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"The output folder {parent} cannot be read: {error.strerror}.")
        return
    for name in folders:
        if not name.isprintable():
            problems.append(f"{parent}: the folder {name!r} has a name that cannot be kept; it is left out.")
            continue
        try:
            yield parent / name, Stamp.of((parent / name / SIDECAR).stat())
        except FileNotFoundError:
            if OUR_FOLDERS.match(name) and not _is_abandoned(parent / name, tidy=tidy):
                problems.append(f"{parent / name} has no {SIDECAR}; it is left out.")
        except OSError as error:
            problems.append(f"{parent / name / SIDECAR} cannot be read: {error.strerror}.")


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


def _stored(root: Path, folder: Path) -> str:
    """Folders in the root are kept by name, so that the root can be moved with its index in it."""
    return folder.name if folder.parent == root else str(folder)
