"""Off the screen, on a desktop that lets windows be there: nobody sees the window, and it paints on.

Openbox draws such windows back, so that elsewhere only minimising is seen. Without a window manager every place counts.
"""

from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from PIL import Image

from fixtures.site import Site
from tests.people.browsers import none_left
from tests.people.person import auto, look
from tests.people.screen import Screen, open_screen
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


@pytest.fixture
def desktop() -> Generator[Screen]:
    with open_screen(manager=False) as screen:
        yield screen


def colours(picture: Path) -> int:
    """How many there are on the screen; an empty one has one."""
    with Image.open(picture) as image:
        return len(image.convert("RGB").getcolors(1 << 24) or [])


async def test_a_window_off_the_screen_is_seen_by_nobody_and_paints_on(
    desktop: Screen, site: Site, tmp_path: Path
) -> None:
    variables = auto(desktop, CHATGPT_WINDOW_MODE="hidden")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            answer = await program.generate("a lighthouse at dusk", images="none")
            assert answer.status == "saved", answer.data
            facts = await look(program)
            assert (facts["place"], facts["hide_method"], facts["hidden"]) == ("offscreen", "offscreen", True), facts
            # Mapped as any other window, and nowhere to be seen.
            (window,) = desktop.windows()
            assert desktop.place(window)[0] < -2000
            assert colours(desktop.picture(tmp_path / "away.png")) == 1

            facts = await look(program, "show")
            assert (facts["place"], facts["visible"], facts["show_method"]) == ("visible", True, "restore"), facts
            left, top = desktop.place(window)
            assert 0 <= left < 200
            assert 0 <= top < 200
            assert colours(desktop.picture(tmp_path / "shown.png")) > 20

            # Hidden by a command the page is asked for two frames there, besides its place.
            facts = await look(program, "hide")
            assert (facts["place"], facts["hide_method"], facts.get("hide_error")) == ("offscreen", "offscreen", None)
            assert desktop.place(window)[0] < -2000
            assert colours(desktop.picture(tmp_path / "away-again.png")) == 1

            # Dragged back by somebody: told as it is, and not as ours.
            desktop.run("windowmove", "--sync", window, "300", "200")
            facts = await look(program)
            assert (facts["place"], facts["visible"], facts["hide_attempted"]) == ("visible", True, False), facts
        await none_left(tmp_path)
