"""Where the window is and who moves it; the user's own tabs in it."""

import subprocess
from functools import partial
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from tests.people.browsers import (
    bring_forward,
    browsers,
    is_headless,
    none_left,
    pages,
    session_cookie,
    wait_for_pages,
)
from tests.people.person import auto, look
from tests.people.screen import Screen, insist, until
from tests.web.program import running_program, words_of

pytestmark = pytest.mark.anyio


async def test_show_hide_and_toggle_tell_what_is_true(screen: Screen, site: Site, tmp_path: Path) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE="hidden")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            facts = await look(program)
            assert (facts["browser_open"], facts["place"]) == (False, "closed")
            facts = await look(program, "hide", start_browser=True)
            assert facts["hidden"]
            assert facts["hide_method"] in {"offscreen", "minimize"}
            await until(lambda: screen.windows() == [])  # the desktop draws how a window goes

            facts = await look(program, "toggle")
            assert (facts["applied_action"], facts["visible"], facts["show_method"]) == ("show", True, "restore")
            (window,) = screen.windows()
            screen.picture(tmp_path / "shown.png")
            home = screen.place(window)
            assert 0 <= home[0] < 200
            assert 0 <= home[1] < 200

            # Moved by hand, hidden, shown: back where the person had put it.
            screen.run("windowmove", "--sync", window, "300", "200")
            assert (await look(program))["visible"]
            facts = await look(program, "toggle")
            assert (facts["applied_action"], facts["hidden"]) == ("hide", True)
            await until(lambda: screen.windows() == [])
            assert (await look(program, "show"))["visible"]
            left, top = screen.place(window)
            assert abs(left - 300) < 40
            assert abs(top - 200) < 40

            # Minimised by hand.
            screen.run("windowminimize", window)
            await until(lambda: screen.windows() == [])
            facts = await look(program)
            assert (facts["place"], facts["visible"], facts["hide_attempted"]) == ("minimized", False, False)
            assert (await look(program, "show"))["visible"]

            # Closed by hand.
            await screen.close(window)
            facts = await look(program)
            assert (facts["browser_open"], facts["visible"], facts["place"]) == (False, False, "closed")
            assert (await program.generate("a lighthouse")).status == "saved"
            assert (await look(program))["visible"], "it was asked to be shown"


async def test_changing_between_windows_and_none_keeps_the_sign_in(screen: Screen, site: Site, tmp_path: Path) -> None:
    cookies: list[str | None] = []
    with anyio.fail_after(150):
        for mode in ("headless", "hidden", "headless"):
            variables = auto(screen, CHATGPT_WINDOW_MODE=mode)
            async with running_program(tmp_path, site.url, variables=variables) as program:
                assert (await program.generate(f"a lighthouse, {mode}", images="none")).status == "saved"
                assert is_headless(tmp_path) is (mode == "headless")
                cookies.append(await session_cookie(tmp_path, site.url))
            await none_left(tmp_path)
        assert cookies[0] in site.state.sessions
        assert len(set(cookies)) == 1


async def test_show_brings_a_headless_browser_into_a_window_with_its_sign_in(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            assert (await program.generate("before", images="none")).status == "saved"
            cookie = await session_cookie(tmp_path, site.url)
            facts = await look(program)
            assert (facts["browser_mode"], facts["visible"]) == ("headless", False)
            facts = await look(program, "show")
            assert (facts["browser_mode"], facts["visible"]) == ("visible", True), facts
            assert await session_cookie(tmp_path, site.url) == cookie
            assert (await program.generate("after", images="none")).status == "saved"
            assert (await look(program))["visible"]


@pytest.mark.parametrize("when", ["while it is open", "before it is opened"])
async def test_a_window_that_cannot_be_shown_stops_no_picture(when: str, site: Site, tmp_path: Path) -> None:
    """A client that was started over ``ssh -X``, whose line was cut: the variable leads nowhere."""
    variables = {"DISPLAY": ":4711", "CHATGPT_WINDOW_MODE": "auto"}
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            if when == "while it is open":
                assert (await program.generate("before", images="none")).status == "saved"
            assert not (await look(program, "show"))["visible"]
            assert (await program.generate("after", images="none")).status == "saved"


async def test_show_while_another_server_draws_without_a_window_disturbs_nothing(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.state.held = True
    with anyio.fail_after(120):
        async with (
            running_program(tmp_path, site.url, variables=auto(screen)) as drawing,
            running_program(tmp_path, site.url, variables=auto(screen)) as showing,
        ):
            started = await drawing.generate("a lighthouse", wait_seconds=0)
            await until(lambda: bool(site.log.prompts))
            facts = await look(showing, "show", start_browser=True)
            assert not facts["visible"]
            assert "generation" in str(facts["message"])
            site.state.held = False
            answer = await drawing.call("wait_for_image", generation_id=started.data["generation_id"])
            assert answer.status == "saved", answer.data
        assert len(site.log.prompts) == 1


async def test_the_users_own_tabs_stay_through_a_generation_and_the_closing_of_ours(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE="visible")
    theirs = f"{site.url}/space"
    with anyio.fail_after(280):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            assert (await program.generate("one", images="none")).status == "saved"
            (window,) = screen.windows()
            two = partial(wait_for_pages, tmp_path, lambda open_now: len(open_now) == 2)
            await insist(lambda: screen.press(window, "ctrl+t"), two)
            there = partial(wait_for_pages, tmp_path, lambda open_now: theirs in open_now)
            await insist(lambda: screen.go(window, theirs), there)
            assert (await program.generate("two", images="none")).status == "saved"
            assert theirs in await pages(tmp_path)
            # The person closes our tab and keeps his own.
            await bring_forward(tmp_path, lambda address: address != theirs)
            alone = partial(wait_for_pages, tmp_path, lambda open_now: open_now == [theirs])
            await insist(lambda: screen.press(window, "ctrl+w"), alone)
            facts = await look(program)
            assert (facts["browser_open"], facts["browser_mode"], facts["place"]) == (True, "visible", "closed"), facts
            assert not facts["visible"]
            assert not facts["hidden"]
            assert "our page in it was closed" in str(facts["message"])
            assert "No browser" not in str((await look(program, "show"))["message"])
            before = browsers(tmp_path)[0].pid
            assert (await program.generate("three", images="none")).status == "saved"
            assert theirs in await pages(tmp_path)
            assert browsers(tmp_path)[0].pid == before
        await none_left(tmp_path)
    assert len(site.log.prompts) == 3


async def test_a_browser_whose_page_has_crashed_is_open(screen: Screen, site: Site, tmp_path: Path) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE="visible")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            assert (await program.generate("one", images="none")).status == "saved"
            for process in browsers(tmp_path)[0].children(recursive=True):
                if "--type=renderer" in words_of(process):
                    process.kill()
            while (await look(program))["place"] == "visible":  # noqa: ASYNC110 - nobody is told of it
                await anyio.sleep(0.1)
            facts = await look(program)
            assert facts["browser_open"], facts
            assert "has crashed" in str(facts["message"])
            facts = await look(program, "show", start_browser=True)
            assert (facts["visible"], facts["applied_action"]) == (True, "show"), facts
            assert (await program.generate("two", images="none")).status == "saved"


def test_the_screen_has_what_the_tests_need() -> None:
    for tool in ("Xvfb", "openbox", "xdotool", "import", "xmessage", "xprop"):
        assert subprocess.run(["which", tool], capture_output=True, check=False).returncode == 0, tool
