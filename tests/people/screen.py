"""A screen of our own with a window manager, and the person in front of it."""

import os
import subprocess
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from tests.stopped import stopped

__all__ = ["Screen", "insist", "open_screen", "until"]

LOOK_AGAIN = 0.05
"""Neither X nor processes tell a test when they are done."""


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds; TimeoutError says that it never did."""
    with anyio.fail_after(seconds):
        while not await anyio.to_thread.run_sync(condition):  # noqa: ASYNC110 - see LOOK_AGAIN
            await anyio.sleep(LOOK_AGAIN)


async def insist(
    act: Callable[[], Awaitable[None]], seen: Callable[[], Awaitable[object]], patience: float = 25.0
) -> None:
    """Act as a person does until it was ``seen``: a busy window takes no notice of a key or of half an address."""
    with anyio.fail_after(120):
        while True:
            await act()
            with anyio.move_on_after(patience):
                await seen()
                return


@dataclass(frozen=True)
class Screen:
    """``name`` is what DISPLAY is set to, ``manager`` the window manager's process if there is one."""

    name: str
    manager: int | None = None

    @property
    def variables(self) -> dict[str, str]:
        return {"DISPLAY": self.name}

    def run(self, *words: str) -> str:
        """xdotool's answer; empty when there is no such window."""
        return self._asked(*words).stdout.strip()

    def windows(self) -> list[str]:
        """Browser windows that are mapped, off the screen or on it; minimised ones are not."""
        while True:
            done = self._asked("search", "--onlyvisible", "--class", "chromium")
            # A search that meets a window which goes away ends without an answer; that is not "none".
            if "X Error" not in done.stderr:
                return done.stdout.split()

    def titles(self) -> list[str]:
        return [self.run("getwindowname", window) for window in self.windows()]

    def place(self, window: str) -> tuple[int, int]:
        fields = dict(line.split("=") for line in self.run("getwindowgeometry", "--shell", window).splitlines())
        return int(fields["X"]), int(fields["Y"])

    def active(self) -> str:
        """The window with the focus."""
        return self.run("getactivewindow")

    def picture(self, path: Path) -> Path:
        """What a person sees at this moment."""
        subprocess.run(["import", "-window", "root", str(path)], env=self._environment(), check=True, timeout=30)
        return path

    def behind(self) -> AbstractContextManager[None]:
        """The desktop does nothing of what programs ask until the block ends, and then all of it in order."""
        return stopped(self.manager)

    # --- the person --------------------------------------------------------------------------------------------

    async def window(self, title: str = "") -> str:
        """The browser window with ``title`` in its title, once it is there."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [each for each in self.windows() if title in self.run("getwindowname", each)]
            return bool(found)

        await until(look)
        return found[0]

    async def focus(self, window: str) -> None:
        def active() -> bool:
            self.run("windowactivate", window)
            return self.active() == window

        await until(active)

    async def press(self, window: str, *keys: str) -> None:
        await self.focus(window)
        for key in keys:
            await anyio.to_thread.run_sync(lambda key=key: self.run("key", "--clearmodifiers", key))

    async def go(self, window: str, address: str) -> None:
        """Type an address into the window's address bar."""
        await self.press(window, "ctrl+l")
        await anyio.to_thread.run_sync(lambda: self.run("type", "--delay", "1", address + "\n"))

    async def click(self, window: str, across: int = 1100, down: int = 600) -> None:
        """Click into the window; without a place, into the empty part of a page."""
        await self.focus(window)
        await anyio.to_thread.run_sync(
            lambda: self.run("mousemove", "--window", window, str(across), str(down), "click", "1")
        )

    async def press_button(self, window: str, pressed: Callable[[], bool], *keys: str) -> None:
        """Click into the page, go to its button by ``keys`` and press it; looking and doing it again while a slow page
        was not ready for it yet."""

        async def press() -> None:
            await self.click(window)
            await self.press(window, *keys)

        await insist(press, lambda: until(pressed), 5.0)

    async def close(self, window: str) -> None:
        """The window's close button."""

        async def press() -> None:
            if window in self.windows():
                await self.press(window, "alt+F4")

        await insist(press, lambda: until(lambda: window not in self.windows()))

    def _asked(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["xdotool", *words], env=self._environment(), capture_output=True, text=True, timeout=20, check=False
        )

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, **self.variables}


@contextmanager
def open_screen(manager: bool = True) -> Generator[Screen]:
    """Xvfb, and openbox unless there is to be no window ``manager``, for the length of the block."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    processes = [server]
    try:
        with os.fdopen(reader) as stream:
            number = stream.readline().strip()
        assert number, "Xvfb did not start"
        screen = Screen(f":{number}")
        if manager:
            openbox = subprocess.Popen(
                ["openbox", "--startup", "/bin/echo ready"],
                env={**os.environ, **screen.variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            processes.insert(0, openbox)
            assert openbox.stdout is not None
            assert openbox.stdout.readline(), "openbox did not start"
            screen = replace(screen, manager=openbox.pid)
        yield screen
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
