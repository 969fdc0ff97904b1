"""Getting to a page where a prompt can be typed, or finding out why not, before anything is typed.

What is seen, in this order                                   What follows
------------------------------------------------------------  ----------------------------------------------------------
the document's response: ``cf-mitigated`` or 403/503 of it     ``challenge``; no script looks at the page
the document's response: 431                                   leftover ``conv_key_*`` cookies go, then once more
the document's response: other 4xx and 5xx                     an error that names the status
a sign-in host or path                                         ``signed_out``
session endpoint: signed in / guest / expired                  the answer, whatever the page shows (guests type too)
session endpoint: unknown                                      signs on the page; without any, not signed out
a visible challenge frame and no composer                      ``challenge`` (the script alone is on healthy pages too)
expired-session, account or workspace picker                   ``signed_out``; the person chooses
rate dialog                                                    error ``rate_limited``
announcement, promo, offers                                    closed by their close or not-now control, else Escape
a layer over the composer that stays                           ``blocked``; the person answers it
Work mode, temporary chat                                      Chat pressed, temporary chat left
conversation could not be loaded                               one reload, then error ``service_error``
no composer                                                    error ``site_changed`` naming the role
"""

import logging
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.errors import NavigationError, NodeError
from cdp_image_mcp.chatgpt.landing import TOO_LARGE, Landing, landing, mitigated
from cdp_image_mcp.chatgpt.page.accounts import Account, read_session
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft, quoted
from cdp_image_mcp.chatgpt.page.sitereport import role_not_found
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError

__all__ = ["Arrival", "States", "arrive", "close_dialogs", "in_the_way", "is_passed", "wait_until_passed"]

log = logging.getLogger(__name__)

COMPOSER_SECONDS = 20.0
"""A slow machine loads the app in this time; a page without a composer by then has changed or is broken."""
RATE_REST = timedelta(minutes=5)
"""The rate dialog names "a few minutes" (2026-10)."""

SESSION = """
fetch('/api/auth/session', {credentials: 'include', headers: {accept: 'application/json'}}).then(async (response) => {
  let answer = null;
  try { answer = await response.json(); } catch (error) { return {status: response.status, body: ''}; }
  const kept = {};
  if (answer && answer.user) kept.user = {};
  for (const name of ['expires', 'error']) if (answer && typeof answer[name] === 'string') kept[name] = answer[name];
  if (answer && answer.account)
    kept.account = {planType: answer.account.planType, structure: answer.account.structure};
  return {status: response.status, body: JSON.stringify(kept), mitigated: response.headers.get('cf-mitigated')};
}).catch(() => ({status: 0, body: ''}))
"""
"""Only whether there is a user, the plan and the expiry leave the page; the token and the address never do."""


class Arrival(msgspec.Struct, frozen=True):
    """Where we are. ``ready``: the composer is there, nobody has to do anything. ``blocked``: something lies over it
    that only a person can answer."""

    kind: Literal["ready", "signed_out", "challenge", "blocked"]
    detail: str = ""
    account: Account | None = None


class States(msgspec.Struct):
    """``witness.states()``: how many elements of each role the page shows."""

    address: str
    present: dict[str, int]
    composer: bool
    blocked: bool
    turns: int

    def shows(self, role: str) -> bool:
        return self.present.get(role, 0) > 0


class SessionAnswer(msgspec.Struct):
    status: int
    body: str = ""
    mitigated: str | None = None


async def arrive(tab: Tab, address: str, *, fresh: bool) -> Arrival:
    """Open ``address`` and bring the page to where a prompt can be typed.

    ``fresh``: a new chat is wanted, so an old conversation that the site restores by itself is left again.
    Raises ImageError with ``submitted`` false: ``network``, ``service_error``, ``rate_limited``, ``site_changed``.
    """
    try:
        landed = await tab.open(address)
        if landed.status == TOO_LARGE and await tab.forget_conversation_keys():
            landed = await tab.open(address)
    except NavigationError as error:
        raise ImageError("network", f"The site could not be opened: {error}") from None
    if (early := _judge(tab, landed)) is not None:
        return early
    for attempt in (1, 2, 3):
        try:
            return await _look(tab, address, fresh=fresh, attempt=attempt)
        except DocumentLeft:
            # The site went on by itself (first load, sign-in, workspace): judge where it went before looking again.
            landed = await tab.settle()
            if (early := _judge(tab, landed)) is not None:
                return early
    raise ImageError("site_changed", "The page kept moving to other documents while it was being looked at.")


