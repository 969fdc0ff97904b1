"""The server behind the process that a client starts."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cdp_image_mcp.system import front

STARTED = """
import sys
from cdp_image_mcp.system import front

front.BREAKAWAY_FROM_JOB = front.NEW_PROCESS_GROUP = front.NO_WINDOW = 0  # these are of Windows alone
front._split_on_windows()
import asyncio
print("the server", sys.argv[1:], asyncio.__name__)
"""


def test_on_windows_the_server_is_started_as_its_front_was_and_takes_no_program_from_the_working_folder(
    tmp_path: Path,
) -> None:
    """Clients start servers in the folder that is worked on, where any name may lie."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "asyncio.py").write_text("print('from the working folder')")
    (tmp_path / "program.py").write_text(STARTED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), "serve"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("the server ['serve'] asyncio\n", "", 0)


WAITS = """
import sys
import anyio, psutil
from cdp_image_mcp.system.front import _Process

async def main():
    with anyio.move_on_after(0.05):
        await _Process(psutil.Process(int(sys.argv[1]))).gone()
anyio.run(main)
"""


def test_a_server_that_ends_waits_for_no_front_which_waits_for_it(tmp_path: Path) -> None:
    """As on Windows, where the front lives until its server has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as other:
        done = subprocess.run([sys.executable, "-c", WAITS, str(other.pid)], cwd=tmp_path, timeout=30, check=False)
        assert (done.returncode, other.poll()) == (0, None)
        other.kill()


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 3), (0xC0000005, -0x3FFFFFFB)])
def test_the_front_ends_with_the_code_of_a_server_that_windows_ended(
    monkeypatch: pytest.MonkeyPatch, code: int, told: int
) -> None:
    """Codes are unsigned there (0xC0000005: an access violation); ``os._exit`` takes an int of C everywhere."""

    class Server:
        def __init__(self, *_: object, **__: object) -> None: ...

        def wait(self) -> int:
            return code

    def nothing(_: object) -> None: ...

    codes: list[int] = []
    monkeypatch.setattr(subprocess, "Popen", Server)
    monkeypatch.setattr(front, "silence", nothing)
    monkeypatch.setattr(os, "_exit", codes.append)
    front._split_on_windows()  # pyright: ignore[reportPrivateUsage]
    assert codes == [told]
    struct.pack("i", *codes)
