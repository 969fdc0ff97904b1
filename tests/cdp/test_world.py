"""A world of ours in a page: made where we choose, unseen by the page, gone with its document."""

import anyio
import pytest

from cdp_image_mcp.cdp import Page, World
from cdp_image_mcp.cdp.errors import DocumentLeft, NodeError
from tests.cdp.elements import element, looking_into
from tests.cdp.site import Site

pytestmark = pytest.mark.anyio


async def test_what_the_script_tells_comes_out_in_order_also_in_a_burst(page: Page) -> None:
    with anyio.fail_after(30):
        world = await looking_into(page)
        with world.messages() as messages:
            await world.evaluate("for (let i = 0; i < 3000; i++) report(String(i))")
            assert [await messages.next() for _ in range(3000)] == [str(number) for number in range(3000)]


async def test_the_page_sees_nothing_of_it(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        world = await looking_into(page)
        await world.evaluate("globalThis.mine = 1")
        assert await page.evaluate("[typeof report, typeof mine]") == ["undefined", "undefined"]


async def test_a_new_document_holds_nothing_of_it_until_it_is_made_there(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        world = await looking_into(page)
        await world.evaluate("globalThis.mine = 1")
        await page.navigate(site.url("/page/editor"))
        with pytest.raises(DocumentLeft):
            await world.evaluate("1")
        assert not world.made
        await world.make()
        with world.messages() as messages:
            assert await world.evaluate("(report('here'), typeof mine)") == "undefined"
            assert await messages.next() == "here"


async def test_in_another_process_no_script_runs_that_was_meant_for_the_document_before(page: Page, site: Site) -> None:
    """Numbers of contexts begin anew there: the same one may be the other site's own world."""
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        world = await looking_into(page)
        await page.navigate("data:text/html,another origin")
        with pytest.raises(DocumentLeft):
            await world.evaluate("document.title = 'touched'")
        assert await page.evaluate("document.title", reply=str) == ""


async def test_ended_before_its_document_was_judged_it_was_not_made(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call may be cancelled, or its time be over, at any moment: what goes on later must not find it usable."""
    world = World(page, "ours")
    with anyio.fail_after(30), anyio.CancelScope() as scope:

        async def cancelled() -> str:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

        monkeypatch.setattr(page, "loader_id", cancelled)
        await world.make()
    assert scope.cancelled_caught
    assert not world.made


async def test_only_its_own_world_is_heard(page: Page) -> None:
    with anyio.fail_after(30):
        world = await looking_into(page)
        other = World(page, "other", binding="report")
        await other.make()
        with world.messages() as messages:
            await other.evaluate("report('theirs')")
            await world.evaluate("report('ours')")
            assert await messages.next() == "ours"


async def test_the_console_of_the_page_is_not_sent_here(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        with page.session.subscribe("Runtime.consoleAPICalled") as spoken:
            await page.evaluate("console.log('before')")
            world = await looking_into(page)
            await page.evaluate("console.log('after')")
            await world.evaluate("1")
            assert spoken.poll() is None


async def test_an_element_is_found_used_and_missed(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        world = await looking_into(page)
        node = await element(page, "#title")
        assert await node.call("function(more) { return this.textContent + more; }", "!", reply=str) == "Plain!"
        assert await world.node("document.querySelector('#nothing')") is None
        assert await world.node("({not: 'an element'})") is None
        await page.navigate(site.url("/page/editor"))
        with pytest.raises(NodeError):
            await node.call("function() { return 1; }")


HALF = r"\ud83d"
"""Half of an emoji, as JavaScript and Chrome's JSON write it."""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"'{HALF}'", id="a value"),
        pytest.param(f"(document.title = 'a{HALF}b', document.title)", id="the title"),
        pytest.param(f"document.body.append('{HALF}!'), document.body.textContent", id="words"),
        pytest.param(f'JSON.parse(\'{{"k": "{HALF}"}}\').k', id="an answer of the site"),
    ],
)
async def test_half_a_character_that_a_page_gives_is_told_as_a_sign_that_there_was_one(page: Page, text: str) -> None:
    with anyio.fail_after(30):
        world = await looking_into(page)
        assert "\ufffd" in await world.evaluate(text, reply=str)
        assert await world.evaluate("'😀'", reply=str) == "😀"


async def test_half_a_character_in_console_title_and_message_ends_nothing(page: Page, site: Site) -> None:
    with anyio.fail_after(30):
        await page.navigate(site.url("/page/plain"))
        await page.session.call("Runtime.enable")
        world = await looking_into(page)
        with world.messages() as messages:
            await page.evaluate(f"(console.log({{k: '{HALF}'}}), document.title = '{HALF}')")
            await world.evaluate(f"report('x{HALF}')")
            assert await messages.next() == "x\ufffd"
        found = await page.connection.browser.call("Target.getTargets", reply=dict[str, list[dict[str, object]]])
        assert any(target["targetId"] == page.target_id for target in found["targetInfos"])
        assert page.connection.gone is None
