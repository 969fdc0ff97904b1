"""How many pictures the day still allows: what was made, what is coming, and what the site has drawn without us."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.studio.limits import made, pictures_beyond, spent
from tests.library.making import DEAD, a_record, ago

SENT_YESTERDAY: dict[str, Any] = {"taken_up": True, "submitted_at": ago(hours=25)}


def entry(*, alive: bool = False, **more: Any) -> Entry:
    fields: dict[str, Any] = {"submitted": True, "request": {"n": 2}}
    return Entry(a_record(**(fields | more)), Folder(Path("nowhere"), unwritten), alive)


def unwritten(path: Path, record: Record) -> None:
    raise AssertionError("nothing is written here")


def left(**more: Any) -> Entry:
    fields: dict[str, Any] = {"state": "interrupted", "finished_at": now()}
    return entry(**(fields | more))


@pytest.mark.parametrize(
    ("counted", "coming"),
    [
        (lambda: entry(alive=True, state="generating"), 2),
        (lambda: entry(alive=True, state="starting", facts={"taken_up": True}), 1),
        (left, 1),
        (lambda: entry(state="generating", owner=DEAD), 1),
        (lambda: left(request={"n": 10}), 1),
    ],
    ids=["running", "being collected", "left at the site", "its process died", "ten were asked for"],
)
def test_what_the_site_may_still_bring_counts(counted: Callable[[], Entry], coming: int) -> None:
    """Pictures are asked for one by one, and what is only collected asks for no more."""
    assert pictures_beyond(coming + 1, 2, [counted()]) is not None
    assert pictures_beyond(coming + 2, 2, [counted()]) is None


@pytest.mark.parametrize(
    "free",
    [
        lambda: left(facts={"given_up": True}),
        lambda: left(submitted=False),
        lambda: entry(state="queued", owner=DEAD, submitted=False),
        lambda: entry(state="failed", finished_at=now()),
        lambda: entry(state="generating", owner=DEAD, updated_at=ago(hours=25)),
        lambda: left(finished_at=ago(hours=-24 * 400)),
        lambda: entry(alive=True, state="generating", facts=SENT_YESTERDAY),
    ],
    ids=[
        *("given up", "never sent", "died unsent", "failed", "of another day", "of a clock that was wrong"),
        "sent on another day and collected now",
    ],
)
def test_what_no_site_draws_today_does_not_count(free: Callable[[], Entry]) -> None:
    assert pictures_beyond(2, 2, [free()]) is None


def test_the_refusal_says_that_pictures_may_have_been_drawn_and_promises_none_of_them() -> None:
    refusal = pictures_beyond(2, 1, [left(), left()])
    assert refusal is not None
    assert "2 are being made or may have been drawn" in refusal.message
    assert (refusal.submitted, refusal.reset_at is not None) == (False, True)


def test_what_a_clock_that_was_wrong_dated_into_the_future_takes_nothing_from_each_day_until_then() -> None:
    paid: dict[str, Any] = {"state": "saved", "backend": "api", "booked_usd": 1.0}
    later, tomorrow = (entry(**paid, finished_at=ago(hours=-hours)) for hours in (24 * 400, 3))
    assert [spent([later]), spent([tomorrow]), spent([later, tomorrow])] == [0, 1_000_000, 1_000_000]


def test_what_was_sent_on_another_day_and_taken_up_on_this_one_counts_for_that_one() -> None:
    one = SavedImage(
        path="image-01.png", mime_type="image/png", width=8, height=8, bytes=9, sha256="0", alpha=False, c2pa=False
    )
    ended: dict[str, Any] = {"state": "saved", "finished_at": now(), "images": [one], "booked_usd": 1.0}
    collected = entry(**ended, facts=SENT_YESTERDAY)
    # The API's requests note no press.
    taken_in = entry(**ended, facts={"taken_up": True}, created_at=ago(hours=25), backend="api")
    today = entry(**ended, facts={"taken_up": True, "submitted_at": now()}, created_at=ago(hours=25))
    assert [made([each]) for each in (collected, today)] == [0, 1]
    assert spent([taken_in]) == 0
