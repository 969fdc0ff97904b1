"""Our script in the page, in documents that we chose to look into.

While a check page is up no script of ours may run there, and a check page is a new document like any other. Whoever
opened a document looks at its response first; what comes between that look and ours, the world finds out.
"""

from contextlib import suppress
from typing import Any

import msgspec

from cdp_image_mcp.cdp import Page, World
from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.page.locators import BINDING


class Eye(World):
    """Looks into one page. One owner; not for several tasks at once except :meth:`ask`."""

    ask = World.evaluate

    def __init__(self, page: Page, script: str) -> None:
        super().__init__(page, "cdp-image-mcp", binding=BINDING)
        self._script = script

    async def open(self) -> None:
        """Bring the script into the present document, unless it is there already. Raises DocumentLeft, CDPError."""
        with suppress(DocumentLeft):
            if self.made and await self.ask("typeof globalThis.witness", reply=str) == "object":
                return
        await self.make()
        await self.ask(self._script, timeout=10)

    async def until(self, condition: str, seconds: float, *, late: float = 15.0) -> bool:
        """Until a condition holds on the page, at most ``seconds``; whether it did. Its changes wake the script, which
        may answer ``late`` seconds later. Raises as :meth:`ask`, CommandTimeout."""
        waiting = f"witness.until(() => {condition}, {seconds * 1000}).then(Boolean)"
        return await self.ask(waiting, reply=bool, timeout=seconds + late)

    async def has(self, role: str) -> bool:
        return await self.ask(f"witness.has({quoted(role)})", reply=bool)


def quoted(value: Any) -> str:
    return msgspec.json.encode(value).decode()
