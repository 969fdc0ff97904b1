"""A browser that has nothing to do: without windows it goes, and what others do in it goes on."""

import logging
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import psutil
import pytest

from cdp_image_mcp.chatgpt.window import keeper
from cdp_image_mcp.studio.studio import Studio
from fixtures.site import Site
from tests.clock import leap
from tests.people.browsers import browsers, none_left, session_cookie
from tests.people.inside import draw, inside
from tests.people.person import auto
from tests.people.screen import Screen, until
from tests.stopped import stopped
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


async def saved(studio: Studio, prompt: str) -> None:
    standing = await draw(studio, prompt)
    assert standing.record.state == "saved", standing.record


def port_open(port: int) -> bool:
    return any(
        connection.laddr and connection.laddr.port == port
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    )


IDLE = keeper.IDLE_SECONDS


def nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a browser without windows is kept, whether the rest of the last turn is over or goes on."""
    monkeypatch.setattr(keeper, "IDLE_SECONDS", 0.5)
    leap(monkeypatch, IDLE)


async def test_without_windows_it_is_closed_in_order_and_the_next_call_opens_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(120 + IDLE):
        async with inside(tmp_path, site.url, monkeypatch) as studio:
            await saved(studio, "one")
            port = int((tmp_path / "profile" / "DevToolsActivePort").read_text().split()[0])
            cookie = await session_cookie(tmp_path, site.url)
            assert port_open(port)
            nothing_to_do(monkeypatch)
            await none_left(tmp_path)
            assert not port_open(port)
            assert '"exit_type":"Normal"' in (tmp_path / "profile" / "Default" / "Preferences").read_text()
            await saved(studio, "two")
            assert await session_cookie(tmp_path, site.url) == cookie
        await none_left(tmp_path)


async def test_a_generation_that_takes_longer_is_something_to_do(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.set(picture_delay_s=4.0)
    with anyio.fail_after(120):
        monkeypatch.setattr(keeper, "IDLE_SECONDS", 0.5)
        async with inside(tmp_path, site.url, monkeypatch) as studio:
            await saved(studio, "one")
    assert len(site.log.prompts) == 1


async def test_with_windows_it_is_the_users_to_close(
    screen: Screen, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE="visible")
    with anyio.fail_after(120):
        monkeypatch.setattr(keeper, "IDLE_SECONDS", 0.2)
        async with inside(tmp_path, site.url, monkeypatch, **variables) as studio:
            await saved(studio, "one")
            (browser,) = browsers(tmp_path)
            await anyio.sleep(1.0)  # five times as long as one without windows would be kept
            assert browser.is_running()
            await screen.close(await screen.window())
            await none_left(tmp_path)


async def test_a_server_with_nothing_to_do_takes_the_browser_from_nobody(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It started the browser, and leaves it while another server draws in it."""
    caplog.set_level(logging.INFO)
    with anyio.fail_after(150 + IDLE):
        async with running_program(tmp_path, site.url) as other:
            async with inside(tmp_path, site.url, monkeypatch) as studio:
                await saved(studio, "one")
                (browser,) = browsers(tmp_path)
                site.state.held = True
                begun = await other.generate("two", wait_seconds=0)
                await until(lambda: len(site.log.prompts) == 2)
                nothing_to_do(monkeypatch)
                await until(lambda: "had nothing to do" in caplog.text)
                assert [process.pid for process in browsers(tmp_path)] == [browser.pid]
                site.state.held = False
                answer = await other.call("wait_for_image", generation_id=begun.data["generation_id"])
                assert answer.status == "saved", answer.data
                assert [process.pid for process in browsers(tmp_path)] == [browser.pid]
            assert [process.pid for process in browsers(tmp_path)] == [browser.pid]
            assert (await other.generate("three")).status == "saved"
        await none_left(tmp_path)
    assert [prompt.text for prompt in site.log.prompts] == ["one", "two", "three"]


async def test_a_server_that_leaves_a_browser_too_slow_to_say_who_works_in_it_takes_it_from_nobody(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine swaps, and the browser answers nothing for a while."""
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url) as other, AsyncExitStack() as mine:
            await saved(await mine.enter_async_context(inside(tmp_path, site.url, monkeypatch)), "one")
            (browser,) = browsers(tmp_path)
            site.state.held = True
            begun = await other.generate("two", wait_seconds=0)
            await until(lambda: len(site.log.prompts) == 2)
            with stopped(browser.pid):
                await mine.aclose()
            site.state.held = False
            answer = await other.call("wait_for_image", generation_id=begun.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert [process.pid for process in browsers(tmp_path)] == [browser.pid]
        await none_left(tmp_path)
    assert [prompt.text for prompt in site.log.prompts] == ["one", "two"]


async def test_the_last_of_several_servers_ends_it(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that started it went first."""
    with anyio.fail_after(150 + IDLE):
        async with inside(tmp_path, site.url, monkeypatch) as studio:
            async with running_program(tmp_path, site.url) as first:
                assert (await first.generate("one")).status == "saved"
                await saved(studio, "two")
                (browser,) = browsers(tmp_path)
            assert [process.pid for process in browsers(tmp_path)] == [browser.pid]
            await saved(studio, "three")
            nothing_to_do(monkeypatch)
            await none_left(tmp_path)
    assert [prompt.text for prompt in site.log.prompts] == ["one", "two", "three"]
