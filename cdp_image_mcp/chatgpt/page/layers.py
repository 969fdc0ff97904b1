"""What lies over the page or keeps a prompt from being sent, and what may be closed by itself."""

import logging
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.errors import ClickBlocked, NodeError
from cdp_image_mcp.chatgpt.page.accounts import Account
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.system.day import in_seconds

log = logging.getLogger(__name__)

RATE_REST = 300.0
"""The rate dialog names "a few minutes" (2026-10)."""
GOES_SECONDS, ESCAPED_SECONDS = 20.0, 0.8
"""How long a layer may stay after its control was pressed, which a busy page does late; and after Escape, which it may
not know."""
ROUNDS = 4
"""How often the page is looked through: dialogs come late, and a page that is busy takes no notice of a press."""
CHOSEN_SECONDS = 10.0
"""How long a page may take to show that Chat was chosen."""
UNCOVERED_SECONDS = 5.0
"""How long what lay around a closed layer may still cover the composer."""


Kind: TypeAlias = Literal["ready", "signed_out", "challenge", "blocked"]
PERSONS: tuple[tuple[str, Kind, str], ...] = (
    ("security_page", "blocked", "the site shows its account-security page"),
    ("expired_modal", "signed_out", "the session has expired"),
    ("account_picker", "signed_out", "the site asks which account to use"),
    ("workspace_picker", "signed_out", "the site asks which workspace to use"),
)
"""Roles that only a person can answer, and what each means."""


class Arrival(msgspec.Struct, frozen=True):
    """Where we are. ``ready``: the composer is there, nobody has to do anything. ``blocked``: something lies over it
    that only a person can answer."""

    kind: Kind
    detail: str = ""
    account: Account | None = None


async def in_the_way(tab: Tab, account: Account | None = None, *, leaving: bool = False) -> Arrival | None:
    """Whether something keeps a prompt from being sent, after closing what may be closed. Asked again right before
    sending: dialogs come late. ``leaving``: for a new chat, so that what this one asks may stay. Raises ImageError as
    :func:`close_dialogs`."""
    tried = 0
    for _ in range(ROUNDS):
        present = await tab.eye.ask("witness.present()", reply=set[str])
        if (person := needs_person(present, account)) is not None:
            return person
        closed = await close_dialogs(tab)
        tried += closed
        if closed and tried == 1:
            continue
        await _press_chat(tab)
        if "ab_panel" in present and not leaving and not await _skip_panels(tab):
            return Arrival("blocked", "the site asks which of two pictures is better before it goes on", account)
        if not closed and await tab.eye.ask("witness.blocked() && witness.layers().length > 0", reply=bool):
            continue  # it came meanwhile
        # A page in the middle of closing is judged when it has come to rest.
        if await tab.eye.until("!witness.blocked()", UNCOVERED_SECONDS, late=25):
            return None
        if not await tab.eye.ask("witness.layerClose() !== null", reply=bool):
            break
    names = await tab.eye.ask("witness.layers().map(witness.nameOf)", reply=list[str])
    log.info("what lies over the composer: %s", [name[:80] for name in names])
    return Arrival("blocked", "a dialog lies over the composer that only a person can answer", account)


def needs_person(present: set[str], account: Account | None) -> Arrival | None:
    """What of the roles on the page only a person can answer."""
    if "challenge" in present and "composer" not in present:
        return Arrival("challenge", "a check is shown")
    for role, kind, detail in PERSONS:
        if role in present:
            return Arrival(kind, detail, account)
    unknown = account is not None and account.state == "unknown"
    if unknown and "signed_out" in present and "signed_in" not in present:
        return Arrival("signed_out", "the page offers to log in", account)
    return None


async def close_dialogs(tab: Tab) -> bool:
    """Close announcements, offers and promotions by their close or not-now control, a last one by Escape; never by a
    primary button. Answers whether anything was done. Raises ImageError ``rate_limited`` for the dialog that says so,
    which may come at any time before sending, and is not closed: what it says holds without it."""
    done = False
    for _ in range(5):
        if await tab.eye.has("rate_dialog"):
            raise too_many_requests()
        before = await tab.eye.ask("witness.layers().length", reply=int)
        if before == 0:
            return done
        done = True
        try:
            pressed = await press(tab, "witness.layerClose()")
        except NodeError as error:
            log.info("a dialog could not be closed: %s", error)
            return done
        if not pressed:
            await human.press(tab.page, "Escape")
        seconds = GOES_SECONDS if pressed else ESCAPED_SECONDS
        if not await tab.eye.until(f"witness.layers().length < {before}", seconds):
            return done
    return done


async def _skip_panels(tab: Tab) -> bool:
    """Leave open which of two pictures is better: until that panel is answered it keeps the composer locked. That both
    pictures stay in the conversation is assumed. Whether none is left; a choice is never made."""
    panels = "witness.all('ab_panel').length"
    try:
        while (before := await tab.eye.ask(panels, reply=int)) > 0:
            if not await press_below(tab, "witness.all('ab_skip')[0] || null"):
                return False
            if not await tab.eye.until(f"{panels} < {before}", GOES_SECONDS):
                return False
    except NodeError as error:
        log.info("the panel could not be skipped: %s", error)
        return False
    await tab.eye.until("witness.one('composer')", UNCOVERED_SECONDS)
    return True


def too_many_requests(submitted: Fact = False) -> ImageError:
    """The rate dialog is up. ``submitted``: what went out for earlier pictures of the generation."""
    return ImageError(
        "rate_limited",
        "The site says there were too many requests. Nothing was sent.",
        submitted=submitted,
        retry_after_seconds=RATE_REST,
        reset_at=in_seconds(RATE_REST),
    )


async def press(tab: Tab, expression: str) -> bool:
    """Press the element that an expression gives; one that goes away under the press is looked for once more. False:
    there is none. Raises NodeError."""
    for attempt in (1, 2):
        node = await tab.eye.node(expression)
        if node is None:
            return False
        try:
            await human.click(node)
        except NodeError as error:
            if attempt == 2 or isinstance(error, ClickBlocked):
                raise
            log.info("what was to be pressed went away: %s", error)
        else:
            return True
    return False


async def press_below(tab: Tab, expression: str) -> bool:
    """``press``, once more after what came over the element was closed."""
    try:
        return await press(tab, expression)
    except ClickBlocked:
        await close_dialogs(tab)
        return await press(tab, expression)


async def press_named(tab: Tab, expression: str, role: str) -> bool:
    """``press_below`` for the control of that role. Raises ImageError when it cannot be pressed."""
    try:
        return await press_below(tab, expression)
    except NodeError as error:
        raise unpressed(role, error) from None


def unpressed(role: str, error: NodeError) -> ImageError:
    name = role.replace("_", " ")
    return ImageError(
        "site_changed", f"The {name} control cannot be pressed: {error}. Nothing was sent.", details={"role": role}
    )


async def _press_chat(tab: Tab) -> None:
    """Leave Work mode, which makes no pictures. Raises ImageError when it stays."""
    if not await tab.eye.has("work_mode"):
        return
    # A page that draws its switch anew under the press takes no notice of it; pressed twice it says the same.
    for _ in range(2):
        if not await press_below(tab, "witness.one('chat_mode')"):
            break
        if await tab.eye.until("!witness.has('work_mode')", CHOSEN_SECONDS):
            return
    raise ImageError(
        "site_changed",
        "The site stays in Work mode, which makes no pictures. Nothing was sent.",
        next_step="Ask the user to choose Chat in the site's window (browser_visibility show), then call again.",
        details={"role": "chat_mode"},
    )
