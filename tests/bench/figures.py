"""What was measured: values of each participant for each measure, budgets, and what could not be measured and why."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

__all__ = ["OURS", "Budget", "Measure", "NotMeasured", "Patience", "Section", "Unit", "in_turn", "shown"]

OURS = "cdp-image-mcp"

Unit = Literal["s", "B", "1/s", "n"]
"""Seconds, bytes, per second, plain number."""


class NotMeasured(Exception):  # noqa: N818 - a finding about a participant, told in the table
    """A participant cannot be installed, started or measured; the message is the reason, one sentence."""


class Measure(msgspec.Struct):
    """One thing measured, in ``unit``, for each participant. ``more_is_better`` turns the ratio's reading round."""

    name: str
    unit: Unit
    values: dict[str, list[float]] = {}
    more_is_better: bool = False

    def add(self, who: str, value: float) -> None:
        self.values.setdefault(who, []).append(value)

    def median(self, who: str) -> float | None:
        found = self.values.get(who)
        return statistics.median(found) if found else None

    def ratio(self, other: str) -> float | None:
        """Our median divided by theirs."""
        ours, theirs = self.median(OURS), self.median(other)
        return None if ours is None or not theirs else ours / theirs

    def as_data(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for who, values in self.values.items():
            told[who] = {
                "median": statistics.median(values),
                "low": min(values),
                "high": max(values),
                "count": len(values),
                "values": values,
                **({} if who == OURS else {"ratio": self.ratio(who)}),
            }
        return {"name": self.name, "unit": self.unit, "participants": told}


class Budget(msgspec.Struct, frozen=True):
    """A limit on our median, or on our median divided by that of ``against``."""

    measure: str
    limit: float
    against: str | None = None

    def judge(self, measures: Mapping[str, Measure]) -> tuple[float | None, bool | None]:
        """What was found, and whether it is within the limit; None where it was not measured."""
        measure = measures.get(self.measure)
        if measure is None:
            return None, None
        found = measure.median(OURS) if self.against is None else measure.ratio(self.against)
        return found, None if found is None else found <= self.limit


class Section(msgspec.Struct):
    """One part of the bench. ``absent`` has the reason for each participant that could not be measured."""

    name: str
    title: str
    measures: dict[str, Measure] = {}
    budgets: list[Budget] = []
    absent: dict[str, str] = {}
    notes: list[str] = []
    curves: dict[str, str] = {}
    """SVG documents by file name."""

    def measure(self, name: str, unit: Unit, *, more_is_better: bool = False) -> Measure:
        """The measure of that name, made at its first use."""
        return self.measures.setdefault(name, Measure(name, unit, {}, more_is_better))

    def participants(self) -> list[str]:
        """Everyone with a value, ours first, the others in the order in which they came."""
        order = {who: None for measure in self.measures.values() for who in measure.values}
        return sorted(order, key=lambda who: who != OURS)

    def good(self) -> bool:
        """Our own side was measured, and no budget was missed."""
        missed = any(budget.judge(self.measures)[1] is False for budget in self.budgets)
        return OURS in self.participants() and OURS not in self.absent and not missed

    def as_data(self) -> dict[str, Any]:
        judged = [(budget, *budget.judge(self.measures)) for budget in self.budgets]
        return {
            "section": self.name,
            "title": self.title,
            "measures": [measure.as_data() for measure in self.measures.values()],
            "budgets": [
                {**msgspec.to_builtins(budget), "found": found, "kept": kept} for budget, found, kept in judged
            ],
            "absent": self.absent,
            "notes": self.notes,
            "curves": list(self.curves),
        }


Round = Callable[[int], Mapping[str, float]]
"""One round of one participant: measure name to value. Gets the number of the round, from 0."""


class Patience(msgspec.Struct, frozen=True):
    """What a slow competitor gets: this many rounds at least, and no more once they have taken so many seconds."""

    rounds: int = 3
    seconds: float = math.inf


ENDLESS = Patience()


def in_turn(
    section: Section,
    rounds: int,
    participants: Mapping[str, Round],
    units: Mapping[str, Unit],
    told: Callable[[str], None],
    *,
    patience: Patience = ENDLESS,
) -> None:
    """Everyone once, then everyone again: what disturbs the machine meanwhile disturbs all alike.

    A participant that fails is left out from then on and its reason stands in ``section.absent``; values it has given
    so far stay. Others than ours that used up ``patience`` play no more rounds; ours always plays all.
    """
    living = dict(participants)
    used = dict.fromkeys(participants, 0.0)
    for number in range(rounds):
        for who, play in list(living.items()):
            if who != OURS and number >= patience.rounds and used[who] > patience.seconds:
                told(f"{section.name}: {who} plays no more: {number} rounds took {used[who]:.0f} s")
                note = f"{who} is slow and had {number} rounds of {rounds} where it is compared."
                section.notes += [] if note in section.notes else [note]
                del living[who]
                continue
            told(f"{section.name}: round {number + 1} of {rounds}, {who}")
            began = time.monotonic()
            try:
                values = play(number)
            except NotMeasured as reason:
                section.absent[who] = str(reason)
                told(f"{section.name}: {who} is left out: {reason}")
                del living[who]
                continue
            used[who] += time.monotonic() - began
            for name, value in values.items():
                section.measure(name, units[name]).add(who, value)


_STEPS: dict[Unit, Sequence[tuple[float, float, str]]] = {
    "s": ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s")),
    "B": ((1e3, 1.0, "B"), (1e6, 1e-3, "kB"), (float("inf"), 1e-6, "MB")),
    "1/s": ((1e4, 1.0, "/s"), (float("inf"), 1e-3, "k/s")),
    "n": ((float("inf"), 1.0, ""),),
}


def shown(value: float, unit: Unit, scale_of: float | None = None) -> str:
    """A value for people, three digits; ``scale_of`` chooses the step (so that a range has one unit)."""
    for limit, factor, name in _STEPS[unit]:
        if abs(value if scale_of is None else scale_of) < limit:
            number = value * factor
            digits = (
                0 if abs(number) >= 100 or (unit == "n" and number == int(number)) else 1 if abs(number) >= 10 else 2
            )
            return f"{number:.{digits}f} {name}".rstrip()
    raise AssertionError("the last step has no limit")