def _judge(tab: Tab, landed: Landing | None) -> Arrival | None:
    """The verdict that needs no script in the page; None when it may be looked at."""
    if landed is None:
        return None
    if landed.check:
        return Arrival("challenge", f"HTTP {landed.status}")
    if tab.site.is_login(tab.page.url) or tab.site.is_login(landed.address):
        return Arrival("signed_out", "the site asked to sign in")
    if landed.status == 431:
        raise ImageError(
            "service_error",
            "The site answered HTTP 431: its cookies in this profile have grown too large.",
            retryable=False,
            next_step="Ask the user to run 'cdp-image-mcp login', clear the site's cookies there and sign in again.",
            details={"http_status": 431},
        )
    if landed.status >= 400:
        raise ImageError(
            "service_error",
            f"The site answered HTTP {landed.status}.",
            details={"http_status": landed.status},
        )
    if not tab.site.ours(tab.page.url):
        return Arrival("signed_out", "the site led to another address")
    return None


async def _look(tab: Tab, address: str, *, fresh: bool, attempt: int) -> Arrival:
    eye = tab.eye
    await eye.open()
    answer = await eye.ask(SESSION, reply=SessionAnswer, timeout=20)
    if mitigated({"cf-mitigated": answer.mitigated or ""}):
        return Arrival("challenge", "the session endpoint is behind a check")
    account = read_session(answer.status, answer.body.encode(), now=datetime.now().astimezone())
    if account.state in {"guest", "expired"}:
        return Arrival("signed_out", f"the session endpoint says {account.state}", account)
    # Whatever decides comes by a change of the page; the time is only a backstop.
    # A conversation's composer may stand there long before its turns, or instead of them.
    conversation = tab.site.conversation_id(address)
    shown = "witness.known().length > 0" if conversation else "true"
    await eye.ask(
        f"witness.until(() => (witness.one('composer') && {shown}) || ['challenge','expired_modal','account_picker',"
        "'workspace_picker','rate_dialog','cannot_load','security_page'].some((role) => witness.has(role)) "
        f"|| (witness.has('signed_out') && {quoted(account.state != 'signed_in')}), {COMPOSER_SECONDS * 1000})"
        ".then(Boolean)",
        timeout=COMPOSER_SECONDS + 10,
    )
    states = await eye.ask("witness.states()", reply=States)
    if states.shows("cannot_load"):
        return await _reload_once(tab, address, fresh=fresh, attempt=attempt)
    if conversation is not None and tab.site.conversation_id(tab.page.url) != conversation:
        raise ImageError("service_error", f"The site did not open the conversation {conversation}. Nothing was sent.")
    await _leave_temporary(tab, address, states, attempt)
    if (person := await in_the_way(tab, account)) is not None:
        return person
    if fresh and (states.turns or tab.site.conversation_id(tab.page.url)):
        await _leave_restored(tab)
    if not await eye.ask("witness.one('composer') !== null"):
        raise await role_not_found(tab, "composer")
    return Arrival("ready", account=account)


async def in_the_way(tab: Tab, account: Account | None = None) -> Arrival | None:
    """Whether something keeps a prompt from being sent, after closing what may be closed. Asked again right before
    sending: dialogs come late. Raises ImageError ``rate_limited``."""
    for _ in range(2):
        states = await tab.eye.ask("witness.states()", reply=States)
        if (person := needs_person(states, account)) is not None:
            return person
        refuse(states)
        if not await close_dialogs(tab):
            break
    await _press_chat(tab)
    if await tab.eye.ask("witness.blocked()", reply=bool):
        return Arrival("blocked", "a dialog lies over the composer that only a person can answer", account)
    return None


