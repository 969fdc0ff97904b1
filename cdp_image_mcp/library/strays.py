"""What lies beside a record and is not in it: its process died while it wrote what had been paid for.

| what lies there | what becomes of it |
|---|---|
| a whole picture, under its own name or a first one, that is none of the record's | a picture of the record |
| ``unrecognised-NN``; under a first name what begins none of the files here | ``unrecognised-NN``, in ``kept`` |
| the same from a site that can still be asked for the whole picture | left until it has been asked |
| under a first name nothing, what begins a file that is here, or no picture's head | left for ``clean`` |
| under a name that a person gave, or from a time at which nothing of ours could come | no business of ours |

Nothing is deleted here.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

from cdp_image_mcp.library.folder import NUMBERED, SIDECAR, described, listed, place
from cdp_image_mcp.library.imagefile import NotAPictureError, inspect
from cdp_image_mcp.library.record import CLOCK_SLACK, Record, epoch, now, request_of
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.system.disk import PART, doing

MAX_PICTURE_BYTES = 512 * 1024 * 1024
FIRST = re.compile(r"\.(image|unrecognised)\..*" + re.escape(PART))
PLACED = re.compile(r"((?:image|unrecognised)-(?:0[1-9]|[1-9]\d+)\.)\w+")
"""The names that :func:`place` gives; first what ``NUMBERED`` finds in them."""


class Strays(NamedTuple):
    """What belongs into a record, in order."""

    pictures: list[SavedImage]
    kept: list[Path]

    def add_to(self, record: Record) -> None:
        record.images += self.pictures
        record.sources += [{} for _ in self.pictures]
        if any(self):
            record.submitted = record.spent = True
        if self.kept:
            record.facts["kept"] = [*record.facts.get("kept", []), *map(str, self.kept)]

    def end_anew(self, record: Record) -> None:
        """Add them to one that has ended, and let its end tell of them."""
        self.add_to(record)
        record.facts.pop("held", None)
        if self.pictures and record.state != "saved":
            whole = len(record.images) >= request_of(record).n
            record.state, record.finished_at, record.fetched = "saved" if whole else "partial", now(), False
            record.facts["taken_up"] = True
            if whole:
                record.error, record.failures = None, []
        if record.error is not None:
            told = record.error.get("details", {}) | ({"kept": record.facts["kept"]} if self.kept else {})
            record.error |= {"submitted": True, "spent": True, "details": told}


def may_be(folder: Path, record: Record) -> bool:
    """Whether there is anything to look at, by names alone. Blocking. Raises ImageError ``disk``."""
    with doing("Looking for pictures that were not recorded", folder):
        return bool(_unlisted(folder, record))


def gather(folder: Path, record: Record) -> Strays:
    """Give everything that was paid for its name. Blocking; only for whoever may write the record. The record is not
    touched. Raises ImageError ``disk``."""
    found = Strays([], [])
    known = {image.sha256 for image in record.images}
    to_come = record.on_web and (record.collectable or not record.finished)
    with doing("Looking for pictures that were not recorded", folder):
        for path in _unlisted(folder, record):
            first, data = FIRST.fullmatch(path.name), _bytes(path)
            try:
                facts = inspect(data)
            except NotAPictureError as unknown:
                if path.name.startswith("unrecognised"):
                    found.kept.append(path)
                elif first and not to_come and not worthless(path):
                    found.kept.append(place(path, "unrecognised", unknown.ending, record))
                continue
            picture = described(path, data, facts)
            if picture.sha256 not in known:
                known.add(picture.sha256)
                named = place(path, "image", facts.extension, record) if first else path
                found.pictures.append(described(named, data, facts))
    return found


def worthless(part: Path) -> bool:
    """Whether nothing is lost with what lies there under a first name. Blocking."""
    if not FIRST.fullmatch(part.name):
        return False
    try:
        data = _bytes(part)
        if not data or (part.name.startswith(".image.") and _is_headless(data)):
            return True
        return any(_begins_with(path, data) for path in part.parent.iterdir() if NUMBERED.match(path.name))
    except OSError:
        return False


def _unlisted(folder: Path, record: Record) -> list[Path]:
    """What is under its own name first: a first name beside it may be of the same bytes. What bears a number of the
    record's is made from that file, by the person or for them: we never give a number twice."""
    if record.submitted is False and not record.images:
        return []  # nothing was paid for
    known = listed(record)
    numbers = {match[0] for name in known if (match := NUMBERED.match(name))}
    found = sorted(path for path in folder.iterdir() if path.name not in known)
    named = [path for path in found if (match := PLACED.fullmatch(path.name)) and match[1] not in numbers]
    if named:
        first, last = epoch(record.created_at) - CLOCK_SLACK, math.inf  # a copy is as old as what it was made from
        if _is_complete(record):
            last = min((folder / SIDECAR).stat().st_mtime, epoch(record.updated_at) + CLOCK_SLACK)
        named = [path for path in named if first <= path.stat().st_mtime <= last]
    return named + [path for path in found if FIRST.fullmatch(path.name)]


def _is_complete(record: Record) -> bool:
    """Whether whoever ended it had nothing more to write but the record. Behind an answer the site's turn may bring
    more, as long as it was not seen to end; and what a full disk did not take is written when it can be."""
    more_may_come = record.on_web and record.state == "saved" and record.facts.get("turn_pressed") is not False
    return record.finished and not (more_may_come or record.collectable or record.facts.get("held"))


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_PICTURE_BYTES else b""


def _is_headless(data: bytes) -> bool:
    try:
        inspect(data)
    except NotAPictureError as unknown:
        return unknown.kind not in {"truncated", "damaged"}
    return False


def _begins_with(path: Path, data: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(data)) == data
