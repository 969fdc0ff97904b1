"""Going on with what earlier processes left: adopting, collecting, and ending truthfully what nobody can finish."""

import logging
from functools import partial
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.joining import JOIN_SECONDS, Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.studio import profiles
from cdp_image_mcp.studio.jobs.runner import Runner
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)


class Recovery:
    """Whatever it takes up becomes a job of the runner."""

    def __init__(self, library: Library, runner: Runner, profile: Path) -> None:
        """``profile``: see :mod:`studio.profiles`."""
        self._profile = profile
        self._library = library
        self._runner = runner
        self._begun = False

    def begin(self) -> None:
        """Once per process, behind its first request: what no site can finish is ended now. What the site may have
        finished is collected as soon as the site is used: who works with the API alone gets no browser for it."""
        if not self._begun:
            self._begun = True
            for at_site in (False, True):
                self._runner.start_soon(partial(self._take_up, at_site=at_site))

    async def revive(self, generation_id: str, *, background: bool = False, ended: bool = True) -> None:
        """Before waiting: do again what the disk did not take, or :meth:`take_up`."""
        if (job := self._runner.jobs.get(generation_id)) is not None:
            await self._runner.settle(job)
        with shielded():
            async with self._runner.taking:
                if generation_id not in self._runner.jobs:
                    await self.take_up(generation_id, background=background, ended=ended)

    async def take_up(self, generation_id: str, *, background: bool = False, ended: bool = True) -> None:
        """Of one without a job here, under ``Runner.taking``: go on with it if nobody else does, collect what was left
        at the site unless one that has ``ended`` is to stay so, or take in what a process that died had written beside
        an ended one. Raises ImageError ``configuration`` for one that only another profile's account has."""
        entry = await self.find(generation_id)
        if entry.record.finished and not entry.record.collectable:
            await self._library.rescue(entry)
            return
        if entry.record.finished and not ended:
            return
        try:
            if not entry.alive and (other := await profiles.elsewhere(entry.record, self._profile)) is not None:
                raise other
            if (adopted := await self._library.adopt(generation_id)) is not None:
                self._runner.recover(adopted.record, adopted.folder, background=background)
        except ImageError as error:
            # Whether *that* one was sent and paid, not this call.
            error.submitted, error.spent = entry.record.submitted, entry.record.spent
            raise

    async def end_idle(self, generation_id: str) -> None:
        """End one that nobody works on, as cancelled; also one that could be collected."""
        with shielded():
            async with self._runner.taking:
                record = (await self.find(generation_id)).record
                if generation_id in self._runner.jobs or (record.finished and not record.collectable):
                    return
                if (adopted := await self._library.adopt(generation_id)) is not None:
                    await self._runner.end_orphan(adopted)

    async def find(self, generation_id: str) -> Entry:
        """Raises ImageError ``not_found``, or ``disk`` for a record that cannot be read."""
        try:
            entry = await self._library.find(generation_id)
        except ImageError as error:
            # Its record cannot be read, so nobody knows whether that one was sent.
            error.submitted = error.spent = "unknown"
            raise
        if entry is None:
            raise ImageError("not_found", f"There is no generation {generation_id}.")
        return entry

    async def _take_up(self, *, at_site: bool) -> None:
        """One after the other and only while no call's job runs: nobody waits for these."""
        if at_site:
            await self._runner.web_used.wait()
        orphans = [entry for entry in await self._library.unfinished() if not entry.alive]
        left = [entry for entry in orphans if entry.record.at_site is at_site]
        ended = self._library.collectable if at_site else self._library.with_strays
        for entry in [*left, *await ended(JOIN_SECONDS)]:
            generation_id = entry.record.generation_id
            while running := [job for job in self._runner.jobs.values() if not job.done.is_set()]:
                await running[0].done.wait()
            # Of what this process itself was asked for, each end is told: whoever wants it waits for it again.
            if generation_id in self._runner.jobs or entry.record.session == self._library.token:
                continue
            if await profiles.elsewhere(entry.record, self._profile) is not None:
                continue  # for whoever has that profile
            try:
                await self.revive(generation_id, background=True)
            except ImageError as error:
                log.warning("%s could not be taken up: %s", generation_id, error)
