"""A picture that outlasts its time at the site, through a real browser."""

import hashlib
from pathlib import Path

import anyio
import msgspec
import pytest

from fixtures.site import Switches, running_site
from tests.web.program import running_program

pytestmark = [pytest.mark.anyio, pytest.mark.nightly]


async def test_a_picture_that_outlasts_its_time_is_collected_before_the_next_prompt_goes_out(tmp_path: Path) -> None:
    with anyio.fail_after(240), running_site(Switches(picture_delay_s=45.0)) as site:
        async with running_program(tmp_path, site.url) as program:
            late = await program.generate("a late moon", timeout_seconds=30, wait_seconds=90, images="none")
            assert (late.code, late.data["submitted"]) == ("timeout", True)
            site.switches = Switches(picture_delay_s=0.5)
            following = await program.generate("an early sun", wait_seconds=120, images="none")
            assert following.status == "saved", following.data
            # It was collected on the way: nothing more is asked of the site for it.
            record = next(
                record
                for path in (tmp_path / "output").glob("*/*/metadata.json")
                if (record := msgspec.json.decode(path.read_bytes()))["generation_id"] == late.data["generation_id"]
            )
            assert record["state"] == "saved", record["error"]
        assert [prompt.text for prompt in site.log.prompts] == ["a late moon", "an early sun"]
        assert site.log.wrong_presses == []
        finals = {picture.sha256 for picture in site.log.pictures("final")}
    files = [Path(record["images"][0]["path"]).read_bytes(), *following.files()]
    assert {hashlib.sha256(data).hexdigest() for data in files} == finals
