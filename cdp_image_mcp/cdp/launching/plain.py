"""An ordinary browser window for a person, without any debugging switch: account providers refuse driven browsers."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from cdp_image_mcp.cdp.errors import BrowserFailed, ProfileInUse
from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.holder import clear_dead, hold, pid_of, read_holder
from cdp_image_mcp.cdp.launching.launcher import POLL
from cdp_image_mcp.cdp.launching.options import LaunchOptions
from cdp_image_mcp.cdp.launching.process import BrowserProcess, guard, start
from cdp_image_mcp.cdp.launching.profile import prepare_profile
from cdp_image_mcp.system.tasks import shielded

TERMINATING = 5.0


@asynccontextmanager
async def open_plain(options: LaunchOptions, url: str) -> AsyncGenerator[BrowserProcess, None]:
    """An ordinary window on the profile at ``url``, until the person closes it (on macOS: quits the browser), which
    ``wait`` of what is given waits for, or the block ends, or this process dies.

    ``mode`` and ``debug_port`` are ignored, and debugging switches among ``extra_args`` left out. On Linux cookies of
    the last 30 s may be lost at the end of the block: SIGTERM is all that an undriven Chrome understands. Raises the
    LaunchError tree; ProfileInUse too when a driven browser runs on the profile, since the start would only be handed
    over to it.
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
    arguments = switches.plain(options, url, platform=sys.platform)
    held = await anyio.to_thread.run_sync(hold, profile, options.browser.path)
    process = start(str(options.browser.path), arguments, options.variables, held=held)
    try:
        process.on_exit(guard(process.pid, profile))
        await _wait_for_hold(process, options)
        yield process
    finally:
        with shielded():
            process.ask_to_end()
            await process.end(TERMINATING)
            await anyio.to_thread.run_sync(clear_dead, profile)


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
