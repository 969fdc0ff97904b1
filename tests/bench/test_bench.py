"""The bench itself works: no figure is looked at, only that there is one, or a reason why not."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.bench import driver, footprint, generation, growth, overhead, start
from tests.bench.__main__ import SECTIONS, main
from tests.bench.competitors import Workshop
from tests.bench.curves import svg
from tests.bench.figures import OURS, Budget, NotMeasured, Patience, Round, Section, in_turn, shown
from tests.bench.plan import Plan
from tests.bench.sides import BARE, SEED
from tests.bench.table import BEST, best, markdown, write_between
from tests.browser import found_browser


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The smallest run, without a single download."""
    return Plan(Workshop(tmp_path / "workshop", offline=True), found_browser().path, quick=True, quiet=True)


def quietly(_line: str) -> None:
    """Nobody waits for these runs."""


def test_everyone_has_a_turn_before_anyone_has_a_second() -> None:
    order: list[str] = []

    def player(name: str, value: float) -> Mapping[str, float]:
        order.append(name)
        return {"time": value}

    section = Section("x", "X")
    in_turn(section, 2, {OURS: lambda _: player("a", 1), "other": lambda _: player("b", 4)}, {"time": "s"}, quietly)
    assert order == ["a", "b", "a", "b"]
    assert section.measures["time"].ratio("other") == 0.25


def test_a_slow_competitor_has_fewer_rounds_and_the_table_says_so() -> None:
    section = Section("x", "X")
    players: dict[str, Round] = {who: lambda _: {"time": 1.0} for who in (OURS, "slow")}
    in_turn(section, 5, players, {"time": "s"}, quietly, patience=Patience(rounds=2, seconds=-1))
    assert {who: len(values) for who, values in section.measures["time"].values.items()} == {OURS: 5, "slow": 2}
    assert "slow is slow and had 2 rounds of 5" in markdown([section], "today")


def test_who_fails_is_told_with_the_reason_and_what_it_gave_before_stays() -> None:
    def fails_later(number: int) -> Mapping[str, float]:
        if number:
            raise NotMeasured("its browser went away")
        return {"time": 2.0}

    section = Section("x", "X", budgets=[Budget("time", 1.1, "other"), Budget("nothing", 1.0)])
    in_turn(section, 3, {OURS: lambda _: {"time": 1.0}, "other": fails_later}, {"time": "s"}, quietly)
    assert section.absent == {"other": "its browser went away"}
    assert len(section.measures["time"].values["other"]) == 1
    text = markdown([section], "today")
    assert "other: not measured: its browser went away." in text
    assert "Budget: time at most 1.1 times other: 0.50, kept" in text
    assert "Budget: nothing at most 1: not measured" in text


def test_a_missed_budget_is_told_and_makes_the_section_bad() -> None:
    section = Section("x", "X", budgets=[Budget("time", 0.5)])
    in_turn(section, 1, {OURS: lambda _: {"time": 1.0}}, {"time": "s"}, quietly)
    assert "**missed**" in markdown([section], "today")
    assert not section.good()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000_45, "s", "450 µs"),
        (0.3, "s", "300 ms"),
        (2.345, "s", "2.35 s"),
        (71.1e6, "B", "71.1 MB"),
        (36, "n", "36"),
    ],
)
def test_values_are_shown_with_three_digits(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text  # type: ignore[arg-type]


def test_a_page_gets_the_tables_between_its_markers_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    write_between("bench", page, "new \\1\n")
    assert page.read_text() == "before\n<!-- bench -->\nnew \\1\n<!-- /bench -->\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="has no"):
        write_between("bench", page, "new")


def test_the_best_lines_are_those_that_were_measured_with_whom_they_stand_beside_and_the_budgets_kept() -> None:
    name = "october, recorded turn, 2 MB"
    overhead = Section("overhead", "Overhead", budgets=[Budget(name, 0.2), Budget(name, 0.5)])
    overhead.measure(name, "s").values = {OURS: [0.3, 0.1, 0.4], SEED: [3.0]}
    alone = Section("growth", "Growth")
    alone.measure("status, 50000 earlier", "s").add(OURS, 0.75)
    text = best([overhead, alone], "today")
    assert text.startswith("Medians. Measured today. 1 of 2 budgets were kept.\n")
    assert text.splitlines()[4:] == [
        f"| Overhead: {name} | 300 ms | 3.00 s, {SEED} |",
        "| Growth: status, 50000 earlier | 750 ms | – |",
    ]


def test_ten_lines_at_most_are_called_the_best() -> None:
    assert len(BEST) <= 10


def test_a_curve_is_a_picture_with_every_line() -> None:
    text = svg("Memory", "generation", "B", {"server": [(1, 10.0), (2, 11.0)], "a < b": [(1, 5.0)]})
    assert text.startswith("<svg ")
    assert text.count("<polyline") == 2
    assert "a &lt; b" in text


def test_start_measures_ours_and_the_bare_server_says_why_the_seed_is_missing_and_names_no_place(plan: Plan) -> None:
    section = start.run(plan)
    assert section.participants() == [OURS, BARE]
    assert section.absent[SEED].endswith(
        "--offline forbids to install it" if shutil.which("node") else "not installed here"
    )
    assert not re.search(r"/(home|tmp|root|var|Users)/", markdown([section], "today"))


def test_the_driver_section_runs_both_sides_that_need_no_download(plan: Plan) -> None:
    section = driver.run(plan)
    assert section.participants() == [OURS, driver.FLOOR]
    assert set(section.absent) == {*driver.PYTHON, "playwright-core"}
    assert all(len(measure.values[OURS]) == 1 for measure in section.measures.values())


@pytest.mark.nightly
def test_overhead_has_a_time_for_every_way_on_both_pages(plan: Plan) -> None:
    section = overhead.run(plan)
    assert OURS not in section.absent, section.absent
    assert len(section.measures) == len(overhead.WAYS) * len(overhead.PAGES)
    assert section.notes[1:] == []


@pytest.mark.nightly
def test_a_generation_is_measured_warm_and_cold(plan: Plan) -> None:
    section = generation.run(plan)
    assert OURS not in section.absent, section.absent
    assert all(OURS in measure.values for measure in section.measures.values())
    assert set(section.measures) == set(generation.UNITS)


@pytest.mark.nightly
def test_the_footprint_tells_memory_idle_and_while_drawing(plan: Plan) -> None:
    section = footprint.run(plan)
    assert OURS not in section.absent, section.absent
    assert OURS in section.measures[footprint.IDLE].values
    assert OURS in section.measures[footprint.SERVER_CPU].values


@pytest.mark.nightly
def test_growth_draws_its_curves(plan: Plan) -> None:
    section = growth.run(plan)
    assert OURS not in section.absent, section.absent
    assert len(section.curves) == 5
    assert section.notes[1:] == []


def test_the_command_tells_everything_as_json_and_shows_what_an_earlier_run_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json"
    beside = ["--json", "--offline", "--workshop", str(tmp_path), "--out", str(tmp_path)]
    main(["start", "--quick", "--keep", str(kept), *beside])
    told = msgspec.json.decode(capsys.readouterr().out)
    assert [section["section"] for section in told["sections"]] == ["start"]
    assert told["sections"][0]["measures"][0]["participants"][OURS]["count"] == 1
    main(["--with", str(kept), *beside])
    assert msgspec.json.decode(capsys.readouterr().out)["sections"] == told["sections"]


def test_an_unknown_section_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in SECTIONS)
