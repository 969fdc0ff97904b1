"""The server behind the process that a client starts."""

import subprocess
import sys
from pathlib import Path

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
