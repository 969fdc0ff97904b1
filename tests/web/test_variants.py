"""The ways in which the site has been seen to behave, on each of its pages, through the real program."""

import pytest

from fixtures.site.variants import MORE, VARIANTS
from tests.web.awaited import AWAITED
from tests.web.performance import Performance, Scene
from tests.web.variants import PATIENT, rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scene", rows())
async def test_variant(scene: Scene, performance: Performance) -> None:
    await performance.seen(scene)


def test_what_wants_patience_is_a_variant() -> None:
    assert set(PATIENT) <= {variant.key for variant in (*VARIANTS, *MORE)}


def test_what_is_awaited_is_a_variant_on_a_page_of_its() -> None:
    known = {f"{variant.key}-{page}" for variant in (*VARIANTS, *MORE) for page in variant.generations}
    known |= {variant.key for variant in (*VARIANTS, *MORE)}
    assert set(AWAITED) <= known
