"""Clients that tell without an account whether a server can be reached are asked. Where there is no Node, or no
registry to install them from, these tests are skipped, and the summary says so."""

from pathlib import Path

import pytest

from tests.clients.drivers import DRIVERS, Driver
from tests.clients.world import opened, until
from tests.mcp_server.npm import installed


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver.connected], ids=lambda driver: driver.name)
def test_the_client_finds_the_server_behind_the_readmes_block_and_connects(driver: Driver, tmp_path: Path) -> None:
    packages = installed({driver.package: driver.version})
    with opened(tmp_path / "world", packages.node) as world:
        driver.prepare(world, "http://127.0.0.1:9", {})
        variables = driver.environment(world, "http://127.0.0.1:9")
        process, said = world.start([*driver.started(packages), *driver.lists], variables)
        until(lambda: process.poll() is not None, 60, "the client has looked for its servers")
        lines = [line for line in said.read_text(errors="replace").splitlines() if "cdp-image-mcp" in line]
    assert any(driver.connected in line for line in lines), lines
