"""Which generation a call means that names none."""

import time
from collections.abc import Collection

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import epoch

DAY = 24 * 3600


async def meant(library: Library, asked_here: Collection[str]) -> str:
    """This server's newest running one, then its newest that was not fetched, then those that others work on, then what
    this server gave last, what was left in the middle, and the rest; none that nobody has worked on for a day.
    ``asked_here``: what calls of this server began or joined. Raises ImageError ``not_found``."""
    found = [*await library.unfinished(), *await library.newest(50)]
    entries = {entry.record.generation_id: entry for entry in found}
    ranks = [(_rank(entry, asked_here), entry.record) for entry in entries.values()]
    ranked = [(rank, -epoch(record.created_at), record.generation_id) for rank, record in ranks if rank is not None]
    if not ranked:
        told = "There is no generation yet that anybody could be waiting for."
        if found:
            newest = max((entry.record for entry in found), key=lambda record: epoch(record.created_at))
            told = f"Nobody has worked on any generation for a day. The newest is {newest.generation_id}: name it."
        raise ImageError("not_found", told)
    return min(ranked, key=lambda one: one[:2])[2]


def _rank(entry: Entry, asked_here: Collection[str]) -> int | None:
    record = entry.record
    if not entry.alive and time.time() - record.left_at > DAY:
        return None
    if record.generation_id in asked_here:
        return 0 if not record.finished else 3 if record.fetched else 1
    if entry.alive:
        return 2
    return 4 if not record.finished or record.collectable else 5
