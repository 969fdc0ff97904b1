"""Which generation a call joins instead of paying for a second one, and how the day's limit is kept meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import BackendName
from cdp_image_mcp.system.disk import look

JOIN_SECONDS = 24 * 3600
"""How long an answer that nobody fetched waits for the same question."""

Kind: TypeAlias = Literal["running", "finished", "orphaned"]
"""``running``: its owner lives (may be another process). ``finished``: within the last 24 h and never fetched: saved
or partial with its files, or an end at the API that may have been paid and brought nothing. ``orphaned``: its owner
died when it may have been paid, or it was sent within the last 24 h and interrupted, and its picture may be at the
site; it is to be adopted."""


class Entry(msgspec.Struct, frozen=True):
    """A generation as it lies on disk at the moment of reading."""

    record: Record
    folder: Folder
    alive: bool
    """Unfinished and its owner process lives. False for everything finished or orphaned."""
    away: bool = False
    """Its folder is on a drive that is not there: the record is as it was known last."""


class Claim(msgspec.Struct, frozen=True):
    """The generation a call waits on from now on; hand ``waiter`` to :meth:`Library.release` when it answers."""

    kind: Kind | Literal["new"]
    """``new``: just registered, ours to run."""
    record: Record
    folder: Folder
    waiter: str

    @property
    def joined(self) -> bool:
        return self.kind != "new"


OfToday: TypeAlias = Callable[[BackendName], list[Entry]]
"""A back end's generations of today and all its unfinished ones, also those that others registered a moment ago."""

Admit: TypeAlias = Callable[[OfToday], None]
"""Raises ImageError to refuse a new generation, or changes its record; called in the very step that registers it."""


def joinable(entry: Entry, *, fetched: bool) -> Kind | None:
    """As what a call may join it. ``fetched``: its end is known to be told, beside the record."""
    record = entry.record
    if not record.finished:
        if entry.alive:
            return "running"
        # The site goes on without us and what it made can be collected. A request to the API died with its process:
        # whoever asks again is told so before anything is paid a second time.
        return "orphaned" if _may_be_paid(record) else None
    if time.time() - record.left_at > JOIN_SECONDS:
        return None
    if record.collectable:
        # Whoever was told of the interruption and asks again wants the picture, not a second one.
        return "orphaned"
    if record.fetched or fetched:
        return None
    if not record.images:
        # An end at the API that may have been paid and brought nothing is told once, to whoever asks the same.
        ended = record.state in {"failed", "interrupted", "refused"}
        return "finished" if record.backend == "api" and ended and _may_be_paid(record) else None
    if record.state not in {"saved", "partial"}:
        return None
    there = entry.away or all(_is_there(Path(image.path), image.bytes) for image in record.images)
    return "finished" if there else None


def _may_be_paid(record: Record) -> bool:
    """At the site only a look there tells what was not spent."""
    return record.submitted is not False and (record.on_web or record.spent is not False)


def _is_there(path: Path, size: int) -> bool:
    try:
        return (found := look(path)) is not None and found.st_size == size
    except OSError:
        return True  # the record tells of it; a disk that refuses it for a moment does not say that it is gone
