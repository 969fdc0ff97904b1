"""One generation at the API: its requests, their repetition, its pictures and what they cost."""

import logging
from contextlib import AsyncExitStack
from datetime import date
from functools import partial
from typing import Any

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError, fault
from cdp_image_mcp.openai.advice import advise
from cdp_image_mcp.openai.estimate import most_of
from cdp_image_mcp.openai.habits import Habits
from cdp_image_mcp.openai.plan import Plan, make_plan
from cdp_image_mcp.openai.profiles import EditForm, address, choose_profile
from cdp_image_mcp.openai.refusals.failures import BILLED_NOTE, Failure, clean, judge_broken
from cdp_image_mcp.openai.tally import Tally
from cdp_image_mcp.openai.wire.answer import Answer
from cdp_image_mcp.openai.wire.download import Downloader, FetchError
from cdp_image_mcp.openai.wire.exchange import BrokenError, Line
from cdp_image_mcp.openai.wire.pacing import Pace, Tries
from cdp_image_mcp.openai.wire.payload import make_body
from cdp_image_mcp.openai.wire.receiving import read_answer
from cdp_image_mcp.request import ImageRequest, Report, WorkState
from cdp_image_mcp.system.sleep import awake_for
from cdp_image_mcp.system.tasks import background, shielded

log = logging.getLogger(__name__)

PATIENCE = 600.0
"""How long a request that has left is waited for, whatever the time limit says: it may have been paid. High quality in
4K takes up to 300 s (2026-07), and a stream without previews may say nothing meanwhile."""
MOST_STREAMS = 4


