"""A browser to drive: attached to if the profile's browser runs and can be driven, else started on a leash.

The rule: a living holder of the profile that answers on its port is attached to; one without windows that answers
nobody for 20 s is ended; one that cannot be driven is an error that names it; else a browser is started. Two that
start at once: Chrome's own lock decides, the loser attaches.
"""

import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cdp_image_mcp.cdp.connection import Connection, connect
from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    BrowserGone,
    CDPError,
    CommandTimeout,
    LaunchError,
    NoDisplay,
    ProfileInUse,
)
from cdp_image_mcp.cdp.launching import switches
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.process import BrowserProcess, is_helper, start, wait_for_helpers
from cdp_image_mcp.cdp.launching.profile import (
    PORT_FILE,
    Holder,
    clear_dead,
    is_browser,
    prepare_profile,
    read_endpoint,
    read_holder,
    remove_remains,
    socket_folder,
)
from cdp_image_mcp.cdp.launching.switches import Mode
from cdp_image_mcp.cdp.protocol import BrowserVersion, ProcessList

log = logging.getLogger(__name__)

# No event tells that the port file was written; reading it costs 20 microseconds.
POLL = 0.01
# A browser that another process has just started needs this long at most until it can be attached to.
ATTACH_PATIENCE = 5.0
# A window for signing in whose server was killed is ended within this time.
LEAVING_PATIENCE = 3.0
# Of an orderly end that did not even begin: the browser did not answer Browser.close.
HUNG_PATIENCE = 2.0
# A killed process is gone at once, but for one that waits for a device.
KILL_PATIENCE = 5.0
# Of one without windows that holds the profile and answers nobody, after both.
HANGING_PATIENCE = 12.0
LOOK_AGAIN = 0.05


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How to start a browser.

    ``browser`` comes from discovery. ``mode``: hidden is headed; nothing is seen before a page is made, whose
    window ``Window.hide`` then puts away. ``extra_args`` come last and win; their --disable-features are merged with
    ours. ``environment`` replaces the process's. ``debug_port`` 0: a free one. Seconds: ``start_timeout`` until the
    port is open, ``close_timeout`` for the orderly end.
    """

    browser: FoundBrowser
    profile: Path
    mode: Mode = "headless"
    window_size: tuple[int, int] = (1280, 900)
    debug_port: int = 0
    extra_args: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    start_timeout: float = 30.0
    close_timeout: float = 10.0

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment the browser gets."""
        return os.environ if self.environment is None else self.environment

    def absolute(self) -> "LaunchOptions":
        """The same with an absolute profile: a relative one can hang Chrome."""
        return replace(self, profile=Path(os.path.abspath(self.profile)))  # noqa: PTH100 - resolve() asks the disk

    def check_display(self) -> None:
        """Raise NoDisplay when a window has nowhere to go."""
        if sys.platform.startswith("linux") and not any(arg.startswith("--headless") for arg in self.extra_args):
            if not self.variables.get("DISPLAY") and not self.variables.get("WAYLAND_DISPLAY"):
                raise NoDisplay


