"""A composer's page as its script tells of it: an editor with a text, and a row of cards."""

from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel

from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.page.attaching import NEVER, Attaching
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.uploads import Uploads
from cdp_image_mcp.chatgpt.window.tab import Tab
from tests.chatgpt.talk import site_at

__all__ = ["ScriptedPage", "Unseen", "composing"]


class ScriptedPage:
    """Whatever is asked that is not answered here is so."""

    def __init__(self, *, text: str = "", cards: int = 0) -> None:
        self.text = text
        self.cards = cards
        self.failed = False
        """A card says that its upload failed."""
        self.drawn_anew: int | None = None
        """How many cards there are once somebody waits for another number."""
        self.site = site_at("https://chatgpt.com/")

    @property
    def bodies(self) -> "ScriptedPage":
        return self

    def watch(self, *_: Any, **__: Any) -> Mailbox[Any]:
        return Mailbox("requests", 10)

    @property
    def eye(self) -> "ScriptedPage":
        return self

    @property
    def page(self) -> "ScriptedPage":
        return self

    async def node(self, expression: str) -> object | None:
        return object() if self.cards and expression == "witness.attachmentRemove([])" else None

    async def until(self, condition: str, *seconds: Any, **__: Any) -> bool:
        if str(NEVER) in condition or (not self.cards and condition == "witness.attachments().length >= 1"):
            await anyio.sleep(seconds[0])
            return False
        if self.drawn_anew is not None and "attachments().length ===" in condition:
            self.cards = self.drawn_anew
        return True

    async def has(self, role: str) -> bool:
        return self.failed if role == "attachment_failed" else role != "rate_dialog"

    async def ask(self, question: str, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        if "'ready'" in question:
            return "ready"
        if "toolPills" in question:
            return not self.text
        if "composerText" in question:
            return self.text
        if "attachments()" in question:
            return -1 if self.failed and "attachment_failed" in question else self.cards
        if "told(" in question:
            return []
        return 9.0 if "performance" in question else 0 if "length" in question and "===" not in question else True


class Unseen(Attaching):
    """Files reach the page without any call to the site being seen; counted."""

    given = 0

    async def _attach_one(self, path: Path, number: int, uploads: Uploads) -> None:  # noqa: ARG002
        self.given += 1
        await anyio.lowlevel.checkpoint()


def composing(page: ScriptedPage, attaching: type[Attaching] = Unseen) -> Composer:
    """The composer of a scripted page."""
    tab = cast("Tab", page)
    composer = Composer(tab)
    composer.attaching = attaching(tab)
    return composer
