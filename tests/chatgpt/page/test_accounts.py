"""Who is signed in, and that nothing secret is kept."""

import json
from datetime import UTC, datetime

import pytest

from cdp_image_mcp.chatgpt.page.accounts import Account, read_session

NOW = datetime(2026, 10, 5, tzinfo=UTC)
TOKEN = "eyJhbGciOi.secret.token"
WHOLE = {
    "user": {"id": "user-1", "name": "A Person", "email": "person@example.org", "image": "x"},
    "expires": "2026-12-01T00:00:00.000Z",
    "account": {"id": "acc-1", "planType": "plus", "structure": "personal"},
    "accessToken": TOKEN,
}


def session(**changes: object) -> Account:
    return read_session(200, json.dumps({**WHOLE, **changes}).encode(), now=NOW)


def test_a_user_is_signed_in_with_a_plan() -> None:
    assert session() == Account("signed_in", "plus")


def test_an_empty_object_is_a_guest() -> None:
    assert read_session(200, b"{}", now=NOW) == Account("guest")
    assert session(user=None).state == "guest"


@pytest.mark.parametrize("change", [{"error": "RefreshAccessTokenError"}, {"expires": "2026-10-04T00:00:00.000Z"}])
def test_a_stale_session_has_expired(change: dict[str, object]) -> None:
    assert session(**change).state == "expired"


def test_an_error_without_a_user_has_expired() -> None:
    assert read_session(200, b'{"error":"RefreshAccessTokenError"}', now=NOW).state == "expired"


def test_401_has_expired() -> None:
    assert read_session(401, b"", now=NOW).state == "expired"


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503, 302])
def test_any_other_status_is_unknown_and_never_signed_out(status: int) -> None:
    assert read_session(status, b"{}", now=NOW).state == "unknown"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"user":7}', b"[" * 3000])
def test_a_body_that_is_no_session_is_unknown(body: bytes) -> None:
    assert read_session(200, body, now=NOW).state == "unknown"


def test_neither_token_nor_address_nor_name_is_kept() -> None:
    kept = repr(session())
    for secret in (TOKEN, "person@example.org", "A Person", "user-1", "acc-1"):
        assert secret not in kept


def test_a_plan_that_is_no_short_word_is_dropped() -> None:
    assert session(account={"planType": "person@example.org"}) == Account("signed_in")


def test_no_account_is_no_plan() -> None:
    assert session(account=None) == Account("signed_in")
