"""Looking into the page waits for the account's turn, as everything in the browser does."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cli.checks import services
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


async def test_a_probe_holds_the_turn_while_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking(tmp_path / "profile")

    class Apart:
        def backend(self, _: str) -> Looking:
            return looking

    @asynccontextmanager
    async def apart(_: Any) -> AsyncGenerator[Any]:
        yield Apart()

    monkeypatch.setattr(services, "studio_apart", apart)
    with anyio.fail_after(15):
        checks = await services.probe(settings(tmp_path))
        assert waiting(tmp_path / "profile") == 0
    assert looking.tickets == [1]
    assert [check.level for check in checks] == ["ok"]
