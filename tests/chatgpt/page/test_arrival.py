"""What an arrival makes of answers that do not come."""

from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.errors import CommandTimeout
from cdp_image_mcp.chatgpt.page import accounts
from cdp_image_mcp.chatgpt.window.tab import Tab
from tests.chatgpt.page.scripted import ScriptedPage

pytestmark = pytest.mark.anyio


async def test_a_session_that_is_told_too_late_says_nothing_about_who_is_signed_in() -> None:
    class Silent(ScriptedPage):
        async def ask(self, question: str, **_: Any) -> Any:
            assert question == accounts.SESSION
            raise CommandTimeout("Runtime.evaluate", accounts.SESSION_SECONDS)

    with anyio.fail_after(10):
        account = await accounts.account_of(cast("Tab", Silent()))
    assert account is not None
    assert account.state == "unknown"
