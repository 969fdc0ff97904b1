"""Who is signed in, from the session endpoint's answer, without keeping tokens or addresses."""

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["Account", "read_session"]


class Account(msgspec.Struct, frozen=True):
    """``unknown`` when the answer says nothing dependable: it never means signed out."""

    state: Literal["signed_in", "guest", "expired", "unknown"]
    plan: str | None = None
    structure: str | None = None


def read_session(status: int, body: bytes, *, now: datetime) -> Account:
    """Read an answer of ``/api/auth/session``. Never raises; the access token and the address are never decoded."""
    raise NotImplementedError
