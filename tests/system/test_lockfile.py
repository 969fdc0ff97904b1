"""The lock between processes."""

from pathlib import Path

import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.lockfile import LockFile
from tests.library.making import end, other_process

HOLD = """
import sys
from pathlib import Path
from cdp_image_mcp.system.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
print(lock.try_acquire(), flush=True)
input()
"""


def test_one_process_holds_it_and_its_death_lets_it_go(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "lock")
    process = other_process(HOLD, str(lock.path))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not lock.try_acquire()
        with pytest.raises(ImageError, match="Another cdp-image-mcp process has kept") as caught, lock.held(0.1):
            pass
        assert caught.value.code == "disk"
    finally:
        end(process)
    with lock.held(seconds=5):
        assert not LockFile(lock.path).try_acquire()
    assert lock.try_acquire()
    lock.release()


def test_a_deleted_lock_file_keeps_nobody_in_or_out_wrongly(tmp_path: Path) -> None:
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    assert first.try_acquire()
    first.path.unlink()
    assert second.try_acquire()
    second.release()
    first.release()
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()


def test_a_lock_in_a_missing_folder_is_an_error_of_the_disk(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "no" / "lock")
    with pytest.raises(ImageError) as caught, lock.held(seconds=0.1):
        pass
    assert caught.value.code == "disk"
    (tmp_path / "no").mkdir()
    with lock.held(seconds=1):
        pass


def test_what_this_very_process_keeps_is_laid_on_no_other(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "lock")
    with lock.held():
        with pytest.raises(ImageError, match="This cdp-image-mcp process has kept") as caught:
            lock.acquire(0)
        assert "end it" not in (caught.value.next_step or "")
    lock.acquire(0)
    lock.release()
