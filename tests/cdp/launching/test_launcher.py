"""Starting, attaching to and ending a real browser."""

import contextlib
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psutil
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions, Page
from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    BrowserGone,
    BrowserNotFound,
    DebuggingForbidden,
    LaunchError,
    NeedsNoSandbox,
    NoDisplay,
    ProfileInUse,
    ProfileNotWritable,
)
from cdp_image_mcp.cdp.launching import launcher
from cdp_image_mcp.cdp.launching import process as process_of_a_browser
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.holder import Holder, read_holder
from cdp_image_mcp.cdp.launching.process import is_helper
from cdp_image_mcp.cdp.launching.profile import PORT_FILE, read_endpoint
from tests.browser import QUIET, SWITCHES, found_browser, is_root
from tests.cdp.launching.processes import tree, wait_ended
from tests.cdp.launching.remains import lay_remains, socket_folder
from tests.cdp.site import Site
from tests.clock import leap
from tests.stopped import stopped

pytestmark = pytest.mark.anyio


def processes_of(profile: Path) -> list[psutil.Process]:
    """Every process whose command line names the profile (renderers and the like are named by their browser's)."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            named = process.pid != os.getpid() and any(str(profile) in argument for argument in process.cmdline())
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).cmdline() != []  # the system has taken a dying one's memory already
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


@contextlib.contextmanager
def starter(profile: Path) -> Generator[tuple[subprocess.Popen[str], int], None, None]:
    """Another process that has started a browser on the profile, and the browser's pid."""
    command = [sys.executable, "-m", "tests.cdp.launched", str(profile), *SWITCHES]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def test_a_started_browser_is_ours_on_loopback_and_gone_with_its_block(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            assert browser.owned
            assert browser.headless
            assert browser.pid is not None
            assert stat.S_IMODE(options.profile.stat().st_mode) == 0o700
            ports = {
                connection.laddr[0]
                for connection in psutil.Process(browser.pid).net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            assert ports == {"127.0.0.1"}
            helpers = [pid for pid in tree(browser.pid) if is_helper(pid)]
        # At once: its network service writes cookies on, and would make a deleted profile's folder again.
        assert [pid for pid in helpers if lives(pid)] == []
        assert not psutil.pid_exists(browser.pid)
        assert read_holder(options.profile) is None


async def test_a_system_that_does_not_tell_its_processes_keeps_no_end_from_being_told(
    options: LaunchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> list[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            monkeypatch.setattr(psutil, "pids", refused)
        assert browser.connection.gone is not None


async def test_no_tab_is_there_before_one_is_made(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            targets = await browser.connection.browser.call("Target.getTargets", reply=dict[str, list[dict[str, Any]]])
            assert [target for target in targets["targetInfos"] if target["type"] == "page"] == []


async def test_an_exception_in_the_block_ends_the_browser_in_order_and_comes_out(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        pids: list[int] = []

        async def fail() -> None:
            async with cdp.launch(options) as browser:
                pids.append(browser.pid or 0)
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        assert await wait_ended(pids) == []
        assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()


async def test_cancellation_ends_the_browser_in_order(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        pid = 0
        with anyio.CancelScope() as scope:
            async with cdp.launch(options) as browser:
                pid = browser.pid or 0
                scope.cancel()
                await anyio.sleep_forever()
        assert await wait_ended([pid]) == []
        assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()


async def test_cancellation_while_starting_leaves_no_process(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def start() -> None:
                    async with cdp.launch(options):
                        raise AssertionError("cancelled too late to test anything")

                tasks.start_soon(start)
                while not processes_of(options.profile):  # noqa: ASYNC110 - a process appears without an event
                    await anyio.sleep(0.005)
                scope.cancel()
        left = [process.pid for process in processes_of(options.profile)]
        assert await wait_ended(left) == []
        assert processes_of(options.profile) == []


async def test_a_cookie_set_just_before_the_end_is_kept(options: LaunchOptions, site: Site) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            await page.navigate(site.url("/cookie"))
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            await page.navigate(site.url("/page/plain"))
            assert "kept=yes" in await page.evaluate("document.cookie", reply=str)


async def test_a_second_start_on_the_profile_attaches_and_leaves_the_browser_alive(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as first:
            async with cdp.launch(options) as second:
                assert not second.owned
                assert second.pid == first.pid
            async with cdp.attach(options.profile) as third:
                assert third.pid == first.pid
            await first.connection.browser.call("Browser.getVersion")


async def test_two_starts_at_the_same_moment_share_one_browser(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        pids: list[int | None] = []
        owned: list[bool] = []
        both = anyio.Event()

        async def start() -> None:
            async with cdp.launch(options) as browser:
                pids.append(browser.pid)
                owned.append(browser.owned)
                if len(pids) == 2:
                    both.set()
                await both.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            tasks.start_soon(start)
        assert pids[0] == pids[1]
        assert sorted(owned) == [False, True]


async def test_quit_ends_a_browser_that_was_attached_to(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with starter(options.profile) as (_process, pid):
            async with cdp.attach(options.profile) as browser:
                assert browser.pid == pid
                await browser.quit()
            assert await wait_ended([pid]) == []
            assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()


async def test_nothing_to_attach_to_is_told(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        with pytest.raises(BrowserFailed, match="no browser runs"):
            async with cdp.attach(tmp_path):
                pass


async def test_a_port_file_left_behind_is_not_believed(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        options.profile.mkdir()
        stale = "1\n/devtools/browser/f715af49-d48e-4961-b21a-5ca63f46f984"
        (options.profile / "DevToolsActivePort").write_text(stale)
        async with cdp.launch(options) as browser:
            assert browser.owned


async def test_a_killed_starter_takes_its_browser_with_it_in_order(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with starter(options.profile) as (process, pid):
            family = tree(pid)
            process.kill()
            process.wait()
            assert await wait_ended(family) == []
        assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()
        assert read_holder(options.profile) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a leash has no name there")
async def test_a_browser_ends_with_the_last_of_those_who_hold_it(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with starter(options.profile) as (process, pid):
            async with cdp.launch(options) as browser:
                assert (browser.owned, browser.pid) == (False, pid)
                process.kill()
                await anyio.to_thread.run_sync(process.wait)
                await browser.connection.browser.call("Target.getTargets")
                async with await Page.create(browser.connection) as page:
                    assert await page.evaluate("1 + 1") == 2
        assert await wait_ended([pid]) == []
        assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="a leash has no name there")
async def test_a_starter_that_leaves_its_browser_takes_it_from_nobody(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with AsyncExitStack() as second, cdp.launch(options) as first:
            other = await second.enter_async_context(cdp.launch(options))
            await first.leave()
            assert await other.answers(5)
            pid = other.pid or 0
            await second.aclose()
            assert await wait_ended([pid]) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a leash has no name there")
@pytest.mark.parametrize("others", [True, False], ids=["others work in it", "nobody else holds it"])
async def test_a_browser_that_stands_still_is_left_to_those_who_hold_it_and_to_nobody_else(
    options: LaunchOptions, others: bool
) -> None:
    options = replace(options, close_timeout=0.2)
    with anyio.fail_after(60):
        with contextlib.ExitStack() as still:
            async with cdp.launch(options) as browser:
                if others:
                    still.enter_context(starter(options.profile))  # which finds it running
                still.enter_context(stopped(browser.pid))
                await browser.leave()
            assert lives(browser.pid or 0) is others


async def test_a_starter_that_leaves_its_browser_alone_has_ended_it(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            await browser.leave()
        assert not lives(browser.pid or 0)
        assert list(options.profile.glob("leash-*")) == []
        assert '"exit_type":"Normal"' in (options.profile / "Default" / "Preferences").read_text()


async def test_another_child_of_the_starter_does_not_hold_the_leash(options: LaunchOptions, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as first:
            with subprocess.Popen(  # noqa: ASYNC220 - an ordinary child is the point
                [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
            ) as child:
                async with cdp.launch(replace(options, profile=tmp_path / "second")) as second:
                    pipes = {str(Path(f"/proc/{first.pid}/fd/{number}").readlink()) for number in (3, 4)}
                    for other in (child.pid, second.pid):
                        held = {
                            str(entry.readlink()) for entry in Path(f"/proc/{other}/fd").iterdir() if entry.is_symlink()
                        }
                        assert not held & pipes


async def test_a_killed_browser_is_a_loss_with_its_cause(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            async with anyio.create_task_group() as tasks:

                async def kill() -> None:
                    psutil.Process(browser.pid).kill()

                tasks.start_soon(kill)
                with pytest.raises(BrowserGone, match="lost"):
                    await page.evaluate("new Promise(() => {})")
            gone = browser.connection.gone
            assert gone is not None
            assert "lost" in str(gone)
            with pytest.raises(BrowserGone):
                await page.evaluate("1")


async def test_the_next_browser_clears_away_what_one_killed_with_its_starter_left(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            folder = socket_folder(options.profile)
            assert folder is not None
            kept = [(link, link.readlink()) for link in options.profile.glob("Singleton*")]
        lay_remains(folder, kept)
        async with cdp.launch(options) as browser:
            assert browser.owned
            assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a profile has no links there")
async def test_a_profile_that_was_copied_by_what_knows_no_links_starts(options: LaunchOptions) -> None:
    """By way of a stick, an archive or a cloud: the last browser's lock is a file then, and Chromium says in use."""
    with anyio.fail_after(60):
        options.profile.mkdir()
        for name in ("SingletonLock", "SingletonCookie", "SingletonSocket"):
            (options.profile / name).write_text("desk-1234")
        async with cdp.launch(options) as browser:
            assert browser.owned


async def test_a_killed_browser_leaves_a_profile_that_starts_again(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            folder = socket_folder(options.profile)
            assert folder is not None
            psutil.Process(browser.pid).kill()
            await browser.connection.wait_gone()
        assert not folder.exists()
        async with cdp.launch(options) as browser:
            assert browser.owned


async def test_many_lines_of_the_browser_do_not_block_it(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        loud = replace(options, extra_args=(*options.extra_args, "--enable-logging=stderr", "--v=1"))
        async with cdp.launch(loud) as browser, await Page.create(browser.connection) as page:
            await page.evaluate("for (let i = 0; i < 5000; i++) console.log('x'.repeat(200))")
            assert await page.evaluate("1 + 1") == 2
            assert browser.connection.gone is None


async def test_a_fixed_port_can_be_attached_to_as_well(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with cdp.launch(replace(options, debug_port=port)) as browser:
            assert f":{port}/" in (read_endpoint(options.profile) or "")
            async with cdp.attach(options.profile) as other:
                assert other.pid == browser.pid


async def test_a_fixed_port_that_cannot_be_noted_keeps_nobody_from_their_browser(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (options.profile / PORT_FILE).mkdir(parents=True)
        async with cdp.launch(replace(options, debug_port=port)) as browser:
            assert browser.owned
            assert await browser.answers(20)


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")
async def test_the_end_of_a_browser_that_not_even_a_kill_ends_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that waits for a device ends when that answers. This one's end is never told."""
    monkeypatch.setattr(process_of_a_browser, "TERMINATE_PATIENCE", 0.1)
    for_ever = threading.Event()

    def wait() -> int:
        for_ever.wait()
        return 0

    child = await anyio.open_process(["/bin/sleep", "600"], start_new_session=True)
    reader, writer = os.pipe()
    os.close(writer)
    try:
        stuck = process_of_a_browser.BrowserProcess(child.pid, reader, wait, ())
        with anyio.fail_after(20):
            await stuck.end(0.1)
            assert await child.wait() < 0, "it was killed all the same"
    finally:
        for_ever.set()
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.aclose()


async def test_a_fixed_port_that_is_taken_is_an_error(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(BrowserFailed, match=str(port)):
                async with cdp.launch(replace(options, debug_port=port)):
                    pass
        # Its last helpers end by themselves a moment after it.
        while processes_of(options.profile):  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(0.05)


@pytest.mark.skipif(not is_root(), reason="only root is refused")
async def test_root_without_no_sandbox_is_told(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with pytest.raises(NeedsNoSandbox, match="--no-sandbox"):
            async with cdp.launch(replace(options, extra_args=QUIET)):
                pass


async def test_a_window_without_a_display_is_told_before_anything_starts(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        with pytest.raises(NoDisplay, match="headless"):
            async with cdp.launch(replace(options, mode="visible", environment={"PATH": os.environ["PATH"]})):
                pass
        assert not options.profile.exists()


async def test_a_display_that_does_not_answer_is_told(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        environment = {**os.environ, "DISPLAY": ":987"}
        with pytest.raises(NoDisplay):
            async with cdp.launch(replace(options, mode="visible", environment=environment)):
                pass


async def test_a_profile_that_cannot_be_made_is_told(options: LaunchOptions, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        (tmp_path / "file").write_text("")
        with pytest.raises(ProfileNotWritable):
            async with cdp.launch(replace(options, profile=tmp_path / "file" / "profile")):
                pass


async def test_a_folder_for_temporary_files_that_is_gone_keeps_no_browser_from_starting(
    options: LaunchOptions, tmp_path: Path
) -> None:
    """A shell that has ended leaves it in the environment of what it started."""
    with anyio.fail_after(60):
        environment = {**os.environ, "TMPDIR": str(tmp_path / "gone")}
        async with cdp.launch(replace(options, environment=environment)) as browser:
            assert browser.owned


@pytest.mark.skipif(sys.platform != "linux", reason="where even root may make nothing")
async def test_a_folder_for_temporary_files_that_takes_nothing_is_told_and_no_other_browser(
    options: LaunchOptions,
) -> None:
    """As a sandbox makes it. The browser's code is that of a profile in use."""
    with anyio.fail_after(60):
        with pytest.raises(BrowserFailed, match=r"temporary files \(TMPDIR, here /proc\)"):
            async with cdp.launch(replace(options, environment={**os.environ, "TMPDIR": "/proc"})):
                pass


async def test_a_program_that_is_no_browser_is_told_with_its_last_lines(options: LaunchOptions, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        program = tmp_path / "browser"
        program.write_text("#!/bin/sh\necho 'cannot open shared object' >&2\nexit 127\n")
        program.chmod(0o755)
        with pytest.raises(BrowserFailed, match=r"exit code 127[\s\S]*cannot open shared object"):
            async with cdp.launch(replace(options, browser=cdp.find_browser(program))):
                pass


def script(folder: Path, text: str) -> FoundBrowser:
    """A program that begins with these lines and then is the browser."""
    program = folder / "browser"
    program.write_text(f'#!/bin/sh\n{text}\nexec "{found_browser().path}" "$@"\n')
    program.chmod(0o755)
    return FoundBrowser(program, "chromium", snap=False)


async def test_a_browser_that_first_puts_its_update_in_place_and_ends_is_started_again(
    options: LaunchOptions, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        updating = script(tmp_path, f'test -e "{tmp_path}/updated" || {{ touch "{tmp_path}/updated"; exit 0; }}')
        async with cdp.launch(replace(options, browser=updating)) as browser:
            assert browser.owned
        with pytest.raises(BrowserFailed, match="exit code 0"):
            async with cdp.launch(replace(options, browser=script(tmp_path, "exit 0"))):
                pass


async def test_a_port_that_was_open_before_anybody_looked_is_found(
    options: LaunchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, and where the browser says nothing on its standard error, as on Windows."""

    def slowly(*given: Any, **more: Any) -> Any:
        started = spawn(*given, **more)
        while not (options.profile / "DevToolsActivePort").exists():
            time.sleep(0.01)
        return started

    spawn = launcher.spawn
    monkeypatch.setattr(launcher, "spawn", slowly)
    with anyio.fail_after(60):
        silent = script(tmp_path, "exec 2>/dev/null")
        async with cdp.launch(replace(options, browser=silent, start_timeout=10)) as browser:
            assert browser.owned


async def test_how_long_an_old_browser_was_waited_for_is_not_taken_from_the_time_of_the_next(
    options: LaunchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    holders = [Holder(os.getpid(), socket.gethostname(), here=True)]

    def held(profile: Path) -> Holder | None:
        return holders.pop() if holders else read_holder(profile)

    async def hung(*_: object) -> None:
        leap(monkeypatch, options.start_timeout - 0.1)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(launcher, "read_holder", held)
    monkeypatch.setattr(launcher, "reach", hung)
    with anyio.fail_after(120):
        async with cdp.launch(options) as browser:
            assert browser.owned


NEAR_THE_LIMIT = """
import fcntl, os, resource, sys  # what a start needs cannot be loaded then
from contextlib import suppress
from pathlib import Path
from cdp_image_mcp.cdp.launching.process_posix import spawn

os.closerange(3, 256)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

def opened():
    found = 0
    for number in range(64):
        with suppress(OSError):
            os.fstat(number)
            found += 1
    return found

for free in range(8):
    full = [os.dup(0) for _ in range(64 - opened() - free)]
    before = opened()
    with suppress(OSError):
        spawn("/bin/true", [], {}, Path(sys.argv[1]), None)
        sys.exit("it started")
    print(free, opened() - before)
    for number in full:
        os.close(number)
"""


def test_a_start_that_too_many_open_files_forbid_leaves_none_open(tmp_path: Path) -> None:
    """Each such start would bring the server nearer to the limit, until nothing works any more."""
    done = subprocess.run(
        [sys.executable, "-c", NEAR_THE_LIMIT, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("".join(f"{free} 0\n" for free in range(8)), "")


async def test_a_file_that_cannot_be_executed_is_told(options: LaunchOptions, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        program = tmp_path / "browser"
        program.write_bytes(b"\x00\x01\x02")
        program.chmod(0o755)
        with pytest.raises(BrowserFailed, match="cannot be executed"):
            async with cdp.launch(replace(options, browser=cdp.find_browser(program))):
                pass
        program.chmod(0o644)
        with pytest.raises(BrowserNotFound):
            cdp.find_browser(program)


async def test_a_browser_that_never_opens_its_port_is_ended_and_told(options: LaunchOptions, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        program = tmp_path / "browser"
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o755)
        browser = FoundBrowser(program, "chromium", snap=False)
        with pytest.raises(BrowserFailed, match="did not open"):
            async with cdp.launch(replace(options, browser=browser, start_timeout=0.3)):
                pass
        assert not [p for p in psutil.Process().children(recursive=True) if "sleep" in p.name()]


async def test_a_profile_of_another_host_is_told_by_its_name(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        options.profile.mkdir()
        (options.profile / "SingletonLock").symlink_to("another-desk-4711")
        with pytest.raises(ProfileInUse, match="on the computer another-desk"):
            async with cdp.launch(options):
                pass


async def test_a_profile_last_used_under_another_host_name_is_used_again(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options):
            pass
        # As the browser would have left it, had it been killed before this machine was renamed.
        (options.profile / "SingletonLock").symlink_to("name-of-yesterday-4711")
        async with cdp.launch(options) as browser:
            assert browser.owned


async def test_a_browser_that_runs_while_the_machine_is_renamed_is_still_found(options: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            lock = options.profile / "SingletonLock"
            lock.unlink()
            lock.symlink_to(f"name-of-yesterday-{browser.pid}")
            async with cdp.launch(options) as second:
                assert (second.owned, second.pid) == (False, browser.pid)


@pytest.mark.parametrize("language", ["de", "en"])
async def test_a_start_that_is_handed_over_is_understood_in_any_language(
    options: LaunchOptions, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """The loser of two starts ends with a sentence in the system's language, if the browser's package has it."""
    spoken = replace(options, environment={**os.environ, "LANGUAGE": language, "LANG": f"{language}_XX.UTF-8"})
    looks: list[Path] = []

    def free_at_first(profile: Path) -> Holder | None:
        looks.append(profile)
        return None if len(looks) == 1 else read_holder(profile)

    with anyio.fail_after(60):
        async with cdp.launch(spoken) as first:
            # As if the other browser had taken the profile a moment after the first look.
            monkeypatch.setattr(launcher, "read_holder", free_at_first)
            async with cdp.launch(spoken) as second:
                assert (second.owned, second.pid) == (False, first.pid)
            assert len(looks) > 1


def own_mounts() -> list[str]:
    """A command that gives the one behind it a view of the folders of its own."""
    command = ["unshare", "-m"] if is_root() else ["unshare", "-rm"]
    if sys.platform != "linux" or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this system gives a process no view of the folders of its own")
    return command


async def test_a_policy_that_forbids_debugging_is_told_at_once(options: LaunchOptions, tmp_path: Path) -> None:
    """In a mount of its own, so that no other browser on this machine sees the policy."""
    (tmp_path / "policies" / "managed").mkdir(parents=True)
    (tmp_path / "policies" / "managed" / "forbid.json").write_text('{"RemoteDebuggingAllowed": false}')
    program = tmp_path / "chromium"
    places = [f"{folder}/policies" for folder in ("/etc/chromium", "/etc/opt/chrome", "/etc/opt/edge")]
    program.write_text(
        f"#!/bin/sh\nexec {' '.join(own_mounts())} sh -c '\n"
        + "".join(f"mkdir -p {place}; mount --bind {tmp_path}/policies {place}\n" for place in places)
        + f'exec "$0" "$@"\' {options.browser.path} "$@"\n'
    )
    program.chmod(0o755)
    browser = FoundBrowser(program, options.browser.kind, snap=False)
    with anyio.fail_after(25):  # well below the 30 s after which a browser counts as too slow
        with pytest.raises(DebuggingForbidden, match="RemoteDebuggingAllowed"):
            async with cdp.launch(replace(options, browser=browser)):
                pass
    assert read_holder(options.profile) is None


async def test_a_browser_is_given_none_of_our_keys(options: LaunchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-browsers")
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            assert browser.pid is not None
            assert "OPENAI_API_KEY" not in psutil.Process(browser.pid).environ()
            assert "PATH" in psutil.Process(browser.pid).environ()


async def test_a_window_that_cannot_be_driven_is_named_by_its_pid(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.open_plain(headed, "about:blank") as plain:
            for mode in ("visible", "headless"):
                with pytest.raises(ProfileInUse, match=f"process {plain.pid}"):
                    async with cdp.launch(replace(headed, mode=mode)):
                        pass


async def test_every_launch_error_says_what_to_do() -> None:
    words = ("Close", "Choose", "Start", "Install", "Run", "give", "delete")
    errors: list[LaunchError] = [
        NoDisplay(),
        NeedsNoSandbox(),
    ]
    for error in errors:
        assert any(word in str(error) for word in words)
