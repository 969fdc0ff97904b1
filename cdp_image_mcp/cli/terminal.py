"""What people see: results on standard output, everything else on standard error, plain where it is no terminal."""

import asyncio
import errno
import io
import json
import os
import shutil
import sys
import textwrap
import threading
import time
import unicodedata
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from itertools import accumulate
from typing import Any, TextIO

from cdp_image_mcp.studio.studio import News
from cdp_image_mcp.system.plaintext import clean
from cdp_image_mcp.system.telling import silence, tell

PLAIN_EVERY = 30.0
"""Seconds between two plain lines that say the same, but for seconds that are counted."""
NO_DIGITS = str.maketrans("", "", "0123456789")
COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2"}


def clock(seconds: float) -> str:
    """``0:41``, ``12:05``, ``1:02:03``."""
    whole = max(int(seconds), 0)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``9 d``."""
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: Chinese and emoji take two, marks over a letter none."""
    return sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """As much of ``text`` as fits into so many columns, with a mark where some is missing."""
    if width(text) <= columns:
        return text
    taken = sum(used < columns for used in accumulate(map(_columns, text)))  # the mark takes one
    return text[:taken].rstrip() + "…" if columns > 0 else ""


def _columns_of(stream: TextIO) -> int:
    """How wide the terminal is that ``stream`` writes to: the other stream may be a pipe."""
    with suppress(OSError):
        if "COLUMNS" not in os.environ and (columns := os.get_terminal_size(stream.fileno()).columns):
            return columns
    return shutil.get_terminal_size().columns


async def typed(*, one_line: bool = False) -> bytes:
    """What comes on standard input: one line of a person, or all to its end.

    Cancelling leaves at once. The thread that waits for keys cannot be called back; it reads past Python's own stream,
    whose lock it would hold when the interpreter ends.
    """
    answer: Future[bytes] = Future()

    def read() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                answer.set_result(_read(one_line=one_line))
            except OSError as error:
                answer.set_exception(error)

    threading.Thread(target=read, name="typed", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _read(*, one_line: bool) -> bytes:
    if sys.platform == "win32" and sys.stdin.isatty():
        # Only Python's own stream reads what a console there has beyond its code page.
        return (sys.stdin.readline() if one_line else sys.stdin.read()).encode("utf-8", "replace")
    parts: list[bytes] = []
    while part := os.read(0, 65536):
        parts.append(part)
        if one_line and part.endswith(b"\n"):
            break
    return b"".join(parts)


def _reads_colours(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    if sys.platform != "win32":
        return True
    # Old consoles print escape sequences unless they are asked to read them.
    import ctypes

    kernel = ctypes.windll.kernel32
    handle, mode = kernel.GetStdHandle(-12), ctypes.c_ulong()
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    enable_virtual_terminal_processing = 4
    return bool(kernel.SetConsoleMode(handle, mode.value | enable_virtual_terminal_processing))


def _make_sound(stream: TextIO, encoding: str | None = None) -> None:
    """A character that the stream cannot say must never end the program (cp1252, POSIX locale)."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=encoding, errors="surrogateescape" if encoding else "backslashreplace")


class UnheardError(Exception):
    """A result could not be written; the cause says why: BrokenPipeError where whoever read it has gone."""


class Terminal:
    """The two streams of a command. ``result`` prints what a script wants, ``say`` what a person reads."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        # Scripts get JSON and paths as UTF-8 whatever the locale; undecodable bytes of names go out as they came in.
        _make_sound(self._out, "utf-8" if not self._out.isatty() else None)
        _make_sound(self._err)
        self.live = self._err.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = _reads_colours(self._err)
        self._out_colours = _reads_colours(self._out)
        self._drawn = 0
        self._plain: tuple[str, float] = ("", 0.0)
        self._full, self._empty = "█", "░"
        try:
            "█░".encode(self._err.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            self._full, self._empty = "#", "."

    def colour(self, text: str, name: str, *, result: bool = False) -> str:
        """``text`` in a colour where the stream takes colours: standard error, or standard output for a ``result``."""
        taken = self._out_colours if result else self._colours
        return f"\x1b[{COLOURS[name]}m{text}\x1b[0m" if taken else text

    def result(self, text: str) -> None:
        """One result on standard output. Raises UnheardError."""
        self.clear()
        try:
            print(text, file=self._out, flush=True)
        except OSError as error:
            silence((self._out.fileno(),))
            # What a pipe without a reader answers on Windows (CPython 3.13, subprocess.Popen._stdin_write).
            gone = sys.platform == "win32" and error.errno == errno.EINVAL
            raise UnheardError from (BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) if gone else error)

    def json(self, value: Any) -> None:
        """The same as JSON."""
        self.result(json.dumps(value, ensure_ascii=False, indent=2, default=str))

    def row(self, head: str, text: str) -> None:
        """One line of a list, with as much as fits of a text from elsewhere."""
        columns = _columns_of(self._out) if self._out.isatty() else 10_000
        self.result(head + cut(" ".join(clean(text, 10_000).split()), columns - len(head)))

    def wrapped(self, text: str, indent: int) -> list[str]:
        """``text`` in lines that fit beside ``indent`` columns on a terminal; one line where nobody looks."""
        if not self._out.isatty():
            return [text]
        return textwrap.wrap(text, max(_columns_of(self._out) - indent - 1, 30)) or [""]

    def say(self, text: str = "", colour: str | None = None) -> None:
        """One line for a person on standard error."""
        self.clear()
        tell(f"{self.colour(text, colour) if colour else text}\n", self._err)

    async def agreed(self, question: str) -> bool:
        """A person's yes or no; where nobody is, and at the end of input, a no. Ctrl-C leaves the question at once."""
        if not sys.stdin.isatty():
            self.say("Nobody can be asked here; --yes agrees beforehand.", "yellow")
            return False
        self.clear()
        tell(f"{question} [y/N] ", self._err)
        return (await typed(one_line=True)).strip().lower() in {b"y", b"yes"}

    def clear(self) -> None:
        """Take the progress line away, so that something else can be written."""
        if self._drawn:
            tell("\r" + " " * self._drawn + "\r", self._err)
            self._drawn = 0

    def progress(self, news: News, elapsed: float) -> None:
        """Show where a generation stands: a line that is drawn over on a terminal, else a line now and then."""
        message = clean(news.message, 200).replace("\n", " ")
        if self.live:
            self._draw(message, elapsed, news.expected)
            return
        said, at = self._plain
        if (saying := message.translate(NO_DIGITS)) != said or time.monotonic() - at >= PLAIN_EVERY:
            self._plain = (saying, time.monotonic())
            self.say(f"[{clock(elapsed)}] {message}")

    def _draw(self, message: str, elapsed: float, expected: float | None) -> None:
        bar = ""
        if expected:
            # What is only typical never reads as done: the end is told by the picture alone.
            share = min(elapsed / expected, 0.99)
            cells = round(share * 20)
            bar = f"  {self._full * cells}{self._empty * (20 - cells)}  {share:4.0%}"
        shown = cut(f"{clock(elapsed)}{bar}  {message}", _columns_of(self._err) - 1)
        tell("\r" + shown + " " * max(self._drawn - width(shown), 0), self._err)
        self._drawn = width(shown)
