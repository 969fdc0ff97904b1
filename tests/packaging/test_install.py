"""Installed as people install it, in environments of their own. Packages come from the index that pip uses here."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

from cdp_image_mcp import __version__
from tests.docs.documents import ROOT
from tests.packaging.checkout import Run, files_below

pytestmark = pytest.mark.nightly

VERSION = f"cdp-image-mcp {__version__}\n"


def environment(folder: Path, run: Run, *packages: object) -> Path:
    """The folder of programs of a fresh environment with ``packages``."""
    run(sys.executable, "-m", "venv", folder)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "-q", *packages)
    return programs


def saved_by(program: object, run: Run) -> Path:
    return Path(json.loads(run(program, "demo", "--json", "a red kite"))["image_path"])


def test_the_wheel_in_a_fresh_environment_makes_a_picture(wheel: Path, tmp_path: Path, run: Run) -> None:
    program = environment(tmp_path / "fresh", run, wheel) / "cdp-image-mcp"
    assert run(program, "--version") == VERSION
    assert saved_by(program, run).stat().st_size > 1000


def test_the_source_archive_installs(sdist: Path, tmp_path: Path, run: Run) -> None:
    program = environment(tmp_path / "fresh", run, sdist) / "cdp-image-mcp"
    assert run(program, "--version") == VERSION


def test_uvx_runs_the_checkout(tmp_path: Path, run: Run) -> None:
    uvx = environment(tmp_path / "tools", run, "uv") / "uvx"
    assert run(uvx, "--from", ROOT, "cdp-image-mcp", "--version") == VERSION


def test_pipx_installs_the_checkout(tmp_path: Path, run: Run) -> None:
    pipx = environment(tmp_path / "tools", run, "pipx") / "pipx"
    run(pipx, "install", ROOT, PIPX_HOME=str(tmp_path / "pipx"), PIPX_BIN_DIR=str(tmp_path / "bin"))
    assert run(tmp_path / "bin" / "cdp-image-mcp", "--version") == VERSION


def test_a_bundle_starts_as_its_manifest_says(tmp_path: Path, run: Run) -> None:
    """Packed as a host unpacks it: the manifest at the top, beside what pyproject.toml names."""
    packed, unpacked = tmp_path / "cdp-image-mcp.mcpb", tmp_path / "unpacked"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(ROOT / ".mcp" / "manifest.json", "manifest.json")
        for name in files_below(
            "cdp_image_mcp", "fixtures/__init__.py", "fixtures/site", "pyproject.toml", "README.md", "LICENSE"
        ):
            archive.write(ROOT / name, name)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(unpacked)
    config = json.loads((unpacked / "manifest.json").read_text("utf-8"))["server"]["mcp_config"]
    uv = environment(tmp_path / "tools", run, "uv") / config["command"]
    arguments = [word.replace("${__dirname}", str(unpacked)) for word in config["args"]]
    assert run(uv, *arguments, "--version") == VERSION
    assert saved_by(unpacked / ".venv" / "bin" / "cdp-image-mcp", run).stat().st_size > 1000
