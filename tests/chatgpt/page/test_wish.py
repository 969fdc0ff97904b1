"""A ratio that the page offers is chosen there, and nothing is done twice for it."""

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.chatgpt.page import attaching, wish
from cdp_image_mcp.chatgpt.page import composer as module
from cdp_image_mcp.chatgpt.page.uploads import Uploads
from cdp_image_mcp.request import ImageRequest
from tests.chatgpt.page.scripted import ScriptedPage, Unseen, composing

pytestmark = pytest.mark.anyio

FILES = [Path("one.png"), Path("two.png")]


class Showing(Unseen):
    """Each file gets its card."""

    async def _attach_one(self, path: Path, number: int, uploads: Uploads) -> None:
        await super()._attach_one(path, number, uploads)
        cast("ScriptedPage", self.tab).cards += 1


@pytest.mark.parametrize("chosen", [True, False])
async def test_each_reference_picture_is_uploaded_once(chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ScriptedPage()

    async def insert(_page: object, text: str) -> None:
        page.text += text

    async def clear(_page: object) -> None:
        page.text = ""

    async def click(_node: object, **_: Any) -> None:
        page.cards -= 1

    async def choose(_tab: object, _size: str) -> bool:
        return chosen

    monkeypatch.setattr(module.human, "insert_text", insert)
    monkeypatch.setattr(module.human, "clear", clear)
    monkeypatch.setattr(module.human, "click", click)
    monkeypatch.setattr(wish, "choose_ratio", choose)
    monkeypatch.setattr(attaching, "BEGIN_SECONDS", 0.0)
    composer = composing(page, Showing)
    request = ImageRequest(prompt="a bear", backend="chatgpt-web", size="16:9")
    with anyio.fail_after(10):
        text = await wish.fill_in(composer, request, FILES, first=True)
    assert page.text == text == ("a bear" if chosen else "a bear\n\nAspect ratio 16:9.")
    assert (cast("Showing", composer.attaching).given, page.cards) == (2, 2)
