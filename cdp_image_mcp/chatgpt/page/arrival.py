"""Getting to a page where a prompt can be typed, or finding out why not, before anything is typed.

What is seen, in this order                                   What follows
------------------------------------------------------------  ----------------------------------------------------------
the document's response: ``cf-mitigated``, or a 403            ``challenge``; no script looks at the page
the document's response: 503 without that header               loaded once more, then an error that names the status
the document's response: 431                                   leftover ``conv_key_*`` cookies go, then once more
the document's response: other 4xx and 5xx                     an error that names the status
a sign-in host or path                                         ``signed_out``
session endpoint: signed in / guest / expired                  the answer, whatever the page shows (guests type too),
                                                               unless a check is all that it shows
session endpoint: unknown                                      signs on the page; without any, not signed out
a visible challenge frame and no composer                      ``challenge`` (the script alone is on healthy pages too)
expired-session, account or workspace picker                   ``signed_out``; the person chooses
rate dialog                                                    error ``rate_limited``
announcement, promo, offers                                    closed by their close or not-now control, else Escape
a cookie banner                                                rejected by its own control, never accepted
a layer over the composer that stays                           ``blocked``; the person answers it
the panel that asks which of two pictures is better            skipped, it locks the composer; else ``blocked``
Work mode                                                      Chat pressed; where it has no switch, an error
temporary chat                                                 left
conversation could not be loaded                               one reload, then error ``service_error``
another place of the site than was opened (a person's click)   opened once more, then an error
no composer, and a script of the page failed                   one reload
no composer, and the page is still being loaded                error ``network``
no composer                                                    error ``site_changed`` naming the role

Where only what came of an earlier prompt is to be read, the rows from the rate dialog to the temporary chat and those
of the composer do not count: a conversation that takes no prompt holds its pictures all the same.
"""

import logging

import anyio

from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.landing import OVERLOADED, TOO_LARGE, Landing
from cdp_image_mcp.chatgpt.page.accounts import Account, account_of
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.layers import Arrival, in_the_way, needs_person, press_below
from cdp_image_mcp.chatgpt.page.sitereport import role_not_found
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError

log = logging.getLogger(__name__)

COMPOSER_SECONDS = 50.0
"""A slow machine mounts the app in this time (33 s seen with two tabs that loaded at once, 2026-08-21); a page without
a composer by then has changed or is broken."""
SCRIPTS_SECONDS = 5.0
"""When it is asked first whether a script of the page failed: without it no waiting helps."""
MOST_DOCUMENTS = 5
"""So many documents are looked at before a page counts as one that does not stand still."""
RESTORED_SECONDS = 10.0
"""How long a site that has brought an old conversation back is given to do it again."""
LEFT_SECONDS = 8.0
"""How long it may take to show a new chat."""
OVERLOADED_SECONDS = 1.0
"""How long an overloaded site is left alone before it is asked once more."""
WHOSE = (
    "Call again after a minute. If that does not help, ask the user whether the account and workspace that have this "
    "conversation are signed in with the profile of CHATGPT_WEB_PROFILE_DIR."
)
"""What to do about a conversation that does not open: it may be another account's."""


async def arrive(tab: Tab, address: str, *, fresh: bool, after: str | None = None, reading: bool = False) -> Arrival:
    """Open ``address`` and bring the page to where a prompt can be typed; ``reading``: only to where it can be read.

    ``fresh``: a new chat is wanted, so an old conversation that the site restores by itself is left again.
    ``after``: the generation that is gone on from; a page that stands there since its turn may stay.
    Raises CDPError, and ImageError with ``submitted`` false: ``network``, ``service_error``, ``rate_limited``,
    ``site_changed``.
    """
    tab.arrived = False
    landed = None if tab.may_stay(address, after) else await tab.open(address)
    if landed is not None and landed.status == OVERLOADED and not landed.check:
        await anyio.sleep(OVERLOADED_SECONDS)
        landed = await tab.open(address)
    if (early := _judge(tab, landed)) is not None:
        return early
    met: set[str] = set()
    for _ in range(MOST_DOCUMENTS):
        try:
            return await _look(tab, address, fresh=fresh, reading=reading, met=met)
        except DocumentLeft:
            # The site went on by itself (first load, sign-in, workspace): judge where it went before looking again.
            landed = await tab.settle()
            if landed is not None and landed.status == TOO_LARGE:
                landed = await tab.open(address)
            if (early := _judge(tab, landed)) is not None:
                return early
    raise ImageError("site_changed", "The page kept moving to other documents while it was being looked at.")


def _judge(tab: Tab, landed: Landing | None) -> Arrival | None:
    """The verdict that needs no script in the page; None when it may be looked at."""
    if landed is None:
        return None
    if landed.check:
        return Arrival("challenge", f"HTTP {landed.status}")
    if any(map(tab.site.is_login, (tab.page.url, landed.address))):
        return Arrival("signed_out", "the site asked to sign in")
    if landed.status == TOO_LARGE:
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


