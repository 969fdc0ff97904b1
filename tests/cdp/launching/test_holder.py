"""Who holds a profile, whatever this machine is called."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdp_image_mcp.cdp.launching.holder import Holder, clear_dead, hold, note_program, read_holder
from tests.cdp.launching.remains import dead_socket

RUNNING = "import sys; print(flush=True); sys.stdin.read()"
PROGRAM = Path("/usr/bin/chromium")


def lock(profile: Path, target: str) -> None:
    (profile / "SingletonLock").symlink_to(target)


@contextmanager
def running(*arguments: str) -> Generator["subprocess.Popen[bytes]"]:
    """A process with these arguments that lives for the length of the block."""
    command = [sys.executable, "-c", RUNNING, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # in the midst of its exec a process has no arguments that could be read
        yield process


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that says of itself that it works on the profile, and lives for the length of the test."""
    with running(f"--user-data-dir={tmp_path}") as process:
        yield process


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_free_profile_has_no_holder(tmp_path: Path) -> None:
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path, dead: int) -> None:
    lock(tmp_path, f"{socket.gethostname()}-{dead}")
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_living_process_that_is_no_browser_is_free(tmp_path: Path) -> None:
    lock(tmp_path, f"{socket.gethostname()}-{os.getpid()}")
    assert read_holder(tmp_path) is None


@pytest.mark.parametrize("host", [socket.gethostname(), "as-it-was-called-yesterday"])
def test_the_lock_of_a_living_browser_holds_whatever_the_machine_is_called(
    tmp_path: Path, browser: "subprocess.Popen[bytes]", host: str
) -> None:
    lock(tmp_path, f"{host}-{browser.pid}")
    assert read_holder(tmp_path) == Holder(browser.pid, host, here=True)


@pytest.mark.parametrize("more", [(), ("--type=renderer",), ("--headless=new", "--remote-debugging-port=0")])
def test_a_lock_whose_number_a_browser_of_another_profile_has_by_now_is_free_and_goes(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """After a power cut: the everyday browser must be neither named as the one to close nor ended by force; Chromium
    itself would wait for it."""
    held = hold(tmp_path)
    assert held is not None
    with running(f"--user-data-dir={tmp_path / 'elsewhere'}", *more) as process:
        lock(tmp_path, f"{socket.gethostname()}-{process.pid}")
        assert read_holder(tmp_path) is not None  # one of ours holds the profile, moved perhaps while it runs
        clear_dead(tmp_path)
        os.close(held)
        assert read_holder(tmp_path) is None
        clear_dead(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["browser.lock"]


def test_the_lock_of_a_browser_that_names_its_profile_otherwise_holds(tmp_path: Path) -> None:
    held = hold(tmp_path)
    assert held is not None
    os.close(held)
    (link := tmp_path / "link").symlink_to(tmp_path)
    with running(f"--user-data-dir={link}") as process:
        lock(tmp_path, f"{socket.gethostname()}-{process.pid}")
        assert read_holder(tmp_path) == Holder(process.pid, socket.gethostname(), here=True)


def test_the_lock_of_another_host_holds_where_no_browser_of_ours_was(tmp_path: Path) -> None:
    lock(tmp_path, "some-other-host-1")
    assert read_holder(tmp_path) == Holder(1, "some-other-host", here=False)
    clear_dead(tmp_path)
    assert (tmp_path / "SingletonLock").is_symlink()


def test_the_lock_of_another_host_holds_while_a_browser_of_ours_lives_there(tmp_path: Path) -> None:
    """In another container, say: its processes are not to be seen here, its open files lock all the same."""
    held = hold(tmp_path)
    assert held is not None
    lock(tmp_path, "another-container-17")
    assert read_holder(tmp_path) == Holder(17, "another-container", here=False)
    os.close(held)


def test_the_lock_of_a_host_that_was_renamed_is_free_and_goes(tmp_path: Path, dead: int) -> None:
    held = hold(tmp_path)
    assert held is not None
    os.close(held)
    for name, target in (("SingletonLock", f"old-name-{dead}"), ("SingletonSocket", "/x"), ("SingletonCookie", "1")):
        (tmp_path / name).symlink_to(target)
    assert read_holder(tmp_path) is None
    clear_dead(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["browser.lock"]


def test_only_a_browser_that_took_the_profile_is_remembered_for_it(tmp_path: Path) -> None:
    held = hold(tmp_path)
    assert held is not None
    os.close(held)
    assert (tmp_path / "browser.lock").read_text() == ""  # its start may fail yet
    note_program(tmp_path, PROGRAM)
    assert (tmp_path / "browser.lock").read_text() == str(PROGRAM)


def test_what_holds_ends_with_the_process_that_inherited_it(tmp_path: Path) -> None:
    held = hold(tmp_path)
    assert held is not None
    with subprocess.Popen([sys.executable, "-c", RUNNING], stdin=subprocess.PIPE, pass_fds=[held]) as process:
        os.close(held)
        lock(tmp_path, "old-name-1")
        assert read_holder(tmp_path) is not None
        process.kill()
    assert read_holder(tmp_path) is None


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
