"""A studio that the first call opens, and a client that goes while it is being opened."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from cdp_image_mcp.config import load
from cdp_image_mcp.mcp_server.holding import LateStudio, late_studio
from cdp_image_mcp.studio import studio as studios

PATIENCE = 30.0

pytestmark = pytest.mark.anyio


class SlowlyOpened:
    """In the studio's place: open when the test says so; it tells how it was left."""

    def __init__(self) -> None:
        self.opening, self.may_open = anyio.Event(), anyio.Event()
        self.left = ""

    @asynccontextmanager
    async def __call__(self, *_: object) -> AsyncGenerator[object]:
        self.opening.set()
        await self.may_open.wait()
        try:
            yield self
        except BaseException:
            self.left = "torn away"
            raise
        self.left = "in order"


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> SlowlyOpened:
    double = SlowlyOpened()
    monkeypatch.setattr(studios, "open_studio", double)
    return double


async def test_a_client_that_goes_while_the_studio_is_opened_does_not_keep_the_server_for_ever(
    slowly: SlowlyOpened,
) -> None:
    client, ended = anyio.CancelScope(), anyio.Event()
    opened: list[LateStudio] = []

    async def serve() -> None:
        with client:
            async with late_studio(load({})) as studio, anyio.create_task_group() as calls:
                opened.append(studio)
                calls.start_soon(studio)
                await anyio.sleep_forever()
        ended.set()

    async with anyio.create_task_group() as process:
        process.start_soon(serve)
        await slowly.opening.wait()
        client.cancel()
        slowly.may_open.set()
        try:
            with anyio.fail_after(PATIENCE):
                await ended.wait()
        finally:
            opened[0].closing.set()
    assert slowly.left == "in order"


async def test_a_call_that_is_given_up_while_the_studio_is_opened_leaves_it_to_the_next_one(
    slowly: SlowlyOpened,
) -> None:
    async with late_studio(load({})) as studio, anyio.create_task_group() as calls:
        first = anyio.CancelScope()

        async def given_up() -> None:
            with first:
                await studio()

        calls.start_soon(given_up)
        await slowly.opening.wait()
        first.cancel()
        slowly.may_open.set()
        try:
            with anyio.fail_after(PATIENCE):
                assert await studio() is slowly
        finally:
            studio.closing.set()
    assert slowly.left == "in order"
