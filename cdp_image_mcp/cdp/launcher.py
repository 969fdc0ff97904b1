"""A browser to drive: attached to if the profile's browser runs and can be driven, else started on a leash."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .connection import Connection
from .discovery import FoundBrowser
from .protocol import BrowserVersion

Mode = Literal["headless", "hidden", "visible"]


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How to start a browser.

    ``browser`` comes from discovery. ``mode``: hidden is a headed browser without a window until a page makes one (minimised or
    off screen, see ``window``). ``extra_args`` come last and win; their --disable-features are merged with ours. ``environment``
    replaces the process's. Seconds: ``start_timeout`` until the port is open, ``close_timeout`` for the orderly end.
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


class Browser:
    """A browser that can be driven, until its block ends."""

    connection: Connection
    pid: int | None
    version: BrowserVersion
    owned: bool
    profile: Path

    @property
    def headless(self) -> bool:
        """Without any window (told by the browser itself, not by what was asked for)."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        """The websocket address."""
        raise NotImplementedError

    async def close(self) -> None:
        """End our own browser in order (cookies are kept); only disconnect from one that was attached to. Idempotent."""
        raise NotImplementedError

    async def quit(self) -> None:
        """End the browser in order, whoever started it. Idempotent."""
        raise NotImplementedError


@asynccontextmanager
async def launch(options: LaunchOptions) -> AsyncGenerator[Browser, None]:
    """The browser of the profile for the length of the block: the running one (``owned`` False), else a new one.

    A new one ends with the block, with cancellation (both in order, shielded) and, by its leash, with this process.
    Raises the LaunchError tree.
    """
    raise NotImplementedError
    yield


@asynccontextmanager
async def attach(profile: Path) -> AsyncGenerator[Browser, None]:
    """The browser running on the profile, ``owned`` False. Raises ProfileInUse or BrowserFailed when there is none to drive."""
    raise NotImplementedError
    yield


class PlainWindow:
    """An ordinary browser window without any debugging switch, for a person to sign in."""

    pid: int

    async def wait_closed(self) -> int:
        """Wait until the person has closed (on macOS: quit) the browser; its exit code."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """The browser has ended."""
        raise NotImplementedError

    async def close(self) -> None:
        """End it. On Linux cookies of the last 30 s may be lost (SIGTERM is all an undriven Chrome understands)."""
        raise NotImplementedError


@asynccontextmanager
async def open_plain(options: LaunchOptions, url: str) -> AsyncGenerator[PlainWindow, None]:
    """An ordinary window on the profile at ``url``; closed with the block if the person has not done so. ``mode`` is ignored."""
    raise NotImplementedError
    yield
