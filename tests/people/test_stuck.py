"""A browser that hangs: every call is answered in its time with what is true, and the work goes on with the browser."""

from contextlib import AbstractContextManager
from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from tests.people.browsers import browsers, none_left
from tests.people.person import auto, look
from tests.people.screen import Screen, until
from tests.stopped import stopped
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


def hanging(folder: Path) -> AbstractContextManager[None]:
    """The browser's main process stands still for the length of the block, as on a machine that swaps."""
    (process,) = browsers(folder)
    return stopped(process.pid)


@pytest.mark.parametrize("mode", ["headless", "hidden"])
async def test_a_hanging_browser_is_told_as_such_and_nothing_of_it_is_claimed(
    mode: str, screen: Screen, site: Site, tmp_path: Path
) -> None:
    variables = auto(screen, CHATGPT_WINDOW_MODE=mode if mode == "hidden" else "auto")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            assert (await program.generate("before", images="none")).status == "saved"
            before = await look(program)
            with hanging(tmp_path):
                facts = await look(program)
                assert (facts["browser_open"], facts["place"]) == (True, "unknown"), facts
                assert not facts["visible"]
                assert not facts["hidden"]
                assert "does not answer" in str(facts["message"])
                shown = await look(program, "show")
                assert not shown["visible"]
                assert "does not answer" in str(shown["message"])
                status = await program.call("backend_status")
                (web,) = [each for each in status.data["statuses"] if each["backend"] == "chatgpt-web"]
                assert web["details"]["session"]["place"] == "unknown"
                assert (await look(program, "hide"))["place"] == "unknown"
            after = await look(program)
            assert (after["place"], after["hidden"]) == (before["place"], before["hidden"])
            assert (await program.generate("after", images="none")).status == "saved"
        await none_left(tmp_path)
    assert [prompt.text for prompt in site.log.prompts] == ["before", "after"]


async def test_a_browser_that_hangs_while_it_draws_keeps_no_call_and_loses_no_picture(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.state.held = True
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            started = await program.generate("a lighthouse", wait_seconds=0)
            await until(lambda: bool(site.log.prompts))
            with hanging(tmp_path):
                site.state.held = False
                await until(lambda: bool(site.log.pictures("final")))
                told = await program.call("wait_for_image", generation_id=started.data["generation_id"], wait_seconds=1)
                assert told.status == "working", told.data
            done = await program.call("wait_for_image", generation_id=started.data["generation_id"])
            assert done.status == "saved", done.data
    assert len(site.log.prompts) == 1
