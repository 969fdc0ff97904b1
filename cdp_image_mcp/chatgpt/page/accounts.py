"""Who is signed in, from the session endpoint's answer, without keeping tokens or addresses."""

from datetime import datetime
from typing import Any, Literal

import msgspec

__all__ = ["Account", "read_session"]


class Account(msgspec.Struct, frozen=True):
    """``unknown`` when the answer says nothing dependable: it never means signed out."""

    state: Literal["signed_in", "guest", "expired", "unknown"]
    plan: str | None = None


class _User(msgspec.Struct):
    """That there is one is all that is read; name, address and id are never decoded."""


class _Membership(msgspec.Struct, rename="camel"):
    plan_type: Any = None


class _Session(msgspec.Struct):
    """The access token has no field here, so that it never becomes an object of this process."""

    user: _User | None = None
    account: _Membership | None = None
    expires: Any = None
    error: Any = None


def read_session(status: int, body: bytes, *, now: datetime) -> Account:
    """Read an answer of ``/api/auth/session`` (shape: twelve drivers, 2025 to 2026-10).

    200 with ``user`` is signed in, 200 without is a guest; an ``error`` or a past ``expires`` beside the user means
    the session has ended. 401 is expired. Anything else, 403 among it (a check page may answer), is unknown.
    """
    if status == 401:
        return Account("expired")
    if status != 200:
        return Account("unknown")
    try:
        session = msgspec.json.decode(body, type=_Session)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError):
        return Account("unknown")
    if session.user is None:
        return Account("expired" if _word(session.error) else "guest")
    member = session.account or _Membership()
    ended = bool(_word(session.error)) or _past(session.expires, now)
    return Account("expired" if ended else "signed_in", _word(member.plan_type))


def _word(value: Any) -> str | None:
    """A short name such as a plan; anything that could hold more is dropped."""
    short = isinstance(value, str) and 0 < len(value) <= 60 and value.replace("_", "").replace("-", "").isalnum()
    return value if short else None


def _past(value: Any, now: datetime) -> bool:
    if not isinstance(value, str):
        return False
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment < now
