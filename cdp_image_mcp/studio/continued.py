"""What a call goes on from: an earlier generation, by its picture at the API and by its conversation at the site.

The site goes on from the newest picture of a conversation. Which one that is only the site can tell, once the turn has
come: so the picture that is named is handed down with what the site knows it by, and the back end shows it there once
more unless it sees it standing last. What the call wished, and so what joins it, is the same either way.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdp_image_mcp.errors import ImageError, refusal
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.library.references import check_reference
from cdp_image_mcp.request import AtSite, BackendName, ImageRequest
from cdp_image_mcp.studio import profiles

LOOKED_THROUGH = 100
"""So many of the newest generations are looked through for the conversation."""


async def latest(
    library: Library, ways: Sequence[BackendName], profile: Path, before: float = math.inf
) -> Entry | None:
    """The newest to go on from that ended ``before``; what another account may have made only where nothing else is
    there."""
    theirs: list[tuple[str | None, object]] = []
    newest = found = await library.latest_finished(ways, before)
    while found is not None and await _is_anothers(library, found.record, profile) is not False:
        theirs.append(found.record.sent_by)
        found = await library.latest_finished(ways, before, but=theirs)
    return found or newest


async def _is_anothers(library: Library, record: Record, profile: Path) -> bool | None:
    """Whether another account has its conversation than that from which ``profile`` sent last. None where that is not
    known of one that was made with another profile: the same account may be signed in to both."""
    if not (record.on_web and await profiles.is_anothers(record, profile)):
        return False
    newest = (entry.record.sent_by for entry in await library.newest(LOOKED_THROUGH))
    ours = next((account for sent_with, account in newest if account and sent_with == str(profile)), None)
    _, theirs = record.sent_by
    return theirs != ours if theirs and ours else None


async def continued(
    library: Library, earlier: Entry, way: BackendName, number: int | None, profile: Path
) -> dict[str, Any]:
    """What is gone on from, as fields of an ImageRequest; ``number``: which of its pictures, where one is named. Raises
    ImageError ``invalid_input`` when that generation has nothing of the kind, ``configuration`` when another
    account than that of ``profile`` is known to have its conversation."""
    record, which = earlier.record, f"continue_from: generation {earlier.record.generation_id}"
    web, there, wanted = way == "chatgpt-web", len(record.images), number or 1
    if wanted > there and not record.finished:
        first = "Call wait_for_image with that generation_id first, then this again."
        raise refusal("continue_from", f"{which} is not finished yet.", next_step=first)
    if web and not record.conversation_url:
        raise refusal("continue_from", f"{which} has no conversation at the site to go on in.")
    # What the site answered in words is gone on from as well.
    if wanted > max(there, int(web)):
        raise refusal("continue_from", f"{which} has {f'{there} pictures' if there else 'no picture'}.")
    fields: dict[str, Any] = {"conversation_mode": "continue", "continue_from": record.generation_id}
    if web and await _is_anothers(library, record, profile):
        raise profiles.out_of_conversation(record, profile)
    if web:
        return fields | {"continue_url": record.conversation_url, "continue_number": number if there else None}
    picture = record.images[wanted - 1].path
    return fields | {"continue_image": await check_reference(picture, (earlier.folder.path,), "continue_from")}


async def as_it_stands(library: Library, request: ImageRequest) -> ImageRequest:
    """The request as it is made now that its turn at the site has come. Raises ImageError ``invalid_input`` when the
    picture that is named is to be shown and cannot be, ``not_found`` when its generation is gone."""
    if request.continue_from is None or request.continue_url is None:
        return request
    entry = await library.find(request.continue_from)
    if entry is None:
        raise refusal("continue_from", f"Generation {request.continue_from} is gone.", code="not_found")
    record, number = entry.record, request.continue_number
    request = msgspec.structs.replace(request, continue_from=await _last_there(library, record))
    if number is None:
        return request
    at = _at_site(record, number)
    try:
        picture = await check_reference(record.images[number - 1].path, (entry.folder.path,), "continue_from")
    except ImageError:
        if at is None:
            raise
        picture = None  # it was moved, perhaps; where it stands last it need not be shown
    return msgspec.structs.replace(request, continue_image=picture, continue_at=at)


def _at_site(record: Record, number: int) -> AtSite | None:
    """What the site knows the picture by; None where it may have drawn another one for the same generation behind it,
    as in a turn that was not seen to end, or where that was never learnt."""
    message, sources = record.facts.get("user_message_id"), record.sources
    settled = record.finished and not record.facts.get("turn_pressed")
    file = sources[-1].get("file_id") if len(sources) == number == len(record.images) else None
    return AtSite(str(message), file) if settled and message and file else None


async def _last_there(library: Library, record: Record) -> str | None:
    """Whose prompt of ours went out last into the conversation of ``record``, as far as records tell: a page that
    stands at an earlier one is behind. None where that cannot be told."""
    newest = [entry.record for entry in await library.newest(LOOKED_THROUGH)]
    if record.generation_id not in {one.generation_id for one in newest}:
        return None
    sent = (one for one in newest if one.conversation_url == record.conversation_url and one.submitted is not False)
    return max(sent, key=lambda one: one.sent_at, default=record).generation_id
