"""All generations on disk: creating, finding, joining and adopting them, over processes and restarts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from cdp_image_mcp.folder import Folder
from cdp_image_mcp.record import Owner, Record
from cdp_image_mcp.request import BackendName

__all__ = ["Claim", "Entry", "Library"]


class Entry(msgspec.Struct, frozen=True):
    """A generation as it lies on disk at the moment of reading."""

    record: Record
    folder: Folder
    alive: bool
    """Unfinished and its owner process lives. False for everything finished or orphaned."""


class Claim(msgspec.Struct, frozen=True):
    """The generation a call waits on from now on; hand ``waiter`` to :meth:`Library.release` when it answers."""

    kind: Literal["new", "running", "finished", "orphaned"]
    """``new``: just registered, ours to run. ``running``: joined, its owner lives (may be another process).
    ``finished``: joined, saved or partial and never fetched. ``orphaned``: joined, its owner died after it was
    submitted on the web; it now belongs to us and wants to be recovered."""
    record: Record
    folder: Folder
    waiter: int

    @property
    def joined(self) -> bool:
        return self.kind != "new"


class Library:
    """The generations under ``root`` and under other output folders used from here. Opening touches nothing; the
    index is made at the first use and again whenever it is missing, cut, garbled or of another version.

    All methods raise ImageError ``disk`` when something cannot be written. One object per process and root.
    """

    def __init__(self, root: Path, *, owner: Owner | None = None) -> None:
        self.root = root
        """``owner`` is this process unless a test plays another."""

    async def claim_or_register(self, record: Record, parent: Path | None = None) -> Claim:
        """In one step over all processes: join an identical generation that nobody waits on, else create this one.

        Identical means the same ``record.fingerprint``. Joined are (a) running ones, (b) ``saved``/``partial`` ones
        of the last 24 h that were never fetched and whose files are there, (c) web generations whose owner died
        after submitting. The caller is registered as waiting in the same transaction, so two identical calls that
        are open at the same time become two generations. A new record is durable on disk when this returns.
        """
        raise NotImplementedError

    async def claim(self, fingerprint: str) -> Claim | None:
        """The joining half alone: an identical generation nobody waits on, now waited on by us, else None."""
        raise NotImplementedError

    async def create(self, record: Record, parent: Path | None = None) -> Folder:
        """A new folder (0700, made exclusively) with its durable record, without joining and without waiting.

        ``parent`` is an allowed output folder, default the root. ``record.owner`` is set to this process if unset.
        """
        raise NotImplementedError

    async def check_room(self, pictures: int, parent: Path | None = None) -> None:
        """Raise ImageError ``disk`` when there is clearly no room for that many more pictures. For use before
        anything is sent."""
        raise NotImplementedError

    @asynccontextmanager
    async def waiting(self, generation_id: str) -> AsyncIterator[None]:
        """Register a call as waiting on a generation while the context is open (``wait_for_image``)."""
        raise NotImplementedError
        yield

    async def release(self, waiter: int) -> None:
        """The call of a :class:`Claim` has its answer. Idempotent, finishes also when cancelled."""
        raise NotImplementedError

    async def mark_fetched(self, generation_id: str) -> None:
        """A call was answered with the end of this generation: identical calls no longer join it."""
        raise NotImplementedError

    async def adopt(self, generation_id: str) -> Entry | None:
        """Make this process the owner of an unfinished generation whose owner is dead; None when it is finished,
        owned by a living process (ours included) or not there. Exactly one process ever gets it."""
        raise NotImplementedError

    async def find(self, generation_id: str) -> Entry | None:
        """That generation, read from its sidecar; folders the index does not know yet are looked at too."""
        raise NotImplementedError

    async def newest(self, limit: int = 10) -> list[Entry]:
        """The newest generations, newest first."""
        raise NotImplementedError

    async def unfinished(self) -> list[Entry]:
        """All generations in a state that is not final, newest first, running ones (``alive``) included."""
        raise NotImplementedError

    async def latest_finished(self, backend: BackendName) -> Entry | None:
        """The newest generation of ``backend`` with pictures (``saved`` or ``partial``)."""
        raise NotImplementedError

    async def rescan(self) -> int:
        """Walk all known output folders and bring the index up to them; answers how many generations there are."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Sentences about garbled sidecars, a rebuilt index and the like, of this process so far."""
        raise NotImplementedError
