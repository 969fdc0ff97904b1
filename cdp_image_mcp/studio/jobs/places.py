"""Where and how long jobs run: a few at a time at the API, one at the site, each within its time limit."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.studio.jobs.job import Job
from cdp_image_mcp.system.tasks import background
from cdp_image_mcp.system.turns import Turns

API_CONCURRENCY = 4
LATE_SECONDS = 120.0
"""How long a turn at the site is waited for when its generation's time is over: twice what a picture typically takes
there. No prompt goes out beside it meanwhile. A request to the API is waited for by the back end's own patience."""


class Places:
    def __init__(self, profile: Path, library: Library) -> None:
        """``profile`` has the queue of the site's account."""
        self._turns = Turns(profile)
        self._api_slots = anyio.Semaphore(API_CONCURRENCY)
        self._library = library

    async def run(self, job: Job, work: Callable[[], Awaitable[None]]) -> bool:
        """Do ``work`` when it is this job's turn, within the generation's own limit. False: it was stopped in the
        middle, for it is collected in the background and somebody else wants the turn."""
        with suppress(ImageError):
            job.typical = await self._library.typical_seconds(job.request.backend)
        if job.request.backend == "api":
            async with self._api_slots:
                await _limited(job, work)
            return True

        def at(position: int) -> None:
            job.position = position
            job.progress("")

        async with self._turns.take(on_position=at, behind=lambda: job.background):
            job.position = None
            with anyio.CancelScope() as scope:
                async with background() as group:
                    if job.background:
                        group.start_soon(self._give_way, job, scope)
                    await _limited(job, work)
            if scope.cancelled_caught:
                await job.state("queued")
        return not scope.cancelled_caught

    async def _give_way(self, job: Job, scope: anyio.CancelScope) -> None:
        """To whoever wants the turn, in whatever process: what the site does not end would keep a person's next prompt
        waiting until its time is over. Not what has ended, and watches for more, nor what a call waits for by then."""
        await self._turns.wanted()
        if job.background and not job.record.finished:
            scope.cancel()


async def _limited(job: Job, work: Callable[[], Awaitable[None]]) -> None:
    """The time limit ends what has not been sent. What is out may have been paid: it is waited for."""
    with anyio.CancelScope() as scope:
        try:
            async with background() as group:
                group.start_soon(_keep_time, job, scope)
                await work()
        finally:
            job.clock.stop()
    if scope.cancelled_caught:
        raise job.timed_out()


async def _keep_time(job: Job, scope: anyio.CancelScope) -> None:
    await job.clock.over()
    if job.record.submitted is not False:
        await job.goes_over_time()
        if job.request.backend == "api":
            return
        await job.clock.over(LATE_SECONDS)
    scope.cancel()
