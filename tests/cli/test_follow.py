"""A command that follows one generation to its end."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
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
    async with (
        studio_with(tmp_path, Scripted(slow)) as studio,
        follow(studio, partial(studio.generate, asking(wait_seconds=0)), Terminal(), []) as made,
    ):
        pass
    assert (made.record.state, made.joined) == ("saved", False)
    assert [each.joined for each in between] == [False]


async def test_what_was_stopped_before_it_was_told_is_given_to_the_same_command_and_what_was_told_is_not(
    tmp_path: Path,
) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        begin, ids = partial(studio.generate, asking(wait_seconds=0)), list[str]()
        with anyio.CancelScope() as command:
            async with follow(studio, begin, Terminal(), ids):
                command.cancel()  # as Ctrl-C does, while the picture is copied to where it is wanted
                await anyio.lowlevel.checkpoint()
        async with follow(studio, begin, Terminal(), ids) as told:
            pass
        async with follow(studio, begin, Terminal(), ids):
            pass
    assert told.joined
    assert ids[0] == ids[1] != ids[2]


async def test_what_is_told_when_the_signal_comes_is_not_told_again(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        begin, ids = partial(studio.generate, asking(wait_seconds=0)), list[str]()
        with anyio.CancelScope() as command:
            async with follow(studio, begin, Terminal(), ids):
                command.cancel()
        async with follow(studio, begin, Terminal(), ids):
            pass
    assert ids[0] != ids[1]
