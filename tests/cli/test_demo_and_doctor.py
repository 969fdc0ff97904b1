"""The two commands for newcomers, as processes with a real browser: the demo, and the checks."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cdp_image_mcp.cli.demo import install_advice
from tests.browser import SWITCHES, chosen

LIMIT = 120
NOBODY = "http://127.0.0.1:9/v1"
BY_API = {"GPT_IMAGE_BACKEND": "api", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": NOBODY}


@pytest.fixture
def temporary() -> Generator[Path]:
    """A temporary folder with a short name: a browser's socket in it may have 108 characters on Linux."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(tmp_path: Path, temporary: Path) -> dict[str, str]:
    own = ("OPENAI_", "GPT_", "CHATGPT_", "DISPLAY", "WAYLAND_DISPLAY")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return plain | {
        "GPT_IMAGE_OUTPUT_DIR": str(tmp_path / "pictures"),
        "CHATGPT_WEB_PROFILE_DIR": str(tmp_path / "profile"),
        "CHATGPT_WEB_URL": "http://127.0.0.1:9/",
        "CHATGPT_CHROME_ARGS": " ".join(SWITCHES),
        "TMPDIR": str(temporary),
        **chosen(),
    }


def ran(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cdp_image_mcp", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, encoding="utf-8")


def browsers(folder: Path) -> list[int]:
    """Processes that were started with something under ``folder``."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [process.pid for process in found if any(str(folder) in word for word in process.info["cmdline"] or ())]


def checks(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, Any]]]:
    done = ran(environment, "doctor", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def test_the_demo_leaves_nothing_but_a_picture_of_the_words(
    environment: dict[str, str], tmp_path: Path, temporary: Path
) -> None:
    done = ran(environment, "demo", "a lighthouse")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]
    assert list(temporary.iterdir()) == []
    assert browsers(temporary) == []


def test_the_demo_answers_as_json_and_says_that_it_is_one(environment: dict[str, str]) -> None:
    done = ran(environment, "demo", "a lighthouse", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["demo"], told["status"]) == (0, True, "saved")
    assert Path(told["image_path"]).is_file()


def test_without_a_browser_the_demo_says_what_to_install_and_stops(environment: dict[str, str], tmp_path: Path) -> None:
    done = ran(environment | {"CHROME_PATH": str(tmp_path / "nothing")}, "demo")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nstall" in done.stderr
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    ("platform", "apt", "root", "advice"),
    [
        ("linux", True, True, "Run: apt-get install chromium"),
        ("linux", True, False, "Run: sudo apt-get install chromium"),
        ("linux", False, False, "package manager"),
        ("darwin", False, False, "brew install --cask google-chrome"),
        ("win32", False, False, "Microsoft Edge"),
    ],
)
def test_the_advice_suits_the_system(platform: str, apt: bool, root: bool, advice: str) -> None:
    assert advice in install_advice(platform, apt=apt, root=root)


def test_the_doctor_starts_the_browser_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, temporary: Path
) -> None:
    _, found = checks(environment)
    assert found["browser"]["level"] == "ok", found["browser"]
    assert "starts" in found["browser"]["message"]
    assert found["display"]["level"] == "warning"
    assert found["sign-in"]["level"] == "warning"
    assert "login" in found["sign-in"]["advice"]
    assert found["network, site"]["level"] == "failed"
    assert list(tmp_path.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_the_doctor_names_what_is_wrong_and_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir(mode=0o755)
    wrong = {"CHROME_PATH": str(tmp_path / "nothing"), "GPT_IMAGE_BACKEND": "paint", "CHATGPT_WEB_URL": ""}
    code, found = checks(environment | wrong)
    assert code == 1
    assert found["browser"]["level"] == "failed"
    assert {name for name in found if name.startswith("configuration")} == {
        "configuration, CHROME_PATH",
        "configuration, GPT_IMAGE_BACKEND",
    }
    assert "chmod 700" in found["profile"]["advice"]
    assert all(check.get("advice") for check in found.values() if check["level"] != "ok")


def test_where_pictures_come_from_the_api_a_missing_browser_is_no_failure(
    environment: dict[str, str], tmp_path: Path
) -> None:
    _, found = checks(environment | BY_API | {"CHROME_PATH": str(tmp_path / "nothing")})
    assert found["browser"]["level"] == "warning"
    assert found["API key"]["level"] == "ok"
    assert "network, site" not in found


def test_where_pictures_come_from_the_api_a_display_that_is_gone_is_no_failure(environment: dict[str, str]) -> None:
    _, found = checks(environment | BY_API | {"DISPLAY": ":987"})
    assert found["display"]["level"] == "warning"
    assert "no display" in found["display"]["message"]


@pytest.mark.parametrize("backend", ["api", "auto"])
def test_a_server_that_wants_no_key_is_an_api_like_any_other(
    environment: dict[str, str], tmp_path: Path, backend: str
) -> None:
    keyless = {"GPT_IMAGE_BACKEND": backend, "OPENAI_COMPAT": "ollama", "OPENAI_BASE_URL": NOBODY}
    _, found = checks(environment | keyless | {"CHROME_PATH": str(tmp_path / "nothing")})
    assert found["API key"]["level"] == "ok"
    assert "ollama" in found["API key"]["message"]
    assert found["network, API"]["level"] == "failed"
    assert found["browser"]["level"] == "warning"


def test_a_server_of_an_unknown_kind_is_named_by_its_variable(environment: dict[str, str]) -> None:
    _, found = checks(environment | {"OPENAI_COMPAT": "hal", "OPENAI_BASE_URL": NOBODY})
    assert found["API key"]["level"] == "failed"
    assert "OPENAI_COMPAT" in found["API key"]["message"]


def test_a_report_for_people_wraps_nothing_where_nobody_looks(environment: dict[str, str]) -> None:
    done = ran(environment, "doctor")
    assert "\x1b" not in done.stdout
    assert all(line.startswith(("ok ", "warning", "failed", "   ")) for line in done.stdout.splitlines())
    assert "checks:" in done.stderr
