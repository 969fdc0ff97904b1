"""Answers on their way: what is noted of them at the end of the line."""

from contextlib import AsyncExitStack

import anyio
import mcp_types as types
import pytest

from cdp_image_mcp.mcp_server.client import underway
from cdp_image_mcp.mcp_server.client.underway import Underway

pytestmark = pytest.mark.anyio


async def test_a_note_that_hangs_does_not_keep_the_rest_from_hearing_that_the_client_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is out at the API outlives the server only where it is told so in time."""
    monkeypatch.setattr(underway, "NOTING_SECONDS", 0.1)
    noting = anyio.Event()

    async def hangs() -> None:
        noting.set()
        await anyio.sleep_forever()

    made = Underway()
    out = made.follow()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await made.give(1, hangs, AsyncExitStack())
            group.start_soon(out, types.JSONRPCResponse(jsonrpc="2.0", id=1, result={}))
            await noting.wait()
            await made.aclose()
            group.cancel_scope.cancel()
