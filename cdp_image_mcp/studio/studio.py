"""The heart: accepts requests, runs each as a job of this process, waits, joins, cancels and recovers.

What could lose, double or mistake a picture here, and what is done about it:

- a call that is cancelled while its request is being accepted: accepting and starting are shielded, so there is
  either nothing at all or a running job that an identical call joins;
- a limit, a crash or a shutdown after the prompt was sent: the generation stays collectable (``interrupted`` with its
  conversation), and whoever asks next collects instead of sending again;
- a record that cannot be written after the picture was paid for: the truth is kept in memory and written again when
  somebody asks; the picture's file is found beside the record at the next start;
- two processes that want to recover the same generation: ``Library.adopt`` gives it to one.
"""

import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import anyio
import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import JOIN_SECONDS, Claim, Entry
from cdp_image_mcp.library.ledger import Ledger, QuotaLine
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import Backend, BackendName
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.intake import Accepted, Intake, given
from cdp_image_mcp.studio.job import Job
from cdp_image_mcp.studio.runner import Runner
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.system.tasks import background, shielded

__all__ = ["News", "Standing", "Studio", "open_studio"]

log = logging.getLogger(__name__)

NEWS_SECONDS = 5.0
"""Clients show progress; more often only costs them."""
PATIENT = 1800.0
"""Seconds of one wait while collecting; then it is waited for again."""
FOREIGN_SECONDS = 0.5
"""How often the record of another process is read: no event reaches across processes on all three systems."""
ASKS_PERSON = frozenset(("needs_sign_in", "needs_verification"))


class News(msgspec.Struct, frozen=True):
    """A true sentence about a running generation, at most every 5 s."""

    message: str
    """For people: "queued 2nd", "sign in in the open window", "drawing 41 s of typically 62 s"."""
    elapsed: float
    """Seconds since the generation was accepted; only ever grows."""
    expected: float | None
    """Seconds it typically takes in all, from this installation's own history; None without one."""


class Standing(msgspec.Struct, frozen=True):
    """Where a generation stands when a call's wait is over."""

    record: Record
    folder: str
    """Absolute path of its folder."""
    joined: bool = False
    news: News | None = None
    """The newest news, for a generation that is still running."""
    position: int | None = None
    """Place in the queue, 1 is next; None when it is not queued."""


Listener = Callable[[News], Awaitable[None]]


@runtime_checkable
class Visible(Protocol):
    """A back end with a window."""

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool
    ) -> dict[str, Any]: ...


