"""The person signs in in an ordinary window; the generation waits for that and goes on by itself."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.chatgpt.window.person import to_do
from cdp_image_mcp.cli.checks import machine
from cdp_image_mcp.config import load
from fixtures.site import Site
from tests.people.browsers import browsers, command_line, is_ordinary, none_left, session_cookie
from tests.people.person import auto, sign_in
from tests.people.screen import Screen, insist, until
from tests.web.program import Answer, Program, environment, running_program

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def asked_to_sign_in(screen: Screen, site: Site, folder: Path) -> AsyncGenerator[tuple[Program, Answer]]:
    """A program, and what it has answered to a call whose person has to sign in first."""
    site.set(account="guest")
    async with running_program(folder, site.url, variables=auto(screen)) as program:
        asked = await program.generate("a lighthouse at dusk")
        assert asked.status == "needs_sign_in", asked.data
        yield program, asked


async def test_a_generation_asks_for_the_sign_in_and_goes_on_by_itself(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(120):
        async with asked_to_sign_in(screen, site, tmp_path) as (program, asked):
            assert not asked.is_error
            assert "close" in asked.data["next"]
            assert is_ordinary(command_line(tmp_path))
            window = await sign_in(screen, site)
            screen.picture(tmp_path / "signed-in.png")
            await screen.close(window)
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert "--headless=new" in command_line(tmp_path)
            assert screen.windows() == []
            assert await session_cookie(tmp_path, site.url) in site.state.sessions
            assert [how.how for how in site.log.sign_ins] == ["login page"]
            assert [prompt.guest for prompt in site.log.prompts] == [False]
            assert site.log.wrong_presses == []
        await none_left(tmp_path)


async def test_a_window_in_which_somebody_signs_in_is_none_that_doctor_has_closed(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    """One that was opened by hand is, see test_told."""
    with anyio.fail_after(90):
        async with asked_to_sign_in(screen, site, tmp_path):
            found = await machine.profile(load(environment(tmp_path, site.url)))
            assert (found.level, found.advice) == ("ok", "")
            assert f"open in process {browsers(tmp_path)[0].pid} at this moment" in found.message


async def test_a_window_that_is_closed_without_signing_in_is_an_error_and_not_opened_again(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(90):
        async with asked_to_sign_in(screen, site, tmp_path) as (program, asked):
            await screen.close(await screen.window())
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            unsigned(answer)
            assert "the window was closed" in answer.data["message"]
            assert screen.windows() == []
    assert site.log.prompts == []


async def test_a_window_whose_browser_crashed_is_opened_once_more_and_counts_as_no_answer(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(120):
        async with asked_to_sign_in(screen, site, tmp_path) as (program, asked):
            await screen.window()
            first = browsers(tmp_path)[0]
            first.kill()
            await until(lambda: not first.is_running() and bool(screen.windows()))
            await screen.close(await sign_in(screen, site))
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data


async def test_whoever_has_the_browser_updated_in_the_window_signs_in_afterwards(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(150):
        async with asked_to_sign_in(screen, site, tmp_path) as (program, asked):
            window = await screen.window()
            first = browsers(tmp_path)[0]

            async def relaunched() -> None:
                await until(lambda: not first.is_running() and bool(screen.windows()))

            await insist(lambda: screen.go(window, "chrome://restart"), relaunched)
            told = await program.call("wait_for_image", generation_id=asked.data["generation_id"], wait_seconds=5)
            assert told.status == "needs_sign_in", told.data
            await screen.close(await sign_in(screen, site))
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data
        await none_left(tmp_path)


async def test_a_window_whose_browser_crashes_again_is_not_said_to_have_been_closed(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    said = ""

    def opened(times: int) -> bool:
        nonlocal said
        said = (tmp_path / "said").read_text()
        return said.count("has been opened") == times

    with anyio.fail_after(90):
        async with await login(tmp_path, site, screen) as process:
            for times in (1, 2):
                await until(partial(opened, times))
                browsers(tmp_path)[0].kill()
            assert await process.wait() == 3
        await none_left(tmp_path)
    assert opened(2)
    assert "The browser crashed each time (exit code -9)" in said
    assert "window was closed" not in said


async def test_when_nobody_comes_the_window_is_closed_and_nothing_was_sent(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    variables = auto(screen, CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS="3")
    with anyio.fail_after(90):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_sign_in", asked.data
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            unsigned(answer)
            assert "within 3 s" in answer.data["message"]
            assert screen.windows() == []
        await none_left(tmp_path)
    assert site.log.prompts == []


@pytest.mark.nightly
async def test_whoever_signed_in_but_left_the_window_open_is_believed_the_site(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    variables = auto(screen, CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS="15")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_sign_in", asked.data
            await sign_in(screen, site)
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data


@pytest.mark.parametrize("why", ["no display", "headless forced"])
async def test_where_no_window_can_be_shown_it_is_an_error_at_once(
    why: str, screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    variables = {"CHATGPT_WINDOW_MODE": "auto"} if why == "no display" else screen.variables
    with anyio.fail_after(60):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            answer = await program.generate("a lighthouse at dusk")
            unsigned(answer)
            # A client may have kept the display of a person who sits there from the program.
            told = ("no display", "a client may keep DISPLAY") if why == "no display" else ("CHATGPT_WINDOW_MODE",)
            assert all(words in answer.data["message"] for words in told), answer.data["message"]
    assert site.log.prompts == []


def unsigned(answer: Answer) -> None:
    assert answer.is_error
    assert answer.code == "needs_sign_in", answer.data
    assert answer.data["submitted"] is False
    assert answer.data["spent"] is False
    assert "login" in answer.data["next_step"]


async def test_login_opens_an_ordinary_window_and_asks_the_site_whether_it_worked(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    with anyio.fail_after(90):
        async with await login(tmp_path, site, screen) as process:
            await until(lambda: bool(screen.windows()))
            assert is_ordinary(command_line(tmp_path))
            await screen.close(await sign_in(screen, site))
            assert await process.wait() == 0
        await none_left(tmp_path)
    said = (tmp_path / "said").read_text()
    assert said.index("browser window has been opened") < said.index("You are signed in.")


async def test_login_says_when_the_window_was_closed_and_nobody_is_signed_in(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    with anyio.fail_after(90):
        async with await login(tmp_path, site, screen) as process:
            await screen.close(await screen.window())
            assert await process.wait() == 3
    assert "not ready yet" in (tmp_path / "said").read_text()


async def test_login_ends_the_idle_browser_of_a_running_server_which_goes_on_afterwards(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            assert (await program.generate("before")).status == "saved"
            assert len(browsers(tmp_path)) == 1
            async with await login(tmp_path, site, screen) as process:
                await screen.close(await screen.window())
                assert await process.wait() == 0
            assert (await program.generate("after")).status == "saved"
        await none_left(tmp_path)


async def test_login_looks_again_when_its_own_window_was_taken_for_a_leftover_and_closed(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    with anyio.fail_after(120):
        async with await login(tmp_path, site, screen, CHATGPT_WINDOW_MODE="visible") as process:
            window = await sign_in(screen, site)
            site.set(composer_late=True)  # so that the second window is there for long enough to be closed
            await screen.close(window)
            await until(lambda: any(not is_ordinary(each.cmdline()) for each in browsers(tmp_path)))
            second = await screen.window()
            site.set(composer_late=False)
            await screen.close(second)
            assert await process.wait() == 0, (tmp_path / "said").read_text()
        await none_left(tmp_path)
    assert "You are signed in." in (tmp_path / "said").read_text()


async def login(folder: Path, site: Site, screen: Screen, **variables: str) -> anyio.abc.Process:
    with (folder / "said").open("wb") as said:
        return await anyio.open_process(
            [sys.executable, "-m", "cdp_image_mcp", "login"],
            env=environment(folder, site.url, **auto(screen, **variables)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def test_on_a_mac_the_person_is_told_to_quit_the_browser() -> None:
    assert "quit the browser" in to_do("needs_sign_in", platform="darwin")
    assert "close that browser window" in to_do("needs_sign_in", platform="linux")