class Browser:
    """A browser that can be driven, until its block ends."""

    def __init__(
        self,
        connection: Connection,
        *,
        endpoint: str,
        pid: int | None,
        version: BrowserVersion,
        profile: Path,
        process: BrowserProcess | None,
        close_timeout: float,
    ) -> None:
        self.connection = connection
        self.endpoint = endpoint
        self.pid = pid
        self.version = version
        self.profile = profile
        self._process = process
        self._close_timeout = close_timeout
        self._ended = False

    @property
    def owned(self) -> bool:
        """Started by us, and ended by ``close``; False when it was attached to."""
        return self._process is not None

    @property
    def headless(self) -> bool:
        """Without any window: told by the browser itself, not by what was asked for."""
        return "Headless" in self.version.user_agent or "Headless" in self.version.product

    def lines(self) -> tuple[str, ...]:
        """The last lines the browser wrote, if it is ours."""
        return self._process.lines() if self._process else ()

    async def close(self) -> None:
        """End our own browser in order (cookies are kept), or disconnect from one attached to. Idempotent."""
        if self._process is None:
            await self.connection.close()
        else:
            await self.quit()

    async def answers(self, seconds: float) -> bool:
        """Whether the browser itself still answers within that time; one that hangs keeps its connection. Raises
        BrowserGone."""
        try:
            await self.connection.browser.call("Browser.getVersion", timeout=seconds)
        except CommandTimeout:
            return False
        return True

    async def kill(self) -> None:
        """End a browser that hangs, at once and whoever started it; returns when its connection has broken, after 5 s
        at the latest. What it had not written down is lost: the cookies of its last 30 s."""
        log.warning("the browser (process %s) does not answer and is ended by force", self.pid)
        if self._process is not None:
            self._process.kill_tree()
        elif self.pid is not None:
            await anyio.to_thread.run_sync(_kill_foreign, self.pid)
        with anyio.move_on_after(KILL_PATIENCE):
            await self.connection.wait_gone()

    async def quit(self) -> None:
        """End the browser in order, whoever started it: Browser.close, 10 s (2 s when that was not answered within 5),
        SIGTERM, 3 s, the whole group. Idempotent.

        Not to be cancelled half-way: it shields itself.
        """
        if self._ended:
            return
        self._ended = True
        patience = self._close_timeout
        with anyio.CancelScope(shield=True):
            self.connection.expect_end()
            try:
                await self.connection.browser.call("Browser.close", timeout=5)
            except CDPError as error:
                if isinstance(error, CommandTimeout):
                    patience = min(patience, HUNG_PATIENCE)
                if self._process is not None:
                    self._process.drop_leash()
            if self._process is not None:
                await self._process.end(patience)
            elif self.pid is not None:
                await anyio.to_thread.run_sync(_wait_foreign, self.pid, patience)
            await self.connection.close()


@asynccontextmanager
async def launch(options: LaunchOptions) -> AsyncGenerator[Browser, None]:
    """The browser of the profile for the length of the block: the running one (``owned`` False), else a new one.

    A new one ends with the block, with cancellation (both in order, shielded) and, by its leash, with this process.
    Raises the LaunchError tree.
    """
    options = options.absolute()
    if options.mode != "headless":
        options.check_display()
    await anyio.to_thread.run_sync(prepare_profile, options.profile, options.browser)
    endpoint, process = await _obtain(options)
    try:
        async with _driven(endpoint, process, options) as browser:
            yield browser
    finally:
        if process is not None:
            with anyio.CancelScope(shield=True):
                await _put_down(process, options.profile, options.close_timeout)


@asynccontextmanager
async def attach(profile: Path) -> AsyncGenerator[Browser, None]:
    """The browser that runs on the profile, ``owned`` False. Raises ProfileInUse, or BrowserFailed when none runs."""
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    endpoint = await _endpoint_of(profile, holder) if holder else None
    if endpoint is None:
        raise BrowserFailed(f"no browser runs on the profile {profile}")
    async with connect(endpoint) as connection:
        yield await _browser(connection, endpoint, profile, None, 10.0)


@asynccontextmanager
async def _driven(
    endpoint: str, process: BrowserProcess | None, options: LaunchOptions
) -> AsyncGenerator[Browser, None]:
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(
                connect(endpoint, last_lines=process.lines if process else tuple)
            )
            browser = await _browser(connection, endpoint, options.profile, process, options.close_timeout)
        except BrowserGone as error:
            lines = process.lines() if process else ()
            raise BrowserFailed(
                f"the browser ended before it could be driven: {error.message}", stderr=lines
            ) from error
        if options.debug_port and browser.owned:
            # With a fixed port Chrome writes no such file, and no other process of ours could attach.
            await anyio.to_thread.run_sync(_write_endpoint, options.profile, endpoint)
        try:
            yield browser
        finally:
            with anyio.CancelScope(shield=True):
                await browser.close()