class Studio:
    """One per process, opened with :func:`open_studio`. All waiting calls may be cancelled: the job goes on."""

    def __init__(self, settings: Settings, library: Library, ledger: Ledger, runner: Runner, intake: Intake) -> None:
        self.settings = settings
        self.library = library
        self.ledger = ledger
        self._runner = runner
        self._intake = intake
        self._ended_rest = False
        self._collected_rest = False
        runner.web_used = self._collect_rest

    def backend(self, name: BackendName) -> Backend:
        """The back end itself, for what is asked of it beside pictures (``login``, ``doctor --probe``)."""
        return self._runner.backend(name)

    def backend_in_use(self, name: BackendName) -> Backend | None:
        """The back end, if it has been used: making it costs time that a picture under way should have."""
        return self._runner.backend_in_use(name)

    async def generate(self, arguments: GenerateImage, listener: Listener | None = None) -> Standing:
        """Accept a request and wait at most ``wait_seconds`` (argument or setting). Raises ImageError for what is
        refused before anything is sent; a generation that failed comes back with its record's ``error``."""
        seconds = float(arguments.wait_seconds) if given(arguments.wait_seconds) else self.settings.wait_seconds
        accepted = await self._intake.accept(arguments, secrets.token_hex(16))
        with shielded():
            async with self._runner.taking:
                claim = await self._claim(accepted)
        try:
            self._end_rest()
            if claim.record.on_web:
                self._collect_rest()
            standing = await self._wait(claim.record.generation_id, seconds, listener)
        finally:
            await self.library.release(claim.waiter)
        return msgspec.structs.replace(standing, joined=claim.joined)

    async def wait(
        self, generation_id: str | None, seconds: float | None = None, listener: Listener | None = None
    ) -> Standing:
        """Wait for a generation of this or another process or of an earlier run; None: the newest unfinished one,
        else the newest. Raises ImageError ``not_found``."""
        generation_id = generation_id or await self._newest()
        await self._revive(generation_id)
        async with self.library.waiting(generation_id):
            return await self._wait(generation_id, self.settings.wait_seconds if seconds is None else seconds, listener)

    def waited_on(self, generation_id: str) -> AbstractAsyncContextManager[None]:
        """For the length of the block somebody waits for that generation who asks after it now and then: an identical
        request does not join it."""
        return self.library.waiting(generation_id)

    def news(self, generation_id: str) -> News | None:
        """What is happening at this moment to a generation that this process works on; None for all others."""
        job = self._runner.jobs.get(generation_id)
        return None if job is None else self._standing(job).news

    async def fetched(self, standing: Standing) -> None:
        """The caller has this answer. Called last of all: whoever gives up before is joined to the same generation
        when it asks again, and pays once."""
        job = self._runner.jobs.get(standing.record.generation_id)
        if job is not None and job.holds_pictures:
            return  # whoever asks the same again is given them, once the disk takes them
        if not standing.record.finished or standing.record.fetched:
            return
        if job is not None and not job.done.is_set():
            await job.mark_fetched()
        else:
            await self.library.mark_fetched(standing.record)

    async def cancel(self, generation_id: str) -> Standing:
        """Stop it and keep what is there. Idempotent. Raises ImageError ``not_found``."""
        if (job := self._runner.jobs.get(generation_id)) is not None:
            await self._runner.cancel(job)
            return self._standing(job)
        entry = await self._find(generation_id)
        if entry.alive and self.library.is_mine(entry.record):
            return await self._cancel_mine(generation_id)
        if entry.alive:
            await self._runner.cancel_elsewhere(entry)
            with anyio.move_on_after(30):
                while entry.alive:
                    await anyio.sleep(FOREIGN_SECONDS)
                    entry = await self._find(generation_id)
        if not entry.alive and not entry.record.finished:
            await self._end_idle(generation_id)
            entry = await self._find(generation_id)
        return Standing(record=entry.record, folder=str(entry.folder.path))

    async def collect(self, person_needed: Callable[[Standing], None] | None = None) -> list[Standing]:
        """Fetch what the site finished for every unfinished generation of earlier runs, each to its end; one that
        fails comes back with its error. ``person_needed`` is called when somebody has to act in the window."""
        await self.library.rescan()
        entries = [*await self.library.unfinished(), *await self.library.collectable()]
        found = {entry.record.generation_id: entry for entry in entries}
        return [await self._collected(entry, person_needed) for entry in found.values()]

    async def _collected(self, entry: Entry, person_needed: Callable[[Standing], None] | None) -> Standing:
        generation_id = entry.record.generation_id
        try:
            while not (standing := await self.wait(generation_id, PATIENT)).record.finished:
                if person_needed is not None and standing.record.state in ASKS_PERSON:
                    person_needed(standing)
        except ImageError as error:
            error.submitted, error.spent = entry.record.submitted, entry.record.spent
            record = msgspec.structs.replace(entry.record, state="interrupted", error=error.as_dict())
            return Standing(record=record, folder=str(entry.folder.path))
        return standing

    async def status(self, backend: Literal["api", "chatgpt-web", "auto"] | None = None) -> dict[str, Any]:
        """The answer of ``backend_status``: seed's keys and ours. Starts, shows and hides nothing."""
        selected = backend or self.settings.backend
        names: list[BackendName] = ["api", "chatgpt-web"] if selected == "auto" else [selected]
        statuses = [await self._status_of(name) for name in names]
        newest = await self.library.newest(10)
        running = [e for e in await self.library.unfinished() if e.alive or e.record.generation_id in self._runner.jobs]
        problems = [f"{problem.variable}: {problem.message}" for problem in self.settings.problems]
        return {
            "selected_backend": selected,
            "default_backend": self.settings.backend,
            "statuses": statuses,
            "running": [self._line(entry) for entry in running],
            "newest": [self._line(entry) for entry in newest],
            "quota": [plain(quota) for quota in await self.ledger.quota()],
            "problems": [*problems, *self.library.problems(), *self.ledger.problems(), *self._runner.problems()],
        }

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool = False
    ) -> dict[str, Any]:
        """The answer of ``browser_visibility``, within 45 s."""
        backend = self._runner.backend("chatgpt-web")
        if not isinstance(backend, Visible):
            raise ImageError("internal", "The web back end of this process has no window.")
        return await backend.visibility(action, start_browser=start_browser)

    # --- inside ------------------------------------------------------------------------------------------------

    async def _claim(self, accepted: Accepted) -> Claim:
        claim = await self.library.claim_or_register(accepted.record, accepted.parent, admit=accepted.admit)
        try:
            await self._take_up(claim, accepted)
        except BaseException:
            await self.library.release(claim.waiter)
            raise
        return claim

    async def _take_up(self, claim: Claim, accepted: Accepted) -> None:
        """Start what this process now has to do for a claim."""
        record = claim.record
        if claim.joined and (job := self._runner.jobs.get(record.generation_id)) is not None:
            await self._runner.settle(job)
        if claim.kind == "new":
            self._runner.start(Job(accepted.requests[0], record, claim.folder), accepted.requests)
        elif claim.kind == "orphaned":
            with truth_of(record):
                await self._runner.recover(record, claim.folder)
        elif claim.kind == "running" and record.generation_id not in self._runner.jobs and self.library.is_mine(record):
            await self._adopt(record)

    async def _revive(self, generation_id: str, *, background: bool = False) -> None:
        """Before waiting: write a record that could not be written, adopt an orphan, collect what was left."""
        if (job := self._runner.jobs.get(generation_id)) is not None:
            with truth_of(job.record):
                await self._runner.settle(job)
        with shielded():
            async with self._runner.taking:
                if generation_id in self._runner.jobs:
                    return
                record = (await self._find(generation_id)).record
                if not record.finished or record.collectable:
                    await self._adopt(record, background=background)

    async def _adopt(self, record: Record, *, background: bool = False) -> None:
        """Go on with a generation without a job here, if nobody else works on it. Under the lock."""
        with truth_of(record):
            adopted = await self.library.adopt(record.generation_id, mine_idle=True)
            if adopted is not None:
                await self._runner.recover(adopted.record, adopted.folder, background=background)

    async def _cancel_mine(self, generation_id: str) -> Standing:
        """Ours, and a moment ago it had no job: it has one now, or nobody works on it."""
        await self._end_idle(generation_id)
        if (job := self._runner.jobs.get(generation_id)) is not None:
            await self._runner.cancel(job)
            return self._standing(job)
        entry = await self._find(generation_id)
        return Standing(record=entry.record, folder=str(entry.folder.path))

    async def _end_idle(self, generation_id: str) -> None:
        with shielded():
            async with self._runner.taking:
                if generation_id in self._runner.jobs:
                    return
                if (await self._find(generation_id)).record.finished:
                    return
                if (adopted := await self.library.adopt(generation_id, mine_idle=True)) is not None:
                    await self._runner.end_orphan(adopted)

    def _end_rest(self) -> None:
        """Once per process, behind its first request: what earlier processes left and no site can finish."""
        if not self._ended_rest:
            self._ended_rest = True
            self._runner.start_soon(partial(self._recover, at_site=False))

    def _collect_rest(self) -> None:
        """Once per process, as soon as the site is used: what it may have finished for earlier processes. Who works
        with the API alone gets no browser for it."""
        if not self._collected_rest:
            self._collected_rest = True
            self._runner.start_soon(partial(self._recover, at_site=True))

    async def _recover(self, *, at_site: bool) -> None:
        """One after the other and only while no call's job runs: nobody waits for these."""
        orphans = [entry for entry in await self.library.unfinished() if not entry.alive]
        left = [entry for entry in orphans if (entry.record.on_web and entry.record.submitted is not False) is at_site]
        for entry in [*left, *(await self.library.collectable(JOIN_SECONDS) if at_site else [])]:
            generation_id = entry.record.generation_id
            await self._idle()
            if generation_id in self._runner.jobs:
                continue
            try:
                await self._revive(generation_id, background=True)
            except ImageError as error:
                log.warning("%s could not be taken up: %s", generation_id, error)

    async def _idle(self) -> None:
        """Until no job of this process runs."""
        while running := [job for job in self._runner.jobs.values() if not job.done.is_set()]:
            await running[0].done.wait()

    async def _wait(self, generation_id: str, seconds: float, listener: Listener | None) -> Standing:
        """Until it is finished, a person is newly needed, or the time is over."""
        standing: Standing | None = None
        async with background() as group:
            if listener is not None:
                group.start_soon(self._tell, generation_id, listener)
            with anyio.move_on_after(seconds):
                standing = await self._until_news(generation_id)
        if standing is None:
            standing = await self._current(generation_id)
        return standing

    async def _until_news(self, generation_id: str) -> Standing:
        asked_before = (await self._current(generation_id)).record.state in ASKS_PERSON
        while (job := self._runner.jobs.get(generation_id)) is None:
            standing = await self._current(generation_id)
            if standing.record.finished or (standing.record.state in ASKS_PERSON and not asked_before):
                return standing
            asked_before = standing.record.state in ASKS_PERSON
            await anyio.sleep(FOREIGN_SECONDS)
        while not job.answered.is_set() and not (job.record.state in ASKS_PERSON and not asked_before):
            await job.news()
            asked_before = asked_before and job.record.state in ASKS_PERSON
        return self._standing(job)

    async def _tell(self, generation_id: str, listener: Listener) -> None:
        while True:
            if (news := (await self._current(generation_id)).news) is not None:
                await listener(news)
            await anyio.sleep(NEWS_SECONDS)

    async def _current(self, generation_id: str) -> Standing:
        if (job := self._runner.jobs.get(generation_id)) is not None:
            return self._standing(job)
        entry = await self._find(generation_id)
        news = None
        if entry.alive:
            news = News(f"{describe(entry.record.state)} in another process", entry.record.elapsed_seconds, None)
        return Standing(record=entry.record, folder=str(entry.folder.path), news=news)

    def _standing(self, job: Job) -> Standing:
        elapsed = anyio.current_time() - job.started_at
        news = None if job.answered.is_set() else News(sentence(job), round(elapsed, 1), job.typical)
        # The answer describes one moment; the job may go on while it is written.
        record = msgspec.structs.replace(
            job.record, images=list(job.record.images), facts=dict(job.record.facts), elapsed_seconds=round(elapsed, 3)
        )
        if job.answered.is_set():
            record.elapsed_seconds = job.record.elapsed_seconds
        position = job.position if job.record.state == "queued" else None
        return Standing(record=record, folder=str(job.folder.path), news=news, position=position)

    async def _find(self, generation_id: str) -> Entry:
        entry = await self.library.find(generation_id)
        if entry is None:
            raise ImageError("not_found", f"There is no generation {generation_id}.")
        return entry

    async def _newest(self) -> str:
        entries = await self.library.unfinished() or await self.library.newest(1)
        if not entries:
            raise ImageError("not_found", "Nothing has been generated here yet.")
        return entries[0].record.generation_id

    async def _status_of(self, name: BackendName) -> dict[str, Any]:
        status: dict[str, Any]
        try:
            status = await self._runner.backend(name).status()
        except ImageError as error:
            status = {"configured": False, "ready": False, "message": error.message}
        details: dict[str, Any] = {"output_root": str(self.settings.output_dir), **status.get("details", {})}
        if (rest := await self.ledger.resting(name)) is not None:
            details["resting"] = {"code": rest.code, "reset_at": rest.reset_at}
        if (typical := await self.ledger.typical(name)) is not None:
            details["typical_seconds"] = round(typical, 1)
        if name == "chatgpt-web":
            details["pictures_today"] = await self.ledger.web_pictures_today()
        else:
            details["spent_today_usd"] = round(await self.ledger.spent_today(), 4)
        return {"backend": name, **status, "details": details}

    def _line(self, entry: Entry) -> dict[str, Any]:
        record = entry.record
        if (job := self._runner.jobs.get(record.generation_id)) is not None:
            record = job.record
        line = {
            "generation_id": record.generation_id,
            "state": record.state,
            "backend": record.backend,
            "created_at": record.created_at,
            "prompt": record.prompt[:80],
            "output_dir": str(entry.folder.path),
            "images": len(record.images),
        }
        if record.error:
            line["code"] = record.error["code"]
        return line


