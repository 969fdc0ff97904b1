"""What the tests start leaves the user's home folder and the checkout alone."""

import subprocess
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from cdp_image_mcp import cdp
from tests.browser import SWITCHES, found_browser

CARELESS = """
from pathlib import Path

def test_careless():
    (Path({checkout!r}) / "left-behind").mkdir()
"""


@pytest.mark.anyio
async def test_a_browser_of_the_tests_has_a_home_of_its_own(home: Path, tmp_path: Path) -> None:
    options = cdp.LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser:
            variables = psutil.Process(browser.pid).environ()
    assert variables["HOME"] == str(home)
    assert not [name for name in variables if name in {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"}]


def test_a_run_whose_tests_leave_something_in_the_checkout_fails(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    for name in ("conftest.py", "browser.py", "times.json"):
        (checkout / "tests" / name).write_text((Path(__file__).parent / name).read_text("utf-8"), "utf-8")
    (checkout / "tests" / "test_careless.py").write_text(CARELESS.format(checkout=str(checkout)), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(checkout / "tests")]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "a test left this in the checkout: ['left-behind']" in done.stdout
