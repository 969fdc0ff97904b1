"""A browser to drive: attached to if the profile's browser runs and can be driven, else started on a leash.

The rule: a living holder of the profile that answers on its port is attached to; one without windows that answers
nobody for 20 s is ended; one that cannot be driven is an error that names it; else a browser is started. Two that
start at once: Chrome's own lock decides, the loser attaches.
"""

import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.cdp.connection import Connection, connect
from cdp_image_mcp.cdp.errors import BrowserFailed, BrowserGone, ProfileInUse
from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.browser import Browser
from cdp_image_mcp.cdp.launching.exits import HANDED_OVER, explain_exit, forbidden
from cdp_image_mcp.cdp.launching.holder import clear_dead, hold, note_program, reach, read_holder
from cdp_image_mcp.cdp.launching.options import LaunchOptions
from cdp_image_mcp.cdp.launching.process import BrowserProcess, hold_leash, is_held, spawn
from cdp_image_mcp.cdp.launching.profile import PORT_FILE, prepare_profile, read_endpoint
from cdp_image_mcp.cdp.protocol import BrowserVersion, ProcessList
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

# No event tells that the port file was written; reading it costs 20 microseconds.
POLL = 0.01


@asynccontextmanager
async def launch(options: LaunchOptions) -> AsyncGenerator[Browser, None]:
    """The browser of the profile for the length of the block: the running one (``owned`` False), else a new one.

    A new one ends with the block, with cancellation (both in order, shielded) and, by its leash, with this process;
    unless ``Browser.leave`` was called and another process holds its leash too.
    Raises the LaunchError tree.
    """
    if options.mode != "headless":
        options.check_display()
    await anyio.to_thread.run_sync(prepare_profile, options.profile, options.browser)
    endpoint, process = await _obtain(options)
    async with AsyncExitStack() as stack:
        if process is not None:
            stack.push_async_callback(put_down, process, options.profile, options.close_timeout)
        lines = process.lines if process is not None else tuple[str, ...]
        try:
            connection = await stack.enter_async_context(connect(endpoint, last_lines=lines))
            browser = await _browser(connection, options.profile, process, options.close_timeout)
        except BrowserGone as error:
            told = f"the browser ended before it could be driven: {error.message}"
            raise BrowserFailed(told, stderr=lines()) from error
        stack.push_async_callback(browser.quit if browser.owned else browser.leave)
        if options.debug_port and browser.owned:
            # With a fixed port Chrome writes no such file, and no other process of ours could attach.
            await anyio.to_thread.run_sync(_write_endpoint, options.profile, endpoint)
        yield browser


@asynccontextmanager
async def attach(profile: Path) -> AsyncGenerator[Browser, None]:
    """The browser that runs on the profile, ``owned`` False; one without windows that hangs is ended, as by ``launch``.
    Raises ProfileInUse, or BrowserFailed when none runs."""
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    endpoint = await reach(profile, holder) if holder else None
    if endpoint is None:
        raise BrowserFailed(f"no browser runs on the profile {profile}")
    async with connect(endpoint) as connection:
        yield await _browser(connection, profile, None, leashed=False)


async def _browser(
    connection: Connection,
    profile: Path,
    process: BrowserProcess | None,
    close_timeout: float = 10.0,
    *,
    leashed: bool = True,
) -> Browser:
    version = await connection.browser.call("Browser.getVersion", reply=BrowserVersion)
    processes = await connection.browser.call("SystemInfo.getProcessInfo", reply=ProcessList)
    pid = next((entry.id for entry in processes.process_info if entry.type == "browser"), None)
    if process is not None and pid is not None and not _is_ours(pid, process.pid):
        process = None  # another starter won: its port file was found, and our own process is on its way out
    leash = await anyio.to_thread.run_sync(hold_leash, profile, pid) if leashed and pid is not None else None
    return Browser(
        connection=connection,
        pid=pid,
        version=version,
        process=process,
        leash=leash,
        close_timeout=close_timeout,
    )


