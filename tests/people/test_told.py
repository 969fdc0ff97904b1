"""What keeps the browser from starting: each its own message, in the tool's answer and in doctor's report."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from fixtures.site import Site
from tests.browser import QUIET, SWITCHES, found_browser, is_root
from tests.people.browsers import none_left
from tests.people.screen import Screen, until
from tests.web.program import environment, running_program

pytestmark = pytest.mark.anyio


@dataclass
class Trouble:
    """What is wrong, and what is told of it: the code, words of the message or next step, doctor's line and exit code
    (3: only a person can mend it, 1: it may go by itself)."""

    code: str
    words: tuple[str, ...]
    line: str
    variables: dict[str, str] = field(default_factory=dict[str, str])
    exit: int = 3


@contextmanager
def mounted(place: Path, options: str) -> Generator[None]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def sandboxed(_: Path, __: Screen, stack: ExitStack) -> Trouble:
    """Only root is refused; another user's browser gets the same refusal from a program that says so."""
    variables = {"CHATGPT_CHROME_ARGS": " ".join(QUIET)}
    if not is_root():
        folder = Path(stack.enter_context(temporary()))
        program = folder / "chrome"
        program.write_text("#!/bin/sh\necho 'Running as root without --no-sandbox is not supported.' >&2\nexit 1\n")
        program.chmod(0o755)
        variables["CHROME_PATH"] = str(program)
    return Trouble("browser_failed", ("root", "CHATGPT_CHROME_ARGS=--no-sandbox"), "browser", variables, exit=1)


@contextmanager
def temporary() -> Generator[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        yield name


def without_display(_: Path, __: Screen, ___: ExitStack) -> Trouble:
    variables = {"DISPLAY": ":4711", "CHATGPT_WINDOW_MODE": "hidden"}
    return Trouble("browser_failed", ("no display", "desktop session"), "display", variables, exit=1)


def read_only(folder: Path, _: Screen, stack: ExitStack) -> Trouble:
    stack.enter_context(mounted(folder / "profile", "ro"))
    return Trouble("disk", ("read-only", "CHATGPT_WEB_PROFILE_DIR"), "profile")


def full(folder: Path, _: Screen, stack: ExitStack) -> Trouble:
    stack.enter_context(mounted(folder / "profile", "size=64k,mode=700"))
    (folder / "profile" / "filler").write_bytes(bytes(64 * 1024))
    return Trouble("disk", ("full", "CHATGPT_WEB_PROFILE_DIR"), "profile")


def other_computer(folder: Path, _: Screen, __: ExitStack) -> Trouble:
    (folder / "profile").mkdir(mode=0o700)
    (folder / "profile" / "SingletonLock").symlink_to("another-computer-4711")
    words = ("another-computer", "process 4711", "delete", "SingletonLock")
    return Trouble("profile_in_use", words, "profile")


def opened_by_hand(folder: Path, screen: Screen, stack: ExitStack) -> Trouble:
    process = subprocess.Popen(
        [
            str(found_browser().path),
            f"--user-data-dir={folder / 'profile'}",
            "--no-first-run",
            *SWITCHES,
        ],
        env={**os.environ, **screen.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        process.terminate()
        process.wait(10)

    stack.callback(end)
    return Trouble("profile_in_use", ("cannot be driven", "Close that"), "profile", screen.variables)


def garbage(folder: Path, _: Screen, __: ExitStack) -> Trouble:
    path = str(folder / "no" / "chrome")
    return Trouble("configuration", (path, "CHROME_PATH"), "configuration, CHROME_PATH", {"CHROME_PATH": path})


def no_browser(_: Path, __: Screen, ___: ExitStack) -> Trouble:
    return Trouble("browser_failed", ("/bin/false", "exit code 1"), "browser", {"CHROME_PATH": "/bin/false"}, exit=1)


TROUBLES = {
    "root without --no-sandbox": sandboxed,
    "a display that is not there": without_display,
    "a read-only profile": read_only,
    "a full disk": full,
    "a profile in use on another computer": other_computer,
    "a profile opened by hand": opened_by_hand,
    "CHROME_PATH that leads nowhere": garbage,
    "CHROME_PATH that is no browser": no_browser,
}


@pytest.mark.parametrize("what", TROUBLES)
async def test_it_is_told_with_what_to_do_and_doctor_says_the_same(
    what: str, screen: Screen, site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    with anyio.fail_after(90), ExitStack() as stack:
        trouble = TROUBLES[what](folder, screen, stack)
        if what == "a profile opened by hand":
            await until((folder / "profile" / "SingletonLock").is_symlink)
        async with running_program(folder, site.url, variables=trouble.variables) as program:
            answer = await program.generate("a lighthouse")
        assert answer.is_error, answer.data
        assert answer.code == trouble.code, answer.data
        assert answer.data["submitted"] is False
        assert answer.data["spent"] is False
        told = f"{answer.data['message']} {answer.data['next_step']}"
        for word in trouble.words:
            assert word in told, told
        report = await anyio.to_thread.run_sync(doctor, folder, site, trouble)
        line = next(check for check in report["checks"] if check["name"] == trouble.line)
        assert line["level"] == "failed", line
        words = f"{line['message']} {line.get('advice', '')}"
        assert any(word in words for word in trouble.words), words
    await none_left(folder)
    assert site.log.prompts == []


def doctor(folder: Path, site: Site, trouble: Trouble) -> dict[str, list[dict[str, str]]]:
    done = subprocess.run(
        [sys.executable, "-m", "cdp_image_mcp", "doctor", "--json"],
        env=environment(folder, site.url, **trouble.variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == trouble.exit, done.stdout + done.stderr
    return json.loads(done.stdout)
