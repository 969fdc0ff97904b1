"""Giving the reference pictures to the composer, each once.

A card is a sign that the page took a file, and no proof that the site has it: thumbnails stand there at once, Send may
be usable before the upload has ended, and a spinner may stay when it has (facts F8). So the page's own upload calls are
counted; where none is seen, cards and spinners have to do. The last call has had more than one address: where the bytes
have gone up and all stands still, it is not waited for.

A file goes into the page's input first. Some builds ignore that (live 2026-10-02), and a page that ignores a file looks
like one that is slow to take it, so what is then seen decides:

- a card or a call: it was taken. Only seconds in which the page answered at once count as waited for: one that is busy
  has had no time to show anything.
- neither: it is given by the chooser, the person's own way, and may now be there twice. Once all are up, as long again
  as the input was silent and half as long is waited for one too many: were the first sign the input's, late, then the
  chooser's would come as late.
- one too many: the composer does not fit, so it is emptied and the files are given anew, by the input alone, with
  patience. One too many that shows no card cannot be taken away: nothing is sent.
- none too many: this page's input ignores files, and the others go by the chooser alone.

Where the bytes of a file did not come through and the page takes its card away, all are given once more.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import anyio

from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import NodeError
from cdp_image_mcp.chatgpt.outcome import alert_outcome, http_outcome
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.layers import close_dialogs, press_named
from cdp_image_mcp.chatgpt.page.uploads import Uploads, uploads_of
from cdp_image_mcp.chatgpt.page.waiting import answering, first_of
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.day import local_now
from cdp_image_mcp.system.tasks import background

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 240.0
"""25 MB at 1 Mbit/s take 200 s."""
TAKEN_SECONDS, CHOSEN_SECONDS, LATE_SECONDS = 8.0, 15.0, 60.0
"""How long the page may take to show that it took a file: put into its input, chosen in its dialog, put into an input
that is known to take files. Of the page's own answering time; by the clock at most four times as long."""
NEVER = 1000
"""More cards than any composer shows."""
BEGIN_SECONDS = 3.0
"""How long the page's upload call may follow the card, of the page's own answering time as above."""
DRAFT_SECONDS = 3.0
"""How old a page is before its old draft's attachments count as all there."""
REDRAWN_SECONDS = 2.0
"""How long a page may show another number of cards while it draws its composer anew."""
STILL_SECONDS = 10.0
"""How long nothing must have moved when the bytes are up and the upload's last call was not seen."""
SPINNER_SECONDS = 60.0
"""How long a spinner counts then. One may stay when the site has the file (facts F8), and would hold every picture."""
SAYS_SECONDS, BODY_SECONDS = 3.0, 5.0
"""How long the page may take to show why an upload was refused, and the browser to give the refusal's words."""
CARD_SECONDS = 15.0
"""How long a card may come after its upload: after the server's receipt, "several seconds" (live 2026-08-21 to 28)."""


