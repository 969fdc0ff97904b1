"""Typing a prompt and sending it once.

What could send wrongly or twice, and what is done:

- an old draft or attachment would go along: the editor and its attachments are emptied and read back empty;
- the page wipes text typed while it loads: the text is read back until it stays, and typed again into an empty editor;
- a press that was not seen to reach the send control may have sent all the same: it is made again only while the text
  still stands in the editor and the page's own request has not been seen. Whether the prompt went out is decided by
  that request, the emptied editor and our new turn; when none of these is seen and the text still stands in the
  editor, nothing was sent; anything else is "unknown" and never repeated.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio

from cdp_image_mcp.cdp import Node
from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import CDPError, ClickBlocked, ClickMissed, NodeError
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.network.sent import same_text
from cdp_image_mcp.chatgpt.outcome import alert_outcome
from cdp_image_mcp.chatgpt.page.arrival import close_dialogs
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft
from cdp_image_mcp.chatgpt.page.sitereport import role_not_found
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.tasks import background

__all__ = ["Composer"]

log = logging.getLogger(__name__)

CHUNK = 16_000
"""Characters per insertion; longer ones were seen to fail (one driver, 2026-08)."""
TYPE_ATTEMPTS = 4
SEND_READY_SECONDS = 20.0
UPLOAD_SECONDS = 120.0
MISSED_SECONDS = 2.0
"""How long the page's own request may follow a press of send that was not seen to reach it."""


