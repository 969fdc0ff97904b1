"""What the composer takes for exactly its own attachments."""

from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.chatgpt.page import attaching
from cdp_image_mcp.chatgpt.page.composer import Composer
from tests.chatgpt.page.scripted import ScriptedPage, composing

pytestmark = pytest.mark.anyio

FILES = [Path("one.png"), Path("two.png")]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "BEGIN_SECONDS", 0.0)


async def attached(cards: int) -> tuple[Composer, ScriptedPage]:
    page = ScriptedPage(text="a bear", cards=cards)
    composer = composing(page)
    await composer.attaching.attach(FILES)
    return composer, page


@pytest.mark.parametrize(("cards", "stands"), [(2, True), (0, True), (3, False), (1, False)])
async def test_shown_cards_must_be_as_many_as_the_files_and_none_at_all_will_do(cards: int, stands: bool) -> None:
    with anyio.fail_after(10):
        composer, _ = await attached(cards)
        assert await composer.stands("a bear") is stands


async def test_cards_that_are_gone_only_while_the_page_draws_anew_stand() -> None:
    with anyio.fail_after(10):
        composer, page = await attached(2)
        page.cards, page.drawn_anew = 0, 2
        assert await composer.stands("a bear")


async def test_cards_that_were_shown_and_went_do_not_stand() -> None:
    with anyio.fail_after(10):
        composer, page = await attached(2)
        page.cards = 0
        assert not await composer.stands("a bear")
        composer, page = await attached(0)
        page.cards = 2
        assert await composer.stands("a bear")
        page.cards = 3
        assert not await composer.stands("a bear")
