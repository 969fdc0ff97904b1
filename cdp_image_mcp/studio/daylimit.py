"""``GPT_IMAGE_DAILY_LIMIT``: how many pictures the day still allows on the web."""

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import Record, epoch
from cdp_image_mcp.system.day import last_midnight, next_midnight

__all__ = ["beyond"]


def beyond(limit: int, count: int, of_today: list[Entry]) -> ImageError | None:
    """Why ``count`` more pictures are above the day's limit; None when they are not. What running generations still
    owe counts like what was made, and so does what the site may have drawn for those that were left there."""
    start = last_midnight()
    today = [entry for entry in of_today if epoch(entry.record.finished_at or entry.record.updated_at) >= start]
    made = sum(len(entry.record.images) for entry in today)
    owing = [entry.record for entry in of_today if entry.alive]
    owing += [entry.record for entry in today if not entry.alive and _is_left(entry.record)]
    coming = sum(max(0, int(record.request.get("n", 1)) - len(record.images)) for record in owing)
    if made + coming + count <= limit:
        return None
    return ImageError(
        "quota_reached",
        f"GPT_IMAGE_DAILY_LIMIT is {limit} pictures a day; {made} were made today, "
        + (f"{coming} are being made or may be fetched, " if coming else "")
        + f"and {count} more asked.",
        reset_at=next_midnight(),
    )


def _is_left(record: Record) -> bool:
    """Whether its prompt may have gone out, and its pictures may be at the site."""
    return record.collectable or (not record.finished and record.submitted is not False)
