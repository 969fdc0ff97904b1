"""What the day allows: ``GPT_IMAGE_DAILY_LIMIT`` pictures on the web, ``GPT_IMAGE_BUDGET_USD`` dollars at the API.

Both are counted from the records in the step that registers a generation or sends it once more, so that of several at
once each sees the others. Dollars are counted in whole millionths.
"""

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import Entry, OfToday
from cdp_image_mcp.request import ImageRequest
from cdp_image_mcp.system.day import last_midnight, next_midnight

CHEAPER = (
    "Ask for fewer pictures or name a quality (auto sets aside what high may cost), wait until midnight, or ask the "
    "user to raise GPT_IMAGE_BUDGET_USD; backend chatgpt-web does not count against it."
)


def beyond(settings: Settings, request: ImageRequest, usd: float, of_today: OfToday) -> ImageError | None:
    """Which limit of the day does not allow ``request``, which may cost up to ``usd``; None: it is allowed."""
    if request.backend == "api":
        budget = settings.budget_usd
        return None if budget is None else dollars_beyond(budget, usd, of_today("api"))
    limit = settings.daily_limit
    return None if limit is None else pictures_beyond(limit, request.n, of_today("chatgpt-web"))


def pictures_beyond(limit: float, count: int, of_today: list[Entry]) -> ImageError | None:
    """Why ``count`` more pictures are above the day's limit; None when they are not. What running generations still
    owe counts like what was made, and so does what the site may have drawn for those that were left there."""
    there, coming = made(of_today), sum(map(_owed, of_today))
    if there + coming + count <= limit:
        return None
    return ImageError(
        "quota_reached",
        f"GPT_IMAGE_DAILY_LIMIT is {limit} pictures a day; {there} were made today, "
        + (f"{coming} {'is' if coming == 1 else 'are'} being made or may have been drawn, " if coming else "")
        + f"and {count} more asked.",
        reset_at=next_midnight(),
    )


def dollars_beyond(budget: float, most: float, of_today: list[Entry]) -> ImageError | None:
    """Why what may cost up to ``most`` is above the day's budget; None when it is not."""
    gone, under_way = spent(of_today), sum(_set_aside(entry) for entry in of_today)
    if most <= 0 or gone + under_way + _micro(most) <= _micro(budget):
        return None
    return ImageError(
        "billing",
        f"The day's budget of ${budget:.2f} does not allow it: ${gone / 1e6:.2f} are spent, ${under_way / 1e6:.2f} "
        f"under way, and this may cost up to ${most:.2f}.",
        reset_at=next_midnight(),
        next_step=CHEAPER,
        details={"budget_usd": budget, "spent_today_usd": gone / 1e6, "estimate_usd": round(most, 4)},
    )


def made(of_today: list[Entry]) -> int:
    """Pictures that were saved."""
    return sum(len(entry.record.images) for entry in of_today if _is_of_today(entry))


def _owed(entry: Entry) -> int:
    """Pictures that may still come of it. The site is asked for them one by one: what asks for no more may have one, of
    a turn that was not seen to end."""
    record = entry.record
    missing = max(0, int(record.request.get("n", 1)) - len(record.images))
    if entry.alive and not record.facts.get("taken_up"):
        return missing
    may_come = entry.alive or record.collectable or (not record.finished and record.at_site)
    return min(1, missing) if may_come and _is_of_today(entry) else 0


def spent(of_today: list[Entry]) -> int:
    """Millionths of a dollar that are gone, or may be."""
    records = [entry.record for entry in of_today if entry.alive or _is_of_today(entry)]
    return sum(_micro(r.cost_usd or 0.0 if r.booked_usd is None else r.booked_usd) for r in records)


def _micro(usd: float) -> int:
    return round(usd * 1_000_000)


def _set_aside(entry: Entry) -> int:
    """What may still be spent: of a process that died only if its request may have left, and for this day."""
    record = entry.record
    may_be_spent = not record.finished and record.submitted is not False and _is_of_today(entry)
    return _micro(record.reserved_usd) if entry.alive or may_be_spent else 0


def _is_of_today(entry: Entry) -> bool:
    """Or of tomorrow, for a clock may have been set back; what lies beyond is of a clock that was wrong once, and would
    count on every day until then. What was taken up is of the day on which it was sent."""
    record = entry.record
    at = record.sent_at if record.facts.get("taken_up") else record.left_at
    return 0 <= at - last_midnight() < 2 * 86_400
