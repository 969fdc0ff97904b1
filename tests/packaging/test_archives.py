"""What lies in the wheel and in the source archive."""

import email
import re
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import msgspec
import pytest

from cdp_image_mcp import __version__
from cdp_image_mcp.cli.checks.machine import PACKAGES
from cdp_image_mcp.library.imagefile import inspect
from tests.browser import chosen
from tests.packaging.checkout import Run, files_below


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(f"cdp_image_mcp-{__version__}.dist-info/METADATA"))


def test_the_wheel_holds_the_whole_package_and_the_stand_in(names: set[str]) -> None:
    package = files_below("cdp_image_mcp")
    place = "cdp_image_mcp/cli/demo/site/"
    site = {place + name.removeprefix("fixtures/site/") for name in files_below("fixtures/site")}
    assert {
        "cdp_image_mcp/py.typed",
        "cdp_image_mcp/chatgpt/page/site/composer.js",
        "cdp_image_mcp/chatgpt/page/site/locators.json",
        "cdp_image_mcp/chatgpt/page/site/witness.js",
        "cdp_image_mcp/chatgpt/page/site/words.json",
    } <= package
    assert f"{place}pages/classic.html" in site
    assert {name for name in names if ".dist-info/" not in name} == package | site


def test_the_wheel_holds_no_tests_and_nothing_compiled(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"cdp_image_mcp", f"cdp_image_mcp-{__version__}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".pyo")) or "/test_" in name]


def test_the_wheel_asks_for_the_seven_packages_and_no_others(metadata: Message) -> None:
    wanted = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in metadata.get_all("Requires-Dist", [])}
    assert wanted == set(PACKAGES)
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_wheel_installs_one_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"cdp_image_mcp-{__version__}.dist-info/entry_points.txt").decode()
    assert text.split() == ["[console_scripts]", "cdp-image-mcp", "=", "cdp_image_mcp.__main__:main"]


def test_the_demo_runs_from_what_the_wheel_holds(wheel: Path, tmp_path: Path, run: Run) -> None:
    """The wheel comes first on the path; the stand-in must be the wheel's own and not the checkout's."""
    variables = {"PYTHONPATH": str(unpacked := tmp_path / "unpacked"), **chosen()}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)  # noqa: S202 - built a moment ago by ourselves
    where = "import cdp_image_mcp.cli.demo.site as site, sys; print(site.__file__, 'fixtures' in sys.modules)"
    told = run(sys.executable, "-c", where, **variables)
    assert told.split() == [str(unpacked / "cdp_image_mcp/cli/demo/site/__init__.py"), "False"]
    answer = msgspec.json.decode(
        run(sys.executable, "-m", "cdp_image_mcp", "demo", "--json", "a red kite", **variables)
    )
    assert answer["status"] == "saved"
    facts = inspect(Path(answer["image_path"]).read_bytes())
    assert (facts.width, facts.height) == (answer["images"][0]["width"], answer["images"][0]["height"])


def test_the_source_archive_holds_what_its_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = files_below(
        "cdp_image_mcp", "fixtures", "tests", ".mcp", "AGENTS.md", "CHANGELOG.md", "README.md", "LICENSE"
    )
    assert wanted <= held
    assert not [name for name in held if name.endswith(".pyc") or name.startswith(".venv")]
