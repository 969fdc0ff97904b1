"""One generation's folder: its sidecar ``metadata.json`` and its pictures, each written whole or not at all."""

import contextlib
import hashlib
import itertools
import os
import re
import stat
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.formats import ImageFacts
from cdp_image_mcp.library.names import folder_name
from cdp_image_mcp.library.record import Record, decode_record, encode_record, epoch, now
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.system.disk import (
    Patience,
    doing,
    finish,
    in_thread,
    look,
    make_folder,
    make_path,
    read_file,
    replace_file,
    settle,
    sync_folder,
    write_part,
)
from cdp_image_mcp.system.plaintext import sound
from cdp_image_mcp.system.tasks import shielded

SIDECAR = "metadata.json"
MAX_SIDECAR_BYTES = 16 * 1024 * 1024
NUMBERED = re.compile(r"(image|unrecognised)-(\d+)\.")

T = TypeVar("T")


class Stamp(msgspec.Struct, frozen=True):
    """What tells one version of a sidecar from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, facts: os.stat_result) -> "Stamp":
        return cls(facts.st_mtime_ns, facts.st_size, facts.st_ino)


class Row(msgspec.Struct, frozen=True):
    """One generation as the index has it."""

    id: str
    folder: Path
    stamp: Stamp
    """Of the sidecar that it was read from."""
    drive: str
    """What :func:`drive_of` said of the folder around it then."""


class Visit:
    """What one errand over the disk finds: each of the folders around generations is asked for once, and its patience
    is one. ``root`` is there, for the index lies in it."""

    def __init__(self, root: Path) -> None:
        self.patience = Patience()
        self._root = root
        self._drives: dict[Path, str | None] = {}

    def is_away(self, row: Row) -> bool:
        """Whether it may lie on a drive that is not there: the folder around it is missing, or lies on another drive
        now, as the one does in which a drive was, and holds nothing of its name."""
        here = self.drive(row.folder.parent)
        return here is None or (here != row.drive and not os.path.lexists(row.folder))

    def drive(self, parent: Path) -> str | None:
        """:func:`drive_of` of a folder around generations, "" for the root; None where it is not there."""
        if parent == self._root:
            return ""
        if parent not in self._drives:
            self._drives[parent] = drive_of(parent)
        return self._drives[parent]

    def is_behind(self, row: Row, stamp: Stamp) -> bool:
        """Whether it is to be put anew, where its sidecar was seen with that ``stamp``."""
        return row.stamp != stamp or row.drive != self.drive(row.folder.parent)

    def is_gone(self, row: Row) -> bool:
        """Whether surely no record is there any more. What lies on a drive that is away says nothing about that, nor
        does what cannot be looked at just now, nor a link, which may lead to such a drive."""
        try:
            return not self.is_away(row) and not is_link(row.folder) and look(row.folder / SIDECAR) is None
        except OSError:
            return False


class Folder:
    """The folder of one generation. All methods finish their work even when the caller is cancelled meanwhile:
    bytes that were handed over are on disk, or an error says so."""

    def __init__(self, path: Path, write: Callable[[Path, Record], object] | None = None) -> None:
        self.path = path
        """``write`` replaces the sidecar in a folder; the library's notes it in the index too."""
        self._write = write or write_record
        self._turn = anyio.Lock()
        """What is handed over first is written first, and has the lower number."""

    async def write(self, record: Record) -> None:
        """Replace the sidecar: temporary file, fsync, rename. Stamps ``record.updated_at``; encodes at once, so later
        changes of ``record`` do not tear it. Raises ImageError ``disk``; the earlier sidecar is then still whole."""
        record.updated_at = now()
        kept = decode_record(encode_record(record))

        def work() -> None:
            if kept.submitted is not False and (kept.collectable or not kept.finished):
                # Tidied away or renamed meanwhile: by its record alone what is out is found again.
                with doing("Writing the record", self.path):
                    make_path(self.path)
            self._write(self.path, kept)

        await self._finish(work)

    async def add_picture(self, data: bytes, facts: ImageFacts, record: Record | None = None) -> SavedImage:
        """Write ``data`` unchanged as the next free ``image-NN.ext``, 0600, never over anything. The ``record`` is not
        touched: list the answer in ``record.images`` and :meth:`write`. Raises ImageError ``disk``."""
        return await self._finish(
            lambda: described(self._add_file(data, "image", facts.extension, record), data, facts)
        )

    async def keep(self, data: bytes, ending: str, record: Record | None = None) -> Path:
        """Write bytes that are no picture we know as the next free ``unrecognised-NN.ending``, 0600, never over
        anything. Raises ImageError ``disk``."""
        return await self._finish(lambda: self._add_file(data, "unrecognised", ending, record))

    @in_thread
    def describe_page(self, structure: object) -> Path:
        """Write the bare structure of a page that was not understood beside the record. Raises ImageError ``disk``."""
        path = self.path / "page-report.json"
        with doing("Writing the page report", path):
            replace_file(path, msgspec.json.format(msgspec.json.encode(structure)))
        return path

    async def _finish(self, work: Callable[[], T]) -> T:
        with shielded():
            async with self._turn:
                return await finish(work, own_thread=True)  # what was paid for lies in memory alone until then

    def _add_file(self, data: bytes, name: str, ending: str, record: Record | None) -> Path:
        with doing("Saving a picture", self.path):
            # Tidied away or renamed meanwhile: what is handed over has been paid for and is nowhere else.
            make_path(self.path)
            part, _ = write_part(self.path / name, data)
            try:
                return place(part, name, ending, record)
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise


