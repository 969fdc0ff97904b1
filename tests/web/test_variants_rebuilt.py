"""The 62 variants and more on the rebuilt page, through the real program."""

from collections.abc import AsyncGenerator

import pytest

from fixtures.site.switches import Generation, Language
from fixtures.site.variants import Variant
from tests.web.variants import Stage, open_stage, play, rows

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("variants")) as opened:
        yield opened


@pytest.mark.parametrize(("variant", "generation", "language"), rows("rebuilt"))
async def test_variant(variant: Variant, generation: Generation, language: Language, stage: Stage) -> None:
    await play(stage, variant, generation, language)