@contextmanager
def truth_of(record: Record) -> Generator[None]:
    """What fails while an earlier generation is taken up says whether *that* was sent and paid."""
    try:
        yield
    except ImageError as error:
        error.submitted, error.spent = record.submitted, record.spent
        raise


def plain(quota: QuotaLine) -> dict[str, Any]:
    """A stated quota without the mark it has in the ledger's file."""
    return {
        "feature": quota.feature,
        "remaining": quota.remaining,
        "reset_at": quota.reset_at,
        "seen_at": quota.at,
    }


def sentence(job: Job) -> str:
    """What is happening now, for people."""
    if job.record.state == "queued" and job.position is not None:
        return f"queued {ordinal(job.position)}"
    if job.message:
        return job.message
    if job.record.state == "generating":
        drawn = anyio.current_time() - job.state_since
        usual = f" of typically {job.typical:.0f} s" if job.typical else ""
        return f"drawing {drawn:.0f} s{usual}"
    return describe(job.record.state)


def describe(state: str) -> str:
    return {
        "queued": "queued",
        "starting": "opening the browser",
        "needs_sign_in": "waiting for a person to sign in in the browser window",
        "needs_verification": "waiting for a person to pass the site's check in the browser window",
        "submitting": "sending the prompt",
        "generating": "drawing",
        "saving": "saving the picture",
    }.get(state, state)


def ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


@asynccontextmanager
async def open_studio(
    settings: Settings, ways: Ways, outliving: Callable[[], None] | None = None
) -> AsyncGenerator[Studio]:
    """A studio whose jobs live as long as this context. Opens nothing but memory. Leaving stops jobs in order and
    records them as ``interrupted``. With ``outliving``, a request that is out and whose picture nobody could fetch
    later is finished and saved first; it is called when nothing else is left to be done."""
    library = Library(settings.output_dir)
    ledger = Ledger(settings.profile_dir.parent / "ledger.jsonl", library)
    async with anyio.create_task_group() as group:
        runner = Runner(settings, library, ledger, group, ways)
        try:
            yield Studio(settings, library, ledger, runner, Intake(settings, library, ledger, ways))
        finally:
            with shielded():
                await runner.aclose(outliving)
            group.cancel_scope.cancel()
