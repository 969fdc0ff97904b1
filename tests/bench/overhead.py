"""Section ``overhead``: from the finished picture at the site to the answer at the client and the file on disk."""

import random
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fixtures.site import Switches
from tests.bench.figures import OURS, Budget, NotMeasured, Patience, Round, Section, in_turn
from tests.bench.plan import Plan
from tests.bench.sides import SEED, Side
from tests.bench.standin import StandIn, running_standin
from tests.bench.stdio import McpProcess
from tests.bench.web import draw, makers, warmed

__all__ = ["WAYS", "run"]

SIZES = {"0.1 MB": (100_000, 0.15), "2 MB": (2_000_000, 0.25), "25 MB": (25_000_000, 1.0)}
"""Bytes of the picture, and the budget in seconds."""
PAGES = ("october", "classic")
USUAL: Mapping[str, Any] = {"stream": "recorded", "arrival": "websocket", "stream_status": "told", "previews": 0}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "recorded turn": {},
    "streamed, no status": {"stream": "inline", "stream_status": "unavailable"},
    "hand-off by socket": {"stream": "handoff"},
    "hand-off by reading": {"stream": "handoff", "arrival": "poll"},
    "with previews": {"previews": 2},
}
"""How the picture reaches the page: switches of the stand-in beside the usual ones."""
READ_SECONDS = 0.1
"""How often the page reads where no news come (10.5 on the real site, which would be all that is seen)."""
PATIENCE = Patience(rounds=2, seconds=12)
COMPARED = "recorded turn, 2 MB"
DELAYS = (0.4, 1.4)
"""The site's time is drawn from here, the same for both sides: a program that looks every so often would else always
be met at the same moment of its interval."""


def run(plan: Plan) -> Section:
    """Each side keeps one browser for all cases; in every round each draws one picture."""
    section = Section("overhead", "Overhead: from the finished picture to answer and file")
    section.notes.append(f"By reading: the page reads every {READ_SECONDS:g} s.")
    try:
        with tempfile.TemporaryDirectory(prefix="bench-overhead-", ignore_cleanup_errors=True) as folder:
            place = Path(folder)
            with ExitStack() as stack:
                switches = Switches(generation=PAGES[0], poll_s=READ_SECONDS, remaining=100_000)
                standin = stack.enter_context(running_standin(switches))
                sides = stack.enter_context(makers(plan, section, place, standin))
                servers = warmed(stack, section, standin, sides, place)
                for page in PAGES:
                    standin.set(**{**USUAL, "generation": page})
                    for side, server in servers.values():
                        draw(side, server, standin, f"the page of {page} {random.random()}")  # loads the page
                    for way, switches in WAYS.items():
                        _sizes(plan, section, standin, servers, f"{page}, {way}", {**USUAL, **switches})
    except NotMeasured as reason:
        section.absent[OURS] = str(reason)
    return section


def _sizes(
    plan: Plan,
    section: Section,
    standin: StandIn,
    servers: Mapping[str, tuple[Side, McpProcess]],
    way: str,
    switches: Mapping[str, Any],
) -> None:
    """All sizes of one way."""
    for size, (wanted, budget) in list(SIZES.items())[: 1 if plan.quick else None]:
        name = f"{way}, {size}"
        section.budgets.append(Budget(name, budget))
        # The seed is slow: once for each page.
        here = [who for who in servers if who not in section.absent and (who != SEED or name.endswith(COMPARED))]
        if SEED in here:
            section.budgets.append(Budget(name, 0.1, SEED))
        standin.set(**switches, picture_bytes=wanted)
        wrong: dict[str, int] = {}
        rounds = {who: _round(name, who, *servers[who], standin, wrong) for who in here}
        in_turn(section, plan.rounds(full=3), rounds, {name: "s"}, plan.told, patience=PATIENCE)
        section.notes += [
            f"{name}: {who} saved something else than the finished picture {times} times; those have no time here."
            for who, times in wrong.items()
        ]


def _round(name: str, who: str, side: Side, server: McpProcess, standin: StandIn, wrong: dict[str, int]) -> Round:
    chance = random.Random(name)  # the same delays for everyone

    def play(number: int) -> Mapping[str, float]:
        standin.set(picture_delay_s=chance.uniform(*DELAYS))
        drawn = draw(side, server, standin, f"a lighthouse, {name}, {number}, {random.random()}")
        standin.forget()
        if not drawn.right:
            wrong[who] = wrong.get(who, 0) + 1
            return {}
        return {name: drawn.overhead}

    return play
