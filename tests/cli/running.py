"""Commands as processes: run to their end, or with a person at a pseudo-terminal."""

import os
import pty
import select
import subprocess
import sys
from contextlib import suppress
from typing import Any

LIMIT = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cdp_image_mcp", *arguments]


def ran(environment: dict[str, str], *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, timeout=LIMIT, encoding="utf-8", **options
    )


TAKES_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Typist:
    """A person at a pseudo-terminal."""

    ours: int
    """Their end of it."""
    process: subprocess.Popen[bytes]
    seen: bytes

    def __init__(self, environment: dict[str, str], *arguments: str, program: list[str] | None = None) -> None:
        """``program``: another one than the command, such as a shell."""
        assert sys.platform != "win32", "there are no pseudo-terminals there"
        self.ours, theirs = pty.openpty()
        # Its own session, with the terminal as what Ctrl-C is typed at.
        taking = [sys.executable, "-c", TAKES_THE_TERMINAL, *(program or command(*arguments))]
        self.process = subprocess.Popen(
            taking, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.seen = b""

    def until(self, words: str) -> None:
        while words.encode() not in self.seen:
            assert select.select([self.ours], [], [], LIMIT)[0], self.seen
            self.seen += os.read(self.ours, 4096)

    def types(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> tuple[int, str]:
        """The exit code and all that was on the screen."""
        with suppress(OSError):  # Linux ends a pseudo-terminal with EIO
            while select.select([self.ours], [], [], LIMIT)[0] and (block := os.read(self.ours, 4096)):
                self.seen += block
        code = self.process.wait(LIMIT)
        os.close(self.ours)
        return code, self.seen.decode(errors="replace")
