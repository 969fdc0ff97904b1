"""Section ``overhead``: from the finished picture at the site to the answer at the client and the file on disk."""

import random
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from fixtures.site import Switches
from tests.bench.figures import OURS, Budget, NotMeasured, Patience, Round, Section, Unit, in_turn
from tests.bench.plan import Plan
from tests.bench.sides import SEED, Side
from tests.bench.standin import StandIn, running_standin
from tests.bench.stdio import McpProcess
from tests.bench.web import draw, makers, warmed

__all__ = ["run"]

SIZES = {"0.1 MB": 100_000, "2 MB": 2_000_000, "8 MB": 8_000_000, "25 MB": 25_000_000}
PREVIEWS = 2
PATIENCE = Patience(rounds=3, seconds=15)
"""For each case, of which there are eight."""
DELAYS = (1.0, 3.5)
"""The site's time is drawn from here, the same for both sides: a program that looks every so often would else always
be met at the same moment of its interval."""


def run(plan: Plan) -> Section:
    """Each side keeps one browser for all sizes; in every round both draw one picture."""
    section = Section("overhead", "Overhead: from the finished picture to answer and file")
    section.budgets = [Budget("2 MB", 0.3), Budget("2 MB", 0.1, SEED)]
    sizes = {"2 MB": SIZES["2 MB"]} if plan.quick else SIZES
    cases = {(name, previews): wanted for previews in (0, PREVIEWS) for name, wanted in sizes.items()}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-overhead-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            with ExitStack() as stack:
                standin = stack.enter_context(running_standin(Switches(remaining=10_000)))
                sides = stack.enter_context(makers(plan, section, place, standin))
                servers = warmed(stack, section, standin, sides, place)
                for (name, previews), wanted in cases.items():
                    standin.set(picture_bytes=wanted, previews=previews)
                    _case(plan, section, standin, servers, f"{name}{', previews on the page' if previews else ''}")
    except NotMeasured as reason:
        section.absent[OURS] = str(reason)
    return section


def _case(
    plan: Plan, section: Section, standin: StandIn, servers: Mapping[str, tuple[Side, McpProcess]], name: str
) -> None:
    wrong: dict[str, int] = {}
    played: dict[str, int] = {}
    rounds = plan.rounds(full=7)

    def round_of(who: str, side: Side, server: McpProcess) -> Round:
        chance = random.Random(name)  # the same delays for everyone

        def play(number: int) -> Mapping[str, float]:
            standin.set(picture_delay_s=chance.uniform(*DELAYS))
            drawn = draw(side, server, standin, f"a lighthouse, {name}, {number}, {random.random()}")
            standin.forget()
            played[who] = number + 1
            if not drawn.right:
                wrong[who] = wrong.get(who, 0) + 1
                return {}
            return {name: drawn.overhead}

        return play

    units: Mapping[str, Unit] = {name: "s"}
    here = {who: round_of(who, *pair) for who, pair in servers.items() if who not in section.absent}
    in_turn(section, rounds, here, units, plan.told, patience=PATIENCE)
    for who, times in wrong.items():
        section.notes.append(
            f"{name}: {who} saved something else than the finished picture in {times} of {played[who]} rounds; "
            "those have no time here."
        )
