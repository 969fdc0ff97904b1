"""The prompt goes out once, and what came of it is proven.

Proof is the page's own request with our text; without it, our turn on the page and an editor that no longer holds the
text. What stays unproven is "unknown", and never sent again.
"""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager

import anyio

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.page.arrival import Arrival, in_the_way
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.layers import too_many_requests
from cdp_image_mcp.chatgpt.page.sitereport import page_structure
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.watching.evidence import Cause
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
from cdp_image_mcp.errors import Code, Fact, ImageError
from cdp_image_mcp.request import Reference, Report
from cdp_image_mcp.system.day import local_now
from cdp_image_mcp.system.tasks import shielded

SENT_SECONDS = 15.0
"""How long the page may take from the press to its own request."""
REFUSING: dict[int, Code] = {401: "needs_sign_in", 429: "rate_limited"}
"""What the site says besides 5xx to what comes before a prompt; of other statuses a page may think nothing."""
WORKING_SECONDS = 60.0
"""How long it may take while it is seen to be at it: the site's proof of work is slow on a slow machine."""


class NotReady(Exception):  # noqa: N818 - a state, not a failure
    """Something came between typing and sending that a person has to answer; nothing was sent."""

    def __init__(self, arrival: Arrival) -> None:
        super().__init__(arrival.detail)
        self.arrival = arrival


