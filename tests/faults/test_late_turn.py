"""A picture that outlasts its time at the site, through a real browser."""

import hashlib
from pathlib import Path

import anyio
import pytest

from fixtures.site import Switches, running_site
from tests.web.program import running_program

pytestmark = [pytest.mark.anyio, pytest.mark.nightly]


async def test_a_picture_that_outlasts_its_time_is_saved_and_the_next_prompt_waits_for_it(tmp_path: Path) -> None:
    with anyio.fail_after(240), running_site(Switches(picture_delay_s=45.0)) as site:
        async with running_program(tmp_path, site.url) as program:
            working = await program.generate("a late moon", timeout_seconds=30, wait_seconds=38, images="none")
            assert (working.status, working.data["over_time"]) == ("working", True)
            following = await program.generate("an early sun", wait_seconds=0, images="none")
            assert following.data["progress"]["state"] == "queued"
            site.switches = Switches(picture_delay_s=0.5)
            late = await program.call("wait_for_image", generation_id=working.data["generation_id"], images="none")
            early = await program.call("wait_for_image", generation_id=following.data["generation_id"], images="none")
        assert (late.status, early.status) == ("saved", "saved"), (late.data, early.data)
        assert [prompt.text for prompt in site.log.prompts] == ["a late moon", "an early sun"]
        assert site.log.wrong_presses == []
        finals = {picture.sha256 for picture in site.log.pictures("final")}
    assert {hashlib.sha256(data).hexdigest() for data in [*late.files(), *early.files()]} == finals
