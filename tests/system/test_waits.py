"""How long a server asks to wait is read as it was meant."""

import pytest

from cdp_image_mcp.system.waits import stated_wait


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after-ms": "1500"}, "", 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after": "7"}, "try again in 1s", 7.0),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "soon"}, "Please try again in 467ms.", 0.467),
        ({}, "Please try again in 12s.", 12.0),
        ({}, "Please try again in 1m12s. Visit the page.", 72.0),
        ({}, "please try again in 2 minutes", 120.0),
        ({}, "Try again in 500 milliseconds.", 0.5),
        ({}, "try again in 1 hour, 2 mins, 3 secs", 3723.0),
        ({}, "try again in 1 day", 86400.0),
        # A month is no minute.
        ({}, "try again in 1 month", None),
        ({}, "try again later", None),
        ({"retry-after": "-3"}, "", None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, "", 0.0),
        # A date is by the server's clock, and so is the one that it says beside it: ours may be wrong.
        ({"retry-after": "Sat, 01 Jan 2000 10:01:00 GMT", "date": "Sat, 01 Jan 2000 10:00:30 GMT"}, "", 30.0),
        ({"retry-after": "Sat, 01 Jan 2050 10:01:00 GMT", "date": "Sat, 01 Jan 2050 10:00:30 GMT"}, "", 30.0),
        ({"retry-after": "Sat, 01 Jan 2050 10:01:00 GMT", "date": "now"}, "", None),
        ({"retry-after": "Sat, 01 Jan 2050 10:01:00 +99999999999999999999"}, "", None),
    ],
)
def test_the_stated_wait_is_read_from_headers_first_and_then_from_the_sentence(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert stated_wait(headers, message) == pytest.approx(seconds)