async def _browser(
    connection: Connection, endpoint: str, profile: Path, process: BrowserProcess | None, close_timeout: float
) -> Browser:
    version = await connection.browser.call("Browser.getVersion", reply=BrowserVersion)
    processes = await connection.browser.call("SystemInfo.getProcessInfo", reply=ProcessList)
    pid = next((entry.id for entry in processes.process_info if entry.type == "browser"), None)
    if process is not None and pid is not None and not _is_ours(pid, process.pid):
        process = None  # another starter won: its port file was found, and our own process is on its way out
    return Browser(
        connection,
        endpoint=endpoint,
        pid=pid,
        version=version,
        profile=profile,
        process=process,
        close_timeout=close_timeout,
    )


async def _obtain(options: LaunchOptions) -> tuple[str, BrowserProcess | None]:
    """An address to connect to, with the process if it was started here."""
    with anyio.move_on_after(options.start_timeout) as scope:
        while True:
            holder = await anyio.to_thread.run_sync(read_holder, options.profile)
            if holder is not None:
                endpoint = await _endpoint_of(options.profile, holder)
                if endpoint is not None:
                    return endpoint, None
                continue  # it has ended meanwhile
            await anyio.to_thread.run_sync(clear_dead, options.profile)
            process = _start(options)
            try:
                endpoint = await _wait_for_port(process, options.profile)
                if endpoint is not None:
                    _check_port(endpoint, options)
                    return endpoint, process
                failure = await _failure(process, options)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await _put_down(process, options.profile, 2.0)
                raise
            if not isinstance(failure, ProfileInUse) or not await _holder_here(options.profile):
                raise failure
    raise _too_slow(options, scope)


async def _put_down(process: BrowserProcess, profile: Path, patience: float) -> None:
    """End what may still run, and leave nothing of it in the temporary folder."""
    folder = await anyio.to_thread.run_sync(socket_folder, profile, process.pid)
    process.drop_leash()
    await process.end(patience)
    await anyio.to_thread.run_sync(remove_remains, folder)


def _check_port(endpoint: str, options: LaunchOptions) -> None:
    # When 127.0.0.1:<port> is taken Chrome listens on [::1] alone, without an error.
    if options.debug_port and not endpoint.startswith(f"ws://127.0.0.1:{options.debug_port}/"):
        raise BrowserFailed(
            f"the debugging port {options.debug_port} is taken by another program. Choose another, or 0 for a free one"
        )


def _too_slow(options: LaunchOptions, scope: anyio.CancelScope) -> BrowserFailed:
    if not scope.cancelled_caught:
        raise RuntimeError("left the loop without a browser")
    return BrowserFailed(
        f"{options.browser.path} did not open its debugging port within {options.start_timeout:g} s. "
        "A very slow or overloaded machine, or a browser whose policy forbids debugging"
    )


def _start(options: LaunchOptions) -> BrowserProcess:
    arguments = switches.driven(
        options.profile,
        options.mode,
        platform=sys.platform,
        window_size=options.window_size,
        debug_port=options.debug_port,
        extra=options.extra_args,
    )
    return start(str(options.browser.path), arguments, options.variables)


async def _wait_for_port(process: BrowserProcess, profile: Path) -> str | None:
    """The new browser's address, or None when the process ended first.

    An old port file is not deleted but recognised: at the same moment another process may be starting a browser here,
    and deleting would destroy the file that it waits for.
    """
    old = _port_file(profile)
    while process.returncode is None:
        if process.endpoint is not None:
            return process.endpoint
        new = _port_file(profile)
        if new != old and (endpoint := read_endpoint(profile)) is not None:
            return endpoint
        await anyio.sleep(POLL)
    return None


async def _failure(process: BrowserProcess, options: LaunchOptions) -> LaunchError:
    code = await process.wait()
    await process.wait_drained()
    return explain_exit(code, process.lines(), options.profile, str(options.browser.path))


