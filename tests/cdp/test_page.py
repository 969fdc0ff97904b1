"""Pages of a real browser: navigation, scripts, crashes."""

import asyncio
import socket

import anyio
import pytest

from cdp_image_mcp.cdp import Browser, Page
from cdp_image_mcp.cdp.errors import (
    CommandTimeout,
    NavigationError,
    PageCrashed,
    ProtocolError,
    ScriptError,
    SessionClosed,
)
from tests.cdp.peer import attach_session, connected
from tests.cdp.site import Site

pytestmark = pytest.mark.anyio


async def targets(browser: Browser) -> list[str]:
    reply = await browser.connection.browser.call("Target.getTargets", reply=dict[str, list[dict[str, object]]])
    return [str(target["targetId"]) for target in reply["targetInfos"] if target["type"] == "page"]


async def test_navigation_waits_for_the_document_and_knows_its_address(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        assert page.url == site.url("/page/plain")
        assert await page.evaluate("document.readyState", reply=str) == "complete"


async def test_a_fragment_is_a_navigation_without_a_document(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        await page.evaluate("window.mark = 1")
        await page.navigate(site.url("/page/plain#part"))
        assert await page.evaluate("window.mark") == 1
        assert page.url.endswith("#part")


async def test_a_redirect_is_followed_to_its_end(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/moved?to=/page/plain"))
        assert page.url == site.url("/page/plain")


async def test_a_redirect_by_script_is_followed_as_well(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/hop"))
        assert page.url == site.url("/page/plain")


async def test_an_address_that_does_not_answer_is_an_error_with_its_text(page: Page) -> None:
    with anyio.fail_after(30):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(NavigationError, match="ERR_CONNECTION_REFUSED"):
            await page.navigate(f"http://127.0.0.1:{port}/")


async def test_reload_brings_a_new_document(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        await page.evaluate("window.mark = 1")
        await page.reload()
        assert await page.evaluate("typeof window.mark", reply=str) == "undefined"


async def test_values_come_as_the_type_asked_for(page: Page) -> None:
    with anyio.fail_after(30):
        assert await page.evaluate("Promise.resolve([1, 'zwei', null])", reply=tuple[int, str, None]) == (
            1,
            "zwei",
            None,
        )
        assert await page.evaluate("undefined") is None
        assert await page.call("(a, b) => a.n + b", {"n": 1}, 2) == 3
        with pytest.raises(ScriptError, match="Expected `int`"):
            await page.evaluate("'text'", reply=int)


async def test_what_a_script_throws_is_an_error_with_its_text(page: Page) -> None:
    with anyio.fail_after(30):
        with pytest.raises(ScriptError, match="no such thing"):
            await page.evaluate("(() => { throw new TypeError('no such thing') })()")
        with pytest.raises(ScriptError, match="plain words"):
            await page.evaluate("Promise.reject('plain words')")


async def test_a_script_that_never_ends_meets_the_deadline(page: Page) -> None:
    with anyio.fail_after(30):
        with pytest.raises(CommandTimeout):
            await page.evaluate("new Promise(() => {})", timeout=0.2)


async def test_dialogs_do_not_stop_the_page(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        assert await page.evaluate("[alert('hear ye'), confirm('sure?'), prompt('name?')]") == [None, False, None]


async def test_a_page_that_asks_before_leaving_is_left(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        asking = "addEventListener('beforeunload', event => event.preventDefault())"
        await page.session.call("Runtime.evaluate", {"expression": asking, "userGesture": True})
        await page.navigate(site.url("/page/editor"))
        assert page.url == site.url("/page/editor")


async def test_a_hidden_page_is_told_to_behave_as_if_seen(page: Page, site: Site, browser: Browser) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        async with await Page.create(browser.connection):
            assert await page.evaluate("[document.visibilityState, document.hasFocus()]") == ["visible", True]
            assert await page.evaluate("new Promise(r => requestAnimationFrame(() => r(true)))")


@pytest.mark.parametrize("method", ["Page.reload", "Page.navigate"])
async def test_a_page_that_is_just_taking_anothers_place_is_asked_again_once_it_is_there(method: str) -> None:
    """Chromium 156 answered a reload so at the moment in which the page went on by itself (2026-11-27)."""
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            page = Page(connection, await attach_session(peer, connection))
            page.frame_id = "F"
            answer = {"result": {"frameId": "F", "loaderId": "second"}}
            peer.answers[method] = {"error": {"code": -32000, "message": "Not attached to an active page"}}
            async with anyio.create_task_group() as group:
                group.start_soon(page.reload if method == "Page.reload" else lambda: page.navigate("http://site/"))
                await peer.command(method)
                await peer.settle(connection)
                peer.answers[method] = answer
                for number, loader in enumerate(("first", "second"), 1):
                    frame = {"id": "F", "loaderId": loader, "url": "http://site/"}
                    await peer.event("Page.frameNavigated", {"frame": frame}, "S1")
                    await peer.command(method, 2)
                    await peer.settle(connection)
                    stage = {"frameId": "F", "loaderId": loader, "name": "load", "timestamp": number}
                    await peer.event("Page.lifecycleEvent", stage, "S1")
            assert len([one for one in peer.commands if one["method"] == method]) == 2


async def test_a_crash_is_told_and_navigation_brings_the_page_back(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        failures: list[BaseException] = []

        async def wait_for_ever() -> None:
            try:
                await page.evaluate("new Promise(() => {})")
            except PageCrashed as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_ever)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(PageCrashed):
                await page.session.call("Page.crash")
        assert len(failures) == 1
        with pytest.raises(PageCrashed):
            await page.evaluate("1")
        await page.navigate(site.url("/page/editor"))
        assert await page.evaluate("1 + 1") == 2


async def test_closing_our_tab_closes_no_other(browser: Browser) -> None:
    with anyio.fail_after(30):
        async with await Page.create(browser.connection) as other:
            page = await Page.create(browser.connection)
            await page.close()
            await page.close()
            assert page.target_id not in await targets(browser)
            assert other.target_id in await targets(browser)
            with pytest.raises(SessionClosed):
                await page.evaluate("1")


async def test_a_tab_closed_by_the_person_is_a_closed_session(browser: Browser) -> None:
    with anyio.fail_after(30):
        async with await Page.create(browser.connection) as page, anyio.create_task_group() as tasks:
            tasks.start_soon(browser.connection.browser.call, "Target.closeTarget", {"targetId": page.target_id})
            with pytest.raises(SessionClosed):
                await page.evaluate("new Promise(() => {})")


async def test_headless_is_at_least_1280_wide(page: Page) -> None:
    with anyio.fail_after(30):
        assert await page.evaluate("innerWidth", reply=int) >= 1280


@pytest.mark.parametrize("while_in", ["Target.createTarget", "Target.attachToTarget", "Page.enable"])
async def test_a_tab_that_nobody_waits_for_any_more_is_closed(while_in: str) -> None:
    """A person would find it blank, and a browser without windows would be kept for it."""
    with anyio.fail_after(20):
        async with connected() as (peer, connection):
            await attach_session(peer, connection)  # so that it is known how that is answered
            peer.commands.clear()
            peer.answers["Target.createTarget"] = {"result": {"targetId": "T1"}}
            peer.silent = {while_in, "Target.closeTarget"}
            making = asyncio.create_task(Page.create(connection))
            command = await peer.command(while_in)
            making.cancel()
            if while_in == "Target.createTarget":
                await peer.send({"id": command["id"], "result": {"targetId": "T1"}})
            closing = await peer.command("Target.closeTarget")
            await peer.send({"id": closing["id"], "result": {}})
            await peer.event("Target.detachedFromTarget", {"sessionId": "S1", "targetId": "T1"})
            with pytest.raises(asyncio.CancelledError):
                await making
    assert closing["params"] == {"targetId": "T1"}


async def test_a_tab_that_cannot_be_driven_is_closed_and_the_reason_is_told() -> None:
    with anyio.fail_after(20):
        async with connected() as (peer, connection):
            peer.answers["Target.createTarget"] = {"result": {"targetId": "T1"}}
            peer.answers["Target.attachToTarget"] = {"error": {"code": -32000, "message": "Not allowed"}}
            with pytest.raises(ProtocolError, match="Not allowed"):
                await Page.create(connection)
            assert (await peer.command("Target.closeTarget"))["params"] == {"targetId": "T1"}
