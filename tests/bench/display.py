"""A screen for programs that need one: the virtual one, so that nothing is shown on the person's own."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from tests.bench.figures import NotMeasured

__all__ = ["virtual_display"]


@contextmanager
def virtual_display() -> Generator[dict[str, str]]:
    """Variables of a virtual screen, without a window manager: windows can then be put off the screen, as on most
    people's own. Raises NotMeasured without Xvfb."""
    if shutil.which("Xvfb") is None:
        raise NotMeasured("it shows a window, and no virtual screen (Xvfb) is installed here")
    reader, writer = os.pipe()
    server: subprocess.Popen[bytes] | None = None
    try:
        with os.fdopen(reader) as told:
            with os.fdopen(writer, "w"):
                command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
                server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
            number = told.readline().strip()
        if not number:
            raise NotMeasured("the virtual screen did not start")
        yield {"DISPLAY": f":{number}"}
    finally:
        if server is not None:
            server.terminate()
            server.wait(10)