async def _obtain(options: LaunchOptions) -> tuple[str, BrowserProcess | None]:
    """An address to connect to, with the process if it was started here."""
    updated = False
    with anyio.move_on_after(options.start_timeout) as limit:
        while True:
            holder = await anyio.to_thread.run_sync(read_holder, options.profile)
            if holder is not None:
                endpoint = await reach(options.profile, holder)
                if endpoint is not None:
                    return endpoint, None
                # It has ended meanwhile, and what that took is not the time of the next.
                limit.deadline = anyio.current_time() + options.start_timeout
                continue
            arguments = switches.driven(options, platform=sys.platform)
            old = read_endpoint(options.profile)
            process = await start_on(options, arguments, leash=options.profile)
            try:
                endpoint = await _wait_for_port(process, options.profile, old)
                if endpoint is not None:
                    _check_port(endpoint, options)
                    await anyio.to_thread.run_sync(note_program, options.profile, options.browser.path)
                    return endpoint, process
                code = await process.wait()
                await process.wait_drained()
            except BaseException:
                await put_down(process, options.profile, 2.0)
                raise
            holder = await anyio.to_thread.run_sync(read_holder, options.profile)
            failure = explain_exit(code, process.lines(), options, holder)
            if isinstance(failure, ProfileInUse) and holder is not None and holder.here:
                continue
            # On Windows Chrome puts an update in its place when it starts, starts itself anew without our leash, which
            # ends that one, and ends as if all were well (upgrade_util_win.cc).
            if code != HANDED_OVER or updated:
                raise failure
            updated = True
    raise _too_slow(options)


async def put_down(process: BrowserProcess, profile: Path, patience: float) -> None:
    """End what may still run, unless others hold its leash, and leave nothing of it in the temporary folder. Shields
    itself."""
    process.drop_leash()
    with shielded():
        for seconds in (0.0, patience):  # who has come to it meanwhile holds it as well
            with anyio.move_on_after(seconds):
                await process.wait()
            if process.returncode is None and await anyio.to_thread.run_sync(is_held, profile, process.pid):
                return
        await process.end(0)
        await anyio.to_thread.run_sync(clear_dead, profile)


def _check_port(endpoint: str, options: LaunchOptions) -> None:
    # When 127.0.0.1:<port> is taken Chrome listens on [::1] alone, without an error.
    if options.debug_port and not endpoint.startswith(f"ws://127.0.0.1:{options.debug_port}/"):
        raise BrowserFailed(
            f"the debugging port {options.debug_port} is taken by another program. Choose another, or 0 for a free one"
        )


def _too_slow(options: LaunchOptions) -> BrowserFailed:
    why = "A very slow or overloaded machine"
    if sys.platform == "darwin":
        # Asked when another build than the one that made the profile wants the key to its cookies.
        why += ', or a dialog of macOS that waits for an answer ("Chrome Safe Storage")'
    return BrowserFailed(
        f"{options.browser.path} did not open its debugging port within {options.start_timeout:g} s. {why}"
    )


async def start_on(options: LaunchOptions, arguments: list[str], *, leash: Path | None = None) -> BrowserProcess:
    """A new browser on the profile. ``leash`` is the folder where its leash is named; without one it has none. Raises
    BrowserFailed when it cannot be executed."""
    await anyio.to_thread.run_sync(clear_dead, options.profile)
    held = await anyio.to_thread.run_sync(hold, options.profile)
    program = str(options.browser.path)
    try:
        return BrowserProcess(*spawn(program, arguments, options.variables, leash, held))
    except OSError as error:
        raise BrowserFailed(f"{program} cannot be executed: {error.strerror}") from error
    finally:
        if held is not None:
            os.close(held)


async def _wait_for_port(process: BrowserProcess, profile: Path, old: str | None) -> str | None:
    """The new browser's address, or None when the process ended first. ``old`` is what the port file said before it.

    An old port file is not deleted but recognised: at the same moment another process may be starting a browser here,
    and deleting would destroy the file that it waits for. Raises DebuggingForbidden: such a browser stays, and never
    opens a port.
    """
    while process.returncode is None:
        if process.endpoint is not None:
            return process.endpoint
        if (new := read_endpoint(profile)) not in (None, old):
            return new
        if (failure := forbidden(process.lines())) is not None:
            raise failure
        await anyio.sleep(POLL)
    return None


def _is_ours(pid: int, started: int) -> bool:
    """``pid`` is the process started, or its descendant (a wrapper that does not exec)."""
    if pid == started:
        return True
    try:
        return any(parent.pid == started for parent in psutil.Process(pid).parents())
    except (OSError, psutil.Error):  # a system may hide what psutil reads
        return False


def _write_endpoint(profile: Path, endpoint: str) -> None:
    port, path = endpoint.split(":", 2)[2].split("/", 1)
    try:
        (profile / PORT_FILE).write_text(f"{port}\n/{path}", encoding="ascii")
    except OSError as error:
        log.warning("where the browser listens could not be noted, so no other server can use it: %s", error)
