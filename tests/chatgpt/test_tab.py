"""Our own tab in a real browser: what runs in which document, and what is heard between turns."""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions
from cdp_image_mcp.cdp.protocol import FrameTreeReply
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.arrival import arrive
from cdp_image_mcp.chatgpt.eye import BINDING, DocumentLeft
from cdp_image_mcp.chatgpt.locators import load, witness_source
from cdp_image_mcp.chatgpt.tab import Tab, open_tab
from fixtures.site import Site as StandIn
from fixtures.site import Switches, running_site

pytestmark = pytest.mark.anyio

ROOT = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[tuple[Tab, StandIn]]:
    """A tab on the stand-in's home page, ready for a prompt."""
    options = LaunchOptions(browser=cdp.find_browser(), profile=folder / "profile", extra_args=(*ROOT, *QUIET))
    async with AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(90))
        site = stack.enter_context(running_site(Switches()))
        browser = await stack.enter_async_context(cdp.launch(options))
        script = witness_source(load(), BINDING)
        tab = await stack.enter_async_context(open_tab(browser, Site(site.url), script, hidden=False))
        assert (await arrive(tab, tab.site.home, fresh=True)).kind == "ready"
        yield tab, site


class Ran:
    """Script that ran, with the address of the document it ran in."""

    def __init__(self, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: list[tuple[str, str]] = []
        session, connection = tab.page.session, tab.page.connection
        send = connection.send

        async def sent(_connection: Any, to: Any, method: str, params: Any, timeout: float) -> msgspec.Raw:
            answer = await send(to, method, params, timeout)
            if to is session and method in {"Runtime.evaluate", "Runtime.callFunctionOn"}:
                tree = msgspec.json.decode(await send(to, "Page.getFrameTree", None, timeout), type=FrameTreeReply)
                document = tab._document(tree.frame_tree.frame.loader_id)  # pyright: ignore[reportPrivateUsage]
                assert document is not None
                self.places.append((str(document.status), method))
            return answer

        monkeypatch.setattr(type(connection), "send", sent)


async def goes_to_a_check(tab: Tab, site: StandIn) -> None:
    """The site's own reload, which nobody here has judged."""
    site.switches = Switches(challenge="always")
    with tab.documents() as documents:
        await tab.page.session.call("Page.reload")
        assert (await documents.next(20)).status == 403


async def test_settling_on_a_check_runs_nothing_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as (tab, site):
        ran = Ran(tab, monkeypatch)
        await goes_to_a_check(tab, site)
        landed = await tab.settle()
        assert landed is not None
        assert landed.challenged
        with pytest.raises(DocumentLeft):
            await tab.eye.open()
        with pytest.raises(DocumentLeft):
            await tab.eye.ask("1")
        assert ran.places == []
        assert site.log.evaluations == []


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_check_that_comes_while_we_arrive_is_found_without_running_anything_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    async with opened(tmp_path) as (tab, site):
        ran = Ran(tab, monkeypatch)
        steps = 0
        call = type(tab.page.session).call

        async def stepped(self: Any, method: str, *given: Any, **more: Any) -> Any:
            nonlocal steps
            if method in {"Page.createIsolatedWorld", "Runtime.evaluate"}:
                steps += 1
                if steps == after:
                    await goes_to_a_check(tab, site)
            return await call(self, method, *given, **more)

        monkeypatch.setattr(type(tab.page.session), "call", stepped)
        arrival = await arrive(tab, tab.site.home, fresh=True)
        assert arrival.kind == "challenge"
        assert {status for status, _ in ran.places} <= {"200"}
        assert site.log.evaluations == []


async def test_after_a_document_of_the_site_the_eye_opens_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, _):
        await tab.page.reload()
        with pytest.raises(DocumentLeft):
            await tab.eye.ask("1")
        landed = await tab.settle()
        assert landed is not None
        assert landed.status == 200
        await tab.eye.open()
        assert await tab.eye.ask("witness.one('composer') !== undefined")
