"""A quota that the page asks for while it is loaded."""

from pathlib import Path

import pytest

from fixtures.site import Switches, running_site
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("delay", [0.0, 1.5])
async def test_a_page_that_says_no_pictures_are_left_is_sent_no_prompt(delay: float, tmp_path: Path) -> None:
    with running_site(Switches(remaining=0, quota_delay_s=delay)) as site:
        async with running_program(tmp_path, site.url) as program:
            answer = await program.generate("a lighthouse at dusk")
        assert (answer.status, answer.code) == ("failed", "quota_reached"), answer.data
        assert (answer.data["submitted"], answer.data["spent"]) == (False, False)
        assert "reset_at" in answer.data
        assert site.log.prompts == []


async def test_a_page_that_is_never_told_its_quotas_is_sent_the_prompt_all_the_same(tmp_path: Path) -> None:
    with running_site(Switches(quota_delay_s=600)) as site:
        async with running_program(tmp_path, site.url) as program:
            answer = await program.generate("a lighthouse at dusk")
        assert answer.status == "saved", answer.data