async def _look(tab: Tab, address: str, *, fresh: bool, reading: bool, met: set[str]) -> Arrival:
    """``met``: what the page was loaded anew for already; once each."""
    eye = tab.eye
    await eye.open()
    account = await account_of(tab)
    if account is None:
        return Arrival("challenge", "the session endpoint is behind a check")
    conversation = tab.site.conversation_id(address)
    decides = _deciding(account, conversation, reading=reading)
    decided = await eye.until(decides, SCRIPTS_SECONDS)
    if account.state in {"guest", "expired"}:
        if await eye.ask("witness.has('challenge') && witness.one('composer') === null", reply=bool):
            return Arrival("challenge", "a check is shown")  # inside a page of status 200, which knows nobody
        return Arrival("signed_out", f"the session endpoint says {account.state}", account)
    await _return_to(tab, address, fresh=fresh, met=met)
    if not decided:
        if "scripts" not in met and tab.failed_scripts():
            met.add("scripts")
            log.info("a script of the page did not load; the page is loaded once more")
            await tab.reload()
            raise DocumentLeft("loaded once more")
        await eye.until(decides, COMPOSER_SECONDS)
    present = await eye.ask("witness.present()", reply=set[str])
    if "cannot_load" in present:
        if "unloadable" in met:
            named = f" {conversation}" if conversation else ""
            told = f"The site could not load the conversation{named}."
            raise ImageError("service_error", told, next_step=WHOSE)
        met.add("unloadable")
        await tab.reload()
        raise DocumentLeft("loaded once more")
    await _return_to(tab, address, fresh=fresh, met=met)
    if reading:
        person = needs_person(present, account)
    else:
        person = await _clear_way(tab, address, account, present, fresh=fresh, met=met)
    if person is not None:
        return person
    tab.arrived, tab.who = True, account.who
    return Arrival("ready", account=account)


async def _clear_way(
    tab: Tab, address: str, account: Account, present: set[str], *, fresh: bool, met: set[str]
) -> Arrival | None:
    """To where a prompt can be typed; what only a person can do for that. Raises as ``arrive``, DocumentLeft."""
    await _leave_temporary(tab, address, present, met)
    restored = fresh and await _is_restored(tab, present)
    if (person := await in_the_way(tab, account, leaving=restored)) is not None:
        return person
    if restored:
        await _leave_restored(tab)
    await _return_to(tab, address, fresh=fresh, met=met)
    await _refuse_unusable(tab, tab.site.conversation_id(address))
    return None


async def _refuse_unusable(tab: Tab, conversation: str | None) -> None:
    """Raises ImageError where no prompt can be typed, or none that makes pictures."""
    if not await tab.eye.ask("witness.one('composer') !== null", reply=bool):
        if tab.loading() or tab.failed_scripts():
            raise ImageError("network", "The page did not load completely: it has no composer. Nothing was sent.")
        raise await role_not_found(tab, "composer")
    if conversation is not None and await tab.eye.ask(f"witness.isWork({quoted(conversation)})", reply=bool):
        raise ImageError(
            "service_error",
            "The conversation is one of Work, which makes no pictures. Nothing was sent.",
            retryable=False,
            next_step="Call again without continuing that conversation.",
        )


def _deciding(account: Account, conversation: str | None, *, reading: bool) -> str:
    """The condition under which the page shows what decides where we are. It comes by a change of the page; a time is
    only a backstop.

    A conversation's composer may stand there long before its turns, or instead of them.
    """
    shown = "witness.one('composer')"
    if conversation:
        shown = "witness.has('turn')" + ("" if reading else f" && {shown}")
    return (
        f"({shown}) || ['challenge','expired_modal','account_picker','workspace_picker','rate_dialog','cannot_load',"
        "'security_page','ab_panel'].some((role) => witness.has(role)) "
        f"|| (witness.has('signed_out') && {quoted(account.state != 'signed_in')})"
    )


async def _return_to(tab: Tab, address: str, *, fresh: bool, met: set[str]) -> None:
    """A person who has our window before him may go to the library, to a GPT or into a project: no other document comes
    with that, and what is there has no composer, or one whose prompts go elsewhere."""
    conversation, here = tab.site.conversation_id(address), tab.site.conversation_id(tab.page.url)
    restored = fresh and here is not None
    if restored or not (fresh or conversation) or tab.stands_at(address):
        return
    if "elsewhere" not in met:
        met.add("elsewhere")
        await tab.open(address)
        raise DocumentLeft("it was gone to another place of the site")
    if conversation:
        told = f"The site did not open the conversation {conversation}. Nothing was sent."
        raise ImageError("service_error", told, next_step=WHOSE)
    raise ImageError("site_changed", "The page keeps going to other places than a new chat. Nothing was sent.")


async def _leave_temporary(tab: Tab, address: str, present: set[str], met: set[str]) -> None:
    """Temporary chats make no pictures either; the site's own address tells them best."""
    if "temporary-chat=true" in tab.page.url or "temporary_chat" in present:
        if "temporary" in met:
            raise ImageError(
                "site_changed",
                "The site opens a temporary chat, in which no pictures are made.",
                next_step="Ask the user to switch temporary chat off in the site's window (browser_visibility show).",
            )
        met.add("temporary")
        await tab.open(address)
        raise DocumentLeft("left a temporary chat")


async def _is_restored(tab: Tab, present: set[str]) -> bool:
    """The site sometimes brings back the last conversation at the home address (seen 2026-08). Where it did so before,
    that is waited for: what is given to the composer meanwhile may be there to stay."""
    if "turn" in present or tab.site.conversation_id(tab.page.url) is not None:
        return True
    if tab.goes_back and not await tab.eye.until("witness.every('turn').length > 0", RESTORED_SECONDS):
        tab.goes_back = tab.site.conversation_id(tab.page.url) is not None
    return tab.goes_back


async def _leave_restored(tab: Tab) -> None:
    """From an old conversation to a new chat. Raises ImageError where the site does not let it be left."""
    for _ in range(2):  # a page that draws its control anew under the press takes no notice of it
        if not await press_below(tab, "witness.one('new_chat')"):
            await tab.open(tab.site.home)
            await tab.eye.open()
        if await tab.eye.until("witness.every('turn').length === 0 && witness.one('composer')", LEFT_SECONDS):
            return
    raise ImageError(
        "site_changed", "The site keeps showing an earlier conversation instead of a new chat. Nothing was sent."
    )
