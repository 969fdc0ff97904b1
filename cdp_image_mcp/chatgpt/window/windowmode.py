"""Which kind of window the browser gets, and what is remembered of that beside the profile."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.cdp.errors import NoDisplay
from cdp_image_mcp.cdp.launching.options import Mode
from cdp_image_mcp.config import WindowMode
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.day import local_now
from cdp_image_mcp.system.disk import replace_file

log = logging.getLogger(__name__)

HIDDEN_FOR = timedelta(days=7)
"""After the site wanted a check from a headless browser, a hidden window is used this long."""


class Choice(msgspec.Struct, frozen=True):
    mode: Mode
    why: str


class Memory(msgspec.Struct):
    """``<profile folder>.window.json`` beside the profile."""

    hidden_until: str | None = None


# Codex hands on HOME, LANG, PATH and the like alone, Gemini CLI nothing with AUTH in its name (seen 2026-11-26).
KEPT_BACK = " (a client may keep DISPLAY, WAYLAND_DISPLAY and XAUTHORITY from this program: its settings can pass them)"
NO_DISPLAY = "there is no display to show a window on" + ("" if sys.platform in {"darwin", "win32"} else KEPT_BACK)
"""For sentences."""


def has_display(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> bool:
    """Whether a window can be shown to a person. macOS and Windows have a screen, but whoever came by ssh does not see
    it, and on Windows a service shows its windows to nobody (session 0, since Vista)."""
    environ = os.environ if environ is None else environ
    if platform in {"darwin", "win32"}:
        return not environ.get("SSH_CONNECTION") and _session() != 0
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _session() -> int | None:
    """Which of Windows' sessions this process lives in; None elsewhere. Not yet seen by us."""
    if sys.platform != "win32":
        return None
    import ctypes

    session = ctypes.c_uint32()
    told = ctypes.WinDLL("kernel32").ProcessIdToSessionId(os.getpid(), ctypes.byref(session))
    return session.value if told else None


class WindowMemory:
    """Chooses the mode for a browser that is signed in, and remembers that headless met a check."""

    def __init__(self, profile_dir: Path, wanted: WindowMode, now: Callable[[], datetime] = local_now) -> None:
        self._now = now
        self._until: str | None = None
        """What could perhaps not be written down."""
        self._path = profile_dir.parent / f"{profile_dir.name}.window.json"
        self.wanted: WindowMode = wanted
        self.asked: Literal["hidden", "visible"] | None = None
        """What ``browser_visibility`` asked for; counts for this process before everything but a missing display."""
        self._windowless = False
        """No window came where the site's check alone wanted one."""

    async def choose(self) -> Choice:
        if not has_display():
            return Choice("headless", "there is no display")
        if self.asked is not None:
            return Choice(self.asked, "browser_visibility asked for it")
        if self.wanted == "auto":
            until = None if self._windowless else await self._hidden_until()
            if until is not None and until > self._now():
                told = until.isoformat(timespec="seconds")
                return Choice("hidden", f"the site wanted a check from a headless browser; hidden until {told}")
            return Choice("headless", "auto: headless once signed in")
        return Choice(self.wanted, f"CHATGPT_WINDOW_MODE is {self.wanted}")

    def takes_back(self, error: ImageError) -> bool:
        """No window could be opened. Whether there is another way: what ``browser_visibility`` asked for counts no more
        then, nor, where the display is dead, what a check wants. Pictures are made as they were before."""
        dead = self.wanted == "auto" and isinstance(error.__cause__, NoDisplay)
        asked, self.asked = self.asked, None
        self._windowless = self._windowless or dead
        return asked is not None or dead

    async def met_check(self) -> None:
        """A headless browser was checked: windows from now on, for a week. Also where none came before: the display may
        be back."""
        self._windowless = False
        until = (self._now() + HIDDEN_FOR).isoformat(timespec="seconds")
        self._until = until
        try:
            await anyio.to_thread.run_sync(replace_file, self._path, msgspec.json.encode(Memory(hidden_until=until)))
        except OSError as error:
            log.warning("that a check was met could not be noted for the next server: %s", error)

    async def _hidden_until(self) -> datetime | None:
        try:
            until = (
                self._until or msgspec.json.decode(await anyio.Path(self._path).read_bytes(), type=Memory).hidden_until
            )
            # Without a zone, as somebody may have written it by hand, local time is meant.
            return None if until is None else datetime.fromisoformat(until).astimezone()
        except (OSError, msgspec.DecodeError, ValueError, OverflowError):
            # Not there or garbled: the worst that follows is one more check shown to the person.
            return None
