"""Who is signed in, as a real page tells of the site's own endpoint, and that nothing secret leaves it."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.chatgpt.page.accounts import SESSION, Account, account_of
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.window.tab import Tab
from tests.chatgpt.page.real import eye_of

WHOLE = {
    "user": {"id": "user-1", "name": "A Person", "email": "person@example.org", "image": "x"},
    "expires": "2999-12-01T00:00:00.000Z",
    "account": {"id": "acc-1", "planType": "plus", "structure": "personal"},
    "accessToken": "eyJhbGciOi.secret.token",
}
SECRETS = ("eyJhbGciOi.secret.token", "person@example.org", "A Person", "user-1", "acc-1")
MINE, NO_WORKSPACE = (hashlib.sha256(ids).hexdigest()[:12] for ids in (b"user-1 acc-1", b"user-1 "))
UNKNOWN, EXPIRED = Account("unknown"), Account("expired")
ANSWERS: dict[str, tuple[int, str, Account]] = {
    "a user is signed in with a plan": (200, json.dumps(WHOLE), Account("signed_in", "plus", MINE)),
    "no account is no plan": (200, json.dumps({**WHOLE, "account": None}), Account("signed_in", who=NO_WORKSPACE)),
    "a plan that is no short word is dropped": (
        200,
        json.dumps({**WHOLE, "account": {"planType": "person@example.org"}}),
        Account("signed_in", who=NO_WORKSPACE),
    ),
    "an empty object is a guest": (200, "{}", Account("guest")),
    "no user is a guest": (200, json.dumps({**WHOLE, "user": None}), Account("guest")),
    "an error beside the user has expired": (
        200,
        json.dumps({**WHOLE, "error": "RefreshAccessTokenError"}),
        Account("expired", "plus", MINE),
    ),
    "a past expiry has expired": (
        200,
        json.dumps({**WHOLE, "expires": "2026-10-04T00:00:00.000Z"}),
        Account("expired", "plus", MINE),
    ),
    "an error without a user has expired": (200, '{"error":"RefreshAccessTokenError"}', EXPIRED),
    "401 has expired": (401, "", EXPIRED),
    **{f"{status} is unknown": (status, "{}", UNKNOWN) for status in (403, 404, 429, 500, 503)},
    **{
        f"{body[:12]} is no session": (200, body, UNKNOWN)
        for body in ("", "<html>", "[]", "null", '{"user":7}', "[" * 3000)
    },
}


@pytest.mark.anyio
async def test_what_the_session_endpoint_answers_says_who_is_signed_in_and_nothing_secret_leaves_the_page(
    tmp_path: Path,
) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            tab = cast("Tab", SimpleNamespace(eye=eye))
            for name, (status, body, account) in ANSWERS.items():
                answer = f"new Response({quoted(body)}, {{status: {status}}})"
                await eye.ask(f"void (globalThis.fetch = async () => {answer})")
                assert await account_of(tab) == account, name
                kept: dict[str, Any] = await eye.ask(SESSION, reply=dict[str, Any])
                assert not [secret for secret in SECRETS if secret in json.dumps(kept)], name


@pytest.mark.anyio
async def test_a_check_before_the_session_endpoint_says_nothing_of_who_is_signed_in(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            await eye.ask(
                "void (globalThis.fetch = async () =>"
                " new Response('', {status: 403, headers: {'cf-mitigated': 'challenge'}}))"
            )
            assert await account_of(cast("Tab", SimpleNamespace(eye=eye))) is None
