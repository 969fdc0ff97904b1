"""Clients of another make: the TypeScript SDK's two generations and the Inspector. Where Node or the npm registry is
not there these tests are skipped, and the summary says so."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.edges.scripted import IDENTITY

HERE = Path(__file__).parent
CLIENTS = {"@modelcontextprotocol/sdk": "1.32.2", "@modelcontextprotocol/client": "2.4.0"}
INSPECTOR = {"@modelcontextprotocol/inspector": "2.12.0"}
INSPECTOR_NEEDS = (22, 19)


def node_version() -> tuple[int, int]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not here: no TypeScript client was tried.")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def installed(folder: Path, packages: dict[str, str]) -> Path:
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    names = [f"{name}@{version}" for name, version in packages.items()]
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    done = subprocess.run(["npm", "install", *quiet, *names], cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm could not install {names}: {done.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert node_version() >= (18, 0)
    folder = installed(tmp_path_factory.mktemp("clients"), CLIENTS)
    shutil.copy(HERE / "node" / "client.mjs", folder)
    return folder


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if node_version() < INSPECTOR_NEEDS:
        pytest.skip(f"The Inspector needs Node {INSPECTOR_NEEDS}; it was not tried.")
    return installed(tmp_path_factory.mktemp("inspector"), INSPECTOR)


def server(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.edges.served", str(folder)]


@pytest.mark.parametrize("which", ["v1", "v2", "v2-modern"])
def test_a_typescript_client_sees_all_that_there_is(clients: Path, tmp_path: Path, which: str) -> None:
    # The program lies beside its packages, the server's module path starts at the checkout.
    command = ["node", str(clients / "client.mjs"), which, *server(tmp_path)]
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
    assert seen["asked"] == [{"mode": "url", "url": "https://chatgpt.com/"}]
    assert seen["signedIn"]["answer"]["status"] == "saved"
    assert seen["unknown"] == -32602
    assert (seen["aborted"], seen["afterAbort"]) == (True, "saved")


@pytest.mark.parametrize("era", ["legacy", "modern", "auto"])
def test_the_inspector_finds_nothing_to_blame(inspector: Path, tmp_path: Path, era: str) -> None:
    program = inspector / "node_modules" / ".bin" / "mcp-inspector"

    def inspected(*arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["--protocol-era", era, "--format", "json"]
        command = [str(program), "--cli", *server(tmp_path), *arguments, *options]
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
