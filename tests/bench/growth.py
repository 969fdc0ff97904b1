"""Section ``growth``: what happens to time and memory with a long past, a long conversation, and a long life."""

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fixtures.site import Switches
from tests.bench.curves import svg
from tests.bench.figures import OURS, Budget, NotMeasured, Section, Unit
from tests.bench.past import fill
from tests.bench.plan import Plan
from tests.bench.sides import Side, ours
from tests.bench.standin import StandIn, running_standin
from tests.bench.stdio import McpProcess, memory
from tests.bench.web import draw, mapped_browser

__all__ = ["run"]

EARLIER = (1, 5_000, 50_000)
TURNS = (1, 10, 50)
FLAT = ("first call", "status")
BROWSER_EVERY = 10
"""Adding up a browser's memory takes a while; it is done at every so many generations."""


class Moment(msgspec.Struct, frozen=True):
    """One generation in a row: seconds from the call to the answer without the site's own, and memory after it."""

    number: int
    seconds: float
    server: float
    browser: float | None


def run(plan: Plan) -> Section:
    """Ours alone: the question is whether it stays as it began."""
    section = Section("growth", "Growth")
    section.notes.append(
        "The page of October. Times are without what the site itself takes. Over an empty library: ratio or difference "
        "to that with one earlier generation. The curves hold every single generation."
    )
    section.budgets = [
        *(Budget(f"{what}, {count} earlier, over an empty library", 1.3) for what in FLAT for count in EARLIER[1:]),
        *(Budget(f"memory, {count} earlier, over an empty library", 10e6) for count in EARLIER[1:]),
        Budget(f"turn {TURNS[-1]} of a conversation over turn 1", 1.3),
        Budget(f"{plan.soak} in a row: growth of the server for each", 10e3),
    ]
    if plan.browser is None:
        section.absent[OURS] = "no browser is installed here"
        return section
    try:
        with tempfile.TemporaryDirectory(prefix="bench-growth-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            switches = Switches(generation="october", picture_delay_s=0.3, remaining=100_000)
            with running_standin(switches) as standin:
                wrapper = mapped_browser(place, plan.browser, standin)
                _library(plan, section, standin, place, wrapper)
                _conversation(plan, section, standin, ours(place / "conversation", wrapper))
                _soak(plan, section, standin, ours(place / "soak", wrapper))
    except NotMeasured as reason:
        section.absent[OURS] = str(reason)
    return section


def _library(plan: Plan, section: Section, standin: StandIn, folder: Path, wrapper: Path) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    alone: dict[str, float] = {}
    for count in (1, 100) if plan.quick else EARLIER:
        plan.told(f"growth: {count} earlier generations")
        place = folder / f"library-{count}"
        root = place / "output"
        side = ours(place, wrapper, GPT_IMAGE_OUTPUT_DIR=str(root))
        fill(root, count)
        found = {
            "first call, no index yet": [_first_call(side)],
            "first call": [_first_call(side) for _ in range(plan.rounds(full=3))],
        }
        with side.start() as server:
            server.initialize()
            drawn = _row(plan, section, side, server, standin, 1 + plan.rounds(full=5), "library")[1:]
            found["generation"] = [moment.seconds for moment in drawn]
            found["status"] = [_status(server) for _ in range(plan.rounds(full=5))]
            found["memory"] = [memory(server.own)]
        for what, values in found.items():
            unit: Unit = "B" if what == "memory" else "s"
            measure = section.measure(f"{what}, {count} earlier", unit)
            for value in values:
                measure.add(OURS, value)
            median = statistics.median(values)
            if count > 1 and what in (*FLAT, "memory"):
                over = section.measure(f"{what}, {count} earlier, over an empty library", "B" if unit == "B" else "n")
                over.add(OURS, median - alone[what] if unit == "B" else median / alone[what])
            alone.setdefault(what, median)
            if unit == "s":
                lines.setdefault(what, []).append((count, median))
    section.curves["growth-library.svg"] = svg("Time by earlier generations", "earlier generations", "s", lines)


def _first_call(side: Side) -> float:
    """From the process's start to its first answer that needs the library."""
    with side.start() as server:
        server.initialize()
        return server.tool("backend_status", {"backend": "api"}).at - server.started_at


def _status(server: McpProcess) -> float:
    began = time.monotonic()
    return server.tool("backend_status", {}).at - began


def _conversation(plan: Plan, section: Section, standin: StandIn, side: Side) -> None:
    with side.start() as server:
        server.initialize()
        draw(side, server, standin, f"warming up {random.random()}")
        turns = 3 if plan.quick else TURNS[-1]  # the third goes on from one that went on itself
        row = _row(plan, section, side, server, standin, turns, "conversation", continuing=True)
    found = {number: [one.seconds for one in row if abs(one.number - number) <= 1] for number in TURNS}
    for number, times in found.items():
        for seconds in times:
            section.measure(f"generation, around turn {number} of a conversation", "s").add(OURS, seconds)
    if found[TURNS[-1]]:
        ratio = statistics.median(found[TURNS[-1]]) / statistics.median(found[1])
        section.measure(f"turn {TURNS[-1]} of a conversation over turn 1", "n").add(OURS, ratio)
    _draw_curves(section, "conversation", "turn of one conversation", row)


def _soak(plan: Plan, section: Section, standin: StandIn, side: Side) -> None:
    count = 2 if plan.quick else plan.soak
    with side.start() as server:
        server.initialize()
        draw(side, server, standin, f"warming up {random.random()}")
        row = _row(plan, section, side, server, standin, count, "soak")
    part = max(len(row) // 10, 1)
    for name, moments in (("first tenth", row[:part]), ("last tenth", row[-part:])):
        for moment in moments:
            section.measure(f"{count} in a row: generation, {name}", "s").add(OURS, moment.seconds)
            section.measure(f"{count} in a row: memory of the server, {name}", "B").add(OURS, moment.server)
            if moment.browser is not None:
                section.measure(f"{count} in a row: memory of the browser, {name}", "B").add(OURS, moment.browser)
    if len(row) > 2:
        growth = (_median(row[-part:]) - _median(row[part : 2 * part])) / (len(row) - 2 * part)
        section.measure(f"{count} in a row: growth of the server for each", "B").add(OURS, growth)
    _draw_curves(section, "soak", "generation", row)


def _median(row: Sequence[Moment]) -> float:
    return statistics.median(moment.server for moment in row)


def _row(
    plan: Plan,
    section: Section,
    side: Side,
    server: McpProcess,
    standin: StandIn,
    count: int,
    name: str,
    *,
    continuing: bool = False,
) -> list[Moment]:
    """``count`` generations one after the other; ends early, with a note, when one fails."""
    row: list[Moment] = []
    for number in range(1, count + 1):
        if number % 20 == 0:
            plan.told(f"growth: {name}, {number} of {count}")
        mode = "continue" if continuing and number > 1 else "new"
        try:
            drawn = draw(side, server, standin, f"{name} {number} {random.random()}", conversation_mode=mode)
        except NotMeasured as reason:
            section.notes.append(f"{name}: generation {number} of {count} failed, and the row ends there: {reason}.")
            break
        if not drawn.right:
            section.notes.append(f"{name}: generation {number} saved something else than the finished picture.")
        browser = memory(server.browser) if number % BROWSER_EVERY == 0 or count < BROWSER_EVERY else None
        row.append(Moment(number, drawn.whole - drawn.site, memory(server.own), browser))
    if not row:
        raise NotMeasured(f"{name}: not one generation succeeded: {section.notes[-1]}")
    return row


def _draw_curves(section: Section, name: str, across: str, row: Sequence[Moment]) -> None:
    times = [(moment.number, moment.seconds) for moment in row]
    memory = {
        "server": [(moment.number, moment.server) for moment in row],
        "browser": [(moment.number, moment.browser) for moment in row if moment.browser is not None],
    }
    section.curves[f"growth-{name}-time.svg"] = svg("Time of a generation", across, "s", {"call to answer": times})
    section.curves[f"growth-{name}-memory.svg"] = svg(
        "Memory", across, "B", {who: line for who, line in memory.items() if line}
    )
