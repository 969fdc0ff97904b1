"""What of ended jobs is in memory alone: done again until the disk has taken it, or the address given it."""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

import anyio

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import State
from cdp_image_mcp.studio.ending import ADVICE
from cdp_image_mcp.studio.jobs.job import Job

log = logging.getLogger(__name__)

HELD_SECONDS = 600.0
"""How long pictures that the disk did not take, or that could not be fetched, are tried again when the client has
gone: with this process they would be lost."""
End: TypeAlias = Callable[[Job, State, ImageError | None], Awaitable[None]]


class Settling:
    """``dismiss`` takes leave of one that is done with, ``end`` ends one anew, ``start_soon`` runs work that no call
    waits for."""

    def __init__(
        self,
        dismiss: Callable[[Job], Awaitable[None]],
        end: End,
        start_soon: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self._dismiss = dismiss
        self._end = end
        self._start_soon = start_soon

    async def settle(self, job: Job) -> None:
        """Do again, beside all calls, what could not be fetched or written; until that works, memory answers. Returns
        when it is done or has failed, but waits for no address."""
        if job.behind and job.done.is_set() and not job.settling:
            job.settling = True
            self._start_soon(partial(self._again, job))
        while job.settling and not job.held:
            await job.news()

    async def ended(self, job: Job, seconds: float = math.inf) -> None:
        """Until it has ended, and then at most ``seconds`` until it is settled, or cannot be now."""
        await job.done.wait()
        with anyio.move_on_after(seconds):
            await self.settle(job)
            while job.settling:
                await job.news()

    async def see_through(self, jobs: Sequence[Job], seconds: float = math.inf) -> None:
        """Until all of them have ended and are settled; what is still out after ``seconds`` is stopped."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for job in jobs:
                    group.start_soon(self._seen_through, job)
        for job in jobs:
            job.scope.cancel()
        for job in jobs:
            await job.done.wait()

    async def _seen_through(self, job: Job) -> None:
        """Its end, and then what could not be written or fetched, as often as it takes. A fault is logged: raised, it
        would take the others with it."""
        pause = 1.0
        try:
            await self.ended(job)
            with anyio.move_on_after(HELD_SECONDS):
                while job.held:
                    await anyio.sleep(pause)
                    pause = min(2 * pause, 30.0)
                    await self.ended(job)
        except Exception:
            log.exception("%s could not be seen through to its end", job.generation_id)

    async def _again(self, job: Job) -> None:
        held, placed, error = job.held, len(job.images), job.record.failure()
        try:
            await job.catch_up()
        except ImageError as problem:
            log.warning("what %s made still cannot be written: %s", job.generation_id, problem)
        finally:
            try:
                if job.held < held:
                    if error is not None and "kept" in job.record.facts:
                        error.details["kept"] = job.record.facts["kept"]
                    state: State = "partial" if job.images else job.record.state
                    if error is not None:
                        error = _without(error, len(job.images) - placed)
                    await self._end(job, "saved" if job.whole else state, None if job.whole else error)
                await self._dismiss(job)
            finally:
                # Whatever happened: calls and the server's end wait for this.
                job.settling = False
                job.end()


def _without(error: ImageError, placed: int) -> ImageError:
    """What is left of ``error`` when so many pictures are here after all for which a full disk led it."""
    told = [*error.details.get("failures", ())]
    full = [one for one in told if one["code"] == "disk"]
    for one in full[:placed]:
        told.remove(one)
    if error.code != "disk" or not told:
        return error
    error.details["failures"] = told
    if len(full) > placed:
        return error
    # Where the disk was full says nothing of what takes its place.
    kept = {name: found for name, found in error.details.items() if name in {"failures", "kept"}}
    left = ImageError(**told[0], submitted=True, spent=True, details=kept)
    if left.retryable:
        left.retryable, left.next_step = False, ADVICE["rest"]
    return left