def needs_person(states: States, account: Account | None) -> Arrival | None:
    """Signs on the page that only a person can answer."""
    if states.shows("challenge") and not states.composer:
        return Arrival("challenge", "a check is shown")
    if states.shows("security_page"):
        return Arrival("blocked", "the site shows its account-security page")
    if states.shows("expired_modal"):
        return Arrival("signed_out", "the session has expired", account)
    if states.shows("account_picker"):
        return Arrival("signed_out", "the site asks which account to use", account)
    if states.shows("workspace_picker"):
        return Arrival("signed_out", "the site asks which workspace to use", account)
    if (
        account is not None
        and account.state == "unknown"
        and states.shows("signed_out")
        and not states.shows("signed_in")
    ):
        return Arrival("signed_out", "the page offers to log in", account)
    return None


def refuse(states: States) -> None:
    if states.shows("rate_dialog"):
        until = datetime.now().astimezone() + RATE_REST
        raise ImageError(
            "rate_limited",
            "The site says there were too many requests. Nothing was sent.",
            retry_after_seconds=RATE_REST.total_seconds(),
            reset_at=until.isoformat(timespec="seconds"),
        )


async def close_dialogs(tab: Tab) -> bool:
    """Close announcements, offers and promotions by their close or not-now control, a last one by Escape; never by a
    primary button. Answers whether anything was done."""
    done = False
    for _ in range(5):
        before = await tab.eye.ask("witness.layers().length", reply=int)
        if before == 0:
            return done
        node = await tab.eye.node("witness.layerClose()")
        done = True
        try:
            if node is None:
                await human.press(tab.page, "Escape")
            else:
                await human.click(node)
        except NodeError as error:
            log.info("a dialog could not be closed: %s", error)
            return done
        gone = await tab.eye.ask(
            f"witness.until(() => witness.layers().length < {before}, {800 if node is None else 3000}).then(Boolean)"
        )
        if not gone:
            return done
    return done


async def _press_chat(tab: Tab) -> None:
    """Leave Work mode, which makes no pictures."""
    if (chat := await tab.eye.node("witness.has('work_mode') ? witness.one('chat_mode') : null")) is not None:
        await human.click(chat)
        await tab.eye.ask("witness.until(() => !witness.has('work_mode'), 3000).then(Boolean)")


async def _leave_temporary(tab: Tab, address: str, states: States, attempt: int) -> None:
    """Temporary chats make no pictures either; the site's own address tells them best."""
    if "temporary-chat=true" in tab.page.url or states.shows("temporary_chat"):
        if attempt > 1:
            raise ImageError(
                "site_changed",
                "The site opens a temporary chat, in which no pictures are made.",
                next_step="Ask the user to switch temporary chat off in the site's window (browser_visibility show).",
            )
        await tab.open(address)
        raise DocumentLeft("left a temporary chat")


async def _reload_once(tab: Tab, address: str, *, fresh: bool, attempt: int) -> Arrival:
    if attempt > 1:
        raise ImageError(
            "service_error",
            f"The site could not load the conversation {tab.site.conversation_id(address) or ''}".strip() + ".",
        )
    await tab.reload()
    return await _look(tab, address, fresh=fresh, attempt=attempt + 1)


async def _leave_restored(tab: Tab) -> None:
    """The site sometimes brings back the last conversation at the home address (seen 2026-08)."""
    node = await tab.eye.node("witness.one('new_chat')")
    if node is not None:
        await human.click(node)
    else:
        await tab.open(tab.site.home)
        await tab.eye.open()
    empty = await tab.eye.ask(
        "witness.until(() => witness.known().length === 0 && witness.one('composer'), 8000).then(Boolean)", timeout=15
    )
    if not empty:
        raise ImageError(
            "site_changed", "The site keeps showing an earlier conversation instead of a new chat. Nothing was sent."
        )


async def wait_until_passed(tab: Tab) -> None:
    """While a check is up: only listen for a document of the site that is no check, and run nothing in the page."""
    with tab.documents() as documents:
        async for request in documents:
            if is_passed(tab, landing(request, tab.site)):
                return


def is_passed(tab: Tab, landed: Landing) -> bool:
    """Whether a document is the site itself and no check."""
    return not landed.challenged and 200 <= landed.status < 300 and tab.site.ours(landed.address)
