"""Section ``driver``: the protocol client against the bare floor and against other people's drivers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec

from tests.bench.browser import BareBrowser, bare_browser
from tests.bench.figures import OURS, Budget, NotMeasured, Patience, Section, Unit, in_turn
from tests.bench.plan import Plan
from tests.bench.sides import ROOT

__all__ = ["run"]

SCRIPTS = Path(__file__).with_name("drivers")
FLOOR = "bare websockets + msgspec"
RUN_SECONDS = 300
PATIENCE = Patience(rounds=2, seconds=40)

SERIAL, BIG = "one after the other, median", "20 MB answer"
PARALLEL, CPU = "100 in flight", "processor time per call, 100 in flight"
BURST = "burst of events"
MEMORY = "memory after 20 MB answers"
MEASURES: Mapping[str, tuple[str, Unit, bool]] = {
    "serial_s": (SERIAL, "s", False),
    "parallel_per_s": (PARALLEL, "1/s", True),
    "parallel_cpu_s": (CPU, "s", False),
    "big_s": (BIG, "s", False),
    "burst_per_s": (BURST, "1/s", True),
    "after_big_bytes": (MEMORY, "B", False),
}
PYTHON = {
    "cdp-use": "run_cdp_use.py",
    "nodriver": "run_nodriver.py",
    "zendriver": "run_zendriver.py",
    "pydoll-python": "run_pydoll.py",
    "playwright": "run_playwright.py",
    "patchright": "run_patchright.py",
}


class Runner(msgspec.Struct, frozen=True):
    """How one driver's exercise is started, and its time limit in seconds."""

    command: tuple[str, ...]
    environment: dict[str, str]


def run(plan: Plan) -> Section:
    """Each driver runs in a process of its own, on a fresh page of the same browser, everyone in turn."""
    section = Section("driver", "Driver")
    section.budgets = [
        Budget(SERIAL, 1.1, FLOOR),
        Budget(CPU, 1.1, FLOOR),
        Budget(BIG, 1.1, FLOOR),
    ]
    section.notes.append(
        "Every driver sends the same `Runtime.evaluate` over the same browser, which itself needs most of the time. "
        "For rates (100 in flight, burst) a ratio above 1 is to our advantage, for all others one below 1."
    )
    if plan.browser is None:
        section.absent[OURS] = "no browser is installed here"
        return section
    runners = _runners(plan, section)
    amounts = _amounts(plan)
    units: dict[str, Unit] = {name: unit for name, unit, _ in MEASURES.values()}
    for name, unit, more in MEASURES.values():
        section.measure(name, unit, more_is_better=more)
    with bare_browser(plan.browser) as browser:
        rounds = {who: partial(_once, browser, runner, amounts) for who, runner in runners.items()}
        in_turn(section, plan.rounds(full=5), rounds, units, plan.told, patience=PATIENCE)
    return section


def _runners(plan: Plan, section: Section) -> dict[str, Runner]:
    plain = {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    here = {**plain, "PYTHONPATH": str(ROOT)}
    runners = {
        OURS: Runner((sys.executable, str(SCRIPTS / "run_ours.py")), here),
        FLOOR: Runner((sys.executable, str(SCRIPTS / "run_bare.py")), here),
    }
    for package, script in PYTHON.items():
        try:
            found = plan.workshop.python(package, "psutil")
        except NotMeasured as reason:
            section.absent[package] = str(reason)
        else:
            name = f"{package} {found.version} (Python)"
            runners[name] = Runner((str(found.program), str(SCRIPTS / script)), plain)
    try:
        node = plan.workshop.node("playwright-core")
    except NotMeasured as reason:
        section.absent["playwright-core"] = str(reason)
    else:
        command = (str(node.program), str(SCRIPTS / "run_playwright_core.mjs"), "--modules", str(node.folder))
        runners[f"playwright-core {node.version} (Node)"] = Runner(command, plain)
    return runners


def _amounts(plan: Plan) -> list[str]:
    if not plan.quick:
        return []
    return ["--serial", "20", "--parallel", "100", "--in-flight", "10", "--big", "1", "--burst", "200"]


def _once(browser: BareBrowser, runner: Runner, amounts: list[str], _round: int) -> Mapping[str, float]:
    with browser.tab() as tab:
        where = {
            "--port": str(tab.port),
            "--target": tab.target,
            "--browser-url": tab.browser_url,
            "--page-url": tab.page_url,
        }
        command = [*runner.command, *(word for pair in where.items() for word in pair), *amounts]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, env=runner.environment)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"it did not finish the exercise within {RUN_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NotMeasured(f"the exercise failed: {lines[-1][:300] if lines else f'exit code {done.returncode}'}")
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {MEASURES[key][0]: value for key, value in told.items() if key in MEASURES}
