"""Windows on a real display with a window manager, and the strategies of others."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import anyio
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import Browser, LaunchOptions, Page, keyboard_mouse
from cdp_image_mcp.cdp import window as windows
from cdp_image_mcp.cdp.errors import SessionClosed
from cdp_image_mcp.cdp.protocol import Bounds, WindowForTarget
from cdp_image_mcp.cdp.window import Window, WindowReport, away_here
from tests.cdp.elements import element, focus
from tests.cdp.site import Site

pytestmark = pytest.mark.anyio


@pytest.fixture
async def windowed(headed: LaunchOptions, site: Site) -> AsyncGenerator[Page, None]:
    async with cdp.launch(headed) as browser, await Page.create(browser.connection, width=1000, height=800) as page:
        await page.navigate(site.url("/page/editor"))
        yield page


async def move(page: Page, bounds: Bounds) -> None:
    """As the person or another program would."""
    window = await page.connection.browser.call(
        "Browser.getWindowForTarget", {"targetId": page.target_id}, reply=WindowForTarget
    )
    await page.connection.browser.call("Browser.setWindowBounds", {"windowId": window.window_id, "bounds": bounds})


async def becomes(window: Window, place: str) -> WindowReport:
    """The report once the window manager has done what it was told; it tells nobody when."""
    while (report := await window.status()).place != place:  # noqa: ASYNC110
        await anyio.sleep(0.02)  # the window manager sends us no event
    return report


async def works(page: Page) -> None:
    """Typing, clicking and painting."""
    await focus(await element(page, "#editor"))
    await keyboard_mouse.clear(page)
    await keyboard_mouse.insert_text(page, "typed")
    await keyboard_mouse.click(await element(page, "#button"))
    assert await page.evaluate("editor.textContent", reply=str) == "typed"
    assert "button" in await page.evaluate("log.map(entry => entry[0])", reply=list[str])
    assert await page.evaluate("document.visibilityState", reply=str) == "visible"


async def test_a_window_is_hidden_truly_and_the_page_works_on(windowed: Page) -> None:
    with anyio.fail_after(60):
        window = Window(windowed)
        assert (await window.status()).place == "visible"
        report = await window.hide()
        assert report.hidden
        assert "paint" not in report.note
        assert report.method in ("offscreen", "minimize")
        assert (await window.status()).place == report.place
        await works(windowed)


async def test_a_hidden_window_comes_back_where_it_was(windowed: Page) -> None:
    with anyio.fail_after(60):
        await move(windowed, Bounds(left=200, top=150, width=900, height=700))
        window = Window(windowed)
        before = (await window.status()).bounds
        assert before is not None
        await window.hide()
        report = await window.show()
        assert (report.place, report.method) == ("visible", "restore")
        after = report.bounds
        assert after is not None
        assert (after.width, after.height) == (before.width, before.height)
        assert abs((after.left or 0) - (before.left or 0)) < 40
        assert abs((after.top or 0) - (before.top or 0)) < 40
        assert (await window.status()).method is None
        await works(windowed)


async def test_hiding_twice_and_showing_twice_change_nothing(windowed: Page) -> None:
    with anyio.fail_after(60):
        window = Window(windowed)
        first = await window.hide()
        assert (await window.hide()).place == first.place
        await window.show()
        assert (await window.show()).place == "visible"


async def test_where_windows_cannot_be_placed_they_are_minimised(
    windowed: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(60):
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        window = Window(windowed)
        report = await window.hide()
        assert (report.place, report.method, report.note) == ("minimized", "minimize", "")
        await works(windowed)


async def test_where_the_desktop_draws_windows_back_they_are_minimised_and_say_why(
    windowed: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "QUEUES", False)  # as on Windows and macOS
    with anyio.fail_after(60):
        report = await Window(windowed).hide()
        assert (report.place, report.method) == ("minimized", "minimize")
        assert "drew the window back" in report.note
        await works(windowed)


async def test_what_the_person_did_since_is_noticed(windowed: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(60):
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        window = Window(windowed)
        await window.hide()
        await move(windowed, Bounds(window_state="normal"))
        assert (await becomes(window, "visible")).method is None
        await move(windowed, Bounds(window_state="minimized"))
        assert (await becomes(window, "minimized")).method is None
        assert (await window.show()).place == "visible"


async def test_a_maximised_window_can_be_hidden_and_shown(windowed: Page) -> None:
    with anyio.fail_after(60):
        await move(windowed, Bounds(window_state="maximized"))
        window = Window(windowed)
        assert (await window.status()).place == "visible"
        assert (await window.hide()).hidden
        assert (await window.show()).place == "visible"


async def test_a_closed_window_is_told_as_closed(headed: LaunchOptions) -> None:
    with anyio.fail_after(60):
        async with cdp.launch(headed) as browser, await Page.create(browser.connection) as page:
            window = Window(page)
            assert (await window.status()).place == "visible"
            with page.session.subscribe("Inspector.detached") as gone:
                await browser.connection.browser.call("Target.closeTarget", {"targetId": page.target_id})
                assert (await gone.next()).method == "Inspector.detached"
                with pytest.raises(SessionClosed):
                    await gone.next()
            assert (await window.status()).place == "closed"
            assert (await window.show()).place == "closed"
            # The browser itself outlives its last window: another can be opened.
            async with await Page.create(browser.connection) as again:
                assert (await Window(again).status()).place == "visible"
        assert (await window.status()).place == "closed"


async def test_a_window_in_the_background_can_be_made_and_hidden(headed: LaunchOptions, site: Site) -> None:
    with anyio.fail_after(60):
        async with (
            cdp.launch(replace(headed, mode="hidden")) as browser,
            await Page.create(browser.connection, background=True) as page,
        ):
            assert (await Window(page).hide()).hidden
            await page.navigate(site.url("/page/editor"))
            await works(page)


def test_a_wayland_session_is_told_from_an_x11_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert away_here() is None
    monkeypatch.delenv("WAYLAND_DISPLAY")
    assert away_here() is not None


async def test_headless_has_no_window_to_hide(page: Page, browser: Browser) -> None:
    with anyio.fail_after(60):
        window = Window(page, headless=browser.headless)
        for report in (await window.status(), await window.hide(), await window.show()):
            assert report.place == "headless"
