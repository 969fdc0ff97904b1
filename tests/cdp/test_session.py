"""Leaving a session."""

import anyio
import pytest

from cdp_image_mcp.cdp import session as module
from tests.cdp.peer import attach_session, connected

pytestmark = pytest.mark.anyio


async def test_leaving_a_browser_that_no_longer_answers_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DETACHING", 0.05)
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            peer.silent = {"Target.detachFromTarget"}
            await session.detach()
            assert (await peer.command("Target.detachFromTarget"))["params"] == {"sessionId": "S1"}
            assert connection.gone is None
