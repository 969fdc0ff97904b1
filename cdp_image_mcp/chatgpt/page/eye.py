"""Our script in the page, in documents that we chose to look into.

While a check page is up no script of ours may run there, and a check page is a new document like any other. Whoever
opened a document looks at its response first; what comes between that look and ours, the world finds out.
"""

import logging
from contextlib import suppress
from typing import Any

import msgspec

from cdp_image_mcp.cdp import Page, World
from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.page.locators import BINDING

log = logging.getLogger(__name__)


class Unread(msgspec.Struct, frozen=True):
    """A selector that the page's browser cannot read."""

    role: str
    css: str

    def __str__(self) -> str:
        return (
            f"CHATGPT_SITE_FILE, role {self.role}: {self.css[:200]} is no selector that this browser can read. It is "
            "passed over; if it does not stand in that file, the browser is too old."
        )


class Eye(World):
    """Looks into one page. One owner; not for several tasks at once except :meth:`ask`."""

    ask = World.evaluate

    def __init__(self, page: Page, script: str) -> None:
        super().__init__(page, "cdp-image-mcp", binding=BINDING)
        self._script = script
        self.unread: tuple[Unread, ...] = ()
        """What of the script's table was passed over in the last document."""

    async def open(self) -> None:
        """Bring the script into the present document, unless it is there already. Raises DocumentLeft, CDPError."""
        with suppress(DocumentLeft):
            if self.made and await self.ask("typeof globalThis.witness", reply=str) == "object":
                return
        await self.make()
        unread = await self.ask(self._script, reply=tuple[Unread, ...], timeout=10)
        for one in set(unread) - {*self.unread}:
            log.warning("%s", one)
        self.unread = unread

    async def until(self, condition: str, seconds: float, *, late: float = 15.0) -> bool:
        """Until a condition holds on the page, at most ``seconds``; whether it did. Its changes wake the script, which
        may answer ``late`` seconds later. Raises as :meth:`ask`, CommandTimeout."""
        waiting = f"witness.until(() => {condition}, {seconds * 1000}).then(Boolean)"
        return await self.ask(waiting, reply=bool, timeout=seconds + late)

    async def has(self, role: str) -> bool:
        return await self.ask(f"witness.has({quoted(role)})", reply=bool)


def quoted(value: Any) -> str:
    return msgspec.json.encode(value).decode()
