"""A site and a visitor for tests that need no browser."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fixtures.site import Switches, serve

from .visitor import Visit, Visitor


@pytest.fixture
def visit() -> Visit:
    """`async with visit(stream="handoff") as visitor:` a running site with these switches, and somebody on it."""

    @asynccontextmanager
    async def open_site(**changes: Any) -> AsyncGenerator[Visitor]:
        async with (
            serve(Switches(**changes)) as site,
            httpx.AsyncClient(base_url=site.url, timeout=10, trust_env=False) as client,
        ):
            visitor = Visitor(site, client)
            if site.switches.account == "signed_in" and not site.switches.challenge and not site.switches.http_431:
                await visitor.arrive()
            yield visitor

    return open_site
