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
    own = ("OPENAI_", "GPT_", "CHATGPT_", "NO_COLOR", "TERM", "CHROME_PATH", "CODEX_HOME", "CLAUDE_", "XDG_CONFIG_HOME")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return plain | {
        "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures"),
        "CHATGPT_WEB_PROFILE_DIR": str(tmp_path / "profile"),
        "TERM": "xterm",
    }


@pytest.fixture
def with_key(environment: dict[str, str], endpoint: Stub) -> dict[str, str]:
    return environment | {"OPENAI_API_KEY": "sk-only-a-test", "OPENAI_BASE_URL": endpoint.url}