class Means:
    """What all generations of this process share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.line = Line(settings)
        self.pace = Pace()
        self.downloader = Downloader(settings)
        self.habits = Habits()
        self.streams = anyio.CapacityLimiter(MOST_STREAMS)


class Generation:
    """Runs once. Pictures go to the report as they come, and what all of it cost when it is over."""

    def __init__(self, request: ImageRequest, report: Report, means: Means) -> None:
        """Raises ImageError ``configuration`` or ``invalid_input``."""
        settings, profile = means.settings, choose_profile(means.settings)
        self._request = request
        self._report = report
        self._means = means
        self._plan = plan = make_plan(request, settings, profile)
        self._url = address(profile, settings, profile.edits if plan.edit else profile.generations)
        self._key = settings.api_key
        self._answers: list[Answer] = []
        """Those that were answers, and no refusals."""
        self._warnings = list(plan.warnings)
        self._tally = Tally(plan, most_of(request, plan) / plan.requests, report)

    async def run(self) -> None:
        """Make the pictures. Raises ImageError when one is missing; those saved stay."""
        sent = {name: value for name, value in self._plan.parameters.items() if name not in {"prompt", "model"}}
        try:
            async with AsyncExitStack() as stream:
                if self._plan.requests > 1:
                    # Whoever waits for the streams of other generations has sent nothing: its time limit ends it.
                    await stream.enter_async_context(self._means.streams)
                await self._about_to_send(
                    sent_prompt=self._request.prompt,
                    model=str(self._plan.parameters["model"]),
                    sent_parameters=sent,
                    requests=self._plan.requests,
                )
                async with anyio.create_task_group() as group:
                    for index in range(1, self._plan.requests):
                        group.start_soon(self._limited, index)
                    await self._guarded(0)
                    await stream.aclose()
        finally:
            with shielded():
                await self._settle()
        if self._tally.errors:
            raise self._tally.whole_error()

    async def _about_to_send(self, **facts: Any) -> None:
        """From here on nobody can say that nothing was sent, should this process die or the disk take nothing more; so
        it stands on disk before the first byte leaves. What did not leave is told when the generation ends."""
        submitted, spent = self._tally.standing()
        await self._report.state("submitting", submitted=submitted or "unknown", spent=spent or "unknown", **facts)

    async def _limited(self, index: int) -> None:
        async with self._means.streams:
            await self._guarded(index)

    async def _guarded(self, index: int) -> None:
        """One request; its failure takes no other request with it."""
        try:
            await self._request_until_done(index)
        except ImageError as error:
            self._tally.errors.insert(0, error)  # why what came of its pictures is no whole one
        except Exception as problem:
            # Raised, it would cancel the requests beside it, which are paid for.
            log.exception("a request ended with a fault of the program")
            self._tally.errors.append(fault(problem))

    # --- one request ------------------------------------------------------------------------------------------

    async def _request_until_done(self, index: int) -> None:
        tries = Tries(self._left)
        form: EditForm | None = None
        while True:
            with self._tally.before_sending():
                await self._wait_for_pace()
                if self._tally.passed and self._plan.requests == 1:
                    await self._about_to_send()
                self._report.may_send()
            sent = self._means.habits.applied(self._plan, form)
            verdict = await self._once(index, sent)
            if verdict is None:
                return
            if verdict.error.spent is False:
                if self._means.habits.learn(verdict.objection, sent):
                    continue
                if other := self._means.habits.other_form(verdict.objection, sent):
                    form = other
                    continue
            delay = tries.delay(verdict.again, verdict.error.retry_after_seconds) if verdict.again else None
            if delay is None or not await self._may_cost_again(verdict.error):
                raise verdict.error
            if verdict.again == "limit":
                self._means.pace.hold(delay)
            self._report.progress(f"{verdict.error.message} Sent again in {delay:.0f} s.")
            if self._plan.requests == 1:
                submitted, spent = self._tally.standing()
                with self._tally.before_sending():
                    await self._report.state("submitting", submitted=submitted, spent=spent)
            await anyio.sleep(delay)

    async def _once(self, index: int, plan: Plan) -> Failure | None:
        """Send one request of ``plan`` one time; None when it was answered with pictures."""
        wanted = self._request.n if self._plan.requests == 1 else 1
        answer = Answer(self._key, self._save, wanted)
        try:
            failed = await self._exchanged(index, plan, answer)
            if isinstance(failed, BrokenError) and answer.addresses:
                answer.faults.append(f"it broke off ({failed.words})")
                failed = None
            if isinstance(failed, BrokenError):
                resend = self._means.settings.resend_unclear and not answer.pictures
                failed = judge_broken(failed, left=index in self._tally.out, resend=resend)
            self._tally.comes_back(index, failed and failed.error)
            if failed is not None:
                advise(failed.error, self._plan, date.today())  # noqa: DTZ011 - the vendor names days, not hours
                return failed
            self._answers.append(answer)
            if answer.found and plan.form != self._plan.form:
                self._means.habits.takes(plan.form)
            if answer.found or answer.usage:
                self._tally.book(answer.usage or {})
            else:
                self._tally.book_unclear()
            await self._fetch(answer)
            self._check_count(answer)
        finally:
            for place in answer.addresses:
                self._report.fetch_later(partial(self._fetch_again, place))
        return None

    async def _exchanged(self, index: int, plan: Plan, answer: Answer) -> Failure | BrokenError | None:
        """Send it and read what comes into ``answer``: why there is no more."""
        longest = max(PATIENCE, self._request.timeout_seconds)
        failed: Failure | BrokenError | None = BrokenError(
            "waiting", "timeout", f"no whole answer within {longest:g} s"
        )
        began = anyio.current_time()
        waiting, patience = anyio.Event(), anyio.CancelScope()

        async def sent() -> None:
            waiting.set()
            await self._has_left(index)

        async def give_up() -> None:
            await waiting.wait()
            await awake_for(longest)
            patience.cancel()

        with patience:
            async with background() as group:
                group.start_soon(give_up)
                try:
                    async with self._means.line.send(self._url, make_body(plan), on_sent=sent) as reply:
                        waiting.set()
                        named = reply.headers.get("x-request-id") or reply.headers.get("x-generation-id", "")
                        answer.request_id = clean(named, self._key, 100)
                        begun = partial(self._report.progress, "The API's answer is arriving.")
                        failed = await read_answer(reply, answer, begun)
                    log.debug("Images request answered: HTTP %d in %.1f s", reply.status, anyio.current_time() - began)
                except BrokenError as broken:
                    log.debug("Images request broke while %s: %s", broken.phase, broken.words)
                    failed = broken
                finally:
                    self._warnings += answer.warnings
        return failed

    async def _wait_for_pace(self) -> None:
        """What other requests were told to wait for. Where that is longer than this generation may take it asks all the
        same: to be turned away costs nothing, and the limit may be over or meant for theirs alone."""
        while 0 < (pause := self._means.pace.left) < self._left():
            self._report.progress(f"The API asked for a pause of {pause:.0f} s.")
            await anyio.sleep(pause)

    def _left(self) -> float:
        """Seconds in which something may be sent again. While another way may follow, its part is left to it."""
        return self._report.time_left - (self._report.time_kept if self._tally.unsent else 0.0)

    async def _may_cost_again(self, error: ImageError) -> bool:
        """Whether the day's budget allows one more try after one that may have been paid."""
        if error.spent is False:
            return True
        try:
            await self._report.reserve(self._tally.worst_usd)
        except ImageError as refusal:
            log.info("not sent again: %s", refusal)
            return False
        return True

    # --- what comes back --------------------------------------------------------------------------------------

    async def _fetch(self, answer: Answer) -> None:
        """Pictures that the answer only named by address, each saved as it comes; those that cannot be had now stay in
        it."""

        async def take(place: str) -> None:
            self._report.progress("Fetching a picture from the address the API named.")
            try:
                data = await self._means.downloader.fetch(place, self._url)
                answer.addresses.remove(place)
                await answer.hand_on(data)
            except FetchError as problem:
                answer.faults.append(f"a picture could not be fetched: {problem}")
                if problem.never:
                    answer.addresses.remove(place)
            except Exception as problem:
                # Raised, it would cancel the fetches beside it, whose addresses may give their pictures once.
                log.exception("the fetching of a picture ended with a fault of the program")
                answer.faults.append(f"a picture could not be fetched: {type(problem).__name__} in the program")

        async with anyio.create_task_group() as group:
            for place in answer.addresses:
                group.start_soon(take, place)

    async def _fetch_again(self, place: str) -> bytes:
        try:
            return await self._means.downloader.fetch(place, self._url)
        except FetchError as fault:
            raise ImageError("network", f"The picture still cannot be fetched: {fault}.", submitted=True) from None

    def _check_count(self, answer: Answer) -> None:
        if answer.pictures >= answer.wanted and not answer.faults:
            return
        made = "no picture" if not answer.pictures else f"{answer.pictures} of {answer.wanted} pictures"
        held = f"The API's answer held {made}"
        if answer.verdict is not None:
            error = answer.verdict.error
            error.message += f" {held}."
        else:
            reason = "; ".join(answer.faults[:5]) or "the rest is missing"
            error = ImageError(
                "service_error",
                f"{held}: {reason}.",
                next_step="The answer was probably paid; look into the account before calling again.",
            )
        error.submitted, error.spent = True, True if answer.pictures or answer.usage else "unknown"
        error.retryable = False
        self._tally.errors.append(error)

    # --- the end ----------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Write down what is known now, also after a failure or a cancellation."""
        facts: dict[str, Any] = {}
        for answer in self._answers:
            facts |= answer.facts
        revised = [prompt for answer in self._answers for prompt in answer.revised_prompts]
        named = [answer.request_id for answer in self._answers if answer.request_id]
        for name, found in (("revised_prompt", revised), ("request_id", named)):
            if found:
                facts[name] = found[0] if len(found) == 1 else found
        if self._tally.usage:
            facts["usage"] = self._tally.usage
        if self._tally.cost_usd is not None:
            facts["cost_usd"] = self._tally.cost_usd
        if left_out := self._means.habits.left_out & self._plan.parameters.keys():
            facts["left_out"] = sorted(left_out)
        for _ in self._tally.out:
            self._tally.book_unclear()
            facts["billing_note"] = BILLED_NOTE
        facts |= {"booked_usd": self._tally.booked_usd, "reserved_usd": 0.0}
        if self._warnings:
            facts["warnings"] = self._warnings
        facts["submitted"], facts["spent"] = self._tally.standing()
        state = "saving" if self._report.images else "generating" if self._tally.was_sent else "starting"
        await self._try_state(state, **facts)

    # --- as it happens ----------------------------------------------------------------------------------------

    async def _has_left(self, index: int) -> None:
        first = not self._tally.was_sent
        self._tally.leaves(index)
        if first or self._plan.requests == 1:
            await self._try_state("generating", submitted=True)

    async def _try_state(self, state: WorkState, **facts: Any) -> None:
        """Once the request has left, a record that cannot be written must cost neither the picture nor the reason why
        there is none: the next call of the report, or the end, meets the same disk and tells."""
        try:
            await self._report.state(state, **facts)
        except Exception as problem:
            log.warning("The record could not be written: %s", problem, exc_info=not isinstance(problem, ImageError))

    async def _save(self, data: bytes) -> None:
        """Save one picture of a request; a failure is kept and the others still come."""
        try:
            # What is paid is written, even while the generation is being cancelled.
            with shielded():
                await self._report.save(data)
        except ImageError as problem:
            error = problem
        except Exception as problem:
            log.exception("the saving of a picture ended with a fault of the program")
            error = fault(problem)
        else:
            if self._request.n > 1:
                self._report.progress(f"{len(self._report.images)} of {self._request.n} pictures are saved.")
            return
        # Programs call again by themselves what is called retryable; this could pay for one picture twice.
        error.submitted, error.spent, error.retryable = True, True, False
        self._tally.errors.append(error)
