"""Following one generation on a terminal until it has ended."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec

from cdp_image_mcp.schema import GenerateImage
from cdp_image_mcp.studio import News, Standing, Studio
from cdp_image_mcp.terminal import Terminal

__all__ = ["follow"]

PATIENT = 1800.0
"""Seconds of one wait; then it is waited for again."""
TICK = 0.5
"""Seconds between two drawings of the progress line: its clock goes on between two news."""


async def follow(studio: Studio, arguments: GenerateImage, terminal: Terminal, accepted: list[str]) -> Standing:
    """Where the generation ended. Its id is put into ``accepted`` as soon as there is one."""
    watch = _Watch(studio, terminal)
    async with watch.running():
        standing = await studio.generate(msgspec.structs.replace(arguments, wait_seconds=0))
        watch.generation_id = standing.record.generation_id
        accepted.append(standing.record.generation_id)
        while not standing.record.finished:
            watch.tell_person(standing)
            standing = await studio.wait(standing.record.generation_id, PATIENT, watch)
    await studio.fetched(standing)
    return standing


class _Watch:
    def __init__(self, studio: Studio, terminal: Terminal) -> None:
        self.generation_id = ""
        self._studio = studio
        self._terminal = terminal
        self._news: News | None = None
        self._at = 0.0
        self._person_told = ""

    async def __call__(self, news: News) -> None:
        self._news, self._at = news, time.monotonic()
        self._show()

    def _show(self) -> None:
        if self._news is not None:
            self._terminal.progress(self._news, self._news.elapsed + time.monotonic() - self._at)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            if self._terminal.live:
                group.start_soon(self._tick)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
                self._terminal.clear()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            # A listener hears every 5 s, as clients like it; a person sees more.
            if (news := self._studio.news(self.generation_id)) is not None:
                await self(news)
            else:
                self._show()

    def tell_person(self, standing: Standing) -> None:
        """Once for each state in which a person has to act."""
        state = standing.record.state
        if state in {"needs_sign_in", "needs_verification"} and state != self._person_told:
            self._person_told = state
            said = standing.news.message if standing.news is not None else "Please act in the open browser window."
            self._terminal.say(said, "yellow")