class StartOver(Exception):  # noqa: N818 - a state, not a failure
    """Nothing was sent, and what kept it from being sent may be gone: it may begin anew, ``pause`` seconds later.
    ``error`` is what to tell when that happens again and again; where it is to be tried ``once`` more and not oftener,
    when it happens again."""

    def __init__(self, error: ImageError, pause: float = 0.0, *, once: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause = pause
        self.once = once


def kept_from_sending(pause: float = 0.0, *, shown: bool = False) -> StartOver:
    """A check answered for the site. ``shown``: in its page too; whoever arrives there asks the person. Where no page
    shows it nobody can be asked, and pressing on would look like an attack."""
    told = ImageError("verification_required", "A check kept the prompt from being sent: it did not go out.")
    return StartOver(told, pause, once=not shown)


class ChallengeMet(Exception):  # noqa: N818 - a state, not a failure
    """A prompt is out and the site shows a check, which the person has to pass before this goes on."""


class Sending:
    """One prompt's way out. ``report`` gets every fact as soon as it is known."""

    def __init__(
        self,
        watch: TurnWatch,
        report: Report,
        references: Collection[Reference] = (),
        *,
        in_place: Callable[[], None] = lambda: None,
    ) -> None:
        """``in_place`` raises StartOver when the page has gone to another conversation than the prompt is for."""
        self._watch = watch
        self._report = report
        self._references = references
        self._in_place = in_place
        self._sent_before: Fact = report.facts.get("submitted", False)
        self._asked_before: Collection[Request] = ()

    async def send(self, composer: Composer, text: str) -> None:
        """Press send and prove what came of it. The text stands in the composer already.

        Raises ImageError with ``submitted`` telling the truth, NotReady when nothing was sent and a person is needed,
        StartOver when it may begin anew.
        """
        # Not at once by loading anew: a page that empties its editor a while after its loading would do it again.
        if not (await self._pressed(composer, text) or await self._pressed(composer, text)):
            raise StartOver(ImageError("site_changed", "The composer did not keep the prompt. Nothing was sent."))
        if await self._went_out(composer, text):
            sent = True if self._watch.request_seen.is_set() or self._sent_before is True else "unknown"
            await self._report.state("generating", submitted=sent)
        else:
            await self._not_seen(composer, text)

    async def _pressed(self, composer: Composer, text: str) -> bool:
        """Whether the send control was pressed; not where the page took the text away before that, and the control
        with it."""
        watch = self._watch
        await self._look_round()
        if not await composer.stands(text):
            await composer.settle(text)
            await self._look_round()
            if not await composer.stands(text):
                return False
        await watch.expect(text)
        self._in_place()
        if watch.lost is not None:
            # What cannot be watched is not begun.
            sent = self._report.facts.get("submitted", False)
            raise ImageError("browser_failed", f"{watch.lost}; the prompt was not sent.", submitted=sent)
        await self._before_press(text)
        try:
            async with self._taken_back_unpressed() as last:
                await composer.send(text, watch.request_seen, last)
        except ImageError as error:
            await self._look_round()
            if error.code == "site_changed" and not await composer.holds(text):
                return False
            raise
        return True

    async def _look_round(self) -> None:
        if (arrival := await in_the_way(self._watch.tab)) is not None:
            raise NotReady(arrival) from None

    async def _before_press(self, text: str) -> None:
        """From here on nobody can say that nothing was sent; so it stands on disk before the press. The message of an
        earlier turn of this generation is not this one's."""
        facts = self._report.facts
        self._asked_before = self._watch.tab.bodies.requests
        references = [*facts.get("reference_sha256", ()), *(reference.sha256 for reference in self._references)]
        used = [*facts.get("used_message_ids", []), facts.get("user_message_id")]
        site = self._watch.tab.site
        await self._report.state(
            "submitting",
            sent_prompt=text,
            submitted="unknown" if self._sent_before is False else self._sent_before,
            submitted_at=local_now().isoformat(),
            user_message_id=None,
            used_message_ids=[one for one in used if one],
            account=self._watch.tab.who,
            turn_pressed=True,
            # A later turn or run refuses them too, whoever says that they are pictures.
            reference_sha256=[*dict.fromkeys(references)],
            **site.facts(site.conversation_id(self._watch.tab.page.url)),
        )

    @asynccontextmanager
    async def _taken_back_unpressed(self) -> AsyncGenerator[Callable[[], None]]:
        """What it gives is called right before the press; whatever ends the block before that, a cancellation or a page
        that hangs too, ends it with nothing sent. On the way there the control is looked for and dialogs are closed."""
        pressed = False

        def last() -> None:
            nonlocal pressed
            self._in_place()
            pressed = True

        try:
            yield last
        except BaseException:
            if not pressed:
                with shielded():
                    await self.not_sent()
            raise

    async def not_sent(self) -> None:
        """This turn's prompt did not go out; what went out for earlier pictures did."""
        # Not as "submitting": that asks whether something may still be sent, and this is true at any time.
        await self._report.state("starting", submitted=self._sent_before, turn_pressed=False)

    async def _went_out(self, composer: Composer, text: str) -> bool:
        watch = self._watch

        def decided() -> bool:
            stopped = watch.tab_gone or watch.challenged or watch.kept_out
            # A page that was refused what comes before the prompt may try again by itself.
            failed = watch.page.found and watch.page.failed and self._refused_beforehand() is None
            return watch.request_seen.is_set() or stopped or failed

        if not await watch.until(decided, SENT_SECONDS):
            with anyio.move_on_after(WORKING_SECONDS - SENT_SECONDS):
                while self._at_it() and not await watch.until(decided, 1.0):
                    pass
        if watch.request_seen.is_set():
            return True
        if watch.tab_gone or watch.challenged or watch.kept_out or self._refused_beforehand() is not None:
            return False
        return watch.page.found and not await composer.holds(text)

    def _at_it(self) -> bool:
        """The page shows that it is sending, or waits for what the site wants before it may."""
        tab = self._watch.tab
        waits = (request for request in tab.bodies.requests if tab.site.asks("sending", request))
        return self._watch.page.stop or any(not request.ended for request in waits)

    def _refused_beforehand(self) -> int | None:
        """The status with which the site refused a call that the page makes before the prompt's own request, when that
        kept it from going out: nothing was missed, and the page shows nothing of an answer to it."""
        watch = self._watch
        tab, page = watch.tab, watch.page
        if watch.lost is not None or page.stop or page.drawing:
            return None
        asked = (one for one in tab.bodies.requests if one not in self._asked_before and tab.site.asks("sending", one))
        last = {one.url: one.status or 0 for one in asked}  # what was asked again counts as it was answered last
        return next((status for status in last.values() if status >= 500 or status in REFUSING), None)

    async def _not_seen(self, composer: Composer, text: str) -> None:
        """No request and no turn of ours after the press."""
        watch = self._watch
        if watch.kept_out or watch.challenged:
            # A check answered the page's requests before the prompt could go out.
            if await self._out_after_loading("kept_out"):
                return
            raise kept_from_sending()
        if watch.lost is not None:
            raise problem(watch.lost, "unknown")
        refused = self._refused_beforehand()
        if refused is None and not await composer.holds(text):
            raise ImageError(
                "site_changed",
                "Send was pressed and neither the site's request nor our turn was seen. It is not pressed again.",
                submitted="unknown",
                next_step="Call wait_for_image: if the site took the prompt, its picture is collected.",
            )
        structure, limited = await page_structure(watch.tab), watch.page.rate_dialog
        if await self._out_after_loading("late"):
            return
        if limited:
            raise too_many_requests(self._sent_before)
        if refused is not None:
            raise ImageError(
                REFUSING.get(refused, "service_error"),
                f"The site answered HTTP {refused} to what its page asks before a prompt. Nothing was sent.",
                submitted=self._sent_before,
                details={"http_status": refused},
            )
        raise ImageError(
            "site_changed",
            "Send was pressed and the site did not take the prompt; it still stands in the composer.",
            submitted=self._sent_before,
            details={"role": "send", "page_structure": structure},
        )

    async def _out_after_loading(self, cause: Cause) -> bool:
        """The page may still be at it, or have it in mind. Loading it anew ends that; only then is it certain whether
        the prompt went out. Raises StartOver where that shows a check."""
        landed = await self._watch.load(cause)
        if self._watch.request_seen.is_set():
            await self._report.state("generating", submitted=True)
            return True
        await self.not_sent()
        if landed.challenged:
            raise kept_from_sending(shown=True)
        return False
