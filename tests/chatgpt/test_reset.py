"""The reset time in the site's own words."""

from datetime import datetime, timedelta, timezone

import pytest

from cdp_image_mcp.chatgpt.reset import reset_time

NOW = datetime(2026, 8, 14, 15, 0, 30, 500, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resets in 3 hours and 20 minutes", "2026-08-14T18:20:30"),
        ("in 10 hours", "2026-08-15T01:00:30"),
        ("in less than a minute", "2026-08-14T15:01:30"),
        ("in an hour", "2026-08-14T16:00:30"),
        ("in 2 days, 3 hours and 5 minutes", "2026-08-16T18:05:30"),
        ("3 images per 24 hours. It resets in 5 hours.", "2026-08-14T20:00:30"),
        ("It resets in 5 hours. The plan has 3 images per 24 hours.", "2026-08-14T20:00:30"),
        ("Please try again in 2 days, at 4:30 PM.", "2026-08-16T15:00:30"),
        ("I could not create the 9:16 image: the limit is used up. More images in 5 hours.", "2026-08-14T20:00:30"),
        ("через час", "2026-08-14T16:00:30"),
        ("менее минуты", "2026-08-14T15:01:30"),
        ("不到一分钟后重置", "2026-08-14T15:01:30"),
        ("mniej niż minutę", "2026-08-14T15:01:30"),
        ("menos de un minuto", "2026-08-14T15:01:30"),
        ("in weniger als einer Minute", "2026-08-14T15:01:30"),
        ("moins d’une minute", "2026-08-14T15:01:30"),
    ],
)
def test_spans_are_added_to_now(text: str, expected: str) -> None:
    moment = reset_time(text, NOW)
    assert moment is not None
    assert moment.isoformat() == f"{expected}+02:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("after 4:30 PM", "2026-08-14T16:30:00"),
        ("until 3:45 p.m.", "2026-08-14T15:45:00"),
        ("until 2:45 PM", "2026-08-15T14:45:00"),
        ("at 12:15 AM", "2026-08-15T00:15:00"),
        ("after 5 PM", "2026-08-14T17:00:00"),
        ("tomorrow at 9:00 AM", "2026-08-15T09:00:00"),
        ("Try again tomorrow.", "2026-08-15T00:00:00"),
        ("21:49までお待ちください", "2026-08-14T21:49:00"),
        ("下午4点30分后重置", "2026-08-14T16:30:00"),
        ("오후 4시 30분까지", "2026-08-14T16:30:00"),
        ("jusqu’à 16h30", "2026-08-14T16:30:00"),
        ("sau 4:30 CH", "2026-08-14T16:30:00"),
        ("You've reached your limit of 3 images a day. It resets at 3:45 PM.", "2026-08-14T15:45:00"),
        ("Try again after 3:45 PM. The plan has 3 images per 24 hours.", "2026-08-14T15:45:00"),
        ("You've reached your limit of 3 images a day. Try again tomorrow.", "2026-08-15T00:00:00"),
        ("You've hit your limit of 3 images a day, please try again after 4:30 PM.", "2026-08-14T16:30:00"),
        ("The limit is 50 messages every 3 hours, please try again after 4:30 PM.", "2026-08-14T16:30:00"),
        ("You've hit your limit of 3 images a day, please try again tomorrow.", "2026-08-15T00:00:00"),
        ("Try again after 4:30 PM, for the plan has 3 images a day.", "2026-08-14T16:30:00"),
        ("The picture of 2:15 PM was the last of today. Try again after 4:30 PM.", "2026-08-14T16:30:00"),
        ("The 9:16 image could not be created. Try again after 4:30 PM.", "2026-08-14T16:30:00"),
        ("It resets at 9:16 PM.", "2026-08-14T21:16:00"),
        ("Zurückgesetzt wird um 09:16 Uhr.", "2026-08-15T09:16:00"),
    ],
)
def test_clock_times_are_the_next_of_their_kind(text: str, expected: str) -> None:
    moment = reset_time(text, NOW)
    assert moment is not None
    assert moment.isoformat() == f"{expected}+02:00"


@pytest.mark.parametrize(
    ("text", "met", "expected"),
    [
        ("Try again after 3:00 PM.", "2026-08-14T15:00:30", "2026-08-14T15:01:30"),
        ("Try again after 3:00 PM.", "2026-08-14T15:01:59", "2026-08-14T15:02:59"),
        ("Try again after 3:00 PM.", "2026-08-14T15:03:00", "2026-08-15T15:00:00"),
        ("Try again after 11:59 PM.", "2026-08-15T00:00:30", "2026-08-15T00:01:30"),
        ("Try again tomorrow at 3:00 PM.", "2026-08-14T15:00:30", "2026-08-15T15:00:00"),
    ],
)
def test_a_clock_time_that_has_just_passed_is_not_that_of_the_next_day(text: str, met: str, expected: str) -> None:
    moment = reset_time(text, datetime.fromisoformat(f"{met}+02:00"))
    assert moment is not None
    assert moment.isoformat() == f"{expected}+02:00"


def test_a_whole_timestamp_is_taken_as_it_is() -> None:
    moment = reset_time("2026-08-16T05:00:00Z", NOW)
    assert moment is not None
    assert moment.isoformat() == "2026-08-16T07:00:00+02:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Please upgrade.",
        "The 9:16 image could not be created.",
        "The limit is 3 images a day, and it resets on Aug 16, 2026 at 4:30 PM.",
        "wait a few minutes",
        "24h",
        "at 99:99",
        "on Aug 99",
        "in 900 days",
        "try again in " + "9999 weeks " * 50,
        "reset at 2099-12-31t23:59:59z",
        "after Aug 16, 2026 at 4:30 PM",
        "You've reached your limit of 3 images a day. It resets on Aug 16, 2026 at 4:30 PM.",
    ],
)
def test_what_names_no_time_gives_none(text: str) -> None:
    assert reset_time(text, NOW) is None
