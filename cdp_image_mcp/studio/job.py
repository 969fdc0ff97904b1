"""One running generation: its record's single owner, its clock, and what a back end reports about it."""

import contextlib
import hashlib
import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

import anyio

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.imagefile import ImageFacts, inspect
from cdp_image_mcp.library.record import Failure, Record, now
from cdp_image_mcp.request import ImageRequest, SavedImage, State, WorkState
from cdp_image_mcp.system.tasks import shielded

__all__ = ["Clock", "Job"]

RECORD_FIELDS = frozenset(
    (
        *("sent_prompt", "submitted", "spent", "model", "mode", "conversation_url", "conversation_id"),
        *("session_reused", "profile_dir", "openai_created", "usage", "cost_usd"),
    )
)
"""Facts with a place of their own in the record; all others go into ``facts``."""

TIMING_OF: dict[State, str] = {
    "queued": "queue",
    "starting": "browser",
    "submitting": "submit",
    "generating": "generate",
    "saving": "save",
}


class Clock:
    """The total limit of a generation. It stands still in the queue and while a person is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds
        self.cut_short = False
        self._running_since: float | None = None
        self._scope: anyio.CancelScope | None = None

    @contextlib.contextmanager
    def limit(self) -> Generator[anyio.CancelScope]:
        """A cancel scope that ends when the limit is used up."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            self.run()
            try:
                yield scope
            finally:
                self.stop()
                self._scope = None

    def run(self) -> None:
        if self._running_since is None:
            self._running_since = anyio.current_time()
        if self._scope is not None:
            self._scope.deadline = self._running_since + self.left

    def stop(self) -> None:
        if self._running_since is not None:
            self.left = max(0.0, self.left - (anyio.current_time() - self._running_since))
            self._running_since = None
        if self._scope is not None and not self._scope.cancel_called:
            self._scope.deadline = math.inf

    def use_up(self) -> None:
        """Let the limit end now."""
        self.cut_short = True
        self.stop()
        self.left = 0.0
        self.run()


