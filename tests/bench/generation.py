"""Section ``generation``: from the call to the answer, warm and cold."""

import random
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from fixtures.site import Switches
from tests.bench.figures import OURS, Budget, NotMeasured, Patience, Round, Section, Unit, in_turn
from tests.bench.plan import Plan
from tests.bench.sides import Side
from tests.bench.standin import StandIn, running_standin
from tests.bench.stdio import CLOSING_SECONDS, McpProcess
from tests.bench.web import Maker, draw, makers, warmed

__all__ = ["run"]

DELAY = 1.2
PATIENCE = Patience(rounds=3, seconds=20)
WARM, SITE = "warm: call to answer", "warm: prompt to finished picture, the site itself"
COLD, COLD_OWN = "cold: first call to answer", "cold: the same without the site's own time"
CLOSED = "cold after an idle close: call to answer"
BEFORE, AFTER = "warm: call to the prompt at the site", "warm: finished picture to answer"
UNITS: Mapping[str, Unit] = {WARM: "s", BEFORE: "s", SITE: "s", AFTER: "s", COLD: "s", COLD_OWN: "s", CLOSED: "s"}
IDLE_SECONDS = 1.0
"""After which our server closes its browser here, in place of its own minute and a half."""
SOON_IDLE = f"""
import runpy
from cdp_image_mcp.chatgpt.window import keeper
keeper.IDLE_SECONDS = {IDLE_SECONDS}
runpy.run_module("cdp_image_mcp", run_name="__main__")
"""


def run(plan: Plan) -> Section:
    """A site that takes 1.2 s for a picture; each side in a browser of its own, the same wrapper and address."""
    section = Section("generation", "Whole generation")
    section.budgets = [Budget(WARM, 2.0), Budget(CLOSED, 2.4)]
    section.notes.append(
        f"The page of October, which needs {DELAY:g} s for the picture, and a little for its stream and the drawing. "
        "Cold: the profile has been used before, the browser does not run; the call is made as soon as the server has "
        "answered `initialize`."
    )
    try:
        with tempfile.TemporaryDirectory(prefix="bench-generation-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            switches = Switches(generation="october", picture_delay_s=DELAY, remaining=100_000)
            with running_standin(switches) as standin, makers(plan, section, place, standin) as sides:
                _warm(plan, section, standin, sides, place)
                _cold(plan, section, standin, sides, place)
                _after_idle_close(plan, section, standin, sides[OURS](place / "side-0"))
    except NotMeasured as reason:
        section.absent[OURS] = str(reason)
    return section


def _warm(plan: Plan, section: Section, standin: StandIn, sides: Mapping[str, Maker], folder: Path) -> None:
    with ExitStack() as stack:
        servers = warmed(stack, section, standin, sides, folder)
        rounds = {who: _warm_round(side, server, standin, section) for who, (side, server) in servers.items()}
        in_turn(section, plan.rounds(full=10), rounds, UNITS, plan.told, patience=PATIENCE)


def _warm_round(side: Side, server: McpProcess, standin: StandIn, section: Section) -> Round:
    def play(number: int) -> Mapping[str, float]:
        drawn = draw(side, server, standin, f"a lighthouse, number {number} {random.random()}")
        if not drawn.right:
            section.notes.append(f"{side.who} saved something else than the finished picture in round {number + 1}.")
        return {
            WARM: drawn.whole,
            BEFORE: drawn.asked_at - drawn.called_at,
            SITE: drawn.site,
            AFTER: drawn.overhead,
        }

    return play


def _cold(plan: Plan, section: Section, standin: StandIn, sides: Mapping[str, Maker], folder: Path) -> None:
    rounds: dict[str, Round] = {}
    for who, make in sides.items():
        if who in section.absent:
            continue
        # The folders of the warm part: a profile that has been used, as every profile but for its first day.
        rounds[who] = _cold_round(make(folder / f"side-{list(sides).index(who)}"), standin)
    in_turn(section, plan.rounds(full=5), rounds, UNITS, plan.told, patience=PATIENCE)


def _cold_round(side: Side, standin: StandIn) -> Round:
    def play(number: int) -> Mapping[str, float]:
        with side.start() as server:
            server.initialize()
            drawn = draw(side, server, standin, f"a cold lighthouse, number {number} {random.random()}")
        return {COLD: drawn.whole, COLD_OWN: drawn.whole - drawn.site}

    return play


def _after_idle_close(plan: Plan, section: Section, standin: StandIn, side: Side) -> None:
    soon = msgspec.structs.replace(side, command=(sys.executable, "-c", SOON_IDLE))
    with soon.start() as server:
        server.initialize()
        draw(side, server, standin, f"warming up {random.random()}")

        def play(number: int) -> Mapping[str, float]:
            deadline = time.monotonic() + CLOSING_SECONDS
            while server.browser:
                if time.monotonic() > deadline:
                    raise NotMeasured("its browser did not close when nothing was to be done")
                time.sleep(0.1)
            drawn = draw(side, server, standin, f"a lighthouse after a rest, number {number} {random.random()}")
            return {CLOSED: drawn.whole}

        in_turn(section, plan.rounds(full=5), {OURS: play}, UNITS, plan.told)
