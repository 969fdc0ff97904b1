"""Typing a prompt and sending it once.

What could send wrongly or twice, and what is done:

- an old draft, attachment, tool or app would go along: all are removed and read back gone, but for the picture tool's
  own; a control is pressed only where it is known by name;
- a reference would go along twice: it is given to the page a second time only when neither a card nor the page's own
  upload call was seen, and is there when that call has ended, whatever a spinner shows;
- the page wipes text typed while it loads: the text is read back until it stays, and typed again into an empty editor;
- a press that was not seen to reach the send control may have sent all the same: it is made again only while the text
  still stands in the editor and the page's own request has not been seen. Whether the prompt went out is decided by
  that request, the emptied editor and our new turn; when none of these is seen and the text still stands in the
  editor, nothing was sent; anything else is "unknown" and never repeated.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.errors import CDPError, ClickBlocked, ClickMissed, NodeError
from cdp_image_mcp.chatgpt.network.sent import same_text
from cdp_image_mcp.chatgpt.page.attaching import Attaching
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.layers import close_dialogs, press_named, unpressed
from cdp_image_mcp.chatgpt.page.sitereport import role_not_found
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError

log = logging.getLogger(__name__)

CHUNK = 16_000
"""Characters per insertion; longer ones were seen to fail (one driver, 2026-08)."""
CHANGED_INTO_FILE = 2_000
"""Characters above which a text may become an attachment: above 5,000 or 10,000 it was seen."""
TYPE_ATTEMPTS = 4
ANSWERING_SECONDS = 180.0
"""How long what was asked before may be answered on a page before it is loaded anew: a picture takes so long, and a
Stop that only hangs there goes with its page. At most half of the time that is left, so that it is told before all of
it is over."""
SEND_READY_SECONDS = 20.0
GONE_SECONDS = 8.0
"""How long what was removed may stay: a busy page is late, and what is taken for left would be removed again."""
MADE_ANEW = 3
"""How often the send control is looked for when the page makes it anew between the look and the press."""
MISSED_SECONDS = 2.0
"""How long the page's own request may follow a press of send that was not seen to reach it."""


MOST_REMOVED = 20
COUNTED = "witness.attachments().length + witness.every('tool_remove').length"
EMPTY = "/^[\\s\\u200b\\ufeff]*$/.test(witness.composerText() || '') && witness.toolPills().length === 0"


class StillAnswering(ImageError):  # noqa: N818 - it says what happened
    """The conversation answers what it was asked before, by us or by a person, and takes no prompt meanwhile."""

    def __init__(self) -> None:
        super().__init__(
            "service_error", "The conversation is still answering what it was asked before. Nothing was sent."
        )


