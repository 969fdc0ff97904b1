"""One turn: the prompt goes out once, and every picture the site finishes for it is saved.

Where the rules stand: who says that a picture is final, ``verdict.py``; what counts as its bytes, ``capture.py``; what
proves that a prompt went out, here (:meth:`Drawing.send`).
"""

import logging
from datetime import datetime

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import keyboard_mouse as human
from cdp_image_mcp.chatgpt.capture import Captured, Mismatch, capture
from cdp_image_mcp.chatgpt.network.turn import Pointer
from cdp_image_mcp.chatgpt.outcome import alert_outcome, http_outcome, turn_outcome
from cdp_image_mcp.chatgpt.page.arrival import Arrival, in_the_way
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft
from cdp_image_mcp.chatgpt.page.sitereport import page_structure
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.turnwatch import TurnWatch
from cdp_image_mcp.chatgpt.verdict import SMALLEST, Verdict
from cdp_image_mcp.chatgpt.words import Words
from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.request import Report

__all__ = ["ChallengeMet", "Drawing", "NotReady", "StartOver"]

log = logging.getLogger(__name__)

SENT_SECONDS = 15.0
"""How long the page may take from the press to its own request."""
BYTES_SECONDS = 20.0
"""How long the page may take to load a finished picture before the conversation is loaded anew."""


class NotReady(Exception):  # noqa: N818 - a state, not a failure
    """Something came between typing and sending that a person has to answer; nothing was sent."""

    def __init__(self, arrival: Arrival) -> None:
        super().__init__(arrival.detail)
        self.arrival = arrival


class StartOver(Exception):  # noqa: N818 - a state, not a failure
    """Nothing was sent, and what kept it from being sent is gone: it may begin anew."""


class ChallengeMet(Exception):  # noqa: N818 - a state, not a failure
    """The site shows a check; the person has to pass it before this goes on."""

    def __init__(self, *, submitted: bool) -> None:
        super().__init__("The site shows a check.")
        self.submitted = submitted


