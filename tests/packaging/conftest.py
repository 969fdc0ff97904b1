"""Archives built from the checkout once for all tests here, and how installed programs are run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import SWITCHES
from tests.docs.documents import ROOT
from tests.packaging.checkout import Run


def build(target: str, folder: Path) -> Path:
    """Build ``wheel`` or ``sdist`` with the build back end that stands in pyproject.toml; needs no network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with a home of its own and answer its standard output; a failure shows all it said."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GPT_IMAGE", "CHATGPT", "OPENAI"))
    }
    variables = {
        **kept,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "CHATGPT_CHROME_ARGS": " ".join(SWITCHES),
    }

    def run(*command: object, **extra: str) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=home, env=variables | extra, capture_output=True, text=True, timeout=580)
        assert done.returncode == 0, f"{words} answered {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
