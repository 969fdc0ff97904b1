"""What the composer takes for exactly its own attachments."""

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.window.tab import Tab

pytestmark = pytest.mark.anyio

FILES = [Path("one.png"), Path("two.png")]


class Page:
    """The editor with the text in it, and a row of chips that shows what the test says."""

    def __init__(self, chips: int) -> None:
        self.chips = chips

    @property
    def eye(self) -> "Page":
        return self

    async def ask(self, question: str, **_: Any) -> Any:
        if "composerText" in question:
            return "a bear"
        if "all('attachment').length" in question:
            return self.chips
        return True


class Attaching(Composer):
    async def _attach_one(self, path: Path, number: int) -> None:  # noqa: ARG002
        await anyio.lowlevel.checkpoint()


async def attached(chips: int) -> tuple[Attaching, Page]:
    page = Page(chips)
    composer = Attaching(cast("Tab", page))
    await composer.attach(FILES)
    return composer, page


@pytest.mark.parametrize(("chips", "stands"), [(2, True), (0, True), (3, False), (1, False)])
async def test_shown_chips_must_be_as_many_as_the_files_and_none_at_all_will_do(chips: int, stands: bool) -> None:
    with anyio.fail_after(10):
        composer, _ = await attached(chips)
        assert await composer.stands("a bear") is stands


async def test_chips_that_were_shown_and_went_do_not_stand(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        composer, page = await attached(2)
        page.chips = 0
        assert not await composer.stands("a bear")
        composer, page = await attached(0)
        page.chips = 2
        assert await composer.stands("a bear")
        page.chips = 3
        assert not await composer.stands("a bear")
