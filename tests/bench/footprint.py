"""Section ``footprint``: memory, processor time in a long wait, and what an installation weighs."""

import random
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psutil

from fixtures.site import Switches
from tests.bench.figures import OURS, Budget, NotMeasured, Round, Section, Unit, in_turn
from tests.bench.package import packages_of_node, packages_of_python, size_of
from tests.bench.plan import Plan
from tests.bench.sides import ROOT, SEED, SEED_PACKAGE, Side, bare, ours, seed
from tests.bench.standin import StandIn, running_standin
from tests.bench.stdio import McpProcess, memory
from tests.bench.web import Maker, draw, makers, warmed

__all__ = ["run"]

IDLE = "idle: memory of the server"
AFTER, LEFT = "after a picture and two idle minutes: memory of the server", "the same: programs of a browser"
PEAK, BROWSER = "drawing: peak memory of the server", "drawing: memory of the browser (shared parts shared out)"
SERVER_CPU, BROWSER_CPU = "waiting: processor time of the server", "waiting: processor time of the browser"
SIZE, PACKAGES = "installed size", "installed packages"
UNITS: Mapping[str, Unit] = {
    IDLE: "B",
    AFTER: "B",
    LEFT: "n",
    PEAK: "B",
    BROWSER: "B",
    SERVER_CPU: "s",
    BROWSER_CPU: "s",
    SIZE: "B",
    PACKAGES: "n",
}
SETTLED_SECONDS = 2.0
WAIT_SECONDS = 30.0
IDLE_SECONDS = 120.0
MARGIN_SECONDS = 3.0


def run(plan: Plan) -> Section:
    """Idle and installed without any site; drawing and waiting on the stand-in."""
    section = Section("footprint", "Footprint")
    seconds = 2.0 if plan.quick else WAIT_SECONDS
    section.budgets = [Budget(IDLE, 70e6), Budget(AFTER, 80e6), Budget(LEFT, 0)]
    section.budgets.append(Budget(SERVER_CPU, 0.005 * seconds))
    section.notes.append("Memory: all processes of the server, what they share with others shared out.")
    section.notes.append(f"Processor times are of {seconds:g} s in the middle of a wait for a picture.")
    _idle(plan, section)
    _installed(plan, section)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-footprint-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            with (
                running_standin(Switches(generation="october", remaining=100_000)) as standin,
                makers(plan, section, place, standin) as sides,
            ):
                _drawing(plan, section, standin, sides, place, seconds)
                _rested(plan, section, standin, sides[OURS](place / "rested"))
    except NotMeasured as reason:
        section.absent[OURS] = str(reason)
    return section


def _idle(plan: Plan, section: Section) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as folder:
        place = Path(folder)
        sides = [ours(place / "ours"), bare(place / "bare")]
        with suppress(NotMeasured):  # told by the section's other parts
            sides.append(seed(plan.workshop, place / "seed", GPT_IMAGE_BACKEND="api", OPENAI_API_KEY="none"))

        def once(side: Side, _round: int) -> Mapping[str, float]:
            with side.start() as server:
                server.initialize()
                server.tools()
                time.sleep(SETTLED_SECONDS)
                return {IDLE: memory(server.own)}

        in_turn(section, plan.rounds(full=3), {side.who: partial(once, side) for side in sides}, UNITS, plan.told)


def _installed(plan: Plan, section: Section) -> None:
    plan.told("footprint: installing")
    try:
        own = plan.workshop.wheel(ROOT)
        packages = packages_of_python(own.program)
        section.measure(PACKAGES, "n").add(OURS, len(packages))
        section.measure(SIZE, "B").add(OURS, sum(packages.values()))
    except NotMeasured as reason:
        section.notes.append(f"The installed size of {OURS} was not measured: {reason}.")
    try:
        theirs = plan.workshop.node(SEED_PACKAGE)
        section.measure(PACKAGES, "n").add(SEED, len(packages_of_node(theirs.folder)))
        section.measure(SIZE, "B").add(SEED, size_of(theirs.folder / "node_modules"))
    except NotMeasured as reason:
        section.absent[SEED] = str(reason)


def _drawing(
    plan: Plan, section: Section, standin: StandIn, sides: Mapping[str, Maker], folder: Path, seconds: float
) -> None:
    with ExitStack() as stack:
        servers = warmed(stack, section, standin, sides, folder)
        standin.set(picture_delay_s=seconds + 2 * MARGIN_SECONDS)
        rounds: dict[str, Round] = {
            who: partial(_wait, side, server, standin, seconds) for who, (side, server) in servers.items()
        }
        in_turn(section, plan.rounds(full=1), rounds, UNITS, plan.told)


def _rested(plan: Plan, section: Section, standin: StandIn, side: Side) -> None:
    standin.set(picture_delay_s=0.3)
    with side.start() as server:
        server.initialize()
        draw(side, server, standin, f"one picture {random.random()}")
        plan.told("footprint: two idle minutes")
        time.sleep(SETTLED_SECONDS if plan.quick else IDLE_SECONDS)
        section.measure(AFTER, "B").add(OURS, memory(server.own))
        section.measure(LEFT, "n").add(OURS, len(server.browser))


def _wait(side: Side, server: McpProcess, standin: StandIn, seconds: float, number: int) -> Mapping[str, float]:
    """One slow generation, looked at from another thread."""
    prompt = f"a slow lighthouse, number {number} {random.random()}"
    watch = _Watch(server, standin, prompt, seconds)
    watch.start()
    try:
        draw(side, server, standin, prompt, limit=seconds + 120)
    finally:
        watch.stop()
    return watch.found()


class _Watch(threading.Thread):
    """Samples memory all the time, and processor time at both ends of a stretch after the prompt has gone out."""

    def __init__(self, server: McpProcess, standin: StandIn, prompt: str, seconds: float) -> None:
        super().__init__(name="watch")
        self._server = server
        self._standin = standin
        self._prompt = prompt
        self._seconds = seconds
        self._ended = threading.Event()
        self._peak = self._browser = 0.0
        self._used: tuple[float, float] | None = None

    def run(self) -> None:
        while not self._asked():
            if self._look(0.2):
                return
        if self._look(MARGIN_SECONDS):
            return
        before = _processor(self._server.own), _processor(self._server.browser)
        if self._look(self._seconds):
            return
        after = _processor(self._server.own), _processor(self._server.browser)
        self._browser = max(self._browser, memory(self._server.browser))
        self._used = after[0] - before[0], after[1] - before[1]
        self._look(600)

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def found(self) -> Mapping[str, float]:
        values = {PEAK: self._peak}
        if self._used is not None:
            values |= {SERVER_CPU: self._used[0], BROWSER_CPU: self._used[1], BROWSER: self._browser}
        return values

    def _asked(self) -> bool:
        try:
            self._standin.turn(self._prompt)
        except NotMeasured:
            return False
        return True

    def _look(self, seconds: float) -> bool:
        """Sample until the time or the generation is over; whether it was the latter."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with suppress(psutil.NoSuchProcess):
                self._peak = max(self._peak, memory(self._server.own))
            if self._ended.wait(min(0.1, left)):
                return True
        return False


def _processor(processes: Iterable[psutil.Process]) -> float:
    used = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used
