"""The browser's window never gets in the way of whoever works at the screen."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from fixtures.site import Site, make_picture
from tests.people.person import auto, look
from tests.people.screen import Screen, until
from tests.web.program import running_program

pytestmark = pytest.mark.anyio

NOBODY = 0


@asynccontextmanager
async def another_program(screen: Screen, name: str = "elsewhere") -> AsyncGenerator[str]:
    """Something else that the person works with; its window has the focus."""
    process = await anyio.open_process(["xmessage", "-name", name, "working here"], env=screen.variables)
    try:
        found: list[str] = []

        def look() -> bool:
            found[:] = screen.run("search", "--onlyvisible", "--name", name).split()
            return bool(found)

        await until(look)
        await screen.focus(found[0])
        yield found[0]
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def focus_kept(screen: Screen, wanted: str) -> AsyncGenerator[None]:
    """Nobody else has the focus while the block runs, be it for a moment: the desktop tells of every change. At its
    end nobody gets the focus, which is told after everything else that happened."""
    told: list[int] = []
    listening, last = anyio.Event(), anyio.Event()
    process = await anyio.open_process(["xprop", "-spy", "-root", "_NET_ACTIVE_WINDOW"], env=screen.variables)

    async def listen() -> None:
        assert process.stdout is not None
        async for line in TextReceiveStream(process.stdout):
            told.extend(int(number, 16) for number in re.findall("0x[0-9a-f]+", line))
            listening.set()
            if told[-1:] == [NOBODY]:
                last.set()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await listening.wait()
            yield
            screen.run("windowminimize", wanted)
            await last.wait()
            process.terminate()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()
    while told[-1:] == [NOBODY]:
        told.pop()
    assert set(told) == {int(wanted)}, told


async def test_a_stolen_focus_is_noticed_here(screen: Screen) -> None:
    with anyio.fail_after(30):
        with pytest.raises(AssertionError, match=r"^\["):
            async with another_program(screen) as window, focus_kept(screen, window), another_program(screen, "thief"):
                pass


@pytest.mark.parametrize("mode", ["hidden", "visible"])
async def test_a_generation_in_a_window_takes_the_focus_from_nobody(
    mode: str, screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(dialogs=("promo",))
    variables = auto(screen, CHATGPT_WINDOW_MODE=mode)
    with anyio.fail_after(90):
        async with (
            another_program(screen) as window,
            focus_kept(screen, window),
            running_program(tmp_path, site.url, variables=variables) as program,
        ):
            answer = await program.generate("a lighthouse at dusk", size="16:9")
            assert answer.status == "saved", answer.data
            assert answer.data["metadata"]["browser_mode"] == mode
            facts = await look(program)
            assert facts["hidden"] is (mode == "hidden")
            await until(lambda: bool(screen.windows()) is (mode == "visible"))
            screen.picture(tmp_path / "generated.png")
        assert site.log.untrusted == []
        assert site.log.wrong_presses == []


async def test_a_window_is_hidden_also_where_the_desktop_does_what_it_is_asked_only_later(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(90):
        async with running_program(tmp_path, site.url, variables=auto(screen, CHATGPT_WINDOW_MODE="hidden")) as program:
            with screen.behind():
                begun = await program.generate("a lighthouse at dusk", wait_seconds=0)
                await until(lambda: bool(site.log.prompts))
            answer = await program.call("wait_for_image", generation_id=begun.data["generation_id"])
            assert answer.status == "saved", answer.data
            await until(lambda: screen.windows() == [])
            assert (await look(program))["hidden"] is True


async def test_what_lies_in_the_way_is_pressed_in_a_hidden_window_too(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(dialogs=("beacon", "connector"), work_mode=True, inputs="ignore")
    variables = auto(screen, CHATGPT_WINDOW_MODE="hidden")
    reference = tmp_path / "Pictures" / "reference.png"
    reference.parent.mkdir()
    reference.write_bytes(make_picture("reference", size=(320, 240)).content)
    with anyio.fail_after(90):
        async with (
            another_program(screen) as window,
            focus_kept(screen, window),
            running_program(tmp_path, site.url, variables=variables) as program,
        ):
            answer = await program.generate("like this one", reference_images=[str(reference)], images="none")
            assert answer.status == "saved", answer.data
            await until(lambda: screen.windows() == [])
        assert len(site.log.prompts[0].references) == 1
        assert site.log.untrusted == []
        assert site.log.wrong_presses == []
