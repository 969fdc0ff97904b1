"""What the site makes of a prompt that is out: every finished picture is saved, until the turn is over.

The picture that was asked for is answered as soon as it is whole on disk (``ends`` of ``Report.save``); what else the
turn may bring is waited for behind that answer, and from then on nothing is asked of anybody and nothing fails.

What could lose, double or mistake a picture here, and what is done:

- lose: a trouble that is told before the bytes that are here were taken; one unreadable picture that stops the others;
- double: what was saved in an earlier run is not fetched again, and nothing here ever sends;
- mistake: bytes that are one of the person's references are refused, whoever says that they are a picture.

Where the rules stand: who says that a picture is final, ``verdict.py``; what counts as its bytes, ``capture.py``.
"""

import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.capture import Capture, Captured, Mismatch, TheirOwn
from cdp_image_mcp.chatgpt.network.quota import PICTURES
from cdp_image_mcp.chatgpt.network.turn import Pointer
from cdp_image_mcp.chatgpt.outcome import alert_outcome, http_outcome, turn_outcome
from cdp_image_mcp.chatgpt.page.accounts import account_of
from cdp_image_mcp.chatgpt.page.layers import press
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.sending import ChallengeMet, StartOver, kept_from_sending
from cdp_image_mcp.chatgpt.watching.evidence import Cause, Verdict
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.system.day import local_now
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

BYTES_SECONDS = 20.0
"""How long the page may take to ask for a finished picture before the conversation is loaded anew."""
BYTES_LOADS = 3
"""How often it is loaded for them, all in all."""
STOP_SECONDS = 4.0
"""How long its stop control may come after the press of send."""
ACCOUNT_SECONDS = 5.0
"""How long the session may take to tell whether it goes on; the turn is waited for all the same."""
CHECK_PAUSE = 10.0
"""Seconds before a prompt whose request met a check is tried once more: pressing at once would look like an attack."""
CHECK_LOADS = 2
"""So many documents in a row with a bare 403 are taken for a check."""


class Untraced(Exception):  # noqa: N818 - a state, not a failure
    """The prompt is out, and which conversation it is in was not learnt: it is to be looked for in the history."""


class BytesMissing(ImageError):  # noqa: N818 - it says what happened
    """The site finished a picture, and its bytes are not to be had now."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "network",
            f"The site finished a picture whose bytes could not be had: {reason}.",
            submitted=True,
            spent=True,
            next_step="Call wait_for_image: the conversation is opened again and the picture collected.",
        )


@asynccontextmanager
async def stopping(watch: TurnWatch, report: Report) -> AsyncGenerator[None]:
    """The site stops drawing what its person gives up within the block. The control may come a moment after the press
    of send; it is pressed once. One prompt of ours is out at a time; where a person asked for something since, it is
    theirs that runs, and goes on."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        theirs = watch.others or watch.turn.followed
        if report.stop_wanted and report.facts.get("turn_pressed") and not theirs:
            try:
                with shielded(STOP_SECONDS + 1):
                    await press(watch.tab, f"witness.until(() => witness.one('stop'), {STOP_SECONDS * 1000})")
            except (cdp.CDPError, TimeoutError) as error:
                log.info("the stop control was not pressed: %s", error)
        raise


def _signed_out() -> ImageError:
    return ImageError("needs_sign_in", "The session ended while the picture was being made.", submitted=True)


