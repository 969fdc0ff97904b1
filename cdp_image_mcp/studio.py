"""The heart: accepts requests, runs each as a job of this process, waits, joins, cancels and recovers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.record import Record
from cdp_image_mcp.request import Backend, BackendName
from cdp_image_mcp.schema import GenerateImage

__all__ = ["News", "Standing", "Studio", "open_studio"]


class News(msgspec.Struct, frozen=True):
    """A true sentence about a running generation, at most every 5 s."""

    message: str
    """For people: "queued 2nd", "sign in in the open window", "drawing 41 s of typically 62 s"."""
    elapsed: float
    """Seconds since the generation was accepted; only ever grows."""
    expected: float | None
    """Seconds it typically takes in all, from this installation's own history; None without one."""


class Standing(msgspec.Struct, frozen=True):
    """Where a generation stands when a call's wait is over."""

    record: Record
    folder: str
    """Absolute path of its folder."""
    joined: bool = False
    news: News | None = None
    """The newest news, for a generation that is still running."""
    position: int | None = None
    """Place in the queue, 1 is next; None when it is not queued."""


Listener = Callable[[News], Awaitable[None]]


class Studio:
    """One per process, opened with :func:`open_studio`. All waiting calls may be cancelled: the job goes on."""

    settings: Settings

    async def generate(self, arguments: GenerateImage, listener: Listener | None = None) -> Standing:
        """Accept a request and wait at most ``wait_seconds`` (argument or setting). Raises ImageError for what is
        refused before anything is sent; a generation that failed comes back with its record's ``error``."""
        raise NotImplementedError

    async def wait(
        self, generation_id: str | None, seconds: float | None = None, listener: Listener | None = None
    ) -> Standing:
        """Wait for a generation of this or another process or of an earlier run; None: the newest unfinished one,
        else the newest. Raises ImageError ``not_found``."""
        raise NotImplementedError

    async def cancel(self, generation_id: str) -> Standing:
        """Stop it and keep what is there. Idempotent. Raises ImageError ``not_found``."""
        raise NotImplementedError

    async def collect(self) -> list[Standing]:
        """Fetch what the site finished for every unfinished generation of earlier runs."""
        raise NotImplementedError

    async def status(self, backend: Literal["api", "chatgpt-web", "auto"] | None = None) -> dict[str, Any]:
        """The answer of ``backend_status``: seed's keys and ours. Starts, shows and hides nothing."""
        raise NotImplementedError

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool = False
    ) -> dict[str, Any]:
        """The answer of ``browser_visibility``, within 45 s."""
        raise NotImplementedError


@asynccontextmanager
async def open_studio(
    settings: Settings, backends: Mapping[BackendName, Backend] | None = None
) -> AsyncIterator[Studio]:
    """A studio whose jobs live as long as this context. Opens nothing but memory; ``backends`` replaces the real
    ones in tests. Leaving stops jobs in order and records them as ``interrupted``."""
    raise NotImplementedError
    yield Studio()