class Composer:
    """The composer of the page a tab shows. All errors raised before :meth:`send` mean nothing was sent."""

    def __init__(self, tab: Tab, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self.tab = tab
        self._time_left = time_left
        self._eye = tab.eye
        self.attaching = Attaching(tab)
        self._files: list[Path] = []

    async def empty(self) -> None:
        """Remove an old draft, old attachments, and tools that were left on."""
        self.attaching.forget()
        await self._remove("attachment_remove", "witness.attachmentRemove([])")
        await self._remove("tool_remove", "witness.toolRemove()")
        await self._clear_text()

    async def _remove(self, role: str, expression: str) -> None:
        """Press the control that an expression gives until it gives none."""
        for _ in range(MOST_REMOVED):
            before = await self._eye.ask(COUNTED, reply=int)
            if not await press_named(self.tab, expression, role):
                break
            await self._eye.until(f"{COUNTED} < {before}", GONE_SECONDS)

    async def _clear_text(self) -> None:
        for _ in range(TYPE_ATTEMPTS):
            await self._focus()
            if await self._eye.ask(EMPTY, reply=bool):
                return
            if not await self._text():
                await human.insert_text(self.tab.page, " ")  # a pill alone is nothing that could be selected
            await human.clear(self.tab.page)
            if await self._eye.until(EMPTY, GONE_SECONDS):
                return
        raise ImageError("site_changed", "An old draft in the composer could not be removed. Nothing was sent.")

    async def fill(self, files: list[Path], text: str) -> None:
        """Empty the composer, type ``text``, attach ``files``. Text first: that it is taken shows that the page's
        script has taken over, and files given to a page before that are lost."""
        self._files = files
        await self.empty()
        await self.write(text)
        if files:
            await self.attaching.attach(files)
        await self.settle(text)

    async def change_text(self, text: str) -> None:
        """Type ``text`` in the place of what :meth:`fill` typed; its attachments stay, unless they did not last."""
        await self._clear_text()
        await self.write(text)
        await self.settle(text)

    async def settle(self, text: str) -> None:
        """Until exactly ours stands there and can be sent. What the page brings back late of an old draft goes; a file
        is given to the page again only when it is there no more, or cannot be told from what is not ours."""
        files = self._files
        for _ in range(TYPE_ATTEMPTS):
            # Uploads keep the send control from being used for a while.
            sendable = await self._eye.until("witness.usable(witness.one('send'))", SEND_READY_SECONDS)
            if sendable and await self.stands(text):
                return
            if files:
                await self.attaching.told_why()
            await self._remove("attachment_remove", f"witness.attachmentRemove({quoted([p.stem for p in files])})")
            await self._remove("tool_remove", "witness.toolRemove()")
            if files and not await self.attaching.stands():
                await self.attaching.refuse_failed()
                await self.empty()
                if await self.attaching.cards():
                    await self.empty()  # the page drew it anew meanwhile
                if await self.attaching.cards():
                    break  # it cannot be taken away, and would go along
                await self.attaching.attach(files)
            if not same_text(await self._text(), text) or not await self._eye.ask("witness.toolsOff()", reply=bool):
                await self._clear_text()
                await self.write(text)
        raise ImageError("site_changed", "The composer keeps bringing back an old draft. Nothing was sent.")

    async def stands(self, text: str) -> bool:
        """Whether exactly ``text`` and exactly our attachments are in the composer, and no tool."""
        if not same_text(await self._text(), text) or not await self._eye.ask("witness.toolsOff()", reply=bool):
            return False
        return await self.attaching.stands()

    async def write(self, text: str) -> None:
        """Type ``text`` until it stands in the editor unchanged and the send control can be used.

        Until the page's own script has taken over, what is typed is lost: the control that comes with the text is the
        sign that the editor knows it.
        """
        for attempt in range(TYPE_ATTEMPTS):
            cards = await self.attaching.cards()
            await self._focus()
            for start in range(0, len(text), CHUNK):
                await human.insert_text(self.tab.page, text[start : start + CHUNK])
            while (outcome := await self._taken()) == "answering":
                if not await self._eye.until("!witness.has('stop')", min(ANSWERING_SECONDS, self._time_left() / 2)):
                    raise StillAnswering
            standing = await self._text()
            if same_text(standing, text):
                if outcome == "ready":
                    return
                if outcome == "late":
                    raise await role_not_found(self.tab, "send")
            elif not standing and len(text) > CHANGED_INTO_FILE and await self.attaching.cards() > cards:
                raise ImageError("site_changed", "The site turned the prompt into an attachment. Nothing was sent.")
            log.info("the composer holds %d characters instead of %d (attempt %d)", len(standing), len(text), attempt)
            await self._clear_text()
        raise ImageError("site_changed", "The composer does not keep the prompt as it was typed. Nothing was sent.")

    async def _taken(self) -> str:
        """What the page makes of a text that was typed: it is ``ready`` for it, has ``wiped`` it, shows a Stop in the
        place of Send as one that is ``answering``, or neither, and is ``late``."""
        return await self._eye.ask(
            "witness.until(() => witness.usable(witness.one('send')) ? 'ready' :"
            f" (witness.composerText() || '').trim() === '' && 'wiped', {SEND_READY_SECONDS * 1000})"
            ".then((how) => how || (witness.has('stop') ? 'answering' : 'late'))",
            reply=str,
            timeout=SEND_READY_SECONDS + 10,
        )

    async def send(self, text: str, request_seen: anyio.Event, last: Callable[[], None] = lambda: None) -> None:
        """Press the send control; what came of it is for the proofs to say. ``text`` stands in the editor, and
        ``request_seen`` is set by the page's own request. ``last`` is called right before a press, and may raise to
        prevent it. Raises ImageError only when nothing was pressed."""

        async def again() -> bool:
            with anyio.move_on_after(MISSED_SECONDS):
                await request_seen.wait()
            return not request_seen.is_set() and await self.holds(text)

        for attempt in range(MADE_ANEW):
            try:
                node = await self._eye.node("witness.until(() => witness.one('send'), 3000)")
                if node is None:
                    raise await role_not_found(self.tab, "send")
            except CDPError as error:
                raise problem(error, sent=False) from None
            try:
                try:
                    await human.click(node, again=again, last=last)
                except ClickBlocked:
                    await close_dialogs(self.tab)
                    await human.click(node, again=again, last=last)
            except ClickMissed as error:
                log.info("the send control took no notice: %s", error)
            except NodeError as error:
                if isinstance(error, ClickBlocked) or attempt == MADE_ANEW - 1:
                    raise unpressed("send", error) from None
                log.info("the page made its send control anew before it was pressed: %s", error)
                continue
            return

    async def holds(self, text: str) -> bool:
        """Whether ``text`` still stands in the editor; not when that cannot be told."""
        try:
            return same_text(await self._text(), text)
        except (CDPError, ImageError):
            return False

    async def _focus(self) -> None:
        if await self._eye.ask("witness.focusComposer()", reply=bool):
            return
        if not await press_named(self.tab, "witness.one('composer')", "composer"):
            raise await role_not_found(self.tab, "composer")

    async def _text(self) -> str:
        text: Any = await self._eye.ask("witness.composerText()")
        if not isinstance(text, str):
            raise await role_not_found(self.tab, "composer")
        return text.strip("\n\u200b\ufeff ")
