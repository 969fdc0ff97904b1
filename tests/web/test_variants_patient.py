"""Variants in which the program waits long for good reason, each with a program and a browser of its own, at once."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from fixtures.site.switches import Generation, Language
from fixtures.site.variants import Variant
from tests.web.variants import PATIENT, open_stage, play, rows

pytestmark = pytest.mark.anyio

STARTING = 3
"""Browsers that start at the same time; waiting, they may all be at once."""


async def test_variants_that_want_patience(tmp_path: Path) -> None:
    cases = [parameters.values for parameters in rows("classic", "rebuilt", "mobile", patient=True)]
    assert {case[0].key for case in cases} == set(PATIENT)

    starting = anyio.CapacityLimiter(STARTING)

    async def one(variant: Variant, generation: Generation, language: Language) -> None:
        folder = tmp_path / f"{variant.key}-{generation}-{language}"
        folder.mkdir()
        async with AsyncExitStack() as stack:
            async with starting:
                stage = await stack.enter_async_context(open_stage(folder))
                told = await stage.program.call("browser_visibility", start_browser=True)
                assert told.data["browser_open"], told.data
            await play(stage, variant, generation, language)

    with anyio.fail_after(300):
        async with anyio.create_task_group() as group:
            for case in cases:
                group.start_soon(one, *case)