class Attaching:
    """The attachments of a composer."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self._eye = tab.eye
        self._count = 0
        self._cards_shown = False
        self._way: Literal["", "input", "chooser"] = ""
        """The only way by which files are given, once it is known."""
        self._patience = UPLOAD_SECONDS
        """Seconds for all files together."""
        self._doubt = 0.0
        """How long the input was silent before a file was given by the chooser too; 0 when none was."""
        self._lost = False
        """Bytes of one did not come through, and all were to be given anew for it."""

    def forget(self) -> None:
        self._count, self._cards_shown, self._doubt = 0, False, 0.0

    async def stands(self) -> bool:
        """Whether exactly ours are there. A site that showed no card for them may go on showing none; with any card
        there must be as many as files. Not said after one look: a page that draws its composer anew shows none for a
        moment, and a file that were given to it again for that would go along twice."""
        if not await self._fits():
            await self._eye.until(f"witness.attachments().length === {self._count}", REDRAWN_SECONDS)
            return await self._fits()
        return True

    async def _fits(self) -> bool:
        # In one look, for each prompt is asked about twice; a card that failed is none that fits.
        cards = await self._eye.ask("witness.has('attachment_failed') ? -1 : witness.attachments().length", reply=int)
        return cards == self._count or (cards == 0 and not self._cards_shown)

    async def attach(self, files: list[Path]) -> None:
        """Attach reference pictures one after the other, each once; proven by the page's own upload calls, or by its
        cards where no such call is seen. Raises ImageError: nothing was sent."""
        async with uploads_of(self.tab) as uploads, background() as group:
            group.start_soon(self._see_cards)
            for number, path in enumerate(files, 1):
                await self._attach_one(path, number, uploads)
            whole = await self._uploaded(uploads, len(files))
            if whole and self._doubt:
                await self._judge_doubt(uploads, len(files))
        # What was attached to an old draft may come back a good second after a page is alive (miuuyy #246).
        age = await self._eye.ask("performance.now() / 1000", reply=float)
        await anyio.sleep(max(0.0, DRAFT_SECONDS - age))
        # What is shown is no measure of what is ours: an old attachment that comes back late would be counted in.
        self._count = len(files) if whole else NEVER
        await close_dialogs(self.tab)  # a full library says so over the composer; the file stays there

    async def _see_cards(self) -> None:
        """Note that the page shows cards, however shortly: one that is gone again before its call is heard was refused,
        and says that what is missing can be seen."""
        while not self._cards_shown:
            self._cards_shown = await self._shows_cards(1, UPLOAD_SECONDS)

    async def _attach_one(self, path: Path, number: int, uploads: Uploads) -> None:
        # At least as many as files: the card or the call of the file before this one may come after it was given.
        cards, calls = max(await self.cards() + 1, number), max(uploads.begun + 1, number)
        began = anyio.current_time()
        given = self._way != "chooser" and await self._by_input(path)
        patience = LATE_SECONDS if self._way else TAKEN_SECONDS
        if given and await self._taken(uploads, cards, calls, patience):
            return
        silent = anyio.current_time() - began
        chosen = self._way != "input" and await self._by_chooser(path)
        if (given or chosen) and await self._taken(uploads, cards, calls, CHOSEN_SECONDS):
            self._way = "chooser" if chosen else "input"
            self._doubt = silent if given and chosen else self._doubt
            return
        await self.told_why(uploads.refused)
        raise ImageError(
            "site_changed",
            f"Reference picture {number} ({path.name}) did not reach the composer. Nothing was sent.",
            details={"role": "file_input"},
        )

    async def _judge_doubt(self, uploads: Uploads, files: int) -> None:
        """Whether a file that was given twice came twice: then the composer does not fit. Raises ImageError when that
        cannot be seen on the page."""
        patience, self._doubt = 1.5 * self._doubt, 0.0
        # An old draft's card may come late and is nobody's upload.
        cards = NEVER if uploads.begun else files + 1
        if not await self._taken(uploads, cards, files + 1, patience):
            return
        log.warning("the page took a reference picture late, and once more by the chooser")
        self._way = "input"
        await self._uploaded(uploads, files + 1)
        if await self.cards() <= files:
            raise ImageError(
                "site_changed",
                "A reference picture reached the composer twice and cannot be taken away again. Nothing was sent.",
                details={"role": "attachment"},
            )

    async def _taken(self, uploads: Uploads, cards: int, calls: int, seconds: float) -> bool:
        """Whether the page took the file: so many cards, or calls of its own for an upload."""
        return await self._told(uploads, lambda: uploads.begun >= calls, seconds, cards=cards)

    async def _uploaded(self, uploads: Uploads, files: int) -> bool:
        """Until all files are at the site, and the page has shown it, if it does; False where they are all to be given
        once more. Raises ImageError."""
        self._patience = UPLOAD_SECONDS * files
        with anyio.move_on_after(self._patience) as limit:
            # A page may send one file up after another: as long as it shows that, or a further call comes.
            begun = -1
            while begun < uploads.begun and uploads.refused is None:
                begun = uploads.begun
                if begun:
                    await self._received(uploads, files)
                if uploads.begun < files:
                    await self._another_begins(uploads)
        if limit.cancelled_caught:
            raise ImageError(
                "network", f"The reference pictures were not uploaded within {self._patience:g} s. Nothing was sent."
            )
        await self.refuse_failed(uploads)
        if uploads.broken is not None and uploads.received < files and await self.cards() < files:
            self._give_anew(uploads.broken)
            return False
        if uploads.begun:
            # Sent before its card is there, a prompt may go without the picture.
            await self._shows_cards(files, CARD_SECONDS)
        return True

    async def _another_begins(self, uploads: Uploads) -> None:
        """Until the page's call for another file is there, or nothing shows that one will come."""
        begun = uploads.begun

        def another() -> bool:
            return uploads.begun > begun or uploads.refused is not None

        if not await self._told(uploads, another, BEGIN_SECONDS):
            idle = "!witness.has('attachment_busy') || witness.has('attachment_failed')"
            await first_of(partial(self._eye.until, idle, self._patience), partial(uploads.until, another))

    async def _told(self, uploads: Uploads, what: Callable[[], bool], seconds: float, *, cards: int = NEVER) -> bool:
        """Whether the browser tells of such calls, or the page shows so many cards, within so many seconds in which the
        page answered at once."""
        shown = False

        async def look() -> None:
            nonlocal shown
            shown = await answering(partial(self._shows_cards, cards), seconds)

        with anyio.move_on_after(4 * seconds):
            await first_of(partial(uploads.until, what), look)
        return shown or what()

    async def _received(self, uploads: Uploads, files: int) -> None:
        async def quiet() -> None:
            await uploads.until(lambda: uploads.stored >= files)
            while not await self._stands_still(uploads):
                pass
            log.warning("the last call of an upload goes to an address that is not known")

        async def given_up() -> None:
            await uploads.until(lambda: uploads.broken is not None)
            there = f"witness.attachments().length >= {files}"
            while not await self._eye.until(f"!({there})", self._patience) or (
                await self._eye.until(there, REDRAWN_SECONDS)
            ):
                pass

        await first_of(
            partial(self._eye.until, "witness.has('attachment_failed')", self._patience),
            partial(uploads.until, lambda: uploads.refused or uploads.received >= min(uploads.begun, files)),
            quiet,
            given_up,
        )

    def _give_anew(self, broken: Request) -> None:
        """The page took a card away again: once, all are given anew. Raises ImageError the second time, and where no
        card tells what is there."""
        if self._lost or not self._cards_shown:
            host = urlsplit(broken.url).hostname
            how = f"answered HTTP {broken.status}" if broken.status else "was cut off"
            raise ImageError(
                "network",
                f"The bytes of a reference picture did not come through: the page's call to {host} {how}. "
                "Nothing was sent.",
                next_step=f"Ask the user whether this network lets the browser through to {host}, then call again.",
            )
        log.warning("the bytes of a reference picture did not come through; all are given once more")
        self._lost = True

    async def refuse_failed(self, uploads: Uploads | None = None) -> None:
        """A prompt with a card that failed would go without its picture. Raises ImageError then."""
        if (uploads is not None and uploads.refused is not None) or await self._eye.has("attachment_failed"):
            if uploads is not None and uploads.begun:
                # Its page shows it before the browser tells of the call's end, which says why.
                await self._told(uploads, lambda: uploads.refused is not None, SAYS_SECONDS)
            await self.told_why(uploads.refused if uploads is not None else None)
            raise ImageError("service_error", "The site could not take a reference picture. Nothing was sent.")

    async def _stands_still(self, uploads: Uploads) -> bool:
        """Whether, once no card has a spinner or one has stayed for long, nothing moves for a while and nothing goes
        up."""
        spins = not await self._eye.until("!witness.has('attachment_busy')", SPINNER_SECONDS)
        still = (
            f"witness.attachments().length === {await self.cards()}"
            f" && witness.has('attachment_busy') === {quoted(spins)}"
        )
        moved = await self._eye.until(f"!({still})", STILL_SECONDS)
        # Answered is enough: of an answer that its page does not read no end is told.
        return not moved and all(one.ended or one.status for one in uploads.sent)

    async def _shows_cards(self, count: int, seconds: float) -> bool:
        return await self._eye.until(f"witness.attachments().length >= {count}", seconds, late=30)

    async def _by_input(self, path: Path) -> bool:
        node = await self._eye.node("witness.all('file_input')[0] || null")
        if node is None:
            return False
        await human.set_file(node, path)
        return True

    async def _by_chooser(self, path: Path) -> bool:
        if not await press_named(self.tab, "witness.one('attach_menu')", "attach_menu"):
            return False
        row = await self._eye.node("witness.until(() => witness.all('attach_row')[0], 3000)")
        if row is None:
            await human.press(self.tab.page, "Escape")
            return False
        try:
            await human.choose_file(row, path, timeout=8)
        except (NodeError, TimeoutError) as error:
            log.info("no file could be chosen: %s", error)
            return False
        return True

    async def told_why(self, refused: Request | None = None) -> None:
        """The site says why it does not take a file, by a notice, on its card or in its answer to the page's call: the
        quota of uploads. Raises ImageError then."""
        now, words = local_now(), self.tab.site.words
        answered, patience = None, 0.0
        if refused is not None:
            body = await self.tab.answer(refused, BODY_SECONDS) or b""
            answered = http_outcome(refused.status or 0, body, now=now, words=words, submitted=False)
            # The page shows it a while after its call; where the answer told it, nothing need be shown.
            patience = 0.0 if answered is not None and answered.code == "quota_reached" else SAYS_SECONDS
        # A notice of something else may stand there already, or come.
        said = "[...witness.told('attachment_failed'), ...witness.told('alert')]"
        until = anyio.current_time() + patience
        while True:
            told = await self._eye.ask(said, reply=list[str])
            shown = [alert_outcome(text, now=now, words=words, submitted=False) for text in told]
            left = until - anyio.current_time()
            changed = f"JSON.stringify({said}) !== {quoted(quoted(told))}"
            if any(shown) or left <= 0 or not await self._eye.until(changed, left):
                break
        for code in ("quota_reached", "rate_limited"):
            for outcome in (*shown, answered):
                if outcome is not None and outcome.code == code:
                    raise outcome

    async def cards(self) -> int:
        return await self._eye.ask("witness.attachments().length", reply=int)
