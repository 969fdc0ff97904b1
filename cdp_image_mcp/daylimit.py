"""``GPT_IMAGE_DAILY_LIMIT``: how many pictures the day still allows on the web."""

from cdp_image_mcp.day import last_midnight, next_midnight
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.joining import Entry
from cdp_image_mcp.record import epoch

__all__ = ["beyond"]


def beyond(limit: int, count: int, of_today: list[Entry]) -> ImageError | None:
    """Why ``count`` more pictures are above the day's limit; None when they are not. What running generations still
    owe counts like what was made."""
    start = last_midnight()
    ended = [entry.record for entry in of_today if epoch(entry.record.finished_at or entry.record.updated_at) >= start]
    made = sum(len(record.images) for record in ended)
    running = [entry.record for entry in of_today if entry.alive]
    coming = sum(max(0, int(record.request.get("n", 1)) - len(record.images)) for record in running)
    if made + coming + count <= limit:
        return None
    return ImageError(
        "quota_reached",
        f"GPT_IMAGE_DAILY_LIMIT is {limit} pictures a day; {made} were made today, "
        + (f"{coming} are being made, " if coming else "")
        + f"and {count} more asked.",
        reset_at=next_midnight(),
    )
