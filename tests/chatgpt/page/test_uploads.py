"""The private copies of reference pictures never stay behind."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from cdp_image_mcp.chatgpt.page.uploads import upload_copies
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.references import check_reference
from cdp_image_mcp.request import Reference
from tests.studio.scripted import png

pytestmark = pytest.mark.anyio


async def reference(folder: Path) -> Reference:
    folder.mkdir(exist_ok=True)
    (folder / "bear.png").write_bytes(png(1))
    return await check_reference(str(folder / "bear.png"), (folder,), "reference_images[0]")


def a_dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("uploads-*"))


async def test_a_copy_that_fails_half_way_takes_its_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await reference(tmp_path / "in")
    written: list[bytes] = []

    def full(_: Path, data: bytes) -> int:
        written.append(data)
        raise OSError(28, "No space left on device")

    with anyio.fail_after(10):
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(ImageError) as caught:
            async with upload_copies([one], tmp_path / "state" / "profile"):
                pytest.fail("nothing was copied")
    assert caught.value.code == "disk"
    assert written
    assert left(tmp_path / "state") == []


async def test_folders_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    one = await reference(tmp_path / "in")
    state = tmp_path / "state"
    dead = await anyio.to_thread.run_sync(a_dead_pid)
    alive = f"uploads-{os.getppid()}-abc"
    for name in (f"uploads-{dead}-abc", alive):
        (state / name / "0").mkdir(parents=True)
        (state / name / "0" / "private.png").write_bytes(b"x")
    with anyio.fail_after(10):
        async with upload_copies([one], state / "profile") as files:
            assert files[0].read_bytes() == png(1)
            assert files[0].parent.parent.name.startswith(f"uploads-{os.getpid()}-")
            assert f"uploads-{dead}-abc" not in left(state)
    assert left(state) == [alive]