async def _holder_here(profile: Path) -> bool:
    holder = await anyio.to_thread.run_sync(read_holder, profile)
    return holder is not None and holder.here


async def _endpoint_of(profile: Path, holder: Holder) -> str | None:
    """The address of the running browser, or None when it ended meanwhile or was ended. Raises ProfileInUse."""
    if not holder.here:
        raise ProfileInUse(
            profile,
            pid=holder.pid,
            host=holder.host,
            reason=f"by a browser (process {holder.pid}) on the computer {holder.host}. Close it there; "
            f"if that computer is gone, delete {profile / 'SingletonLock'}",
        )
    with anyio.move_on_after(ATTACH_PATIENCE):
        while await _still_held(profile, holder):
            endpoint = read_endpoint(profile)
            if endpoint is not None and await _answers(endpoint):
                return endpoint
            if not await anyio.to_thread.run_sync(_has_port, holder):
                break
            await anyio.sleep(LOOK_AGAIN)
        else:
            return None
    with anyio.move_on_after(LEAVING_PATIENCE):
        while await _still_held(profile, holder):  # noqa: ASYNC110 - another process's end sends us no event
            await anyio.sleep(LOOK_AGAIN)
        return None
    if holder.pid is not None and await anyio.to_thread.run_sync(_is_windowless, holder.pid):
        with anyio.move_on_after(HANGING_PATIENCE):
            while await _still_held(profile, holder):
                endpoint = read_endpoint(profile)
                if endpoint is not None and await _answers(endpoint):
                    return endpoint
                await anyio.sleep(LOOK_AGAIN)
        log.warning("the browser (process %s) answers nobody and is ended by force", holder.pid)
        await anyio.to_thread.run_sync(_kill_foreign, holder.pid)
        if not await _still_held(profile, holder):
            return None
    raise ProfileInUse(
        profile,
        pid=holder.pid,
        host=holder.host,
        reason=f"by a browser that cannot be driven (process {holder.pid or 'unknown'}). Close that window",
    )


async def _still_held(profile: Path, holder: Holder) -> bool:
    return await anyio.to_thread.run_sync(read_holder, profile) == holder


async def _answers(endpoint: str) -> bool:
    try:
        async with connect(endpoint, timeout=2.0) as connection:
            await connection.browser.call("Browser.getVersion", timeout=2.0)
    except BrowserGone:
        return False
    except CDPError:
        return False
    return True


def _has_port(holder: Holder) -> bool:
    """The browser was started with a debugging port, so that one can be waited for."""
    if holder.pid is None:
        return True
    try:
        arguments = psutil.Process(holder.pid).cmdline()
    except psutil.Error:
        return True
    return _names(arguments, "--remote-debugging-port")


def _is_windowless(pid: int) -> bool:
    """Another process of ours started it, and no person can have anything in it."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return _names(arguments, "--headless") and _names(arguments, "--remote-debugging-port")


def _names(arguments: list[str], switch: str) -> bool:
    return any(argument.partition("=")[0] == switch for argument in arguments)


def _is_ours(pid: int, started: int) -> bool:
    """``pid`` is the process started, or its descendant (a wrapper that does not exec)."""
    if pid == started:
        return True
    try:
        return any(parent.pid == started for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


def _wait_foreign(pid: int, patience: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(patience)
    wait_for_helpers(pid)


def _kill_foreign(pid: int) -> None:
    """A browser of another process of ours, with its helpers."""
    if not is_browser(pid):
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                if member.pid == pid or is_helper(member.pid):
                    member.kill()
    _wait_foreign(pid, KILL_PATIENCE)


def _port_file(profile: Path) -> bytes | None:
    try:
        return (profile / PORT_FILE).read_bytes()
    except OSError:
        return None


def _write_endpoint(profile: Path, endpoint: str) -> None:
    port, path = endpoint.split(":", 2)[2].split("/", 1)
    (profile / PORT_FILE).write_text(f"{port}\n/{path}", encoding="ascii")
