"""Which kind of window the browser gets, and what is remembered of that beside the profile."""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.config import WindowMode
from cdp_image_mcp.system.disk import replace_file

__all__ = ["Choice", "WindowMemory", "has_display"]

HIDDEN_FOR = timedelta(days=7)
"""After the site wanted a check from a headless browser, a hidden window is used this long."""


class Choice(msgspec.Struct, frozen=True):
    mode: Literal["headless", "hidden", "visible"]
    why: str


class Memory(msgspec.Struct):
    """``<profile folder>.window.json`` beside the profile."""

    hidden_until: str | None = None


def has_display(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> bool:
    """Whether a window can be shown to a person. macOS and Windows are taken to have a screen."""
    if platform in {"darwin", "win32"}:
        return True
    environ = os.environ if environ is None else environ
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def local_now() -> datetime:
    return datetime.now().astimezone()


class WindowMemory:
    """Chooses the mode for a browser that is signed in, and remembers that headless met a check."""

    def __init__(self, profile_dir: Path, wanted: WindowMode, now: Callable[[], datetime] = local_now) -> None:
        self._now = now
        self._path = profile_dir.parent / f"{profile_dir.name}.window.json"
        self.wanted: WindowMode = wanted
        self.asked: Literal["hidden", "visible"] | None = None
        """What ``browser_visibility`` asked for; counts for this process before everything but a missing display."""

    async def choose(self) -> Choice:
        if not has_display():
            return Choice("headless", "there is no display")
        if self.asked is not None:
            return Choice(self.asked, "browser_visibility asked for it")
        if self.wanted == "auto":
            until = await self._hidden_until()
            if until is not None and until > self._now():
                told = until.isoformat(timespec="seconds")
                return Choice("hidden", f"the site wanted a check from a headless browser; hidden until {told}")
            return Choice("headless", "auto: headless once signed in")
        return Choice(self.wanted, f"CHATGPT_WINDOW_MODE is {self.wanted}")

    async def met_check(self) -> None:
        """A headless browser was checked: windows from now on, for a week."""
        until = (self._now() + HIDDEN_FOR).isoformat(timespec="seconds")
        await anyio.to_thread.run_sync(replace_file, self._path, msgspec.json.encode(Memory(hidden_until=until)))

    async def _hidden_until(self) -> datetime | None:
        try:
            memory = msgspec.json.decode(await anyio.Path(self._path).read_bytes(), type=Memory)
            # Without a zone, as somebody may have written it by hand, local time is meant.
            return None if memory.hidden_until is None else datetime.fromisoformat(memory.hidden_until).astimezone()
        except (OSError, msgspec.DecodeError, ValueError, OverflowError):
            # Not there or garbled: the worst that follows is one more check shown to the person.
            return None