class Job:
    """A generation that this process works on; the back end sees it as its ``Report``."""

    def __init__(self, request: ImageRequest, record: Record, folder: Folder) -> None:
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
        self.collecting = False
        self.background = False
        self.look_up_taken: Callable[[str], Awaitable[frozenset[str]]] | None = None
        self.end_whole: Callable[[Job], Awaitable[None]] | None = None
        self.unwritten = False
        """The end could not be written: the record on disk is older than this one."""
        self._unsaved: list[tuple[bytes, ImageFacts, dict[str, str]]] = []
        """Pictures of the API that the disk did not take: paid for, and nowhere else."""
        self.typical: float | None = None
        self.stop_wanted = False
        self.leaving = False
        """The client has gone: what is out is finished, nothing more is sent."""
        self.started_at = anyio.current_time() - record.elapsed_seconds
        self.state_since = anyio.current_time()
        self._writing = anyio.Lock()

    # --- what the back end may ask and tell (Report) -----------------------------------------------------------

    @property
    def generation_id(self) -> str:
        return self.record.generation_id

    @property
    def images(self) -> tuple[SavedImage, ...]:
        return tuple(self.record.images)

    @property
    def facts(self) -> Mapping[str, Any]:
        known = {name: getattr(self.record, name) for name in RECORD_FIELDS}
        return {**self.record.facts, **{name: value for name, value in known.items() if value is not None}}

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        if state == "submitting":
            self.may_send()
        if state not in {"needs_sign_in", "needs_verification", "queued"}:
            self.clock.run()
        await self._move(state, facts)

    def progress(self, message: str) -> None:
        self.message = message
        self._wake()

    async def save(self, data: bytes, /, *, source: Mapping[str, str] | None = None) -> SavedImage:
        """Write one finished picture and its entry. What was saved under the same file id is not saved again."""
        origin = dict(source or {})
        if (known := self._known(origin.get("file_id"), data)) is not None:
            return known
        try:
            facts = inspect(data)
        except ValueError as error:
            raise ImageError("service_error", f"What arrived is no whole picture: {error}", submitted=True) from None
        # A cancellation between the file and its entry would leave a paid picture that no record names.
        with shielded():
            began = anyio.current_time()
            # A picture that is here has been paid for, with money or with the day's quota.
            self.record.submitted = self.record.spent = True
            try:
                image = await self._add(data, facts, origin)
            except ImageError as error:
                if not self.record.on_web:
                    self._unsaved.append((data, facts, origin))
                    error.next_step += " The server has the picture in memory until then: do not end it."
                raise
            await self._write()
            self.record.timings.save += anyio.current_time() - began
        self._wake()
        return image

    async def _add(self, data: bytes, facts: ImageFacts, origin: dict[str, str]) -> SavedImage:
        image = await self.folder.add_picture(data, facts)
        self.record.images.append(image)
        self.record.sources.append(origin)
        return image

    def _known(self, file_id: str | None, data: bytes) -> SavedImage | None:
        """The entry of a picture that was saved before. On the web a picture may come again under another sign (a
        ``blob:`` first, its file id later; after a crash a file nobody recorded): those are known by their bytes."""
        mark = hashlib.sha256(data).hexdigest() if self.request.backend == "chatgpt-web" else None
        for image, source in zip(self.record.images, self.record.sources, strict=True):
            if (file_id and source.get("file_id") == file_id) or image.sha256 == mark:
                return image
        return None

    async def complete(self) -> None:
        if self.end_whole is not None and not self.record.finished and len(self.images) >= self.request.n:
            with shielded():
                await self.end_whole(self)
                self.answered.set()
            self._wake()

    async def save_partial(self, data: bytes, index: int, /) -> None:
        """Previews are not kept: a half-drawn picture in the folder would sooner or later be taken for a result."""
        self.progress(f"preview {index + 1} received ({len(data) // 1024} kB)")
        await anyio.lowlevel.checkpoint()

    async def taken_ids(self) -> frozenset[str]:
        return frozenset() if self.look_up_taken is None else await self.look_up_taken(self.generation_id)

    @property
    def is_out(self) -> bool:
        """Whether a request has left, or is about to, whose answer cannot be fetched later."""
        return self.request.backend == "api" and self.record.submitted is not False and not self.done.is_set()

    def may_send(self) -> None:
        if self.leaving:
            sent = self.record.submitted
            raise ImageError("cancelled", "The server is ending.", submitted=sent, spent=self.record.spent)

    async def waiting_for_person(self) -> None:
        self.clock.stop()
        await anyio.lowlevel.checkpoint()

    # --- what the studio tells ---------------------------------------------------------------------------------

    async def mark_fetched(self) -> None:
        """A call was answered with its end while the back end still works: what is written later says so too."""
        self.record.fetched = True
        try:
            await self._write()
        except ImageError:
            self.unwritten = True

    def end(self) -> None:
        """Everything is written that will be."""
        self.answered.set()
        self.done.set()
        self._wake()

    @property
    def unsettled(self) -> bool:
        """Whether this process has what the disk did not take."""
        return self.unwritten or self.holds_pictures

    @property
    def holds_pictures(self) -> bool:
        return bool(self._unsaved)

    async def save_held(self) -> None:
        """Write the pictures that the disk did not take before. Raises ImageError ``disk``."""
        with shielded():
            while self._unsaved:
                await self._add(*self._unsaved[0])
                del self._unsaved[0]

    async def finish(self, state: State, error: ImageError | None = None) -> None:
        """The end. Written even when the job's scope is cancelled; a disk error is kept for the caller to see."""
        with shielded():
            self.record.error, self.record.failures = None, []
            if error is not None:
                self.record.error = error.as_dict()
                if self.record.images:
                    self.record.failures = [
                        Failure(index, error.code, error.message)
                        for index in range(len(self.record.images) + 1, self.request.n + 1)
                    ]
            self.record.finished_at = now()
            self.record.owner = None
            await self._move(state, {})

    async def _move(self, state: State, facts: Mapping[str, Any]) -> None:
        record = self.record
        if record.finished:
            # All that was asked for is there, and so is its end; what comes now are facts beside it.
            state = record.state
        self._count_time()
        before = {name: getattr(record, name) for name in (*RECORD_FIELDS, "state")}
        known = dict(record.facts)
        for name, value in facts.items():
            if name in RECORD_FIELDS:
                setattr(record, name, value)
            else:
                record.facts[name] = value
        if facts.get("submitted") is True and record.spent is False:
            record.spent = "unknown"
        record.state = state
        self._wake()
        try:
            await self._write()
        except ImageError:
            # The press of send waits for this to be on disk: what could not be written is not done then.
            if state == "submitting":
                for name, value in before.items():
                    setattr(record, name, value)
                record.facts = known
            raise

    def _count_time(self) -> None:
        if self.record.finished:
            return
        at = anyio.current_time()
        if part := TIMING_OF.get(self.record.state):
            timings = self.record.timings
            setattr(timings, part, round(getattr(timings, part) + at - self.state_since, 3))
        self.state_since = at
        self.record.elapsed_seconds = round(at - self.started_at, 3)

    async def _write(self) -> None:
        self.record.updated_at = now()
        async with self._writing:
            await self.folder.write(self.record)

    def _wake(self) -> None:
        """Wake everyone who waits for news; the next wait gets a fresh event."""
        self.changed.set()
        self.changed = anyio.Event()

    async def news(self) -> None:
        """Until something about this job changes."""
        await self.changed.wait()
