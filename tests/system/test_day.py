"""The local day and time of a machine that travels while the program runs."""

import sys
import time
from collections.abc import Generator
from datetime import datetime, timedelta, timezone

import pytest

from cdp_image_mcp.library.record import now
from cdp_image_mcp.system.day import in_seconds, last_midnight, next_midnight

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows asks its settings each time")

ZONES = {"<+14>-14": 14, "<-12>+12": -12}
"""As TZ has them, which the system's own settings stand for here, and in hours; it is never the same day in both."""


@pytest.fixture(autouse=True)
def home_again(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    yield
    monkeypatch.undo()
    if sys.platform != "win32":
        time.tzset()


def midnight(hours: int) -> datetime:
    here = datetime.now(timezone(timedelta(hours=hours)))
    return here.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize("zones", [list(ZONES), list(reversed(ZONES))], ids=["westwards", "eastwards"])
def test_the_day_is_that_of_the_place_where_the_machine_is_now(
    zones: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for zone in zones:
        monkeypatch.setenv("TZ", zone)
        hours = ZONES[zone]
        before, began, ends, after = midnight(hours), last_midnight(), next_midnight(), midnight(hours)
        assert before.timestamp() <= began <= after.timestamp()
        assert before + timedelta(days=1) <= datetime.fromisoformat(ends) <= after + timedelta(days=1)
        for told in (ends, now(), in_seconds(60)):
            assert datetime.fromisoformat(told).utcoffset() == timedelta(hours=hours)
