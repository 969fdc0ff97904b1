"""The results as text: Markdown tables for people, and the lines of them that the project's README shows."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import OURS, Budget, Measure, Section, shown
from tests.bench.sides import SEED

__all__ = ["best", "markdown", "write_between"]

WIDE = 4
"""More participants than this stand below each other instead of side by side."""

BEST = (
    ("start", "process start to `tools/list` answered", SEED),
    ("generation", "warm: call to answer", SEED),
    ("generation", "warm: finished picture to answer", SEED),
    ("generation", "cold: first call to answer", SEED),
    ("overhead", "october, recorded turn, 2 MB", SEED),
    ("footprint", "idle: memory of the server", SEED),
    ("footprint", "waiting: processor time of the server", SEED),
    ("growth", "status, 50000 earlier", SEED),
    ("driver", "100 in flight", "playwright-core"),
    ("api", "1 picture of 2 MB, memory", "openai"),
)
"""Section, measure, and with whose value ours stands (the beginning of its name): ten lines at most."""


def markdown(sections: Sequence[Section], facts: str) -> str:
    """All sections, with the machine and how to read the cells."""
    head = (
        f"Measured {facts}. Cells: median (lowest to highest); ratio = ours divided by theirs. "
        "All sides of a table ran in turn in one run, against the same stand-in site, by `python -m tests.bench`."
    )
    return "\n\n".join([head, *(_section(section) for section in sections)]) + "\n"


def best(sections: Sequence[Section], facts: str) -> str:
    """Medians of ``BEST``, as far as they were measured, and how many budgets were kept."""
    by_name = {section.name: section for section in sections}
    rows: list[list[str]] = []
    for name, wanted, rival in BEST:
        if name not in by_name or (measure := by_name[name].measures.get(wanted)) is None:
            continue
        whom = next((who for who in measure.values if who.startswith(rival)), "")
        title = wanted if name in {"start", "generation"} else f"{by_name[name].title}: {wanted}"
        rows.append([title, _median(measure, OURS), f"{_median(measure, whom)}, {whom}" if whom else "–"])
    judged = [budget.judge(section.measures)[1] for section in sections for budget in section.budgets]
    kept = f"{judged.count(True)} of {len(judged)} budgets were kept."
    return f"Medians. Measured {facts}. {kept}\n\n{_table(['', OURS, 'beside it'], rows)}\n"


def write_between(marker: str, page: Path, text: str) -> None:
    """Put ``text`` between ``<!-- marker -->`` and its end. Raises ValueError when they are not there."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    old = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(old):
        raise ValueError(f"{page.name} has no {begin} … {end}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}{end}", old, count=1), encoding="utf-8")


def _section(section: Section) -> str:
    people = section.participants()
    measures = list(section.measures.values())
    parts = [f"### {section.title}"]
    if people:
        parts.append(_below(people, measures) if len(people) > WIDE else _beside(people, measures))
    bullets = [
        *(_judged(budget, section) for budget in section.budgets),
        *(f"{who}: not measured: {reason}." for who, reason in section.absent.items()),
        *section.notes,
    ]
    if bullets:
        parts.append("\n".join(f"- {bullet}" for bullet in bullets))
    return "\n\n".join(parts)


def _beside(people: Sequence[str], measures: Sequence[Measure]) -> str:
    rows = [[measure.name, *(_cell(measure, who) for who in people)] for measure in measures]
    return _table(["", *people], rows)


def _below(people: Sequence[str], measures: Sequence[Measure]) -> str:
    rows = [[who, *(_cell(measure, who) for measure in measures)] for who in people]
    return _table(["", *(measure.name for measure in measures)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(measure: Measure, who: str) -> str:
    values = measure.values.get(who)
    median = measure.median(who)
    if not values or median is None:
        return "–"
    text = shown(median, measure.unit)
    if len(values) > 1 and measure.unit != "n":
        low, high = (shown(value, measure.unit, median).split(" ")[0] for value in (min(values), max(values)))
        text += f" ({low}–{high})"
    ratio = measure.ratio(who)
    return text if who == OURS or ratio is None else f"{text}, ratio {ratio:.2f}"


def _median(measure: Measure, who: str) -> str:
    median = measure.median(who)
    return "–" if median is None else shown(median, measure.unit)


def _judged(budget: Budget, section: Section) -> str:
    found, kept = budget.judge(section.measures)
    if budget.against is None:
        unit = section.measures[budget.measure].unit if budget.measure in section.measures else "n"
        limit, got = shown(budget.limit, unit), "" if found is None else shown(found, unit)
        wanted = f"Budget: {budget.measure} at most {limit}"
    else:
        got = "" if found is None else f"{found:.2f}"
        wanted = f"Budget: {budget.measure} at most {budget.limit:g} times {budget.against}"
    return f"{wanted}: " + ("not measured" if kept is None else f"{got}, {'kept' if kept else '**missed**'}")
