"""The official conformance suite against our server, in both eras, behind the SDK's own HTTP app."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from tests.mcp_server.conformance import ERAS, MET, NOT_OURS
from tests.mcp_server.npm import Packages, installed

CHECKOUT = Path(__file__).parent.parent.parent
SUITE = {"@modelcontextprotocol/conformance": "0.2.0-alpha.12"}


class Check(msgspec.Struct, rename="camel"):
    id: str
    status: str
    error_message: str = ""

    @property
    def met(self) -> bool:
        return self.status in {"SUCCESS", "INFO"}


Results: TypeAlias = dict[str, dict[str, list[Check]]]
"""By era and scenario."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    command = [sys.executable, "-m", "tests.mcp_server.over_http", str(tmp_path_factory.mktemp("served"))]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def suite() -> Packages:
    return installed(SUITE)


@pytest.fixture(scope="module")
def results(suite: Packages, address: str, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return {era: judged(suite, address, era, tmp_path_factory.mktemp("judged")) for era in ERAS}


def judged(suite: Packages, address: str, era: str, told: Path) -> dict[str, list[Check]]:
    options = ["--url", address, "--suite", "all", "--spec-version", era, "--output-dir", str(told)]
    command = [*suite.program("conformance"), "server", *options]
    done = subprocess.run(command, cwd=told, capture_output=True, text=True, timeout=180)
    assert "=== SUMMARY ===" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    scenarios: dict[str, list[Check]] = {}
    for checks in told.glob("*/checks.json"):
        name = re.sub(r"^server-(.+)-20\d\d-\d\d-\d\dT[\dZ-]+$", r"\1", checks.parent.name)
        scenarios[name] = msgspec.json.decode(checks.read_bytes(), type=list[Check])
    return scenarios


def excused() -> dict[str, str]:
    return {check: reason for reason, checks in NOT_OURS.items() for check in checks}


@pytest.mark.parametrize("era", ERAS)
def test_every_check_is_met_but_those_that_do_not_apply(results: Results, era: str) -> None:
    open_ones = [
        (scenario, check.id, check.status, check.error_message)
        for scenario, checks in results[era].items()
        for check in checks
        if not check.met and check.id not in excused()
    ]
    assert open_ones == []


@pytest.mark.parametrize("era", ERAS)
def test_what_applies_to_every_server_was_really_run(results: Results, era: str) -> None:
    whole = {
        scenario
        for scenario, checks in results[era].items()
        if all(check.met for check in checks) and any(check.status == "SUCCESS" for check in checks)
    }
    assert whole == MET[era]


def test_no_excuse_is_older_than_its_reason(results: Results) -> None:
    unmet = {check.id for era in ERAS for checks in results[era].values() for check in checks if not check.met}
    assert sorted(set(excused()) - unmet) == []


def test_every_message_is_valid_by_the_schema_of_its_era(results: Results) -> None:
    validated = [
        check for era in ERAS for checks in results[era].values() for check in checks if check.id == "wire-schema-valid"
    ]
    assert len(validated) > len(ERAS) * 20
    assert [json.dumps(msgspec.to_builtins(check)) for check in validated if not check.met] == []
