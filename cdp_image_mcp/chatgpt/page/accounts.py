"""Who is signed in, from the session endpoint's answer, without keeping tokens or addresses."""

from datetime import datetime
from typing import Literal

import msgspec

from cdp_image_mcp.cdp.errors import CommandTimeout
from cdp_image_mcp.chatgpt.landing import mitigated
from cdp_image_mcp.chatgpt.network.wire import moment
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.system.day import local_now

SESSION_SECONDS = 20.0
SESSION = """
fetch('/api/auth/session', {credentials: 'include', headers: {accept: 'application/json'}}).then(async (response) => {
  const head = {status: response.status, mitigated: response.headers.get('cf-mitigated')};
  const said = await response.json().catch(() => null);
  if (said === null || typeof said !== 'object' || Array.isArray(said)) return head;
  if (said.user && typeof said.user !== 'object') return head;
  const word = (value) => (typeof value === 'string' && /^[\\w-]{1,60}$/.test(value) ? value : null);
  const expires = typeof said.expires === 'string' ? said.expires : null;
  const ids = new TextEncoder().encode(`${said.user?.id} ${said.account?.id ?? ''}`);
  const hash = said.user?.id ? new Uint8Array((await crypto.subtle?.digest('SHA-256', ids)) ?? []) : [];
  const who = Array.from(hash.slice(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join('') || null;
  const user = Boolean(said.user);
  return {...head, user, who, plan: word(said.account?.planType), error: word(said.error), expires};
}).catch(() => ({status: 0}))
"""
"""Only whether there is a user, short words, the expiry and the beginning of a hash of the user's and the workspace's
ids leave the page; the token and the address never do."""


class Account(msgspec.Struct, frozen=True):
    """``unknown`` when the answer says nothing dependable: it never means signed out."""

    state: Literal["signed_in", "guest", "expired", "unknown"]
    plan: str | None = None
    who: str | None = None
    """Tells one user and workspace from another."""


class Session(msgspec.Struct):
    """What leaves the page of an answer of ``/api/auth/session``."""

    status: int
    mitigated: str | None = None
    user: bool | None = None
    """Whether there is one; None where the answer is no session."""
    who: str | None = None
    plan: str | None = None
    error: str | None = None
    expires: str | None = None


async def account_of(tab: Tab, seconds: float = SESSION_SECONDS) -> Account | None:
    """Who is signed in, as far as the site's own endpoint tells; None when a check answers it."""
    try:
        session = await tab.eye.ask(SESSION, reply=Session, timeout=seconds)
    except CommandTimeout:
        session = Session(status=0)  # a slow endpoint says nothing about who is signed in
    if mitigated({"cf-mitigated": session.mitigated or ""}):
        return None
    return read_session(session, now=local_now())


def read_session(session: Session, *, now: datetime) -> Account:
    """Read an answer of ``/api/auth/session`` (shape: twelve drivers, 2025 to 2026-10).

    200 with ``user`` is signed in, 200 without is a guest; an ``error`` or a past ``expires`` beside the user means
    the session has ended. 401 is expired. Anything else, 403 among it (a check page may answer), is unknown.
    """
    if session.status == 401:
        return Account("expired")
    if session.status != 200 or session.user is None:
        return Account("unknown")
    if not session.user:
        return Account("expired" if session.error else "guest")
    expires = moment(session.expires)
    ended = session.error is not None or (expires is not None and expires < now.timestamp())
    return Account("expired" if ended else "signed_in", session.plan, session.who)
