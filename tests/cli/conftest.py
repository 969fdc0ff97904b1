"""What tests of commands start from: variables of their own, and an endpoint on this machine."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cli.api_stub import Stub, images_endpoint


@pytest.fixture
def endpoint() -> Generator[Stub]:
    with images_endpoint() as stub:
        yield stub


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = ("OPENAI_", "GPT_", "CHATGPT_", "NO_COLOR", "TERM", "CHROME_PATH", "XDG_CONFIG_HOME")
    clients = ("CODEX_HOME", "CLAUDE_", "COPILOT_", "VSCODE_", "WSL_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own + clients)}
    return plain | {
        "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures"),
        "CHATGPT_WEB_PROFILE_DIR": str(tmp_path / "profile"),
        "TERM": "xterm",
    }


SILENT = """
import os, pathlib
for name, asks in {"exists": os.path.exists, "is_dir": os.path.isdir, "is_file": os.path.isfile}.items():
    setattr(pathlib.Path, name, lambda path, asks=asks, **_: asks(path))
pathlib.Path.is_symlink = lambda path: os.path.islink(path)
"""
"""As Python 3.14 has them ("What's new", pathlib, 2025-10): what may not be looked at is not there, in their words."""


@pytest.fixture(params=["as here", "as in 3.14"])
def looking(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables under which a program's Python asks about files as it does here, or as a later one does."""
    if request.param == "as here":
        return {}
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(SILENT)
    return {"PYTHONPATH": str(tmp_path / "python")}


@pytest.fixture
def with_key(environment: dict[str, str], endpoint: Stub) -> dict[str, str]:
    return environment | {"OPENAI_API_KEY": "sk-only-a-test", "OPENAI_BASE_URL": endpoint.url}
