"""A process is there as long as it holds its lock: whatever its machine is called, however it ends."""

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.lockfile import LockFile, take
from cdp_image_mcp.system.presence import Presence, new_name
from tests.library.making import end, other_process

HOLDER = """
import sys
from pathlib import Path
from cdp_image_mcp.system.presence import Presence
Presence(Path(sys.argv[1])).enter(sys.argv[2])
print("there", flush=True)
sys.stdin.readline()
"""


def test_another_process_is_there_until_it_is_killed_and_leaves_nothing(tmp_path: Path) -> None:
    name, here = new_name(), Presence(tmp_path / "alive")
    process = other_process(HOLDER, str(tmp_path / "alive"), name)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert here.is_there(name)
        assert Presence(tmp_path / "alive").is_there(name)
        process.kill()
        process.wait()
        assert not here.is_there(name)
        here.sweep()
        assert here.names() == []
    finally:
        end(process)


def test_whoever_looks_keeps_nobody_else_from_looking(tmp_path: Path) -> None:
    (tmp_path / "left").write_bytes(b"")
    with (tmp_path / "left").open("rb") as one, (tmp_path / "left").open("rb") as other:
        assert take(one.fileno(), shared=True)
        assert take(other.fileno(), shared=True)


def test_leaving_is_seen_at_once_and_can_be_repeated(tmp_path: Path) -> None:
    here, other = Presence(tmp_path), Presence(tmp_path)
    here.enter("me")
    assert other.is_there("me")
    here.leave("me")
    here.leave("me")
    assert not other.is_there("me")


def test_the_lock_on_a_file_that_was_swept_away_is_let_go(tmp_path: Path) -> None:
    """Else each time would cost an open file for as long as the process lives."""
    here = Presence(tmp_path)
    here.enter("me")
    with (tmp_path / "me").open("rb") as swept:
        (tmp_path / "me").unlink()
        here.enter("me")
        assert take(swept.fileno())


def test_a_file_that_was_swept_away_comes_back_with_the_next_step(tmp_path: Path) -> None:
    here = Presence(tmp_path)
    here.enter("me")
    (tmp_path / "me").unlink()
    here.enter("me")
    assert Presence(tmp_path).is_there("me")


def test_nobody_who_enters_while_dead_ones_are_swept_away_is_swept_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, entered = Presence(tmp_path), threading.Event()
    (tmp_path / "me").touch()  # made a moment ago, to be locked in the next

    def enter() -> None:
        here.enter("me")
        entered.set()

    def unlink_late(path: Path, **options: Any) -> None:
        entering.start()
        entered.wait(0.5)  # as far as it gets meanwhile
        unlink(path, **options)

    entering, unlink = threading.Thread(target=enter), Path.unlink
    monkeypatch.setattr(Path, "unlink", unlink_late)
    Presence(tmp_path).sweep()
    entering.join(20)
    assert Presence(tmp_path).is_there("me")


@pytest.mark.parametrize("name", ["../precious", "/etc/passwd", "", ".", "a/b", "A b"])
def test_a_name_from_a_record_that_leads_elsewhere_is_nobody_and_nothing_is_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_bytes(b"")
    assert not Presence(tmp_path / "alive").is_there(name)
    with pytest.raises(OSError, match="Invalid argument"):
        Presence(tmp_path / "alive").enter(name)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "precious"]


def test_a_pipe_that_somebody_laid_there_is_nobody_and_keeps_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "me")
    told: list[bool] = []
    looking = threading.Thread(target=lambda: told.append(Presence(tmp_path).is_there("me")), daemon=True)
    looking.start()
    looking.join(20)
    assert told == [False]


def test_a_link_that_somebody_laid_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "me").symlink_to(tmp_path / "precious")
    with LockFile(tmp_path / "precious").held(), pytest.raises(OSError, match="me"):
        Presence(tmp_path).is_there("me")


def refusing(*errors: int) -> Any:
    """A lock call that fails that way, one error after the other."""
    left = list(errors)

    def refuse(*_: object) -> None:
        raise OSError(left.pop(0) if len(left) > 1 else left[0], "refused")

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_the_one_kind_of_lock_is_asked_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    here = Presence(tmp_path)
    here.enter("me")
    process = other_process(LOOKER, str(tmp_path), "me")
    assert process.communicate()[0] == "True\n"
    here.leave("me")


LOOKER = """
import fcntl, sys
from pathlib import Path
from cdp_image_mcp.system.presence import Presence
def refuse(*_): raise OSError(37, "No locks available")
fcntl.flock = refuse
print(Presence(Path(sys.argv[1])).is_there(sys.argv[2]))
"""


def test_a_file_system_without_any_locks_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EINVAL))
    monkeypatch.setattr(fcntl, "lockf", refusing(errno.ENOLCK))
    with pytest.raises(ImageError, match="no locks") as caught:
        LockFile(tmp_path / "lock").acquire()
    assert caught.value.code == "disk"
    assert "GPT_IMAGE_OUTPUT_DIR" in caught.value.next_step
    here = Presence(tmp_path / "alive")
    with pytest.raises(ImageError, match="no locks"):
        here.enter("me")
    assert here.names() == []  # of what cannot be locked nobody could learn whether it is there