class Drawing:
    """One turn being waited for. ``report`` gets every fact as soon as it is known."""

    def __init__(self, watch: TurnWatch, request: ImageRequest, report: Report) -> None:
        self._watch = watch
        self._wanted = request.n
        sent = (reference.sha256 for reference in request.reference_images)
        self._references = frozenset((*sent, *report.facts.get("reference_sha256", ())))
        self._report = report
        self._earlier = frozenset(report.saved_files)
        """Of earlier turns too: they say nothing of what became of this one."""
        self._taken: set[str] = set(self._earlier)
        self._failed: dict[str, ImageError] = {}
        self._why = ""
        self._skipped_panel = False
        self._closed_doors = 0
        self._learned: dict[str, object] = {}
        """How the last picture was had: written with the next state, for each writing waits for the disk."""

    @property
    def _whole(self) -> bool:
        return len(self._report.images) >= self._wanted

    async def pictures(self) -> None:
        """Wait for the turn's end and save its pictures; notes that the turn is done with.

        Raises ImageError, CDPError, ChallengeMet, StartOver, Untraced; nothing once all that was asked for is saved.
        """
        try:
            await self._until_over()
            self._watch.tab.comes_to_rest(self._report.generation_id)
        except (ImageError, cdp.CDPError, ChallengeMet, StartOver, Untraced) as error:
            if not self._whole:
                raise
            log.info("the pictures are saved; what else was to come is left: %s", error)
        await self._report.state("generating", turn_pressed=False, **self._learned)

    async def _until_over(self) -> None:
        watch = self._watch
        while True:
            mark = watch.mark()
            await self._note()
            trouble = self._trouble()
            await self._take(watch.turn.final_pictures, here_only=trouble is not None)
            if isinstance(trouble, StartOver) and not await self._ended_its_script():
                continue
            if trouble is not None:
                raise trouble
            judged = self._judged()
            if judged.action == "pictures_final" and judged.from_page:
                shown = self._shown()
                taken = await self._take(shown, from_page=True) or self._failed
                if not taken and self._shown() != shown:
                    continue  # what was shown is no result: judged anew without it
            elif judged.action == "pictures_final" and set(judged.file_ids) - self._taken - self._failed.keys():
                continue  # more arrived while the last one was being saved
            if judged.action != "wait":
                log.info("the turn is over: %s", judged.why)
                await self._close_panel()
                if judged.kind == "unanswered" and not self._report.images:
                    # The page's own request was seen to leave, and no more.
                    await self._report.state("generating", submitted="unknown")
                self._conclude(judged)
                return
            if judged.load is not None:
                await self._load(judged.load)
                continue
            if self._learned:
                # A picture has been saved, and more may come.
                learned, self._learned = self._learned, {}
                await self._report.state("generating", **learned)
            await watch.news_since(mark, judged.recheck_seconds)

    async def _ended_its_script(self) -> bool:
        """Whether the prompt is still kept back once the page is loaded anew: what its script had in mind ends with its
        document. Raises StartOver where the page shows the check now."""
        landed = await self._watch.load("kept_out")
        if landed.challenged:
            raise kept_from_sending(shown=True)
        return self._watch.refused is not None

    def _judged(self) -> Verdict:
        judged = self._watch.judge()
        if judged.why != self._why:
            self._why = judged.why
            log.debug("%s: %s", judged.action, judged.why)
        return judged

    def _conclude(self, judged: Verdict) -> None:
        """Raises ImageError when the turn is over and pictures of it are not here."""
        if self._failed:
            raise next(iter(self._failed.values()))
        if judged.action == "no_picture" and not self._taken - self._earlier:
            raise self._no_picture(judged)

    # --- what the witnesses say --------------------------------------------------------------------------------

    async def _note(self) -> None:
        """Put what is newly known into the record; the conversation's id first of all."""
        turn, report = self._watch.turn, self._report
        told = self._watch.tab.site.facts(turn.conversation_id)
        told |= {"user_message_id": turn.user_message_id, "model": turn.model}
        news = {name: value for name, value in told.items() if value and report.facts.get(name) != value}
        if report.facts.get("conversation_id") in turn.others:
            news = {"conversation_id": None, "conversation_url": None, **news}
        if news:
            await report.state("generating", submitted=True, **news)
        percent = self._watch.page.percent
        report.progress("" if percent is None else f"the site has drawn {percent} %")

    def _trouble(self) -> ImageError | ChallengeMet | StartOver | None:
        """What ends this turn's watch before its time."""
        watch = self._watch
        if watch.lost is not None:
            return problem(watch.lost, True)
        if watch.refused is not None and watch.refused.mitigated:
            # The check stood before the site: the prompt never reached it.
            return kept_from_sending(CHECK_PAUSE)
        if watch.challenged:
            return ChallengeMet()
        if watch.refused is not None:
            now = local_now()
            left = next((quota.remaining for quota in watch.tab.quotas if quota.feature == PICTURES), None)
            words = watch.tab.site.words
            refused = watch.refused
            return http_outcome(refused.status, refused.body, now=now, words=words, left=left, wait=refused.wait)
        if watch.page.expired or watch.signed_out:
            return _signed_out()
        if watch.page.approval:
            return ImageError(
                "text_only", "The site wants a person to approve a tool before it goes on.", submitted=True
            )
        return None

    def _no_picture(self, judged: Verdict) -> ImageError:
        watch = self._watch
        at, words = local_now(), watch.tab.site.words
        submitted = "unknown" if judged.kind == "unanswered" else True
        outcome = turn_outcome(judged, watch.turn, now=at, words=words, submitted=submitted)
        # Of a prompt that was not answered it is not even known whether the alert came after it.
        if judged.kind != "unanswered" and outcome.code in {"text_only", "service_error"}:
            told = (alert_outcome(alert, now=at, words=words) for alert in watch.page.alerts)
            # One that tells of a failure may still stand when the answer has come.
            failed = outcome.code == "service_error"
            return next((one for one in told if one and (failed or one.code != "service_error")), outcome)
        return outcome

    # --- the pictures ------------------------------------------------------------------------------------------

    def _shown(self) -> list[Pointer]:
        """The page's own pictures as pointers, for when the network never told of them."""
        return [
            Pointer(file_id=i.file or i.blob or "", width=i.width, height=i.height, final=True)
            for i in self._watch.page.results(drawn=self._watch.turn.drawing_started)
        ]

    async def _take(self, pointers: Collection[Pointer], *, from_page: bool = False, here_only: bool = False) -> bool:
        """Save what is not saved yet; whether anything was. One whose bytes cannot be had does not keep the others.
        ``here_only``: what the network has at this moment; nothing is waited for or loaded."""
        saved = False
        for pointer in pointers:
            if pointer.file_id in self._taken or pointer.file_id in self._failed:
                continue
            try:
                found = Capture(self._watch, pointer, self._references).here() if here_only else self._bytes(pointer)
                captured = await found
            except TheirOwn:
                log.warning("the person's own reference was about to be taken for a picture; it is left out")
                self._watch.disregard(pointer.file_id)
            except BytesMissing as error:
                self._failed[pointer.file_id] = error
            except cdp.CDPError as error:
                log.info("picture %s was not taken: %s", pointer.file_id, error)
            else:
                if captured is not None:
                    await self._save(pointer, captured, from_page=from_page)
                    saved = True
        return saved

    async def _save(self, pointer: Pointer, captured: Captured, *, from_page: bool) -> None:
        source = {"file_id": pointer.file_id} if not pointer.file_id.startswith("blob:") else {}
        confidence = "page" if from_page else captured.confidence
        self._learned |= {"capture": captured.way, **({"confidence": confidence} if confidence else {})}
        answered = self._whole
        await self._report.save(captured.data, source=source, ends=self._learned)
        self._taken.add(pointer.file_id)
        if self._whole and not answered:
            self._learned = {}

    async def _bytes(self, pointer: Pointer) -> Captured:
        """The picture's bytes; the conversation is loaded anew when the page does not bring them: once, and again where
        the page was refused it, which says nothing of the picture."""
        # While the page still loads it: after the bytes have come, each writing would keep the answer waiting.
        await self._report.state("saving")
        reason = ""
        for loads in range(BYTES_LOADS + 1):
            if loads > 1 and not self._watch.moment.load_failed:
                break
            if loads:
                await self._load("bytes")
            try:
                return await Capture(self._watch, pointer, self._references).wait(BYTES_SECONDS, last=loads > 0)
            except (Mismatch, DocumentLeft) as error:
                log.info("picture %s: %s", pointer.file_id, error)
                reason = str(error)
            except cdp.CDPError as error:
                raise problem(error, True) from None
        raise BytesMissing(reason)

    async def _load(self, cause: Cause) -> None:
        """Load the conversation anew. A network that is away at that moment is waited for."""
        watch = self._watch
        here = watch.tab.site.conversation_id(watch.tab.page.url)
        if watch.turn.conversation_id is None and (here is None or here in watch.turn.others):
            raise Untraced
        try:
            landed = await watch.load(cause)
        except cdp.CDPError as error:
            trouble = problem(error, True)
            if trouble.code != "network":
                raise trouble from None
            log.info("the conversation could not be loaded: %s", error)
            return
        self._closed_doors = self._closed_doors + 1 if landed.status == 403 else 0
        if landed.challenged or self._closed_doors >= CHECK_LOADS:
            raise ChallengeMet
        if watch.signed_out:
            raise _signed_out()
        if not landed.check and landed.status < 400:
            await self._require_session()

    async def _require_session(self) -> None:
        """Raises ImageError ``needs_sign_in`` when the session has ended: the page may be the last to say so. A session
        that is slow to tell, or behind a check, says nothing."""
        try:
            account = await account_of(self._watch.tab, ACCOUNT_SECONDS)
        except cdp.CDPError as error:
            log.info("whether the session goes on is not known: %s", error)
            return
        if account is not None and account.state in {"guest", "expired"}:
            raise _signed_out()

    async def _close_panel(self) -> None:
        """The panel that asks which picture is better locks the composer; once both are saved it is skipped. While one
        is not it is left alone, for what the site keeps behind it is not known; a prompt that goes on there needs the
        composer, and skips it all the same."""
        if not self._watch.page.panel or self._skipped_panel or self._failed:
            return
        self._skipped_panel = True
        try:
            if not await press(self._watch.tab, "witness.panelSkip()"):
                log.info("the panel has no skip control")
        except cdp.CDPError as error:
            log.info("the panel could not be skipped: %s", error)  # whoever needs the page next finds it lost
