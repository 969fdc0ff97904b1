"""Runs jobs: their turn, their clock, the change of back end, and how each one ends."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, cast, runtime_checkable

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, request_of
from cdp_image_mcp.request import Backend, BackendName, ImageRequest, Report, State
from cdp_image_mcp.studio import ending, stopfile
from cdp_image_mcp.studio.daylimit import beyond
from cdp_image_mcp.studio.job import Clock, Job
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.system.disk import replace_file
from cdp_image_mcp.system.tasks import background, shielded
from cdp_image_mcp.system.turns import Turns

__all__ = ["Runner"]

log = logging.getLogger(__name__)

API_CONCURRENCY = 4
LATE_SECONDS = 120.0
"""How long the next prompt for the web waits at most for a turn that the site was still drawing when its time was
over: twice what a picture typically takes there."""
LATE_NEWS = "waiting for an earlier picture that the site is still drawing"
LATE_MEMORY = 900.0
"""Seconds after which such a turn is taken to be over at the site."""
RESTS: frozenset[Code] = frozenset(("quota_reached", "rate_limited", "billing"))
FALLS_BACK: frozenset[Code] = frozenset(
    (
        *("api_key_missing", "api_key_invalid", "organization_unverified", "model_unavailable", "billing"),
        *("rate_limited", "quota_reached", "service_error", "network", "browser_not_found", "browser_failed"),
        *("needs_sign_in", "verification_required", "profile_in_use", "site_changed"),
    )
)
"""What lets ``auto`` try the other back end, as long as nothing was submitted."""


@runtime_checkable
class Collector(Protocol):
    """A back end at which a finished picture can be fetched later."""

    async def collect(self, request: ImageRequest, report: Report, /) -> None:
        """Fetch what the site finished for a generation that was submitted earlier; never submits anything.

        Raises ImageError ``not_found`` when nothing is there and nothing will come, others when it may be tried again.
        """
        ...


class Runner:
    """The jobs of this process and the back ends they run on. Owned by the studio's task group."""

    def __init__(
        self,
        settings: Settings,
        library: Library,
        ledger: Ledger,
        group: anyio.abc.TaskGroup,
        ways: Ways,
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.taking = anyio.Lock()
        """Held from the moment a generation becomes ours on disk until its job exists: whoever finds one of ours
        without a job under it may take it for idle."""
        self._settings = settings
        self._library = library
        self._ledger = ledger
        self._group = group
        self._ways = ways
        self._backends: dict[BackendName, Backend] = {}
        self._turns = Turns(settings.profile_dir)
        self._api_slots = anyio.Semaphore(API_CONCURRENCY)
        self._gallery = Gallery(library)
        self._closing = False
        self._settling = anyio.Lock()
        self.web_used: Callable[[], None] = lambda: None
        """Called when a generation begins at the site."""

    # --- back ends ---------------------------------------------------------------------------------------------

    def backend(self, name: BackendName) -> Backend:
        """The back end, made at its first use: a client that only lists tools must not pay for either."""
        if name not in self._backends:
            self._backends[name] = self._ways.make(name, self._settings, self._ledger, self._group)
        return self._backends[name]

    def backend_in_use(self, name: BackendName) -> Backend | None:
        """The back end, if it has been used."""
        return self._backends.get(name)

    def problems(self) -> list[str]:
        return [*self._turns.problems(), *self._gallery.problems()]

    # --- starting and stopping ---------------------------------------------------------------------------------

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run background work that must never bring the server down."""
        self._group.start_soon(self._guarded, work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ImageError as error:
            log.warning("background work stopped: %s", error)
        except Exception:
            log.exception("background work failed")

    def start(self, job: Job, requests: tuple[ImageRequest, ...]) -> None:
        """Begin a new generation; ``requests`` are the ways to try in order."""
        self._begin(job, lambda: self._generate(job, requests))

    async def recover(self, record: Record, folder: Folder, *, background: bool = False) -> None:
        """Go on with a generation that this process just adopted: collect it, or end it truthfully. In the
        ``background`` no person is asked for anything."""
        job = _collecting(record, folder, background=background)
        self._begin(job, lambda: self._collect(job))

    async def end_orphan(self, entry: Entry) -> None:
        """Cancel a generation nobody works on."""
        job = Job(request_of(entry.record), entry.record, entry.folder)
        await self._end(job, "cancelled", ending.cancelled(entry.record))

    async def cancel(self, job: Job) -> None:
        """Stop a job of this process for its user and wait until its record says so."""
        if not job.done.is_set():
            job.stop_wanted = True
            job.scope.cancel()
            await job.done.wait()

    async def cancel_elsewhere(self, entry: Entry) -> None:
        """Ask the process that owns a generation to stop it."""
        await stopfile.leave(entry.folder.path)

    async def settle(self, job: Job) -> None:
        """Write again what a full disk kept from being written; until that works, memory answers."""
        async with self._settling:
            if not (job.unsettled and job.done.is_set()):
                return
            try:
                if job.holds_pictures:
                    await self._save_held(job)
                else:
                    await job.folder.write(job.record)
            except ImageError as error:
                log.warning("what %s made still cannot be written: %s", job.generation_id, error)
            else:
                job.unwritten = False
                self.jobs.pop(job.generation_id, None)

    async def _save_held(self, job: Job) -> None:
        """Raises ImageError ``disk``."""
        await job.save_held()
        whole = len(job.images) >= job.request.n
        await job.finish("saved" if whole else "partial", None if whole else job.record.failure())
        self.start_soon(self._gallery.refresh)

    async def aclose(self, outliving: Callable[[], None] | None = None) -> None:
        """Stop all jobs in order, record them, let go of the back ends; see :func:`studio.open_studio`."""
        self._closing = True
        kept = [job for job in self.jobs.values() if outliving is not None and job.is_out]
        for job in kept:
            job.leaving = True
        stopped = [job for job in self.jobs.values() if job not in kept]
        for job in stopped:
            job.scope.cancel()
        for job in stopped:
            await self._ended(job)
        if web := self._backends.get("chatgpt-web"):
            await web.aclose()
        if outliving is not None and any(not job.done.is_set() for job in kept):
            outliving()
        for job in kept:
            await self._ended(job)
        for backend in self._backends.values():
            await backend.aclose()

    async def _ended(self, job: Job) -> None:
        await job.done.wait()
        await self.settle(job)

    # --- one job -----------------------------------------------------------------------------------------------

    def _begin(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        if self._closing:
            # Its record says "queued" or what it said before; the next start finds it without an owner.
            raise ImageError("cancelled", "The server is ending. Nothing was sent.", retryable=True)
        earlier = self.jobs.get(job.generation_id)
        if earlier is not None and not earlier.record.finished:
            raise ImageError("internal", f"{job.generation_id} is being worked on already.", submitted="unknown")
        job.look_up_taken, job.end_whole = self._taken, self._end_done
        self.jobs[job.generation_id] = job
        self._group.start_soon(self._run, job, work)

    async def _taken(self, generation_id: str) -> frozenset[str]:
        """What of the site belongs to the newest other generations."""
        taken: set[str] = set()
        for entry in await self._library.newest(100):
            record = entry.record
            if record.generation_id != generation_id:
                ids = (record.conversation_id, record.facts.get("user_message_id"))
                taken.update(one for one in (*ids, *record.facts.get("used_message_ids", [])) if one)
        return frozenset(taken)

    async def _run(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        try:
            job.typical = await self._ledger.typical(job.request.backend)
            with job.scope:
                await self._watched(job, work)
            if job.scope.cancelled_caught:
                await self._end_cancelled(job)
        except ImageError as error:
            await self._end_guarded(job, error)
        except Exception as error:
            log.exception("generation %s failed", job.generation_id)
            fault = ImageError("internal", f"{type(error).__name__} in the program.", submitted=job.record.submitted)
            await self._end_guarded(job, fault)
        finally:
            job.end()
            # Its end is on disk a moment before this, and may have been taken up again by then.
            if not job.unsettled and self.jobs.get(job.generation_id) is job:
                del self.jobs[job.generation_id]

    async def _watched(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        """The work, and beside it a look for other processes' wish to cancel."""
        async with background() as group:
            # What was left for an earlier owner is not meant for this one.
            if not job.collecting or await stopfile.take_away(job.folder.path):
                group.start_soon(self._watch_cancel, job)
            await work()

    async def _watch_cancel(self, job: Job) -> None:
        await stopfile.wanted(job.folder.path)
        await stopfile.take_away(job.folder.path)
        job.stop_wanted = True
        job.scope.cancel()

    async def _generate(self, job: Job, requests: tuple[ImageRequest, ...]) -> None:
        for request, following in zip(requests, (*requests[1:], None), strict=True):
            job.request = request
            job.record.backend = request.backend
            if request.backend == "chatgpt-web":
                self.web_used()
                # Our own refusal is no word of the site: nothing rests for it.
                await self._check_limit(job)
            try:
                await self._with_turn(job, lambda request=request: self.backend(request.backend).generate(request, job))
                break
            except ImageError as error:
                await self._remember(request.backend, error)
                may_change = error.code in FALLS_BACK and error.submitted is False and job.record.submitted is False
                if following is None or not may_change:
                    raise
                log.info("%s cannot do it (%s), trying %s", request.backend, error.code, following.backend)
                job.record.fallback_from, job.record.fallback_reason = request.backend, error.code
                # Nothing of that attempt was sent: what it would have sent is no fact about this generation.
                job.record.model, job.record.sent_prompt, job.record.facts = None, None, {}
        await self._end_done(job)

    async def _check_limit(self, job: Job) -> None:
        """The day's limit for one that was accepted for the API and now goes to the web. Its record says so before the
        others are counted: of several that change at once each sees the others, and at worst all are refused."""
        limit = self._settings.daily_limit
        if limit is None or job.record.fallback_from is None:
            return
        await job.state("queued")
        others = [e for e in await self._library.of_today() if e.record.generation_id != job.generation_id]
        if (refusal := beyond(limit, job.request.n, others)) is not None:
            raise refusal

    async def _collect(self, job: Job, *, has_turn: bool = False) -> None:
        """``has_turn``: the caller holds the turn for this job."""
        record = job.record
        for image in await job.folder.strays(record):
            record.images.append(image)
            record.sources.append({})
        backend = self.backend(record.backend) if record.on_web else None
        if record.submitted is False or not isinstance(backend, Collector):
            raise ending.lost(record)
        if len(record.images) < job.request.n:
            within = self._limited if has_turn else self._with_turn
            await within(job, lambda: cast("Collector", backend).collect(job.request, job))
        await self._end_done(job)

    async def _with_turn(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` when it is this job's turn, within the generation's own limit."""
        if job.request.backend == "api":
            async with self._api_slots:
                await self._limited(job, work)
            return

        def at(position: int) -> None:
            job.position = position
            job.progress("")

        waited_for: set[str] = set()
        while True:
            async with self._turns.take(on_position=at):
                job.position = None
                if not job.collecting:
                    await self._after_late_turns(job)
                late = None if job.collecting else self._late_here(waited_for)
                if late is None:
                    await self._in_turn(job, work)
                    return
            waited_for.add(late.generation_id)
            job.progress(LATE_NEWS)
            with anyio.move_on_after(LATE_SECONDS):
                await late.done.wait()
            job.progress("")

    async def _in_turn(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._limited(job, work)
        except ImageError as error:
            if error.code == "timeout" and job.record.submitted is not False:
                # On disk before the turn is given back: whoever gets it looks there for late ones.
                await self._end_failed(job, error)
            raise

    def _late_here(self, but: set[str]) -> Job | None:
        """A late one that somebody asked for and that queues behind this one to be collected."""
        jobs = (job for job in self.jobs.values() if job.collecting and not job.done.is_set())
        return next((job for job in jobs if job.record.timed_out and job.generation_id not in but), None)

    async def _after_late_turns(self, job: Job) -> None:
        """Before a prompt goes out: collect what the site was still drawing when its generation's time was over, for
        an account has one prompt at a time. The late turn is never stopped, since it is paid for, and no prompt waits
        for ever: each one is waited for once and at most ``LATE_SECONDS``; after that the prompt goes out beside it.
        The turn is ``job``'s, and so is this wait; it counts as waiting in the queue."""
        for entry in await self._library.collectable(LATE_MEMORY):
            record = entry.record
            if not record.timed_out or record.facts.get("late_turn_awaited"):
                continue
            with shielded():
                late = await self._begin_late(record.generation_id)
            if late is None:
                continue
            job.progress(LATE_NEWS)
            try:
                await late.done.wait()
            except BaseException:
                # Without our turn nobody may work at the site; the next prompt waits for this one again.
                late.record.facts.pop("late_turn_awaited", None)
                late.clock.use_up()
                with shielded():
                    await late.done.wait()
                raise
            job.progress("")

    async def _begin_late(self, generation_id: str) -> Job | None:
        """Collect it in the turn that the caller holds; None when somebody else does already."""
        async with self.taking:
            adopted = await self._library.adopt(generation_id)
            if adopted is None:
                return None
            late = _collecting(adopted.record, adopted.folder, background=True)
            late.clock = Clock(LATE_SECONDS)
            late.record.facts["late_turn_awaited"] = True
            self._begin(late, partial(self._collect, late, has_turn=True))
            return late

    async def _limited(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        with job.clock.limit() as limit:
            await work()
        if limit.cancelled_caught:
            sent = job.record.submitted
            over = "The wait was cut short" if job.clock.cut_short else f"{job.clock.seconds:g} s were over"
            raise ImageError(
                "timeout",
                f"{over} " + ("before anything was sent." if sent is False else "before the picture was there."),
                submitted=sent,
                spent=job.record.spent,
            )

    # --- how it ends -------------------------------------------------------------------------------------------

    async def _end_done(self, job: Job) -> None:
        if job.record.finished:
            if len(job.images) > job.request.n:
                self.start_soon(self._gallery.refresh)
            return
        timings = job.record.timings
        missing = ending.missing(job)
        await self._end(job, "saved" if missing is None else "partial", missing)
        if not job.collecting:  # which says nothing about how long a picture takes, nor whether one may be asked for
            await self._ledger.add_duration(job.record.backend, timings.browser + timings.submit + timings.generate)
            await self._ledger.clear_rest(job.record.backend)

    async def _end_cancelled(self, job: Job) -> None:
        record = job.record
        if record.finished:
            return
        if job.stop_wanted:
            await self._end(job, "cancelled", ending.cancelled(record))
            return
        if len(record.images) >= job.request.n:
            await self._end(job, "saved", None)
            return
        # What the site made is collected; at the API pictures that are here are all there will be.
        kept = record.images and not record.on_web
        await self._end(job, "partial" if kept else "interrupted", ending.stopped(record))

    async def _end_guarded(self, job: Job, error: ImageError) -> None:
        """A fault of one generation must not bring the others down; its record is found at the next start."""
        try:
            await self._end_failed(job, error)
        except Exception:
            log.exception("the end of generation %s was not recorded", job.generation_id)

    async def _end_failed(self, job: Job, error: ImageError) -> None:
        """Every end but the good ones and a cancellation; once."""
        if job.record.finished:
            return
        state = ending.failed_state(job, error)
        await self._keep_structure(job, error)
        await self._end(job, state, None if state == "saved" else error)

    async def _keep_structure(self, job: Job, error: ImageError) -> None:
        """A page that was not understood: its bare structure goes into a file beside the record."""
        structure = error.details.pop("page_structure", None)
        if structure is None:
            return
        path = job.folder.path / "page-report.json"
        try:
            await anyio.to_thread.run_sync(
                lambda: replace_file(path, msgspec.json.format(msgspec.json.encode(structure)))
            )
        except OSError as problem:
            log.warning("the page report was not written: %s", problem)
        else:
            error.details["report"] = str(path)

    async def _end(self, job: Job, state: State, error: ImageError | None) -> None:
        try:
            await job.finish(state, error)
        except ImageError as problem:
            # The truth stays in memory; the next wait writes it again.
            log.exception("the record of %s could not be written", job.generation_id)
            job.unwritten = True
            if job.record.error is None and not job.record.images:
                job.record.error = problem.as_dict()
        if job.record.images:
            self.start_soon(self._gallery.refresh)

    async def _remember(self, backend: BackendName, error: ImageError) -> None:
        """Leave a back end alone that said when it may be asked again."""
        if error.code in RESTS and error.reset_at is not None and backend == "chatgpt-web":
            await self._ledger.rest_until(backend, error.code, error.reset_at)


def _collecting(record: Record, folder: Folder, *, background: bool) -> Job:
    """A job that fetches what an earlier one left; in the ``background`` no person is asked for anything."""
    job = Job(request_of(record), record, folder)
    job.collecting, job.background = True, background
    return job
