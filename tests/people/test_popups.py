"""Pages that the site's page opens by itself do not stay."""

from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from tests.people.browsers import wait_for_pages
from tests.people.person import auto
from tests.people.screen import Screen
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["headless", "hidden"])
async def test_a_page_that_ours_opened_is_closed_with_the_turn(
    screen: Screen, site: Site, tmp_path: Path, mode: str
) -> None:
    site.set(popup=True)
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen, CHATGPT_WINDOW_MODE=mode)) as program:
            assert (await program.generate("a lighthouse")).status == "saved"
            # The answer comes with the picture, the end of the turn behind it.
            await wait_for_pages(tmp_path, lambda addresses: len(addresses) == 1 and "popup" not in addresses[0])
            assert (await program.generate("another")).status == "saved"
