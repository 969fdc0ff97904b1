"""The program with which the system shows a picture."""

import os
import subprocess
import sys
import threading
from pathlib import Path

SEEN_ONLY = frozenset((".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"))
"""Endings of files that are shown, and by which nothing is run."""


def openable(picture: Path) -> Path:
    """What may be opened where nobody has asked for this very file. An SVG is a page, with whose rights a browser runs
    what a server wrote into it, and a record in a shared folder may name a program: of such a file its folder."""
    return picture if picture.suffix.lower() in SEEN_ONLY else picture.parent


def open_file(path: Path) -> None:
    """Show ``path`` in the system's viewer, without waiting for it. Raises OSError where there is none."""
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606  a picture of ours, in whatever the person has chosen for pictures
        return
    command = "open" if sys.platform == "darwin" else "xdg-open"
    quiet = subprocess.DEVNULL
    viewer = subprocess.Popen(  # noqa: S603  a fixed program and a path of ours
        [command, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    # It may live as long as the viewer; who has ended is to be fetched.
    threading.Thread(target=viewer.wait, name="viewer", daemon=True).start()
