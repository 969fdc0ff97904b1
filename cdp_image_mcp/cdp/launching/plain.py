"""An ordinary browser window for a person, without any debugging switch: account providers refuse driven browsers."""

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.cdp.errors import BrowserFailed, ProfileInUse
from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.holder import clear_dead, hold, pid_of, read_holder
from cdp_image_mcp.cdp.launching.launcher import POLL
from cdp_image_mcp.cdp.launching.options import LaunchOptions
from cdp_image_mcp.cdp.launching.process import BrowserProcess, start
from cdp_image_mcp.cdp.launching.profile import prepare_profile
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

TERMINATING = 5.0


class PlainWindow:
    """An ordinary browser window without any debugging switch, for a person to sign in. Made by ``open_plain``."""

    def __init__(self, process: BrowserProcess, profile: Path) -> None:
        self._process = process
        self._profile = profile

    @property
    def pid(self) -> int:
        """The browser's process."""
        return self._process.pid

    async def wait_closed(self) -> int:
        """Wait until the person has closed (on macOS: quit) the browser; its exit code. Safe to cancel."""
        return await self._process.wait()

    async def close(self) -> None:
        """End it, politely first. On Linux cookies of the last 30 s may be lost: SIGTERM is all that an undriven Chrome
        understands. Idempotent; shields itself from cancellation."""
        with shielded():
            self._process.ask_to_end()
            await self._process.end(TERMINATING)
            await anyio.to_thread.run_sync(clear_dead, self._profile)


@asynccontextmanager
async def open_plain(options: LaunchOptions, url: str) -> AsyncGenerator[PlainWindow, None]:
    """An ordinary window on the profile at ``url``; ended with the block if the person has not closed it before.

    ``mode``, ``debug_port`` and ``window_size`` are ignored, and debugging switches among ``extra_args`` left out.
    The window also ends when this process dies. Raises the LaunchError tree; ProfileInUse too when
    a driven browser runs on the profile, since the start would only be handed over to it.
    """
    options = options.absolute()
    profile = options.profile
    options.check_display()
    await anyio.to_thread.run_sync(prepare_profile, profile, options.browser)
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    if holder is not None:
        pid = await anyio.to_thread.run_sync(pid_of, holder, profile)
        raise ProfileInUse(profile, pid=pid, host=holder.host, reason=f"by a browser (process {pid}). Close it first")
    await anyio.to_thread.run_sync(clear_dead, profile)
    arguments = switches.plain(profile, url, platform=sys.platform, extra=options.extra_args)
    held = await anyio.to_thread.run_sync(hold, profile, options.browser.path)
    process = start(str(options.browser.path), arguments, options.variables, held=held)
    window = PlainWindow(process, profile)
    try:
        _guard(process, profile)
        await _wait_for_hold(process, options)
        yield window
    finally:
        await window.close()


async def _wait_for_hold(process: BrowserProcess, options: LaunchOptions) -> None:
    """The window is up when the profile is its own; a start that is handed over ends without ever holding it."""
    with anyio.move_on_after(options.start_timeout):
        while process.returncode is None:
            if await anyio.to_thread.run_sync(read_holder, options.profile) is not None:
                return
            await anyio.sleep(POLL)
        await process.wait_drained()
        holder = await anyio.to_thread.run_sync(read_holder, options.profile)
        raise explain_exit(process.returncode, process.lines(), options, holder)
    raise BrowserFailed(
        f"{options.browser.path} did not take its profile within {options.start_timeout:g} s", stderr=process.lines()
    )


def _guard(process: BrowserProcess, profile: Path) -> None:
    """A leash without a switch: the window ends when this process does, however suddenly."""
    if sys.platform == "win32":
        from cdp_image_mcp.cdp.launching.process_windows import let_go, own

        try:
            job = own(process.pid)
        except OSError as error:
            log.warning("the window would stay if this program were killed: %s", error)
        else:
            process.on_exit(lambda: let_go(job))
        return
    from cdp_image_mcp.cdp.launching.process_posix import end_guard, guard

    number, end = guard(process.pid, profile)
    process.on_exit(lambda: end_guard(number, end))
