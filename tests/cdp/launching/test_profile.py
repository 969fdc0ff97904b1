"""Who holds a profile, and what an early end means."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp_image_mcp.cdp.errors import (
    BrowserFailed,
    NeedsNoSandbox,
    NoDisplay,
    ProfileInUse,
    ProfileNotWritable,
)
from cdp_image_mcp.cdp.launching.discovery import FoundBrowser
from cdp_image_mcp.cdp.launching.exits import explain_exit
from cdp_image_mcp.cdp.launching.profile import clear_dead, prepare_profile, read_endpoint, read_holder
from tests.cdp.launching.remains import dead_socket

BROWSER = FoundBrowser(Path("/usr/bin/chromium"), "chromium", snap=False, source="path")


def lock(profile: Path, target: str) -> None:
    (profile / "SingletonLock").symlink_to(target)


def test_a_free_profile_has_no_holder(tmp_path: Path) -> None:
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    lock(tmp_path, f"{socket.gethostname()}-{process.pid}")
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_living_process_that_is_no_browser_is_free(tmp_path: Path) -> None:
    lock(tmp_path, f"{socket.gethostname()}-{os.getpid()}")
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_living_browser_holds(tmp_path: Path) -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    arguments = [sys.executable, "-c", code, f"--user-data-dir={tmp_path}"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # in the midst of its exec a process has no arguments that could be read
        lock(tmp_path, f"{socket.gethostname()}-{process.pid}")
        holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.here) == (process.pid, True)


class Remains:
    """A profile and the socket folder that its links point to; ``listen`` for a browser behind it."""

    def __init__(self, place: Path, name: str = "org.chromium.Chromium.AbC123", *, listen: bool = False) -> None:
        self.profile = place / "profile"
        self.folder = place / name
        self.profile.mkdir()
        self.folder.mkdir()
        self.socket = dead_socket(self.folder)
        if listen:
            self.socket.listen()
        else:
            self.socket.close()
        (self.folder / "SingletonCookie").symlink_to("123")
        (self.profile / "SingletonSocket").symlink_to(self.folder / "SingletonSocket")


@pytest.fixture
def short() -> Iterator[Path]:
    """A place whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


def test_the_socket_folder_of_a_dead_browser_goes(short: Path) -> None:
    remains = Remains(short)
    clear_dead(remains.profile)
    assert not remains.folder.exists()


def test_a_socket_folder_stays_while_somebody_listens_there(short: Path) -> None:
    remains = Remains(short, listen=True)
    clear_dead(remains.profile)
    remains.socket.close()
    assert (remains.folder / "SingletonSocket").exists()


def test_a_socket_folder_stays_while_the_profile_is_held_by_another_computer(short: Path) -> None:
    remains = Remains(short)
    lock(remains.profile, "some-other-host-1")
    clear_dead(remains.profile)
    assert (remains.folder / "SingletonSocket").exists()


@pytest.mark.parametrize("name", ["pictures", "org.chromium.Chromium.AbC123.mine"])
def test_a_folder_with_another_name_is_nobody_s_to_remove(short: Path, name: str) -> None:
    remains = Remains(short, name)
    clear_dead(remains.profile)
    assert (remains.folder / "SingletonSocket").exists()


def test_what_else_lies_in_the_socket_folder_stays(short: Path) -> None:
    remains = Remains(short)
    (remains.folder / "letter").write_text("mine")
    clear_dead(remains.profile)
    assert (remains.folder / "letter").read_text() == "mine"


def test_the_lock_of_another_host_holds_whatever_runs_here(tmp_path: Path) -> None:
    lock(tmp_path, "some-other-host-1")
    holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.host, holder.pid, holder.here) == ("some-other-host", 1, False)


@pytest.mark.parametrize(
    "text", ["", "9222", "9222\n", "x\n/devtools/browser/1", "9222\n/elsewhere", "9222\n/devtools/browser/f715af49-d4"]
)
def test_a_half_written_port_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "DevToolsActivePort").write_text(text)
    assert read_endpoint(tmp_path) is None


def test_a_port_file_gives_the_address_on_loopback(tmp_path: Path) -> None:
    (tmp_path / "DevToolsActivePort").write_text("40123\n/devtools/browser/f715af49-d48e-4961-b21a-5ca63f46f984")
    assert read_endpoint(tmp_path) == "ws://127.0.0.1:40123/devtools/browser/f715af49-d48e-4961-b21a-5ca63f46f984"


def test_a_new_profile_is_its_owners_alone(tmp_path: Path) -> None:
    profile = tmp_path / "deep" / "profile"
    prepare_profile(profile, BROWSER)
    assert profile.stat().st_mode & 0o777 == 0o700
    assert list(profile.iterdir()) == []


def test_a_file_where_the_profile_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileNotWritable, match="Choose another folder"):
        prepare_profile(tmp_path / "file" / "profile", BROWSER)


@pytest.mark.parametrize(
    ("number", "words"),
    [(28, "disk is full"), (30, "read-only"), (13, "no permission")],
)
def test_what_keeps_a_profile_from_being_written_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(**_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ProfileNotWritable, match=words) as caught:
        prepare_profile(tmp_path / "profile", BROWSER)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("code", "line", "kind"),
    [
        (1, "ERROR:zygote_host_impl_linux.cc Running as root without --no-sandbox is not supported.", NeedsNoSandbox),
        (1, "ERROR:ozone_platform_x11.cc Missing X server or $DISPLAY", NoDisplay),
        (21, "Failed to create a ProcessSingleton for your profile directory.", ProfileInUse),
        (21, "Failed to create /p/SingletonLock: No space left on device (28) ProcessSingleton", ProfileNotWritable),
        (0, "Opening in existing browser session.", ProfileInUse),
        (1, "DevTools remote debugging requires a non-default data directory.", BrowserFailed),
        (-11, "Received signal 11", BrowserFailed),
        (0, "", BrowserFailed),
    ],
)
def test_an_early_end_is_told_apart(code: int, line: str, kind: type[Exception]) -> None:
    error = explain_exit(code, ["[1:1] noise", line], Path("/p"), "/usr/bin/chromium")
    assert type(error) is kind


def test_a_browser_on_another_computer_is_named() -> None:
    line = (
        "The profile appears to be in use by another Chromium process (1234) on another computer (desk). "
        "Chromium has locked the profile"
    )
    error = explain_exit(21, [line], Path("/p"), "chromium")
    assert isinstance(error, ProfileInUse)
    assert (error.pid, error.host) == (1234, "desk")


def test_an_unknown_end_shows_code_and_last_lines() -> None:
    error = explain_exit(-11, ["something terrible"], Path("/p"), "/usr/bin/chromium")
    assert "something terrible" in str(error)
    assert "-11" in str(error)
