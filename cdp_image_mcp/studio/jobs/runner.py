"""Runs jobs: their start, the change of back end, and how each one ends."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias, cast

import anyio
import anyio.abc

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, ImageError, fault
from cdp_image_mcp.library import strays
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.gallery.gallery import Gallery
from cdp_image_mcp.library.joining import Entry, OfToday
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, request_of
from cdp_image_mcp.request import Backend, BackendName, ImageRequest, SiteBackend, State
from cdp_image_mcp.studio import ending, limits, profiles
from cdp_image_mcp.studio.continued import as_it_stands
from cdp_image_mcp.studio.jobs import stopfile
from cdp_image_mcp.studio.jobs.job import Job
from cdp_image_mcp.studio.jobs.places import Places
from cdp_image_mcp.studio.jobs.settling import Settling
from cdp_image_mcp.studio.steering import Steering
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.system.disk import finish
from cdp_image_mcp.system.tasks import background

log = logging.getLogger(__name__)

CLOSING_SECONDS = 15.0
"""How long whoever waits for the end of this process waits for a browser's, while a request is out, and for a picture
to come from its address."""
LAST_SECONDS = 10.0
"""How long a request that is out is waited for where no process may outlive its client: the end of this one has fifteen
seconds in all (``mcp_server/serving``), and a person who pressed Ctrl-C waits for it."""
FALLS_BACK: frozenset[Code] = frozenset(
    (
        *("api_key_missing", "api_key_invalid", "organization_unverified", "model_unavailable", "billing"),
        *("rate_limited", "quota_reached", "service_error", "network", "browser_not_found", "browser_failed"),
        *("needs_sign_in", "verification_required", "profile_in_use", "site_changed"),
    )
)
"""What lets ``auto`` try the other back end, as long as nothing was submitted."""
Outliving: TypeAlias = Callable[[], Callable[[], None] | None]
"""Called when this process leaves while something is out that is paid for; what it gives is called when nothing else
is left to be done. None: this process cannot go on for long."""


class Runner:
    """The jobs of this process and the back ends they run on; their ``Care``. Owned by the studio's task group."""

    def __init__(
        self, settings: Settings, library: Library, steering: Steering, ways: Ways, group: anyio.abc.TaskGroup
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.taking = anyio.Lock()
        """Held from the moment a generation becomes ours on disk until its job exists: whoever finds one of ours
        without a job under it may take it for idle. And while a call that was given up meanwhile leaves."""
        self.web_used = anyio.Event()
        """Set when a generation begins at the site."""
        self._settings = settings
        self._library = library
        self._steering = steering
        self._group = group
        self._ways = ways
        self.backends: dict[BackendName, Backend] = {}
        """Those that were used."""
        self._places = Places(settings.profile_dir, library)
        self.gallery = Gallery(library)
        self._closing = False
        self._settling = Settling(self._dismiss, self._end, self.start_soon)
        self.settle = self._settling.settle

    # --- back ends ---------------------------------------------------------------------------------------------

    def backend(self, name: BackendName) -> Backend:
        """The back end, made at its first use: a client that only lists tools must not pay for either."""
        if name not in self.backends:
            ledger = self._steering.ledgers["chatgpt-web"]
            self.backends[name] = self._ways.make(name, self._settings, ledger, self._group)
        return self.backends[name]

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

    def start(self, requests: Sequence[ImageRequest], record: Record, folder: Folder) -> None:
        """Begin a new generation; ``requests`` are the ways to try in order."""
        job = Job(requests[0], record, folder, self)
        self._begin(job, lambda: self._generate(job, requests))

    def recover(self, record: Record, folder: Folder, *, background: bool = False) -> None:
        """Go on with a generation that this process just adopted: collect it, or end it truthfully. In the
        ``background`` no person is asked for anything."""
        job = Job(request_of(record), record, folder, self)
        job.collecting, job.background = True, background
        self._begin(job, lambda: self._collect(job))

    async def end_orphan(self, entry: Entry) -> None:
        """Cancel a generation nobody works on."""
        job = Job(request_of(entry.record), entry.record, entry.folder, self)
        try:
            await _take_in(job)
            await self._end(job, "cancelled", ending.cancelled(entry.record))
        finally:
            await self._library.let_go(job.generation_id)

    async def aclose(self, outliving: Outliving | None = None) -> None:
        """Stop all jobs in order, record them, let go of the back ends; see :func:`studio.open_studio`. A fault of one
        part is logged: raised, it would cancel the requests that are out."""
        self._closing = True
        kept = [job for job in self.jobs.values() if job.is_out or job.held]
        for job in kept:
            # Whoever asked for it has gone: what comes of it is for the next who asks.
            job.leaving, job.record.session = True, None
        let_go = outliving() if outliving is not None and kept else None
        async with anyio.create_task_group() as group:
            if let_go is None:
                group.start_soon(self._settling.see_through, kept, LAST_SECONDS)
            with anyio.move_on_after(CLOSING_SECONDS if kept else None):
                await self._close_others(kept)
        if let_go is not None:
            if any(job.held or not job.done.is_set() for job in kept):
                try:
                    let_go()
                except Exception:
                    log.exception("whoever waits for the end was not told of it")
            await self._settling.see_through(kept)
        for backend in self.backends.values():
            await self._guarded(backend.aclose)

    async def _close_others(self, kept: Sequence[Job]) -> None:
        """End what need not be waited for; a picture that is paid for goes on being fetched meanwhile."""
        stopped = [job for job in self.jobs.values() if job not in kept]
        for job in stopped:
            job.scope.cancel()
        for job in stopped:
            await self._guarded(partial(self._settling.ended, job, CLOSING_SECONDS))
        if web := self.backends.get("chatgpt-web"):
            await self._guarded(web.aclose)

    # --- the care of a job -------------------------------------------------------------------------------------

    async def taken(self, generation_id: str, /) -> frozenset[str]:
        taken: set[str] = set()
        for entry in await self._library.newest(100):
            record = entry.record
            if record.generation_id != generation_id:
                ids = (record.conversation_id, record.facts.get("user_message_id"))
                taken.update(one for one in (*ids, *record.facts.get("used_message_ids", [])) if one)
        return frozenset(taken)

    async def reserve(self, job: Job, usd: float, /) -> None:
        record = job.record
        reserved = record.reserved_usd + usd  # the step may be taken twice

        def admit(of_today: OfToday) -> None:
            if (refusal := limits.beyond(self._settings, job.request, usd, of_today)) is not None:
                refusal.submitted, refusal.spent = record.submitted, record.spent
                raise refusal
            record.reserved_usd = reserved

        await self._library.amend(record, job.folder, admit)

    # --- one job -----------------------------------------------------------------------------------------------

    def _begin(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        if self._closing:
            # Its record says "queued" or what it said before; the next start finds it without an owner.
            raise ImageError(
                "cancelled",
                "The server is ending. Nothing was sent.",
                retryable=True,
                next_step=ending.ADVICE["unspent"],
            )
        self.jobs[job.generation_id] = job
        self._group.start_soon(self._run, job, work)

    async def _run(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with job.scope:
                async with background() as group:
                    # What was left for an earlier owner is not meant for this one.
                    if not job.collecting or await stopfile.take_away(job.folder.path):
                        group.start_soon(self._watch_cancel, job)
                    await work()
            if job.scope.cancelled_caught and not job.record.finished:
                await self._end(job, *ending.stopped(job))
        # A fault of one end must not bring the others down; its record is found at the next start.
        except ImageError as error:
            await self._guarded(partial(self._end_failed, job, error))
        except Exception as error:
            log.exception("generation %s failed", job.generation_id)
            told = fault(error, submitted=job.record.submitted)
            await self._guarded(partial(self._end_failed, job, told))
        finally:
            try:
                # Whoever is told its end finds none of ours, and may have it taken up again.
                await self._guarded(partial(self._dismiss, job))
            finally:
                job.end()

    async def _dismiss(self, job: Job) -> None:
        """One that has ended, unless something of it is in memory alone."""
        if not job.behind and self.jobs.get(job.generation_id) is job:
            await self._library.let_go(job.generation_id)
            del self.jobs[job.generation_id]

    async def _watch_cancel(self, job: Job) -> None:
        """Other processes' wish to cancel."""
        await stopfile.wanted(job.folder.path)
        await stopfile.take_away(job.folder.path)
        await job.stop()

    async def _generate(self, job: Job, requests: Sequence[ImageRequest]) -> None:
        for request, following in zip(requests, (*requests[1:], None), strict=True):
            record = job.record
            job.request, record.backend, record.fingerprint = request, request.backend, request.fingerprint
            job.another_way = following is not None
            if request.backend == "chatgpt-web":
                self.web_used.set()
            if request is not requests[0]:
                # It was accepted for the other way. Our own refusal is no word of the other side: nothing rests for it.
                await job.reserve(request.most_usd)
                await job.state("queued")
            try:
                await self._places.run(job, lambda request=request: self._asked(request, job))
                break
            except ImageError as error:
                await self._steering.learn(request.backend, error)
                may_change = error.code in FALLS_BACK and error.submitted is False and record.submitted is False
                if following is None or not may_change or job.leaving:
                    raise
                log.info("%s cannot do it (%s), trying %s", request.backend, error.code, following.backend)
                record.fallback_from, record.fallback_reason = request.backend, error.code
                job.start_over()
        await self.end_done(job)

    async def _asked(self, request: ImageRequest, job: Job) -> None:
        """The back end, after a rate limit that it stated earlier and that ends in time for a picture."""
        pause = await self._steering.pause(request.backend)
        if 0 < pause < job.clock.left / 2:  # as much again is left for the picture
            job.progress(f"a limit that was stated earlier ends in {pause:.0f} s")
            await anyio.sleep(pause)
        await self.backend(request.backend).generate(await as_it_stands(self._library, request), job)

    async def _collect(self, job: Job) -> None:
        record = job.record
        await _take_in(job)
        if not record.on_web or not (record.at_site or record.images):
            record.facts["given_up"] = True
            raise ending.cut_off(record)

        async def collect() -> None:
            await cast("SiteBackend", self.backend("chatgpt-web")).collect(job.request, job)

        while not job.whole and record.at_site:
            if await self._places.run(job, collect):
                break
        await self.end_done(job)

    # --- how it ends -------------------------------------------------------------------------------------------

    async def end_done(self, job: Job, /) -> None:
        if job.record.finished:
            if len(job.images) > job.request.n:
                self.start_soon(self.gallery.refresh)
            return
        await self._end(job, *ending.done(job))
        if not job.collecting:  # which says nothing about whether one may be asked for
            await self._steering.forget(job.record.backend)

    async def _end_failed(self, job: Job, error: ImageError) -> None:
        """Every end but the good ones and a cancellation; once."""
        if job.record.finished:
            return
        if (structure := error.details.pop("page_structure", None)) is not None:
            try:
                error.details["report"] = str(await job.folder.describe_page(structure))
            except ImageError as problem:
                log.warning("the page report was not written: %s", problem)
        own = self._settings.profile_dir
        state, told = ending.failed(job, await finish(partial(profiles.judged, error, job.record, own)))
        if told is not None and "report" in told.details:
            told.next_step = f"{told.next_step} If that does not help, report the file named in details.report."
        await self._end(job, state, told)

    async def _end(self, job: Job, state: State, error: ImageError | None) -> None:
        await job.finish(state, error)
        if job.record.images:
            self.start_soon(self.gallery.refresh)


async def _take_in(job: Job) -> None:
    """What an earlier process had written and not recorded."""
    (await finish(partial(strays.gather, job.folder.path, job.record))).add_to(job.record)
