"""A person goes to another place of the site in our window: the prompt goes to none but its own."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.chatgpt import backend as backing
from cdp_image_mcp.chatgpt.page import arrival as arriving
from cdp_image_mcp.chatgpt.window.tab import Tab
from fixtures.site import Site
from tests.people.inside import draw, inside

pytestmark = pytest.mark.anyio

PLACES = ["library", "g/g-p-0123456789/project"]


async def goes_to(tab: Tab, place: str) -> None:
    """As a click in the sidebar does it: in the same document. The library has no composer."""
    gone = "document.body.replaceChildren();" if place == "library" else ""
    await tab.page.session.call("Runtime.evaluate", {"expression": f"history.pushState(null, '', '/{place}'); {gone}"})


def once(does: Callable[..., Awaitable[Any]], place: str) -> Callable[..., Awaitable[Any]]:
    """The person goes there before ``does`` is done for the first time, with the tab or what has one."""
    times: list[str] = []

    async def done(where: Any, /, *given: Any, **more: Any) -> Any:
        if not times:
            times.append(place)
            await goes_to(where if isinstance(where, Tab) else where.tab, place)
        return await does(where, *given, **more)

    return done


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("when", ["arrives", "types"])
async def test_while_the_page_is_used_for_a_new_chat_it_is_begun_anew_and_the_picture_comes(
    when: str, place: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "arrives":
        monkeypatch.setattr(arriving, "account_of", once(arriving.account_of, place))
    else:
        monkeypatch.setattr(backing, "fill_in", once(backing.fill_in, place))
    with anyio.fail_after(120):
        async with inside(tmp_path, site.url, monkeypatch) as studio:
            done = await draw(studio, "a fox", wait_seconds=100)
    assert done.record.state == "saved", done
    assert [(prompt.text, prompt.address) for prompt in site.log.prompts] == [("a fox", f"{site.url}/")]
