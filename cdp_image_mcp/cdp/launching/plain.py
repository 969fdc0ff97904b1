"""An ordinary window for a person, without any debugging switch: account providers refuse driven browsers.

A person may have the browser updated in it ("Relaunch to update"): the first process ends as if the window had been
closed, and another takes the profile, with the window (chrome://restart does the same; Chromium 156 on Linux, 2026-11;
on Windows and macOS read in the sources, where a helper of its own starts it on macOS).
"""

import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.cdp.errors import BrowserFailed, ProfileInUse
from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.holder import note_program, pid_of, read_holder, undriven_on
from cdp_image_mcp.cdp.launching.launcher import POLL, put_down, start_on
from cdp_image_mcp.cdp.launching.options import LaunchOptions
from cdp_image_mcp.cdp.launching.process import (
    BrowserProcess,
    ask_to_end,
    guard,
    is_browser,
    kill_foreign,
    wait_for_helpers,
)
from cdp_image_mcp.cdp.launching.profile import prepare_profile
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

# Seconds for a person's window to end in order.
TERMINATING = 5.0
# The end of a process that is no child of ours sends no event.
LOOK_AGAIN = 0.25


class PlainWindow:
    """The window, in whatever process it goes on."""

    def __init__(self, process: BrowserProcess, profile: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._profile = profile
        self._guards = ExitStack()

    def guard(self, pid: int) -> None:
        """The process does not outlive us. One that cannot be guarded is a person's all the same: it ends with the
        block, and only where this program is killed it stays."""
        try:
            self._guards.callback(guard(pid, self._profile))
        except OSError as error:
            log.warning("the window would stay if this program were killed: %s", error)

    @property
    def crashed(self) -> bool:
        """Whether it ended by nobody's wish."""
        return self._process.crashed

    async def wait(self) -> int:
        """Until the window is closed, that of a process which has taken its place too; the first one's exit code."""
        code = await self._process.wait()
        while (heir := await self._heir()) is not None:
            self.guard(_group_of(heir))
            while await anyio.to_thread.run_sync(is_browser, heir):  # noqa: ASYNC110
                await anyio.sleep(LOOK_AGAIN)
        return code

    async def end(self) -> None:
        """End it in order, else by force. Shields itself."""
        with shielded():
            if (heir := await self._heir()) is not None:
                await anyio.to_thread.run_sync(_end_heir, heir)
            self._process.ask_to_end()
            await put_down(self._process, self._profile, TERMINATING)
            self._guards.close()

    async def _heir(self) -> int | None:
        """The process that has taken its place: the first one ends as if all were well then."""
        if self._process.returncode != 0:
            return None
        return await anyio.to_thread.run_sync(undriven_on, self._profile)


@asynccontextmanager
async def open_plain(options: LaunchOptions, url: str) -> AsyncGenerator[PlainWindow, None]:
    """An ordinary window on the profile at ``url``, until the person closes it (on macOS: quits the browser), which
    ``wait`` of what is given waits for, or the block ends, or this process dies.

    ``mode`` and ``debug_port`` are ignored, and debugging switches among ``extra_args`` left out. On Linux cookies of
    the last 30 s may be lost at the end of the block: SIGTERM is all that an undriven Chrome understands. Raises the
    LaunchError tree; ProfileInUse too when a driven browser runs on the profile, since the start would only be handed
    over to it.
    """
    profile = options.profile
    options.check_display()
    await anyio.to_thread.run_sync(prepare_profile, profile, options.browser)
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    if holder is not None:
        pid = await anyio.to_thread.run_sync(pid_of, holder, profile)
        raise ProfileInUse(profile, f"by a browser (process {pid}). Close it first")
    process = await start_on(options, switches.plain(options, url, platform=sys.platform))
    window = PlainWindow(process, profile)
    try:
        window.guard(process.pid)
        await _wait_for_hold(process, options)
        await anyio.to_thread.run_sync(note_program, profile, options.browser.path)
        yield window
    finally:
        await window.end()


def _group_of(pid: int) -> int:
    """What a guard ends it by."""
    if sys.platform != "win32":
        with suppress(OSError):
            return os.getpgid(pid)
    return pid


def _end_heir(pid: int) -> None:
    group = _group_of(pid)
    try:
        ask_to_end(pid)
        psutil.Process(pid).wait(TERMINATING)
    except psutil.TimeoutExpired:
        kill_foreign(pid)
    except psutil.Error:
        pass  # it has ended meanwhile
    wait_for_helpers(group)


async def _wait_for_hold(process: BrowserProcess, options: LaunchOptions) -> None:
    """The window is up when the profile is its own and it shows a page: it takes the profile before it looks for its
    display. A start that is handed over ends without ever holding it; a person may close the window before its page."""
    taken = False
    with anyio.move_on_after(options.start_timeout):
        while process.returncode is None:
            now = await anyio.to_thread.run_sync(read_holder, options.profile)
            if now is not None and await anyio.to_thread.run_sync(_shows_a_page, process.pid):
                return
            taken = taken or now is not None  # a browser lets its profile go before it ends
            await anyio.sleep(POLL)
    if process.returncode is not None:
        await process.wait_drained()
        holder = await anyio.to_thread.run_sync(read_holder, options.profile)
        if process.returncode == 0 and taken and holder is None:
            return
        raise explain_exit(process.returncode, process.lines(), options, holder)
    if not taken:
        raise BrowserFailed(
            f"{options.browser.path} did not take its profile within {options.start_timeout:g} s",
            stderr=process.lines(),
        )


def _shows_a_page(pid: int) -> bool:
    """Asked only where a display may be named that is not there."""
    if not sys.platform.startswith("linux"):
        return True
    words: list[str] = []
    with suppress(OSError, psutil.Error):  # of what a system hides, psutil raises either
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):  # one that has just ended
                words += child.cmdline()
    return any("--type=renderer" in word for word in words)