class Composer:
    """The composer of the page a tab shows. All errors raised before :meth:`send` mean nothing was sent."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self._eye = tab.eye
        self._attached = 0
        self._chips_shown = False

    async def empty(self) -> None:
        """Remove an old draft and old attachments."""
        self._attached, self._chips_shown = 0, False
        for _ in range(20):
            node = await self._eye.node("witness.every('attachment_remove')[0] || null")
            if node is None:
                break
            before = await self._attachments()
            await self._press(node, "attachment_remove")
            await self._eye.ask(
                f"witness.until(() => witness.all('attachment').length < {max(before, 1)}"
                " || !witness.has('attachment_remove'), 3000).then(Boolean)"
            )
        await self._clear_text()

    async def _clear_text(self) -> None:
        for _ in range(TYPE_ATTEMPTS):
            await self._focus()
            if not await self._text():
                return
            await human.clear(self.tab.page)
            await self._eye.ask("witness.until(() => (witness.composerText() || '').trim() === '', 1500).then(Boolean)")
            if not await self._text():
                return
        raise ImageError("site_changed", "An old draft in the composer could not be removed. Nothing was sent.")

    async def fill(self, files: list[Path], text: str) -> None:
        """Empty the composer, type ``text``, attach ``files``. Text first: that it is taken shows that the page's
        script has taken over, and files given to a page before that are lost. What the page brings back late of an
        old draft is found by looking again at the end."""
        for _ in range(TYPE_ATTEMPTS):
            await self.empty()
            await self.write(text)
            if files:
                await self.attach(files)
            if await self._sendable() and await self.stands(text):
                return
            if files:
                await self._told_why()
        raise ImageError("site_changed", "The composer keeps bringing back an old draft. Nothing was sent.")

    async def change_text(self, files: list[Path], text: str) -> None:
        """Type ``text`` in the place of what :meth:`fill` typed; its attachments stay, unless they did not last."""
        await self._clear_text()
        await self.write(text)
        if not (await self._sendable() and await self.stands(text)):
            await self.fill(files, text)

    async def _told_why(self) -> None:
        """The site says by a notice why it does not take a file: the quota of uploads. Raises ImageError then."""
        for text in await self._eye.ask("witness.alerts()", reply=list[str]):
            outcome = alert_outcome(text, now=datetime.now().astimezone())
            if outcome is not None and outcome.code in {"quota_reached", "rate_limited"}:
                raise outcome.error(submitted=False)

    async def _sendable(self) -> bool:
        """Uploads keep the send control from being used for a while."""
        return await self._eye.ask(
            f"witness.until(() => witness.usable(witness.one('send')), {SEND_READY_SECONDS * 1000}).then(Boolean)",
            reply=bool,
            timeout=SEND_READY_SECONDS + 10,
        )

    async def stands(self, text: str) -> bool:
        """Whether exactly ``text`` and exactly our attachments are in the composer. A site that showed no chip for
        them may go on showing none; with any chip there must be as many as files."""
        if not same_text(await self._text(), text):
            return False
        count = await self._attachments()
        return count == self._attached or (count == 0 and not self._chips_shown)

    async def write(self, text: str) -> None:
        """Type ``text`` until it stands in the editor unchanged and the send control can be used.

        Until the page's own script has taken over, what is typed is lost: the control that comes with the text is the
        sign that the editor knows it.
        """
        for attempt in range(TYPE_ATTEMPTS):
            await self._type(text)
            outcome: str = await self._eye.ask(
                "witness.until(() => witness.usable(witness.one('send')) ? 'ready' :"
                f" (witness.composerText() || '').trim() === '' && 'wiped', {SEND_READY_SECONDS * 1000})"
                ".then((how) => how || 'late')",
                reply=str,
                timeout=SEND_READY_SECONDS + 10,
            )
            standing = await self._text()
            if same_text(standing, text):
                if outcome == "ready":
                    return
                if outcome == "late":
                    raise await role_not_found(self.tab, "send")
            elif not standing and await self._attachments() > self._attached:
                raise ImageError("site_changed", "The site turned the prompt into an attachment. Nothing was sent.")
            log.info("the composer holds %d characters instead of %d (attempt %d)", len(standing), len(text), attempt)
            await self._clear_text()
        raise ImageError("site_changed", "The composer does not keep the prompt as it was typed. Nothing was sent.")

    async def _type(self, text: str) -> None:
        await self._focus()
        for start in range(0, len(text), CHUNK):
            await human.insert_text(self.tab.page, text[start : start + CHUNK])

    async def attach(self, files: list[Path]) -> None:
        """Attach reference pictures one after the other; each is proven by its chip or by the end of its upload."""
        for number, path in enumerate(files, 1):
            await self._attach_one(path, number)
        # What is shown is no measure of what is ours: an old attachment that comes back late would be counted in.
        self._attached = len(files)
        # One that was seen and is gone again was refused, and must not be sent without.
        self._chips_shown = self._chips_shown or await self._attachments() > 0
        ready = await self._eye.ask(
            f"witness.until(() => !witness.has('attachment_busy'), {UPLOAD_SECONDS * 1000}).then(Boolean)",
            timeout=UPLOAD_SECONDS + 10,
        )
        if not ready:
            raise ImageError("network", "A reference picture was not uploaded within 2 minutes. Nothing was sent.")

    async def _attach_one(self, path: Path, number: int) -> None:
        before = await self._attachments()
        with self.tab.bodies.watch(lambda request: self.tab.site.asks("upload_done", request)) as uploads:
            if await self._by_input(path) and await self._arrived(uploads, before, 8):
                return
            # Some builds ignore files put into the input (live 2026-10-02); the chooser is the person's own way.
            if await self._by_chooser(path) and await self._arrived(uploads, before, 15):
                return
        await self._told_why()
        raise ImageError(
            "site_changed",
            f"Reference picture {number} ({path.name}) did not reach the composer. Nothing was sent.",
            details={"role": "file_input"},
        )

    async def _by_input(self, path: Path) -> bool:
        node = await self._eye.node("witness.all('file_input')[0] || null")
        if node is None:
            return False
        await human.set_files(node, [path])
        return True

    async def _by_chooser(self, path: Path) -> bool:
        menu = await self._eye.node("witness.one('attach_menu')")
        if menu is None:
            return False
        await self._press(menu, "attach_menu")
        row = await self._eye.node("witness.until(() => witness.all('attach_row')[0], 3000)")
        if row is None:
            await human.press(self.tab.page, "Escape")
            return False
        try:
            await human.choose_files(row, [path], timeout=8)
        except TimeoutError:
            return False
        return True

    async def _arrived(self, uploads: Mailbox[Request], before: int, seconds: float) -> bool:
        """A new chip, or the upload's own last call."""
        arrived = anyio.Event()
        async with background() as group:

            async def chip() -> None:
                if await self._eye.ask(
                    f"witness.until(() => witness.all('attachment').length > {before}, {seconds * 1000}).then(Boolean)",
                    timeout=seconds + 5,
                ):
                    self._chips_shown = True
                    arrived.set()

            async def upload() -> None:
                request = await uploads.next()
                if request.status is not None and request.status < 400:
                    arrived.set()

            group.start_soon(chip)
            group.start_soon(upload)
            with anyio.move_on_after(seconds):
                await arrived.wait()
        return arrived.is_set()

    async def send(self, text: str, request_seen: anyio.Event) -> None:
        """Press the send control; what came of it is for the proofs to say. ``text`` stands in the editor, and
        ``request_seen`` is set by the page's own request. Raises ImageError only when nothing was pressed."""

        async def again() -> bool:
            with anyio.move_on_after(MISSED_SECONDS):
                await request_seen.wait()
            return not request_seen.is_set() and await self.holds(text)

        node = await self._eye.node("witness.one('send')")
        if node is None:
            raise await role_not_found(self.tab, "send")
        try:
            await self._click(node, "send", again)
        except ClickMissed as error:
            log.info("the send control took no notice: %s", error)

    async def holds(self, text: str) -> bool:
        """Whether ``text`` still stands in the editor; not when that cannot be told."""
        try:
            return same_text(await self._text(), text)
        except (CDPError, DocumentLeft, ImageError):
            return False

    async def _press(self, node: Node, role: str) -> None:
        try:
            await self._click(node, role)
        except ClickMissed as error:
            raise _unpressed(role, error) from None

    async def _click(self, node: Node, role: str, again: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Raises ImageError when nothing was pressed, ClickMissed when no press was seen to reach the control."""
        for attempt in (1, 2):
            try:
                await human.click(node, again=again)
            except ClickMissed:
                raise
            except NodeError as error:
                if attempt == 2 or not isinstance(error, ClickBlocked):
                    raise _unpressed(role, error) from None
            else:
                return
            await close_dialogs(self.tab)

    async def _focus(self) -> None:
        if await self._eye.ask("witness.focusComposer()", reply=bool):
            return
        node = await self._eye.node("witness.one('composer')")
        if node is None:
            raise await role_not_found(self.tab, "composer")
        await self._press(node, "composer")

    async def _text(self) -> str:
        text: Any = await self._eye.ask("witness.composerText()")
        if not isinstance(text, str):
            raise await role_not_found(self.tab, "composer")
        return text.strip("\n\u200b\ufeff ")

    async def _attachments(self) -> int:
        """How many the page shows."""
        return await self._eye.ask("witness.all('attachment').length", reply=int)


def _unpressed(role: str, error: NodeError) -> ImageError:
    name = role.replace("_", " ")
    return ImageError(
        "site_changed", f"The {name} control cannot be pressed: {error}. Nothing was sent.", details={"role": role}
    )
