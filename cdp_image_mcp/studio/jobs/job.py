"""One running generation: its record's single owner, its clock, and what a back end reports about it."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import anyio
import msgspec

from cdp_image_mcp.errors import ImageError, fault
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.record import Failure, Record, now
from cdp_image_mcp.request import PERSON_STATES, ImageRequest, SavedImage, State, WorkState
from cdp_image_mcp.studio.jobs.clock import Clock
from cdp_image_mcp.studio.jobs.saving import Saving
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

RECORD_FIELDS = frozenset(
    (
        *("sent_prompt", "submitted", "spent", "model", "mode", "conversation_url", "conversation_id"),
        *("session_reused", "profile_dir", "openai_created", "usage", "cost_usd", "booked_usd", "reserved_usd"),
    )
)
"""Facts with a place of their own in the record; all others go into ``facts``."""

BLANK = {field.name: field.default for field in msgspec.structs.fields(Record)}

TIMING_OF: dict[State, str] = {
    "queued": "queue",
    "starting": "browser",
    "submitting": "submit",
    "generating": "generate",
    "saving": "save",
}


class Care(Protocol):
    """What a job asks of those who keep it."""

    async def end_done(self, job: "Job", /) -> None:
        """All that was asked for is saved: end it. Never raises."""
        ...

    async def taken(self, generation_id: str, /) -> frozenset[str]:
        """What of the site belongs to other generations."""
        ...

    async def reserve(self, job: "Job", usd: float, /) -> None:
        """See :meth:`request.Report.reserve`. At the site it is pictures that the day must have room for."""
        ...


class Job:
    """A generation that this process works on; the back end sees it as its ``Report``."""

    def __init__(self, request: ImageRequest, record: Record, folder: Folder, care: Care) -> None:
        self.request = request
        self.record = record
        self.folder = folder
        self.clock = Clock(request.timeout_seconds)
        self.scope = anyio.CancelScope()
        self.answered = anyio.Event()
        """Its end is known, and written if the disk takes it: whoever waits may answer."""
        self.done = anyio.Event()
        """Nobody works on it any more."""
        self.changed = anyio.Event()
        self.message = ""
        self.position: int | None = None
        self.another_way = False
        """One follows where this one cannot, as long as nothing was sent."""
        self.collecting = False
        self.background = False
        """Until a call waits for it."""
        self.typical: float | None = None
        self.settling = False
        """What could not be fetched or written is being tried again."""
        self.stop_wanted = False
        self.leaving = False
        """The client has gone: what is out is finished, nothing more is sent."""
        self.started_at = anyio.current_time() - record.elapsed_seconds
        self.state_since = anyio.current_time()
        self._care = care
        self.remedy = ""
        """What its user can do about the disk that did not take a picture."""
        self._saving = Saving(record, folder)
        self.fetch_later = self._saving.fetch_later
        self._unwritten = False
        """The disk did not take the record as it is."""
        self._writing = anyio.Lock()
        self._asked = self._written = 0
        """Writings of the record that were asked for, and the last of them that is on disk."""

    # --- what the back end may ask and tell (Report) -----------------------------------------------------------

    @property
    def generation_id(self) -> str:
        return self.record.generation_id

    @property
    def images(self) -> tuple[SavedImage, ...]:
        return tuple(self.record.images)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for is saved."""
        return len(self.record.images) >= self.request.n

    @property
    def saved_files(self) -> frozenset[str]:
        return frozenset(source["file_id"] for source in self.record.sources if "file_id" in source)

    @property
    def facts(self) -> Mapping[str, Any]:
        known = {name: getattr(self.record, name) for name in RECORD_FIELDS}
        return {**self.record.facts, **{name: value for name, value in known.items() if value is not None}}

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        if state == "submitting":
            self.may_send()
        if state != "queued" and state not in PERSON_STATES:
            self.clock.run()
        # All that was asked for may be there, and so its end; what comes now are facts beside it.
        await self._move(self.record.state if self.record.finished else state, facts)

    def progress(self, message: str) -> None:
        self.message = message
        self._wake()

    async def save(
        self, data: bytes, /, *, source: Mapping[str, str] | None = None, ends: Mapping[str, Any] | None = None
    ) -> SavedImage:
        origin = source or {}
        # A cancellation between the file and its entry would leave a paid picture that no record names.
        with shielded():
            image = known = self._saving.known(origin.get("file_id"), data)
            if image is None:
                image = await self._saving.add(data, origin)
            if ends is not None and not self.record.finished and self.whole:
                self.record.facts |= ends
                await self._care.end_done(self)
                self.answered.set()
            elif known is None:
                await self._write()
        self._wake()
        return image

    async def taken_ids(self) -> frozenset[str]:
        return await self._care.taken(self.generation_id)

    @property
    def is_out(self) -> bool:
        """Whether a request has left, or is about to, whose answer cannot be fetched later."""
        return self.request.backend == "api" and self.record.submitted is not False and not self.done.is_set()

    @property
    def time_left(self) -> float:
        return 0.0 if self.record.over_time else self.clock.left

    @property
    def time_kept(self) -> float:
        return self.clock.seconds / 2 if self.another_way else 0.0

    def may_send(self) -> None:
        if self.leaving:
            raise ImageError(
                "cancelled", "The server is ending: nothing more is sent.", submitted=self.record.submitted
            )
        if self.record.over_time:
            raise self.timed_out()

    def timed_out(self) -> ImageError:
        sent = self.record.submitted
        how = "before anything was sent" if sent is False else "before all pictures were there; nothing more is sent"
        return ImageError(
            "timeout", f"{self.clock.seconds:g} s were over {how}.", submitted=sent, spent=self.record.spent
        )

    async def reserve(self, usd: float, /) -> None:
        async with self._writing:
            await self._care.reserve(self, usd)

    async def waiting_for_person(self) -> None:
        self.clock.stop()
        await anyio.lowlevel.checkpoint()

    # --- what the studio tells ---------------------------------------------------------------------------------

    async def mark_fetched(self) -> None:
        """A call was answered with its end while the back end still works: what is written later says so too."""
        self.record.fetched = True
        await self._write_some_time()

    def start_over(self) -> None:
        """The next way is tried. Of this one nothing was sent: what it told is no fact about this generation."""
        for name in RECORD_FIELDS:
            setattr(self.record, name, BLANK[name])
        self.record.facts, self.message = {}, ""

    async def goes_over_time(self) -> None:
        """Its time is over, and something may have been paid: it goes on."""
        self.record.over_time = True
        self._wake()
        await self._write_some_time()

    async def stop(self) -> None:
        """End it for its user, and wait until its record says so."""
        if not self.done.is_set():
            self.stop_wanted = True
            self.scope.cancel()
            await self.done.wait()

    def end(self) -> None:
        """Everything is written that will be."""
        self.answered.set()
        self.done.set()
        self._wake()

    @property
    def held(self) -> int:
        """Pictures that the disk did not take, or that could not be fetched: paid for, and in memory alone."""
        return len(self._saving.held)

    @property
    def behind(self) -> bool:
        """Something of it is in memory alone, until :meth:`catch_up`."""
        return bool(self.held) or self._unwritten

    async def catch_up(self) -> None:
        """Do again, all at once, what failed before; the record follows. Raises ImageError when not all is done."""
        try:
            await self._saving.again()
        finally:
            if self._unwritten:
                await self._write()

    async def _write_some_time(self) -> ImageError | None:
        """Now, or with what is caught up later: the truth stays in memory until then. Answers why not now."""
        try:
            await self._write()
        except Exception as problem:
            self._unwritten = True
            if isinstance(problem, ImageError):
                log.warning("the record of %s could not be written: %s", self.generation_id, problem)
                return problem
            log.exception("the writing of the record of %s ended with a fault of the program", self.generation_id)
            return fault(problem, submitted=self.record.submitted, spent=self.record.spent)
        return None

    async def finish(self, state: State, error: ImageError | None = None) -> None:
        """The end. Written even when the job's scope is cancelled; what the disk does not take is caught up later."""
        with shielded():
            self.record.error, self.record.failures = None, []
            self.record.rest.pop("failures", None)  # what a newer program knew of earlier ones
            if self.record.submitted is not False and self.record.reserved_usd:
                # Of a request whose end nobody told the worst is believed.
                self.record.booked_usd = (self.record.booked_usd or 0.0) + self.record.reserved_usd
            self.record.reserved_usd = 0.0
            self.record.facts.pop("held", None)
            if self.held:
                self.record.facts["held"] = self.held  # whoever finds it after this process knows it to be on its way
            if error is not None:
                self.record.error = error.as_dict()
                if self.record.images:
                    missing = range(len(self.record.images) + 1, self.request.n + 1)
                    told = error.details.get("failures", ())
                    if len(told) != len(missing):
                        told = [{"code": error.code, "message": error.message}] * len(missing)
                    self.record.failures = [Failure(index, **why) for index, why in zip(missing, told, strict=True)]
            self.record.finished_at = now()
            self.record.owner = None
            self._set(state)
            problem = await self._write_some_time()
            if problem is not None and self.record.error is None and not self.record.images:
                self.record.error = problem.as_dict()

    async def _move(self, state: State, facts: Mapping[str, Any]) -> None:
        record = self.record
        before = {name: getattr(record, name) for name in (*RECORD_FIELDS, "state")}
        known = dict(record.facts)
        for name, value in facts.items():
            if name in RECORD_FIELDS:
                setattr(record, name, value)
            else:
                record.facts[name] = value
        if "submitted" in facts and "spent" not in facts:
            # What may be out may count; what is found not to have gone out does not.
            record.spent = False if record.submitted is False else record.spent or "unknown"
        self._set(state)
        try:
            await self._write()
        except BaseException:
            # The press of send waits for this to be on disk: what was not written is not done then, be it that the disk
            # does not take it or that it was given up.
            if state == "submitting":
                for name, value in before.items():
                    setattr(record, name, value)
                record.facts = known
            raise

    def _set(self, state: State) -> None:
        """Change the state, and count how long the one before took."""
        if not self.record.finished:
            at = anyio.current_time()
            if part := TIMING_OF.get(self.record.state):
                timings = self.record.timings
                setattr(timings, part, round(getattr(timings, part) + at - self.state_since, 3))
            self.state_since = at
            self.record.elapsed_seconds = round(at - self.started_at, 3)
        self.record.state = state
        self._wake()

    async def _write(self) -> None:
        """The record as it is, on disk. Of several that wait for the disk one writes for all."""
        self._asked += 1
        mine = self._asked
        async with self._writing:
            if self._written < mine:
                holds = self._asked
                await self.folder.write(self.record)
                self._written, self._unwritten = holds, False

    def _wake(self) -> None:
        """Wake everyone who waits for news; the next wait gets a fresh event."""
        self.changed.set()
        self.changed = anyio.Event()

    async def news(self) -> None:
        """Until something about this job changes."""
        await self.changed.wait()
