"""An ordinary window for a person, on a real display."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions
from cdp_image_mcp.cdp.errors import NoDisplay, ProfileInUse
from cdp_image_mcp.cdp.launching import plain
from cdp_image_mcp.cdp.launching.holder import read_holder
from cdp_image_mcp.cdp.launching.profile import remove_remains
from tests.browser import SWITCHES
from tests.cdp.launching.processes import tree, wait_ended
from tests.cdp.launching.remains import lay_remains, socket_folder
from tests.people.screen import Screen, insist, until

pytestmark = pytest.mark.anyio

STARTER = """
import sys, anyio
from pathlib import Path
from cdp_image_mcp import cdp
from tests.browser import found_browser
async def main():
    options = cdp.LaunchOptions(browser=found_browser(), profile=Path(sys.argv[1]), extra_args=tuple(sys.argv[2:]))
    async with cdp.open_plain(options, "about:blank") as window:
        print(window.pid, flush=True)
        await window.wait()
anyio.run(main)
"""


async def test_it_has_no_debugging_switch_and_no_debugging_port(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.open_plain(headed, "about:blank") as window:
            arguments = psutil.Process(window.pid).cmdline()
            assert not any("remote-debugging" in argument or "headless" in argument for argument in arguments)
            listening = [
                connection
                for connection in psutil.Process(window.pid).net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            ]
            assert listening == []
            assert not (headed.profile / "DevToolsActivePort").exists()
            assert psutil.pid_exists(window.pid)
            family = tree(window.pid)
            folder = socket_folder(headed.profile)
            assert folder is not None
        assert await wait_ended(family) == []
        assert not folder.exists()


async def test_the_persons_closing_is_noticed(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.open_plain(headed, "about:blank") as window:
            async with anyio.create_task_group() as tasks:

                async def person() -> None:
                    os.kill(window.pid, signal.SIGTERM)

                tasks.start_soon(person)
                await window.wait()
            assert not psutil.pid_exists(window.pid)


async def test_one_that_is_closed_before_it_shows_a_page_was_closed_and_did_not_fail(headed: LaunchOptions) -> None:
    # Without its first window Chromium takes the profile, and ends as after its last one.
    headed = replace(headed, extra_args=(*headed.extra_args, "--no-startup-window"))
    with anyio.fail_after(60):
        async with cdp.open_plain(headed, "about:blank") as window:
            assert await window.wait() == 0


async def relaunched(options: LaunchOptions, pid: int) -> int:
    """The person has the browser updated; the process that shows the window from then on."""
    screen = Screen(options.variables["DISPLAY"])
    window = await screen.window()
    heir = pid

    def taken() -> bool:
        nonlocal heir
        now = read_holder(options.profile)
        heir = now.pid if now is not None and now.pid is not None else pid
        return heir != pid and bool(screen.windows())

    await insist(lambda: screen.go(window, "chrome://restart"), lambda: until(taken))
    return heir


async def test_one_that_was_relaunched_is_waited_for_and_ends_with_the_block(headed: LaunchOptions) -> None:
    family: list[int] = []
    with anyio.fail_after(90):
        async with cdp.open_plain(headed, "about:blank") as window, anyio.create_task_group() as tasks:
            over = anyio.Event()

            async def wait() -> None:
                await window.wait()
                over.set()

            tasks.start_soon(wait)
            heir = await relaunched(headed, window.pid)
            family = tree(heir)
            assert not over.is_set()
            os.kill(heir, signal.SIGTERM)  # the person closes it
            await over.wait()
        assert await wait_ended(family) == []
        async with cdp.open_plain(headed, "about:blank") as window, anyio.create_task_group() as tasks:
            tasks.start_soon(window.wait)
            family = tree(await relaunched(headed, window.pid))
            tasks.cancel_scope.cancel()  # nobody closes it
        assert await wait_ended(family) == []


def unguarded(_pid: int, _profile: Path) -> Callable[[], None]:
    """As on a machine that has no process left to give."""
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


async def test_one_that_cannot_be_guarded_is_the_persons_all_the_same_and_ends_with_the_block(
    headed: LaunchOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plain, "guard", unguarded)
    with anyio.fail_after(60):
        async with cdp.open_plain(headed, "about:blank") as window:
            family = tree(window.pid)
        assert await wait_ended(family) == []
    assert "the window would stay if this program were killed" in caplog.text


async def test_one_whose_guard_fails_in_a_way_of_its_own_is_not_left_open(
    headed: LaunchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def failing(pid: int, _profile: Path) -> Callable[[], None]:
        started.extend(tree(pid))
        raise RuntimeError("no guard")

    monkeypatch.setattr(plain, "guard", failing)
    with anyio.fail_after(60):
        with pytest.raises(RuntimeError, match="no guard"):
            async with cdp.open_plain(headed, "about:blank"):
                pytest.fail("nothing guards it")
        assert await wait_ended(started) == []


async def test_one_that_was_relaunched_and_cannot_be_guarded_is_waited_for(
    headed: LaunchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(90):
        async with cdp.open_plain(headed, "about:blank") as window, anyio.create_task_group() as tasks:
            over = anyio.Event()

            async def wait() -> None:
                await window.wait()
                over.set()

            tasks.start_soon(wait)
            monkeypatch.setattr(plain, "guard", unguarded)
            heir = await relaunched(headed, window.pid)
            os.kill(heir, signal.SIGTERM)  # the person closes it
            await over.wait()


async def test_it_is_refused_while_a_driven_browser_holds_the_profile(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(headed) as browser:
            with pytest.raises(ProfileInUse, match=f"process {browser.pid}"):
                async with cdp.open_plain(headed, "about:blank"):
                    pass


async def test_it_clears_away_what_a_browser_that_died_left_in_the_temporary_folder(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(replace(headed, mode="headless")):
            folder = socket_folder(headed.profile)
            assert folder is not None
            kept = [(link, link.readlink()) for link in headed.profile.glob("Singleton*")]
        lay_remains(folder, kept)
        try:
            async with cdp.open_plain(headed, "about:blank"):
                assert not folder.exists()
        finally:
            remove_remains(folder)


@pytest.mark.parametrize("environment", [{}, {**os.environ, "DISPLAY": ":4711"}], ids=["none", "one that has gone"])
async def test_without_a_display_it_is_told(options: LaunchOptions, environment: dict[str, str]) -> None:
    with anyio.fail_after(60):
        with pytest.raises(NoDisplay):
            async with cdp.open_plain(replace(options, environment=environment), "about:blank"):
                pytest.fail("no window is there")


@pytest.mark.parametrize("updated", [False, True])
async def test_it_does_not_outlive_a_killed_starter(updated: bool, headed: LaunchOptions) -> None:
    with anyio.fail_after(90):
        command = [sys.executable, "-c", STARTER, str(headed.profile), *SWITCHES]
        root = Path(__file__).parents[3]
        with subprocess.Popen(  # noqa: ASYNC220 - it is killed, not waited for
            command, stdout=subprocess.PIPE, text=True, cwd=root, env=dict(headed.variables)
        ) as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            if updated:
                pid = await relaunched(headed, pid)
            family = tree(pid)
            folder = socket_folder(headed.profile)
            assert folder is not None
            process.kill()
            process.wait()
            assert await wait_ended(family) == []
            while folder.exists():  # noqa: ASYNC110 - the guard is no child of ours
                await anyio.sleep(0.02)