def drive_of(folder: Path) -> str | None:
    """The mount point above ``folder``, or its root; None where it is not there. A path, for what else tells one drive
    from another changes with each mounting and, on macOS, with each start."""
    try:
        if not folder.is_dir():
            return None
        folder = Path(os.path.realpath(folder))
    except OSError:  # a drive that is not ready
        return None
    above = next((path for path in (folder, *folder.parents) if _is_mount(path)), folder.anchor)
    return sound(os.path.normcase(above))


def _is_mount(path: Path) -> bool:
    try:
        return os.path.ismount(path)
    except OSError:  # on Windows, of a volume that says nothing about itself
        return False


def is_link(folder: Path) -> bool:
    """Or what Windows has beside links, which also leads elsewhere. Raises OSError for what may not be looked at."""
    try:
        facts = folder.lstat()
    except FileNotFoundError:
        return False
    leads = getattr(facts, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_REPARSE_POINT
    return stat.S_ISLNK(facts.st_mode) or bool(leads)


def listed(record: Record) -> set[str]:
    """The names that ``record`` knows. Their files may have been moved to where they were wanted."""
    return {re.split(r"[\\/]", path)[-1] for path in (*(i.path for i in record.images), *record.facts.get("kept", []))}


def place(part: Path, name: str, ending: str, record: Record | None) -> Path:
    """Give a finished temporary file the next free ``name-NN.ending``, never over anything and none that is in the
    ``record``; durable on return. Blocking. Raises OSError."""
    names = (*(other.name for other in part.parent.iterdir()), *(listed(record) if record is not None else ()))
    numbers = map(NUMBERED.match, names)
    number = 1 + max((int(found[2]) for found in numbers if found and found[1] == name), default=0)
    while True:
        path = part.with_name(f"{name}-{number:02}.{ending}")
        try:
            settle(part, path)
        except FileExistsError:
            number += 1
        else:
            sync_folder(path.parent)
            return path


def new_folder(parent: Path, record: Record) -> tuple[Path, Stamp]:
    """Make the folder of a generation, exclusively and 0700, with its durable record. Blocking.

    Raises ImageError ``disk`` and leaves nothing then.
    """
    at = datetime.fromtimestamp(epoch(record.created_at) or time.time()).astimezone()
    names = (folder_name(record.prompt, at, attempt) for attempt in itertools.count(1))
    with doing("Making a folder for the pictures", parent):
        path = next(parent / name for name in names if _is_made(parent / name))
    try:
        return path, write_record(path, record)
    except BaseException:
        take_back_folder(path)
        raise


def _is_made(path: Path) -> bool:
    try:
        make_folder(path)
    except FileExistsError:
        return False
    return True


def take_back_folder(path: Path) -> None:
    """Remove a folder that was just made and never named to anybody; with anything else in it, it stays."""
    with contextlib.suppress(OSError):
        (path / SIDECAR).unlink(missing_ok=True)
        path.rmdir()


def write_record(folder: Path, record: Record) -> Stamp:
    """Replace the sidecar in ``folder`` as it is, durable on return. Blocking. Raises ImageError ``disk``."""
    with doing("Writing the record", folder / SIDECAR):
        return Stamp.of(replace_file(folder / SIDECAR, encode_record(record)))


def read_record(folder: Path, patience: Patience | None = None) -> tuple[Record, Stamp]:
    """The record in ``folder``, with picture paths inside it (also after it was moved), and the stamp of the file it
    came from. ``patience``: of whoever reads several. Blocking. Raises ImageError ``not_found`` (no sidecar) or
    ``disk`` (garbled, or of a newer program)."""
    path = folder / SIDECAR
    with doing("Reading the record", path):
        try:
            data, facts = read_file(path, MAX_SIDECAR_BYTES + 1, known=folder.is_dir(), patience=patience)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageError("not_found", f"There is no record in {folder}.") from None
    try:
        if len(data) > MAX_SIDECAR_BYTES:
            raise msgspec.ValidationError("it is far too large")
        record = decode_record(data)
        _anchor(record, folder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImageError(
            "disk",
            f"The record {path} cannot be read ({error}). It was left as it is, its pictures too.",
            next_step="Ask the user to update cdp-image-mcp and to restart the client if a newer one wrote it, else to "
            "restore the file from a backup or to move the folder out of the output root.",
            retryable=False,
            details={"path": str(path)},
        ) from error
    return record, Stamp.of(facts)


def _anchor(record: Record, folder: Path) -> None:
    """Paths point into the folder the sidecar lies in, wherever it was moved and whatever it claims. Raises
    ValidationError for a name that no program gives: it may lead elsewhere all the same, or draw on a terminal."""
    record.images = [msgspec.structs.replace(image, path=_anchored(folder, image.path)) for image in record.images]
    details: Any = (record.error or {}).get("details")
    for told in (record.facts, cast("dict[str, Any]", details) if isinstance(details, dict) else {}):
        if isinstance(kept := told.get("kept"), list):
            told["kept"] = [_anchored(folder, str(path)) for path in cast("list[Any]", kept)]


def _anchored(folder: Path, path: str) -> str:
    name = re.split(r"[\\/]", path)[-1]
    # A colon is the end of a drive on Windows, or of a file's name.
    if name in {"", ".", ".."} or ":" in name or not name.isprintable():
        raise msgspec.ValidationError(f"it names a file {name!r}")
    return str(folder / name)


def described(path: Path, data: bytes, facts: ImageFacts) -> SavedImage:
    """The entry of the picture that lies at ``path``."""
    return SavedImage(
        path=str(path),
        mime_type=facts.mime_type,
        width=facts.width,
        height=facts.height,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        alpha=facts.alpha,
        c2pa=facts.c2pa,
    )