class Drawing:
    """One turn being watched. ``report`` gets every fact as soon as it is known."""

    def __init__(self, watch: TurnWatch, report: Report, words: Words) -> None:
        self._watch = watch
        self._report = report
        self._words = words
        self._taken: set[str] = set()
        self._skipped_panel = False
        self._sent_before: Fact = False
        self._learned: dict[str, object] = {}
        """How the last picture was had: written with the next state, for each writing waits for the disk."""

    async def send(self, composer: Composer, text: str) -> None:
        """Press send and prove what came of it. The text stands in the composer already.

        Raises ImageError with ``submitted`` telling the truth, NotReady when nothing was sent and a person is needed,
        ChallengeMet when a check kept the prompt out.
        """
        watch, report = self._watch, self._report
        if (arrival := await in_the_way(watch.tab)) is not None:
            raise NotReady(arrival)
        await watch.remember_turns()
        await watch.look(None)
        if not await composer.stands(text):
            raise StartOver
        if watch.lost is not None:
            # What cannot be watched is not begun.
            sent = report.facts.get("submitted", False)
            raise ImageError("browser_failed", f"{watch.lost}; the prompt was not sent.", submitted=sent)
        await self._before_press(text)
        try:
            await composer.send(text, watch.request_seen)
        except ImageError:
            await self._not_sent()
            if (arrival := await in_the_way(watch.tab)) is not None:
                raise NotReady(arrival) from None
            raise
        if await self._went_out(composer, text):
            await report.state("generating", submitted=True if watch.request_seen.is_set() else "unknown")
        else:
            await self._not_seen(composer, text)

    async def _before_press(self, text: str) -> None:
        """From here on nobody can say that nothing was sent; so it stands on disk before the press. The message of an
        earlier turn of this generation is not this one's."""
        facts = self._report.facts
        self._sent_before = facts.get("submitted", False)
        used = [*facts.get("used_message_ids", []), facts.get("user_message_id")]
        site = self._watch.tab.site
        known = site.conversation_id(self._watch.tab.page.url)
        news: dict[str, object] = {}
        if known:
            news = {"conversation_id": known, "conversation_url": site.conversation(known)}
        await self._report.state(
            "submitting",
            sent_prompt=text,
            submitted="unknown" if self._sent_before is False else self._sent_before,
            submitted_at=datetime.now().astimezone().isoformat(),
            user_message_id=None,
            used_message_ids=[one for one in used if one],
            turn_pressed=True,
            **news,
        )

    async def _not_sent(self) -> None:
        """This turn's prompt did not go out; what went out for earlier pictures did."""
        await self._report.state("submitting", submitted=self._sent_before, turn_pressed=False)

    async def _went_out(self, composer: Composer, text: str) -> bool:
        """The page's own request on the network; without it, our turn on the page and the editor without the text."""
        watch = self._watch
        with anyio.move_on_after(SENT_SECONDS):
            while not watch.request_seen.is_set():
                mark = watch.mark()
                if watch.tab_gone or watch.challenge is not None or watch.kept_out:
                    return False
                if watch.page.found and watch.signs.error_node:
                    break
                await watch.news_since(mark, None)
        if watch.request_seen.is_set():
            return True
        return watch.page.found and not await composer.holds(text)

    async def _not_seen(self, composer: Composer, text: str) -> None:
        """No request and no turn of ours after the press."""
        if self._watch.kept_out or self._watch.challenge is not None:
            await self._behind_check()
            return
        if self._watch.lost is None and await composer.holds(text):
            structure = await page_structure(self._watch.tab)
            limited = self._watch.page.rate_dialog
            # The page may still be at it. Loading it anew ends that; only then is it certain.
            await self._reload()
            if self._watch.request_seen.is_set():
                await self._report.state("generating", submitted=True)
                return
            await self._not_sent()
            if limited:
                raise ImageError(
                    "rate_limited",
                    "The site says there were too many requests. Nothing was sent.",
                    retry_after_seconds=300,
                )
            raise ImageError(
                "site_changed",
                "Send was pressed and the site did not take the prompt; it still stands in the composer.",
                details={"role": "send", "page_structure": structure},
            )
        raise (
            problem(self._watch.lost, True)
            if self._watch.lost
            else ImageError(
                "site_changed",
                "Send was pressed and neither the site's request nor our turn was seen. It is not pressed again.",
                submitted="unknown",
                next_step="Call wait_for_image: if the site took the prompt, its picture is collected.",
            )
        )

    async def _behind_check(self) -> None:
        """A check answered the page's requests before the prompt could go out. The page is loaded anew: that ends
        whatever its script still had in mind, and brings either the check itself or a page that works."""
        landed = await self._watch.reload()
        if self._watch.request_seen.is_set():
            await self._report.state("generating", submitted=True)
            return
        await self._not_sent()
        if landed.challenged:
            raise ChallengeMet(submitted=False)
        raise StartOver

    async def pictures(self) -> int:
        """Wait for the turn's end and save its pictures; answers how many, and notes that the turn is done with.
        Raises ImageError, ChallengeMet.

        A picture whose message is finished is saved at once; the verdict then only says whether more will come.
        """
        while True:
            watch = self._watch
            mark = watch.mark()
            await self._note()
            self._check_trouble()
            await self._take(list(watch.turn.final_pictures))
            judged = watch.judge()
            if judged.action == "no_picture" and not self._taken:
                raise self._no_picture(judged)
            if judged.action == "pictures_final" and judged.from_page:
                await self._take(self._shown(), from_page=True)
            if judged.action == "pictures_final" and set(judged.file_ids) - self._taken and not judged.from_page:
                # More arrived while the last one was being saved.
                continue
            if judged.action != "wait":
                await self._close_panel()
                await self._report.state("generating", turn_pressed=False, **self._learned)
                return len(self._taken)
            if judged.advise == "reload" or ((watch.kept_out or watch.unread) and not self._taken):
                await self._reload()
                continue
            await self._still_generating()
            await watch.news_since(mark, judged.recheck_seconds)

    async def _still_generating(self) -> None:
        """A picture has been saved, and more may come."""
        if self._learned:
            learned, self._learned = self._learned, {}
            await self._report.state("generating", **learned)

    # --- what the witnesses say --------------------------------------------------------------------------------

    async def _note(self) -> None:
        """Put what is newly known into the record; the conversation's id first of all."""
        turn, report = self._watch.turn, self._report
        facts = report.facts
        news: dict[str, object] = {}
        if turn.conversation_id and facts.get("conversation_id") != turn.conversation_id:
            news["conversation_id"] = turn.conversation_id
            news["conversation_url"] = self._watch.tab.site.conversation(turn.conversation_id)
        if turn.user_message_id and facts.get("user_message_id") != turn.user_message_id:
            news["user_message_id"] = turn.user_message_id
        if turn.model and facts.get("model") != turn.model:
            news["model"] = turn.model
        if news:
            await report.state("generating", submitted=True, **news)
        if self._watch.page.percent is not None:
            report.progress(f"the site has drawn {self._watch.page.percent} %")
        elif turn.async_status == 7 and not turn.pictures:
            report.progress("queued at the site")
        else:
            report.progress("")

    def _check_trouble(self) -> None:
        watch = self._watch
        if watch.lost is not None:
            raise problem(watch.lost, True)
        if watch.challenge is not None:
            raise ChallengeMet(submitted=True)
        if watch.refused is not None:
            status, body, mitigated = watch.refused
            if mitigated:
                # The check stood before the site: the prompt never reached it.
                raise ChallengeMet(submitted=False)
            outcome = http_outcome(status, body, now=datetime.now().astimezone(), words=self._words)
            if outcome is not None:
                raise outcome.error()
        if watch.page.expired:
            raise ImageError("needs_sign_in", "The session ended while the picture was being made.", submitted=True)
        if watch.page.approval:
            raise ImageError(
                "text_only", "The site wants a person to approve a tool before it goes on.", submitted=True
            )

    def _no_picture(self, judged: Verdict) -> ImageError:
        watch = self._watch
        at = datetime.now().astimezone()
        outcome = turn_outcome(judged, watch.turn, now=at, words=self._words)
        if outcome.code in {"text_only", "service_error"}:
            for alert in watch.page.alerts:
                told = alert_outcome(alert, now=at, words=self._words)
                if told is not None:
                    return told.error()
        return outcome.error()

    # --- the pictures ------------------------------------------------------------------------------------------

    def _shown(self) -> list[Pointer]:
        """The page's own pictures as pointers, for when the network never told of them."""
        return [
            Pointer(file_id=i.file or i.blob or "", width=i.width, height=i.height, message_id="", final=True)
            for i in self._watch.page.images
            if i.complete and min(i.width, i.height) >= SMALLEST
        ]

    async def _take(self, pointers: list[Pointer], *, from_page: bool = False) -> None:
        for pointer in pointers:
            if pointer.file_id not in self._taken:
                # While the page still loads it: after the bytes have come, each writing would keep the answer waiting.
                await self._report.state("saving")
                captured = await self._bytes(pointer)
                await self._save(pointer, captured, from_page=from_page)

    async def _save(self, pointer: Pointer, captured: Captured, *, from_page: bool) -> None:
        source = {"file_id": pointer.file_id} if not pointer.file_id.startswith("blob:") else {}
        await self._report.save(captured.data, source=source)
        self._taken.add(pointer.file_id)
        facts: dict[str, object] = {"capture": captured.way}
        if from_page:
            facts["confidence"] = "page"
        elif not captured.exact:
            facts["confidence"] = "dimensions"
        self._learned |= facts

    async def _bytes(self, pointer: Pointer) -> Captured:
        """The picture's bytes; the conversation is loaded anew once when the page does not bring them."""
        for attempt in (1, 2):
            try:
                return await capture(self._watch, pointer, BYTES_SECONDS)
            except Mismatch as error:
                log.info("picture %s: %s", pointer.file_id, error)
                reason = str(error)
            except cdp.CDPError as error:
                raise problem(error, True) from None
            if attempt == 1:
                await self._reload()
        raise ImageError(
            "network",
            f"The site finished a picture whose bytes could not be had: {reason}.",
            submitted=True,
            spent=True,
            next_step="Call wait_for_image: the conversation is opened again and the picture collected.",
        )

    async def _reload(self) -> None:
        try:
            landed = await self._watch.reload()
        except cdp.CDPError as error:
            raise problem(error, True) from None
        if landed.challenged:
            raise ChallengeMet(submitted=True)

    async def _close_panel(self) -> None:
        """The panel that asks which picture is better locks the composer; both are saved, so it is skipped."""
        if not self._watch.page.panel or self._skipped_panel:
            return
        self._skipped_panel = True
        node = await self._watch.tab.eye.node("witness.one('ab_skip')")
        if node is None:
            log.info("the panel has no skip control")
            return
        try:
            await human.click(node)
        except (cdp.errors.NodeError, DocumentLeft) as error:
            log.info("the panel could not be skipped: %s", error)
