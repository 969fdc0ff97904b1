"""Which kind of window comes next, and how long a check that headless met is remembered. The clock is given."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.chatgpt.window.windowmode import HIDDEN_FOR, WindowMemory, has_display

pytestmark = pytest.mark.anyio

CHECKED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = CHECKED

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")


async def mode(folder: Path, clock: Clock) -> str:
    """What a process that starts at this moment chooses."""
    with anyio.fail_after(30):
        return (await WindowMemory(folder / "profile", "auto", clock).choose()).mode


async def test_a_check_that_headless_met_hides_windows_for_seven_days_and_no_longer(tmp_path: Path) -> None:
    clock = Clock()
    assert await mode(tmp_path, clock) == "headless"
    with anyio.fail_after(30):
        await WindowMemory(tmp_path / "profile", "auto", clock).met_check()
    assert timedelta(days=7) == HIDDEN_FOR
    for passed, expected in (
        (timedelta(), "hidden"),
        (timedelta(days=7, seconds=-1), "hidden"),
        (timedelta(days=7), "headless"),
        (timedelta(days=30), "headless"),
    ):
        clock.at = CHECKED + passed
        assert await mode(tmp_path, clock) == expected, passed


async def test_a_check_that_cannot_be_written_down_is_remembered_by_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    memory = WindowMemory(tmp_path / "file" / "profile", "auto", Clock())
    with anyio.fail_after(30):
        await memory.met_check()
        assert (await memory.choose()).mode == "hidden"


async def test_a_check_met_after_the_week_is_remembered_for_a_week_again(tmp_path: Path) -> None:
    clock = Clock()
    memory = WindowMemory(tmp_path / "profile", "auto", clock)
    with anyio.fail_after(30):
        await memory.met_check()
        clock.at = CHECKED + timedelta(days=8)
        await memory.met_check()
    clock.at = CHECKED + timedelta(days=14)
    assert await mode(tmp_path, clock) == "hidden"


@pytest.mark.parametrize(
    "written",
    ["", "nonsense", "[]", '{"hidden_until": 7}', '{"hidden_until": "soon"}', '{"hidden_until": "0001-01-01"}'],
)
async def test_a_garbled_memory_is_none(written: str, tmp_path: Path) -> None:
    (tmp_path / "profile.window.json").write_text(written)
    assert await mode(tmp_path, Clock()) == "headless"


async def test_a_time_written_without_its_zone_is_local_time(tmp_path: Path) -> None:
    until = (CHECKED + timedelta(days=2)).astimezone().replace(tzinfo=None).isoformat()
    (tmp_path / "profile.window.json").write_text(f'{{"hidden_until": "{until}"}}')
    assert await mode(tmp_path, Clock()) == "hidden"


async def test_what_was_asked_for_counts_before_the_setting_and_a_missing_display_before_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = WindowMemory(tmp_path / "profile", "hidden", Clock())
    with anyio.fail_after(30):
        assert (await memory.choose()).mode == "hidden"
        memory.asked = "visible"
        assert (await memory.choose()).mode == "visible"
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert (await memory.choose()).mode == "headless"


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"SSH_CONNECTION": "10.0.0.2 51000 10.0.0.1 22"}, "darwin", False),
        ({"SSH_CONNECTION": "10.0.0.2 51000 10.0.0.1 22"}, "win32", False),
        ({"SSH_CONNECTION": "10.0.0.2 51000 10.0.0.1 22", "DISPLAY": "localhost:10.0"}, "linux", True),
    ],
)
def test_whether_there_is_a_display(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_display(environ, platform) is expected
