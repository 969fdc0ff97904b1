"""A command that follows one generation to its end."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cli.follow import follow
from cdp_image_mcp.cli.terminal import Terminal
from cdp_image_mcp.studio.studio import Standing, Studio
from tests.studio.leaving import asking
from tests.studio.scripted import Scripted, draw, studio_with

pytestmark = pytest.mark.anyio


async def test_the_same_command_beside_one_that_waits_makes_a_picture_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks first and waits then; one that came between the two joined, and one picture was missing."""
    wait, between = Studio.wait, list[Standing]()

    async def late(self: Studio, *given: Any, **named: Any) -> Standing:
        if not between:
            between.append(await self.generate(asking(wait_seconds=0)))
            go_on.set()
        return await wait(self, *given, **named)

    async def slow(*given: Any) -> None:
        await go_on.wait()
        await draw(*given)

    go_on = anyio.Event()
    monkeypatch.setattr(Studio, "wait", late)
    async with studio_with(tmp_path, Scripted(slow)) as studio:
        made = await follow(studio, partial(studio.generate, asking(wait_seconds=0)), Terminal(), [])
    assert (made.record.state, made.joined) == ("saved", False)
    assert [each.joined for each in between] == [False]
