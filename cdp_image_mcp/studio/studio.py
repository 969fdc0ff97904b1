"""The heart: accepts requests, runs each as a job of this process, waits, joins, cancels and recovers.

What could lose, double or mistake a picture here, and what is done about it:

- a call that is cancelled while its request is being accepted: accepting and starting are shielded, so there is
  either nothing at all or a running job that an identical call joins;
- a time limit, or the end of the client, while something may be paid for: both end what has not been sent and stop the
  waiting for what has. A request to the API is finished and saved, if need be by a process that outlives its client
  (``system/front``); a turn at the site keeps its place in the queue for two minutes and stays collectable after that;
- a crash after the prompt was sent: the site's picture is collected by whoever asks next; of the API's nobody can
  learn, and whoever asks the same again is told so once before anything is paid a second time;
- bytes that are no picture we know, and a disk that takes nothing: what came is kept before it is judged, on disk or
  in memory until the disk takes it, and is tried again whenever somebody asks;
- two processes that want to go on with the same generation: a process is alive as long as it holds its lock, whatever
  its machine is called, and ``Library.adopt`` gives an orphan to one; of a newer program's records none is touched;
- an identical call whose answer was lost: it joins by prompt, parameters, picture bytes and by who is asked, so that
  another model, key or profile is another picture;
- a call that names no generation: it gets one of its own server first, and never takes another client's away from it;
- money set aside by several at once: in the step that registers, where each sees the others (``limits``).
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Literal, cast

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from cdp_image_mcp.config import PLACES, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import LONGEST_WAIT, PERSON_STATES, SiteBackend
from cdp_image_mcp.studio.asked import GenerateImage, given
from cdp_image_mcp.studio.intake import Intake
from cdp_image_mcp.studio.jobs import stopfile
from cdp_image_mcp.studio.jobs.runner import Outliving, Runner
from cdp_image_mcp.studio.recovery import Recovery
from cdp_image_mcp.studio.standing import News, Standing, standing_in, standing_of
from cdp_image_mcp.studio.status import Status
from cdp_image_mcp.studio.steering import Steering
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.studio.whose import meant
from cdp_image_mcp.system.disk import finish
from cdp_image_mcp.system.tasks import background, shielded

NEWS_SECONDS = 5.0
"""Clients show progress; more often only costs them."""
FOREIGN_SECONDS = 0.5
"""How often the record of another process is read: no event reaches across processes on all three systems."""

PATIENCE_FOR_OTHERS = 30.0
"""Seconds for which an answer of the process that works on a generation is waited for."""
WISH_LEFT = (
    "Another cdp-image-mcp process works on it and has not answered within 30 s. The wish to stop is left for it: call "
    "wait_for_image with this generation_id to see what became of it."
)
OF_ANOTHER = "This generation was asked for by another client, which may still fetch it."
WHO_PAYS = (
    "Tell the user once: OPENAI_API_KEY paid for this picture, because a key comes first with GPT_IMAGE_BACKEND=auto; "
    "GPT_IMAGE_BACKEND=chatgpt-web uses the ChatGPT plan instead."
)

Listener = Callable[[News], Awaitable[None]]


class Studio:
    """One per process, opened with :func:`open_studio`. All waiting calls may be cancelled: the job goes on."""

    def __init__(self, settings: Settings, ways: Ways, group: anyio.abc.TaskGroup) -> None:
        self.settings = settings
        self.library = library = Library(settings.output_dir)
        self._steering = steering = Steering(settings)
        self.intake = Intake(settings, library, steering, ways)
        self._runner = Runner(settings, library, steering, ways, group)
        self.backend = self._runner.backend
        """For what is asked of a back end beside pictures (``login``, ``doctor --probe``)."""
        self.backends = self._runner.backends
        """Those that were used: making one costs time that a picture under way should have."""
        self.status = Status(settings, library, self._runner, steering).report
        self._recovery = Recovery(library, self._runner, settings.profile_dir)
        self._asked_here: set[str] = set()
        """What calls of this server began or joined."""
        self._told: dict[tuple[str, bool], str] = {}
        """The need of a person that a call of this server was answered with last: by generation, and apart for those
        who only look on."""

    async def generate(
        self,
        arguments: GenerateImage,
        listener: Listener | None = None,
        *,
        seconds: float | None = None,
        began: float | None = None,
        held: AsyncExitStack | None = None,
    ) -> Standing:
        """Accept a request and wait at most ``seconds``, by default ``wait_seconds`` (argument or setting), since it
        ``began``, by default now: what accepting takes is waited too. Whoever waits on after that gives what is
        ``held`` until then: no identical request joins meanwhile. Raises ImageError for what is refused before anything
        is sent; a generation that failed comes back with its record's ``error``."""
        began = anyio.current_time() if began is None else began
        if seconds is None:
            seconds = arguments.wait_seconds if given(arguments.wait_seconds) else self.settings.wait_seconds
        accepted = await self.intake.accept(arguments, secrets.token_hex(16))
        async with self._runner.taking, AsyncExitStack() as call:
            with shielded():
                admit = partial(self.intake.admit, accepted)
                claim = await self.library.claim_or_register(
                    accepted.record, accepted.parent, marks=accepted.marks, admit=admit
                )
                call.push_async_callback(self.library.release, claim.waiter)
                generation_id = claim.record.generation_id
                if not claim.joined:
                    self._runner.start(accepted.requests, claim.record, claim.folder)
                elif (job := self._runner.jobs.get(generation_id)) is not None:
                    await self._runner.settle(job)
                else:
                    await self._recovery.take_up(generation_id)
                self._asked_here.add(generation_id)
                self._recovery.begin()
            # Given up meanwhile, it waits no longer before the next may ask: the same question is to join this one.
            await anyio.lowlevel.checkpoint_if_cancelled()
            waiting = call.pop_all()
        async with AsyncExitStack() as own:
            await (held or own).enter_async_context(waiting)
            standing = await self._wait(generation_id, began + seconds, listener)
        elsewhere = False
        if claim.joined and given(arguments.output_dir):
            elsewhere = accepted.parent != await anyio.to_thread.run_sync(claim.folder.path.parent.resolve)
        return msgspec.structs.replace(standing, joined=claim.joined, unmet=("output_dir",) if elsewhere else ())

    async def wait(
        self,
        generation_id: str | None,
        seconds: float | None = None,
        listener: Listener | None = None,
        *,
        began: float | None = None,
        held: AsyncExitStack | None = None,
        onlooker: bool = False,
        claims: bool = True,
        again: bool = True,
    ) -> Standing:
        """Wait for a generation of this or another process or of an earlier run; None: see :func:`meant`. ``began`` and
        ``held``: see :meth:`generate`. An ``onlooker`` will not have fetched it, and has nobody asked to sign in for
        it; beside one, and beside whoever ``claims`` nothing, an identical request joins all the same. What was
        interrupted is looked for at the site ``again``, or else told as it ended. Raises ImageError ``not_found``."""
        began = anyio.current_time() if began is None else began
        self.settings.require_usable(*PLACES, sent="unknown")
        if generation_id is None:
            generation_id = await meant(self.library, self._asked_here)
        await self._recovery.revive(generation_id, background=onlooker, ended=again)
        async with AsyncExitStack() as own:
            if claims and not onlooker:
                await self.begin_waiting((await self._current(generation_id)).record, held or own)
            seconds = self.settings.wait_seconds if seconds is None else seconds
            return await self._wait(generation_id, began + seconds, listener, onlooker=onlooker)

    async def begin_waiting(self, record: Record, held: AsyncExitStack) -> None:
        """Somebody at this server waits for it until what is ``held`` is given, as in :meth:`Library.wait`; for what
        belongs to another client nobody does: that one's own repeat is to join it."""
        if not await self._is_of_another(record):
            held.push_async_callback(self.library.release, await self.library.wait(record.generation_id))

    async def is_of_another(self, generation_id: str) -> bool:
        """Whether it belongs to another client. Raises ImageError ``not_found``."""
        return await self._is_of_another((await self._current(generation_id)).record)

    def news(self, generation_id: str) -> News | None:
        """What is happening at this moment to a generation that this process works on; None for all others."""
        job = self._runner.jobs.get(generation_id)
        return None if job is None else standing_of(job).news

    async def fetched(self, standing: Standing) -> bool:
        """The caller has this answer; whether it is the first to. Called last of all: whoever gives up before is joined
        to the same generation when it asks again, and pays once. What belongs to another client stays to be fetched by
        that one."""
        record = standing.record
        job = self._runner.jobs.get(record.generation_id)
        if job is not None and job.held:
            return False  # whoever asks the same again is given them, once the disk takes them
        if not record.finished or record.fetched or await self._is_of_another(record):
            return False
        if job is None or job.done.is_set():
            await self.library.mark_fetched(record)
        elif job.record.end == record.end:
            await job.mark_fetched()
        else:
            return False  # it was taken up again meanwhile, and that end is still to be told
        return True

    async def cancel(self, generation_id: str) -> Standing:
        """Stop it and keep what is there. Idempotent. Raises ImageError ``not_found``."""
        self.settings.require_usable(*PLACES, sent="unknown")
        if (job := self._runner.jobs.get(generation_id)) is None:
            entry = await self._recovery.find(generation_id)
            if entry.alive and not self.library.is_mine(entry.record):
                try:
                    await stopfile.leave(entry.folder.path)
                except ImageError as error:
                    error.submitted, error.spent = entry.record.submitted, entry.record.spent
                    raise
                with anyio.move_on_after(PATIENCE_FOR_OTHERS):
                    while entry.alive:
                        await anyio.sleep(FOREIGN_SECONDS)
                        entry = await self._recovery.find(generation_id)
                if entry.alive:
                    return standing_in(entry, notes=(WISH_LEFT,))
            # Ours, and a moment ago it had no job: it has one now, or nobody works on it.
            await self._recovery.end_idle(generation_id)
            job = self._runner.jobs.get(generation_id)
        if job is None:
            return standing_in(await self._recovery.find(generation_id))
        await job.stop()
        return standing_of(job)

    async def collect(self, person_needed: Callable[[Standing], None] | None = None) -> list[Standing]:
        """Fetch what the site finished for every unfinished generation of earlier runs, each to its end, and take in
        what was paid for and lies beside ended ones; one that fails comes back with its error. ``person_needed`` is
        called when somebody has to act in the window."""
        library = self.library
        await library.rescan()
        rescued = [entry for entry in await library.with_strays() if await library.rescue(entry)]
        entries = [*await library.unfinished(), *await library.collectable(), *rescued]
        found = {entry.record.generation_id: entry for entry in entries}
        return [await self._collected(entry, person_needed) for entry in found.values()]

    async def _collected(self, entry: Entry, person_needed: Callable[[Standing], None] | None) -> Standing:
        generation_id = entry.record.generation_id
        try:
            while not (standing := await self.wait(generation_id, LONGEST_WAIT, claims=False)).record.finished:
                if person_needed is not None and standing.record.state in PERSON_STATES:
                    person_needed(standing)
        except ImageError as error:
            error.submitted, error.spent = entry.record.submitted, entry.record.spent
            record = msgspec.structs.replace(entry.record, state="interrupted", error=error.as_dict())
            return Standing(record=record, folder=str(entry.folder.path))
        return standing

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool = False
    ) -> dict[str, Any]:
        """The answer of ``browser_visibility``, within 45 s."""
        self.settings.require_usable(*PLACES)
        site = cast("SiteBackend", self._runner.backend("chatgpt-web"))
        return await site.visibility(action, start_browser=start_browser)

    async def aclose(self, outliving: Outliving | None) -> None:
        """See :func:`open_studio`."""
        await self._runner.aclose(outliving)
        await finish(self.library.close)

    # --- inside ------------------------------------------------------------------------------------------------

    async def _wait(
        self, generation_id: str, until: float, listener: Listener | None, *, onlooker: bool = False
    ) -> Standing:
        """Until it is finished, a person is newly needed, or that moment has come."""
        whom = (generation_id, onlooker)
        standing: Standing | None = None
        if not onlooker and (job := self._runner.jobs.get(generation_id)) is not None:
            job.background = False
        async with background() as group:
            if listener is not None:
                group.start_soon(self._tell, generation_id, listener)
            with anyio.CancelScope(deadline=until):
                standing = await self._until_news(generation_id, self._told.get(whom), onlooker=onlooker)
        standing = standing or await self._current(generation_id)
        standing = msgspec.structs.replace(standing, notes=await self._notes(standing))
        if (state := standing.record.state) in PERSON_STATES:
            self._told[whom] = state
        else:
            self._told.pop(whom, None)
        return standing

    async def _notes(self, standing: Standing) -> tuple[str, ...]:
        record, notes, ledger = standing.record, list(standing.notes), self._steering.ledgers["api"]
        if await self._is_of_another(record):
            notes.append(OF_ANOTHER)
        by_surprise = record.requested_backend == "auto" and record.backend == "api" and record.state == "saved"
        if by_surprise and record.cost_usd != 0.0 and await ledger.tell_once("who pays for the API"):
            notes.append(WHO_PAYS)
        return tuple(notes)

    async def _is_of_another(self, record: Record) -> bool:
        """Whether it was asked for through another server, which still runs, and by no call of this one."""
        if record.generation_id in self._asked_here:
            return False
        return await anyio.to_thread.run_sync(self.library.is_of_another, record)

    async def _until_news(self, generation_id: str, told: str | None, *, onlooker: bool) -> Standing:
        asked_before = told == (await self._current(generation_id)).record.state
        while (job := self._runner.jobs.get(generation_id)) is None:
            entry = await self._recovery.find(generation_id)
            if entry.record.finished or (entry.record.state in PERSON_STATES and not asked_before):
                return standing_in(entry)
            if not entry.alive:  # its process died meanwhile
                await self._recovery.revive(generation_id, background=onlooker, ended=False)
            asked_before = entry.record.state in PERSON_STATES
            await anyio.sleep(FOREIGN_SECONDS)
        while not job.answered.is_set() or job.settling:
            if job.record.state in PERSON_STATES and not asked_before:
                break
            await job.news()
            asked_before = asked_before and job.record.state in PERSON_STATES
        return standing_of(job)

    async def _tell(self, generation_id: str, listener: Listener) -> None:
        """News for the length of a wait; a look-up that fails is no news, and no fault of the call."""
        while True:
            try:
                news = (await self._current(generation_id)).news
            except ImageError:
                news = None
            if news is not None:
                await listener(news)
            await anyio.sleep(NEWS_SECONDS)

    async def _current(self, generation_id: str) -> Standing:
        if (job := self._runner.jobs.get(generation_id)) is not None:
            return standing_of(job)
        return standing_in(await self._recovery.find(generation_id))


@asynccontextmanager
async def open_studio(settings: Settings, ways: Ways, outliving: Outliving | None = None) -> AsyncGenerator[Studio]:
    """A studio whose jobs live as long as this context. Opens nothing but memory. Leaving stops jobs in order and
    records them as ``interrupted``. A request that is out and whose picture nobody could fetch later is finished and
    saved first. ``outliving`` is called at once then, and what it gives when nothing else is left to be done; without
    that there are only seconds for it."""
    async with anyio.create_task_group() as group:
        studio = Studio(settings, ways, group)
        try:
            yield studio
        finally:
            with shielded():
                await studio.aclose(outliving)
            group.cancel_scope.cancel()
