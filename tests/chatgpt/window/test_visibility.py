"""What ``browser_visibility`` and ``backend_status`` say of a browser that is closed, starting, or cannot start."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import anyio
import pytest

from cdp_image_mcp.cdp.window import WindowReport
from cdp_image_mcp.chatgpt.window import visibility
from cdp_image_mcp.chatgpt.window.visibility import Visibility
from tests.chatgpt.window.making import backend
from tests.people.screen import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def group() -> AsyncGenerator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as group:
        yield group
        group.cancel_scope.cancel()


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "has_display", lambda: True)


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("action", ["show", "hide", "toggle", "status"])
async def test_an_action_counts_as_applied_only_where_there_was_a_window(
    action: Literal["status", "show", "hide", "toggle"], tmp_path: Path, group: anyio.abc.TaskGroup
) -> None:
    with anyio.fail_after(30):
        told = await backend(tmp_path, group).visibility(action, start_browser=False)
    assert "applied_action" not in told
    assert (told["requested_action"], told["browser_open"]) == (action, False)


async def test_where_there_is_no_display_it_is_told_that_the_client_may_keep_it_back(
    tmp_path: Path, group: anyio.abc.TaskGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "has_display", lambda: False)
    with anyio.fail_after(30):
        told = await backend(tmp_path, group).visibility("show", start_browser=False)
    assert "there is no display" in told["message"]
    assert ("a client may keep DISPLAY" in told["message"]) is (sys.platform == "linux")


@pytest.mark.usefixtures("display")
async def test_a_browser_that_cannot_start_is_told_until_one_starts(tmp_path: Path, group: anyio.abc.TaskGroup) -> None:
    web = backend(tmp_path, group, "echo no luck >&2; exit 7")
    with anyio.fail_after(60):
        before = (await web.status())["details"]["session"]
        told = await web.visibility("show", start_browser=True)
        after = await web.status()
    assert "last_error" not in before
    assert "applied_action" not in told
    assert "was not started" in told["message"]
    session = after["details"]["session"]
    assert session["starting"] is False
    assert session["last_error"] in told["message"]
    assert session["last_error"] in after["message"]


async def test_a_browser_under_way_is_told_as_starting(tmp_path: Path, group: anyio.abc.TaskGroup) -> None:
    begun = tmp_path / "begun"
    web = backend(tmp_path, group, f"touch '{begun}'; exec '{sys.executable}' -c 'import time; time.sleep(60)'")
    starting = anyio.CancelScope()

    async def show() -> None:
        with starting:
            await web.visibility("status", start_browser=True)

    with anyio.fail_after(60):
        group.start_soon(show)
        await until(begun.exists)
        told = await web.status()
        starting.cancel()
    assert told["details"]["session"]["starting"] is True
    assert told["ready"] is False
    assert "starting" in told["message"]


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("action", ["show", "hide"])
async def test_a_window_that_is_closed_while_it_is_moved_is_neither_hidden_nor_shown(
    action: Literal["show", "hide"], tmp_path: Path, group: anyio.abc.TaskGroup
) -> None:
    async def there() -> WindowReport:
        return WindowReport("visible")

    async def gone(**_: bool) -> WindowReport:
        return WindowReport("closed")

    web: Any = backend(tmp_path, group)
    window = SimpleNamespace(status=there, show=gone, hide=gone)
    tab = SimpleNamespace(window=window, ready=True, page=SimpleNamespace(url="https://chatgpt.com/"))
    keeper: Any = SimpleNamespace(browser=SimpleNamespace(headless=False), tab=tab, mode="visible")
    sight = Visibility(web._settings, keeper, web._memory)
    with anyio.fail_after(30):
        told = await sight.act(action, start_browser=False)
    assert told["message"] == "The window was closed meanwhile."
