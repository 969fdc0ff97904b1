"""Scenes of the whole program, played by several programs side by side: most of a scene's time is waiting."""

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio

from cdp_image_mcp.library.ledger import Ledger
from fixtures.site import Site, running_site
from fixtures.site.switches import Switches
from tests.web.program import Program, running_program

__all__ = ["Performance", "Scene", "Stage"]

BUSY = max(4, 2 * (os.cpu_count() or 1))
"""Programs with a browser each. More at once than processors can serve are not quicker, but meet their time limits."""

PATIENT = 6
"""As many more for scenes that mostly wait, which costs nothing."""

LONG = 15.0
"""Seconds from which a scene is one of those."""

STARTING = 2
"""Browsers that start at the same time."""

LIMIT = 300.0
"""Seconds that no scene of an ordinary run takes; beside it others go on."""


@dataclass
class Stage:
    """One program and its site serve many scenes, as on a person's workstation: the browser stays open between."""

    site: Site
    program: Program

    def set(self, switches: Switches) -> None:
        """The site as new, with these switches; what was said about limits before holds no longer."""
        Ledger(self.program.folder / "profile").path.unlink(missing_ok=True)
        self.site.switches = switches
        self.site.reset()


@dataclass(frozen=True, eq=False)
class Scene:
    play: Callable[[Stage], Awaitable[None]]
    """Raises what is wrong."""
    seconds: float = 3.0
    """About how long it takes: the longest begin first."""
    limit: float = LIMIT


@dataclass
class _End:
    over: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None
    seconds: float = 0.0


class Performance:
    def __init__(self, scenes: Iterable[Scene]) -> None:
        longest_first = sorted(scenes, key=lambda scene: -scene.seconds)
        self._patient = [scene for scene in longest_first if scene.seconds >= LONG]
        self._busy = [scene for scene in longest_first if scene.seconds < LONG]
        self._ends = {scene: _End() for scene in longest_first}
        self.errors: list[Exception] = []
        """What went wrong when a program was ended."""

    async def run(self, folder: Path) -> None:
        """Play all scenes. What goes wrong in one is its own error alone."""
        starting = anyio.CapacityLimiter(STARTING)
        async with anyio.create_task_group() as group:
            for kind, waiting, at_once in (("patient", self._patient, PATIENT), ("busy", self._busy, BUSY)):
                for number in range(min(at_once, len(waiting))):
                    group.start_soon(self._perform, waiting, folder / f"{kind}-{number}", starting)

    def stop(self) -> None:
        """What has not begun is not begun any more."""
        self._patient.clear()
        self._busy.clear()

    async def seen(self, scene: Scene) -> None:
        """Wait until that scene was played; raises what was wrong in it."""
        end = self._ends[scene]
        with anyio.fail_after(900):
            await end.over.wait()
        if end.error is not None:
            raise end.error

    def seconds(self, scene: Scene) -> float:
        return self._ends[scene].seconds

    async def _perform(self, waiting: list[Scene], folder: Path, starting: anyio.CapacityLimiter) -> None:
        """Scenes one after the other; a new program where one went wrong, so that the next finds nothing of it."""
        for attempt in count():
            if not waiting:
                return
            scene = waiting.pop(0)
            try:
                async with _opened(folder / str(attempt), starting) as stage:
                    while await self._went_well(scene, stage) and waiting:
                        scene = waiting.pop(0)
            except Exception as error:  # noqa: BLE001 - raised by the scene's test, or at the end of all
                end = self._ends[scene]
                if end.over.is_set():
                    self.errors.append(error)
                else:
                    end.error = error
                    end.over.set()

    async def _went_well(self, scene: Scene, stage: Stage) -> bool:
        end = self._ends[scene]
        began = time.monotonic()
        try:
            with anyio.fail_after(scene.limit):
                await scene.play(stage)
        except Exception as error:  # noqa: BLE001 - raised by the scene's test
            end.error = error
        end.seconds = time.monotonic() - began
        end.over.set()
        return end.error is None


@asynccontextmanager
async def _opened(folder: Path, starting: anyio.CapacityLimiter) -> AsyncGenerator[Stage]:
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        site = stack.enter_context(running_site(Switches()))
        async with starting:
            program = await stack.enter_async_context(running_program(folder, site.url))
            told = await program.call("browser_visibility", start_browser=True)
        assert told.data["browser_open"], told.data
        yield Stage(site, program)
