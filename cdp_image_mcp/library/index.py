"""The index of all sidecars: what the library asks often, in one file that can always be made again."""

import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR, Stamp, read_record
from cdp_image_mcp.library.record import Record, epoch
from cdp_image_mcp.system.disk import PART, replace_file
from cdp_image_mcp.system.presence import OWN_FOLDER

__all__ = ["TABLES", "Parents", "Row", "each", "fill", "forget", "path_of", "put", "rows", "strangers", "sync"]

NAME = "index-2.sqlite3"
"""With the version of its tables: programs of several versions each keep their own, made from the same sidecars."""
OTHERS = re.compile(r"index-\d+\.sqlite3")

TABLES = """
CREATE TABLE born (token TEXT NOT NULL);
CREATE TABLE generations (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL UNIQUE,
    backend TEXT NOT NULL,
    state TEXT NOT NULL,
    finished INTEGER NOT NULL,
    fetched INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    pictures INTEGER NOT NULL,
    cost_usd REAL,
    created REAL NOT NULL,
    ended REAL NOT NULL,
    mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    inode TEXT NOT NULL,
    change INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX by_created ON generations (created);
CREATE INDEX by_fingerprint ON generations (fingerprint, finished, fetched);
CREATE INDEX by_finished ON generations (finished, created);
CREATE INDEX by_ended ON generations (backend, ended);
CREATE INDEX by_change ON generations (change);
CREATE TABLE removed (change INTEGER PRIMARY KEY, id TEXT NOT NULL)
"""

OUR_FOLDERS = re.compile(r"\d{8}-\d{6}-")
"""In folders that people keep other things in, only names like ours are looked into."""


class Row(msgspec.Struct, frozen=True):
    """One generation as the index has it."""

    id: str
    folder: Path
    change: int
    record: Record


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
    """Insert or replace one generation."""
    connection.execute(
        "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET folder = excluded.folder, backend = excluded.backend, state = excluded.state,"
        " finished = excluded.finished, fetched = excluded.fetched, fingerprint = excluded.fingerprint,"
        " pictures = excluded.pictures, cost_usd = excluded.cost_usd, created = excluded.created,"
        " ended = excluded.ended, mtime_ns = excluded.mtime_ns, size = excluded.size, inode = excluded.inode,"
        " change = excluded.change, record = excluded.record",
        (
            record.generation_id,
            _stored(root, folder),
            record.backend,
            record.state,
            record.finished,
            record.fetched,
            record.fingerprint,
            len(record.images),
            record.cost_usd,
            epoch(record.created_at),
            epoch(record.finished_at or record.updated_at),
            stamp.mtime_ns,
            stamp.size,
            str(stamp.inode),  # may pass 63 bits on Windows
            _next_change(connection),
            msgspec.json.encode(record, enc_hook=str),
        ),
    )


def forget(connection: sqlite3.Connection, generation_id: str) -> None:
    """Take out a generation whose folder is gone."""
    change = _next_change(connection)
    connection.execute("DELETE FROM generations WHERE id = ?", (generation_id,))
    connection.execute("INSERT INTO removed VALUES (?, ?)", (change, generation_id))


def each(connection: sqlite3.Connection, root: Path, rest: str, values: tuple[object, ...] = ()) -> Iterator[Row]:
    """The generations that the SQL after ``FROM generations`` picks, one at a time: thousands need not fit at once."""
    found = connection.execute(f"SELECT id, folder, change, record FROM generations {rest}", values)  # noqa: S608
    for id_, folder, change, record in found:
        yield Row(id_, root / folder, change, msgspec.json.decode(record, type=Record))


def rows(connection: sqlite3.Connection, root: Path, rest: str, values: tuple[object, ...] = ()) -> list[Row]:
    """The same as a list."""
    return list(each(connection, root, rest, values))


def fill(connection: sqlite3.Connection, parents: Parents, problems: list[str]) -> int:
    """Put everything the sidecars say into an empty index; answers how many there are."""
    connection.execute("INSERT INTO born VALUES (?)", (secrets.token_hex(8),))
    return sync(connection, parents, problems)


def sync(connection: sqlite3.Connection, parents: Parents, problems: list[str], *, tidy: bool = False) -> int:
    """Walk the output folders and bring the index up to them; only sidecars that changed are read.

    ``tidy`` takes away folders whose maker died before the record was in them. Only under the lock of the index,
    which every maker holds.
    """
    known: dict[str, tuple[str, Stamp]] = {
        folder: (id_, Stamp(mtime_ns, size, int(inode)))
        for id_, folder, mtime_ns, size, inode in connection.execute(
            "SELECT id, folder, mtime_ns, size, inode FROM generations"
        )
    }
    places = {id_: folder for folder, (id_, _) in known.items()}
    seen: set[str] = set()
    for parent in parents.all():
        for folder, stamp in _sidecars(parent, strict=parent != parents.root, problems=problems, tidy=tidy):
            stored = _stored(parents.root, folder)
            seen.add(stored)
            if stored in known and known[stored][1] == stamp:
                continue
            try:
                record, stamp = read_record(folder)  # noqa: PLW2901 - of the very file that was read
            except ImageError as error:
                problems.append(error.message)
                continue
            twin = places.get(record.generation_id)
            if twin is not None and twin != stored and (parents.root / twin / SIDECAR).exists():
                problems.append(f"{folder} is a copy of {parents.root / twin} (same generation_id) and is left out.")
                continue
            places[record.generation_id] = stored
            if stored in known and known[stored][0] != record.generation_id:
                forget(connection, known[stored][0])
            put(connection, parents.root, folder, record, stamp)
    for stored, (id_, _) in known.items():
        # A parent that is away (a drive that is not plugged in) says nothing about what is in it.
        if stored not in seen and places[id_] == stored and (parents.root / stored).parent.is_dir():
            forget(connection, id_)
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


def _next_change(connection: sqlite3.Connection) -> int:
    (change,) = connection.execute(
        "SELECT 1 + max(ifnull((SELECT max(change) FROM generations), 0), ifnull((SELECT max(change) FROM removed), 0))"
    ).fetchone()
    return int(change)
