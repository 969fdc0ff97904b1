"""Looking into the page waits for the account's turn, as everything in the browser does."""

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cli.checks import machine, services
from cdp_image_mcp.cli.checks.check import Check
from cdp_image_mcp.cli.doctor import doctor
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.system.turns import Turns
from tests.studio.scripted import settings
from tests.system.tickets import waiting

pytestmark = pytest.mark.anyio


class Looking:
    def __init__(self, profile: Path) -> None:
        self.profile = profile
        self.tickets: list[int] = []

    async def probe(self) -> list[tuple[str, bool, str]]:
        self.tickets.append(waiting(self.profile))
        return [("composer", True, "there")]


async def nothing_to_say(_: Any) -> Check:
    return Check("elsewhere", "ok", "It is not looked at.")


@pytest.fixture
def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    looking = Looking(tmp_path / "profile")

    class Apart:
        def backend(self, _: str) -> Looking:
            return looking

    @asynccontextmanager
    async def apart(_: Any) -> AsyncGenerator[Any]:
        yield Apart()

    monkeypatch.setattr(services, "studio_apart", apart)
    return looking


async def test_a_probe_holds_the_turn_while_it_looks(looking: Looking, tmp_path: Path) -> None:
    with anyio.fail_after(15):
        checks = await services.probe(settings(tmp_path), lambda _: None)
        assert waiting(tmp_path / "profile") == 0
    assert looking.tickets == [1]
    assert [check.level for check in checks] == ["ok"]


async def test_what_a_person_has_to_do_for_the_page_is_told_and_no_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SignedOut:
        async def probe(self) -> None:
            raise ImageError("needs_sign_in", "ChatGPT asks for a sign-in.")

        async def aclose(self) -> None:
            return

    def made(*_: object) -> SignedOut:
        return SignedOut()

    monkeypatch.setattr(InstalledWays, "make", made)
    with anyio.fail_after(30):
        (check,) = await services.probe(settings(tmp_path), lambda _: None)
    assert (check.name, check.level, check.person) == ("probe", "failed", True)
    assert check.message == "ChatGPT asks for a sign-in."


async def test_who_has_the_report_made_is_told_that_the_probe_waits_for_its_turn(
    looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another server draws, or waits for a sign-in for a quarter of an hour."""
    for check in ("display", "browser"):
        monkeypatch.setattr(machine, check, nothing_to_say)
    monkeypatch.setattr(services, "site_line", nothing_to_say)
    asked = argparse.Namespace(probe=True, json=True)
    said = ""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, Turns(tmp_path / "profile").take():
            group.start_soon(doctor, asked, settings(tmp_path), Terminal())
            while "place 1 in the queue" not in said:
                said += capsys.readouterr().err
                await anyio.sleep(0.05)
    assert looking.tickets == [1]
