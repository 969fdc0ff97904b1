"""What belongs to an archive, and how what was installed is run."""

import subprocess
from collections.abc import Callable
from typing import TypeAlias

from tests.docs.documents import ROOT

Run: TypeAlias = Callable[..., str]


def files_below(*folders: str) -> set[str]:
    """Files of the checkout that are part of the project: known to git, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}
