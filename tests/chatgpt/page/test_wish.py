"""A ratio that the page offers is chosen there, and nothing is done twice for it."""

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.chatgpt.page import composer as composing
from cdp_image_mcp.chatgpt.page import wish
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.request import ImageRequest

pytestmark = pytest.mark.anyio

FILES = [Path("one.png"), Path("two.png")]


class Page:
    """A composer with an editor and a row of attachments."""

    def __init__(self) -> None:
        self.text = ""
        self.chips = 0

    @property
    def eye(self) -> "Page":
        return self

    @property
    def page(self) -> "Page":
        return self

    async def node(self, expression: str) -> object | None:
        return object() if self.chips and "attachment_remove" in expression else None

    async def ask(self, question: str, **_: Any) -> Any:
        if "'ready'" in question:
            return "ready"
        if "composerText" in question and "until" not in question:
            return self.text
        if "all('attachment').length" in question and "until" not in question:
            return self.chips
        return True


class Uploading(Composer):
    """Counts what goes to the site."""

    uploads = 0

    async def _attach_one(self, path: Path, number: int) -> None:  # noqa: ARG002
        self.uploads += 1
        cast("Page", self.tab).chips += 1
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("chosen", [True, False])
async def test_each_reference_picture_is_uploaded_once(chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()

    async def insert(_page: object, text: str) -> None:
        page.text += text

    async def clear(_page: object) -> None:
        page.text = ""

    async def click(_node: object, **_: Any) -> None:
        page.chips -= 1

    async def choose(_tab: object, _size: str) -> bool:
        return chosen

    monkeypatch.setattr(composing.human, "insert_text", insert)
    monkeypatch.setattr(composing.human, "clear", clear)
    monkeypatch.setattr(composing.human, "click", click)
    monkeypatch.setattr(wish, "choose_ratio", choose)
    composer = Uploading(cast("Tab", page))
    request = ImageRequest(prompt="a bear", backend="chatgpt-web", size="16:9")
    with anyio.fail_after(10):
        text = await wish.fill_in(composer, request, FILES, first=True)
    assert page.text == text == ("a bear" if chosen else "a bear\n\nAspect ratio 16:9.")
    assert (composer.uploads, page.chips) == (2, 2)
