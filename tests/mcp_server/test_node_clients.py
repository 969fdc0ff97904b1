"""Clients of another make: the TypeScript SDK's two generations and the Inspector. Where Node or the npm registry is
not there these tests are skipped, and the summary says so."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mcp_server.npm import Packages, installed
from tests.mcp_server.scripted import IDENTITY

HERE = Path(__file__).parent
MAKES = {
    "@modelcontextprotocol/sdk": "1.32.2",
    "@modelcontextprotocol/client": "2.4.0",
    "@modelcontextprotocol/inspector": "2.12.0",
}


@pytest.fixture(scope="module")
def others() -> Packages:
    return installed(MAKES)


@pytest.fixture(scope="module")
def program(others: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It lies beside its packages: Node looks for them from there."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "node_modules").symlink_to(others.folder / "node_modules")
    return Path(shutil.copy(HERE / "node" / "client.mjs", folder))


def server(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.mcp_server.served", str(folder)]


@pytest.mark.parametrize("which", ["v1", "v2", "v2-modern"])
def test_a_typescript_client_sees_all_that_there_is(
    others: Packages, program: Path, tmp_path: Path, which: str
) -> None:
    command = [others.node, str(program), which, *server(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=HERE.parent.parent)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert len(seen["tools"]) == 5
    assert seen["instructions"] > 500
    assert (seen["working"]["isError"], seen["working"]["answer"]["generation_id"]) == (False, IDENTITY)
    assert seen["progress"] == [3]
    assert seen["saved"]["types"] == ["text", "image"]
    assert (seen["saved"]["mimeTypes"], seen["saved"]["structured"]) == (["image/png"], None)
    assert (seen["bad"]["isError"], seen["bad"]["answer"]["code"]) == (True, "invalid_input")
    for name in ("status", "window"):
        assert seen[name]["structured"] == seen[name]["answer"]
    assert seen["asked"] == [{"mode": "form"}]
    assert seen["signedIn"]["answer"]["status"] == "saved"
    assert seen["unknown"] == -32602
    assert (seen["aborted"], seen["afterAbort"]) == (True, "saved")


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_finds_nothing_to_blame(others: Packages, tmp_path: Path, era: str) -> None:
    def inspected(*arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["--protocol-era", era, "--format", "json"]
        command = [*others.program("mcp-inspector"), "--cli", *server(tmp_path), *arguments, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=HERE.parent.parent)

    listed = inspected("--method", "tools/list", "--strict")
    assert listed.returncode == 0, listed.stderr
    assert all(f'"{name}"' in listed.stdout for name in ("generate_image", "browser_visibility"))
    for name, arguments, code in (
        ("generate_image", {"prompt": "a fox"}, 0),
        ("backend_status", {}, 0),
        ("generate_image", {"prompt": ""}, 5),
    ):
        called = inspected(*("--method", "tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments)))
        assert called.returncode == code, (name, called.stdout, called.stderr)
