"""Variants in which the program waits long for good reason, shared out over several programs and browsers at once."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from fixtures.site.switches import Generation, Language
from fixtures.site.variants import Variant
from tests.web.variants import PATIENT, open_stage, play, rows

pytestmark = pytest.mark.anyio

Case = tuple[Variant, Generation, Language]

STARTING = 3
"""Browsers that start at the same time; waiting, they may all be at once."""


async def test_variants_that_want_patience(tmp_path: Path) -> None:
    cases: list[Case] = [parameters.values for parameters in rows("classic", "rebuilt", "mobile", patient=True)]
    assert {case[0].key for case in cases} == set(PATIENT)
    starting = anyio.CapacityLimiter(STARTING)

    async def in_turn(number: int, share: list[Case]) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        async with AsyncExitStack() as stack:
            async with starting:
                stage = await stack.enter_async_context(open_stage(folder))
                told = await stage.program.call("browser_visibility", start_browser=True)
                assert told.data["browser_open"], told.data
            for case in share:
                await play(stage, *case)

    with anyio.fail_after(400):
        async with anyio.create_task_group() as group:
            for number, share in enumerate(shares(cases)):
                group.start_soon(in_turn, number, share)


def shares(cases: list[Case]) -> list[list[Case]]:
    """The cases for each browser: as few browsers as finish about when the longest case does."""
    longest = max(PATIENT.values())
    found: list[list[Case]] = []
    for case in sorted(cases, key=lambda case: -PATIENT[case[0].key]):
        seconds = PATIENT[case[0].key]
        room = [share for share in found if sum(PATIENT[one[0].key] for one in share) + seconds <= longest]
        if room:
            room[0].append(case)
        else:
            found.append([case])
    return found
