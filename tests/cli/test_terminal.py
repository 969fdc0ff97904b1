"""What people see while they wait."""

import errno
import io
import os
import re
from pathlib import Path

import pytest

from cdp_image_mcp.cli.follow import tell_failure
from cdp_image_mcp.cli.terminal import Terminal, UnheardError, clock
from cdp_image_mcp.errors import CODES, ImageError
from cdp_image_mcp.mcp_server.fields import failure
from cdp_image_mcp.studio.ending import ADVICE, DISK_ADVICE, HELD_ADVICE
from cdp_image_mcp.studio.studio import News


class Screen(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, *, tty: bool = True, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    @property
    def seen(self) -> str:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (41.9, "0:41"), (725, "12:05"), (3723, "1:02:03"), (-5, "0:00")]
)
def test_the_clock_reads_like_a_clock(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_the_bar_shows_the_share_of_what_is_typical_and_never_the_end() -> None:
    screen = Screen()
    terminal = Terminal(Screen(), screen)
    terminal.progress(News("drawing", 30.0, 60.0), 30.0)
    terminal.progress(News("drawing", 300.0, 60.0), 300.0)
    first, second = screen.seen.split("\r")[1:]
    assert first == "0:30  ██████████░░░░░░░░░░   50%  drawing"
    assert "99%" in second
    assert "100%" not in second


def test_without_experience_there_is_no_bar_to_believe() -> None:
    screen = Screen()
    Terminal(Screen(), screen).progress(News("drawing", 30.0, None), 30.0)
    assert screen.seen == "\r0:30  drawing"


def test_a_shorter_line_leaves_nothing_of_a_longer_one_and_nothing_wraps() -> None:
    screen = Screen()
    terminal = Terminal(Screen(), screen)
    terminal.progress(News("x" * 300, 1.0, None), 1.0)
    terminal.progress(News("short", 2.0, None), 2.0)
    first, second = screen.seen.split("\r")[1:]
    assert len(first) == 59
    assert second.rstrip() == "0:02  short"
    assert len(second) == 59


def test_a_screen_without_block_letters_gets_a_plain_bar() -> None:
    screen = Screen(encoding="ascii")
    Terminal(Screen(), screen).progress(News("drawing", 30.0, 60.0), 30.0)
    assert "##########.........." in screen.seen


def test_where_nobody_looks_a_line_comes_only_with_news() -> None:
    log = Screen(tty=False)
    terminal = Terminal(Screen(tty=False), log)
    for elapsed in range(10):
        terminal.progress(News("queued" if elapsed < 5 else "drawing", float(elapsed), 60.0), float(elapsed))
    assert log.seen.splitlines() == ["[0:00] queued", "[0:05] drawing"]


def test_a_count_of_seconds_is_no_news_in_a_log_that_counts_them_too() -> None:
    log = Screen(tty=False)
    terminal = Terminal(Screen(tty=False), log)
    for elapsed in (3, 8, 13):
        terminal.progress(News(f"drawing {elapsed} s of typically 62 s", float(elapsed), 60.0), float(elapsed))
    assert log.seen == "[0:03] drawing 3 s of typically 62 s\n"


def test_news_cannot_move_the_cursor() -> None:
    screen = Screen()
    Terminal(Screen(), screen).progress(News("a\x1b[2J\nb\rc", 1.0, None), 1.0)
    assert screen.seen == "\r0:01  a b c"


def test_results_are_utf_8_whatever_the_locale_and_keep_undecodable_names() -> None:
    out = Screen(tty=False, encoding="ascii")
    terminal = Terminal(out, Screen())
    terminal.result("/tmp/狐-\udcff.png")  # noqa: S108
    raw = out.buffer
    assert isinstance(raw, io.BytesIO)
    assert raw.getvalue() == "/tmp/狐-".encode() + b"\xff.png\n"  # noqa: S108


@pytest.mark.parametrize(
    ("platform", "code", "gone"),
    [
        ("linux", errno.EPIPE, True),
        ("win32", errno.EINVAL, True),
        ("linux", errno.EINVAL, False),
        ("win32", errno.ENOSPC, False),
    ],
)
def test_a_reader_who_has_gone_is_told_from_a_stream_that_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, code: int, gone: bool
) -> None:
    def write(_text: str) -> int:
        raise OSError(code, os.strerror(code))

    with (tmp_path / "out").open("w") as out:
        terminal = Terminal(out, Screen(tty=False))
        monkeypatch.setattr(out, "write", write)
        monkeypatch.setattr("sys.platform", platform)
        with pytest.raises(UnheardError) as caught:
            terminal.result("/tmp/fox.png")  # noqa: S108
    assert isinstance(caught.value.__cause__, BrokenPipeError) is gone


def test_long_advice_is_wrapped_for_people_and_left_whole_for_scripts() -> None:
    text = "word " * 30
    assert max(map(len, Terminal(Screen(), Screen()).wrapped(text, 20))) <= 39
    assert Terminal(Screen(tty=False), Screen()).wrapped(text, 20) == [text]


STEPS = {rule.next_step for rule in CODES.values()} | set(ADVICE.values()) | {DISK_ADVICE, HELD_ADVICE}


@pytest.mark.parametrize("step", sorted(STEPS))
def test_what_to_do_next_is_told_in_commands_and_to_the_person_itself(step: str) -> None:
    """Models read these steps; at a terminal there are no tools, and nobody else to be asked."""
    screen = Screen(tty=False)
    error = ImageError("internal", "It failed.", next_step=step)
    tell_failure(Terminal(Screen(), screen), failure(error, "3fa1c0de" * 4), as_json=False)
    (told,) = [line for line in screen.seen.splitlines() if line.startswith("Next: ")]
    assert not re.search("_image|_status|this generation_id|[Aa]sk the user to", told)
    if "wait_for_image with this generation_id" in step:
        assert "'cdp-image-mcp wait 3fa1c0de'" in told


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("Ask the user to set X, or call generate_image.", "Set X, or call 'cdp-image-mcp generate'."),
        ("Copy it, or ask the user to extend X.", "Copy it, or extend X."),
        ("Ask the user to free space or to correct X, then call.", "Free space or correct X, then call."),
        ("Ask the user to do it by hand and then to close that window.", "Do it by hand and then close that window."),
        ("Go to the site or to the API.", "Go to the site or to the API."),
        ("Ask the user whether it was moved.", "Ask the user whether it was moved."),
    ],
)
def test_a_step_stays_a_sentence(step: str, told: str) -> None:
    screen = Screen(tty=False)
    tell_failure(Terminal(Screen(), screen), failure(ImageError("disk", "No.", next_step=step)), as_json=False)
    assert screen.seen.splitlines()[-1] == f"Next: {told}"
