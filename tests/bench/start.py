"""Section ``start``: from making the process to its first answers."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.bench.figures import OURS, Budget, NotMeasured, Section, Unit, in_turn
from tests.bench.plan import Plan
from tests.bench.sides import BARE, SEED, Side, bare, ours, seed

__all__ = ["run"]

HELLO, LIST = "process start to `initialize` answered", "process start to `tools/list` answered"
PROBE = "process start to a probe (`server/discover`) answered"
UNITS: Mapping[str, Unit] = {HELLO: "s", LIST: "s", PROBE: "s"}
META = "io.modelcontextprotocol/"
ENVELOPE = {
    f"{META}protocolVersion": "2026-07-28",
    f"{META}clientInfo": {"name": "bench", "version": "1"},
    f"{META}clientCapabilities": {},
}


def run(plan: Plan) -> Section:
    """Ours, a bare server of the same SDK, and the seed; none has to start a browser for it."""
    section = Section("start", "Start")
    section.budgets = [Budget(name, 1.0, who) for name in (HELLO, LIST) for who in (BARE, SEED)]
    section.budgets += [Budget(PROBE, 1.0, BARE), Budget(PROBE, 0.35)]
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        place = Path(folder)
        sides = [ours(place / "ours"), bare(place / "bare")]
        try:
            # `api`: else it would start its browser at once, and only disturb itself.
            sides.append(seed(plan.workshop, place / "seed", GPT_IMAGE_BACKEND="api", OPENAI_API_KEY="none"))
        except NotMeasured as reason:
            section.absent[SEED] = str(reason)
        for side in sides:
            _once(side, 0)  # the first start writes byte code and fills the disk's cache
        rounds = plan.rounds(full=10)
        in_turn(section, rounds, {side.who: partial(_once, side) for side in sides}, UNITS, plan.told)
    if OURS not in section.participants():
        section.notes.append("Without our own figures nothing here can be compared.")
    return section


def _once(side: Side, _round: int) -> Mapping[str, float]:
    with side.start() as server:
        hello = server.initialize()
        found = {HELLO: hello.at - server.started_at, LIST: server.tools().at - server.started_at}
    if side.who != SEED:  # which knows no such request
        with side.start() as server:
            found[PROBE] = server.call("server/discover", {"_meta": ENVELOPE}).at - server.started_at
    return found
