"""The table of the stand-in's variants is whole, and expects only what the contract knows."""

from typing import get_args

import pytest

from cdp_image_mcp.errors import CODES
from fixtures.site.switches import Generation, Language
from fixtures.site.variants import VARIANTS, Variant
from tests.docs.variants import variants_page

STATES = {"saved", "partial", "needs_sign_in", "needs_verification", "not_sent"}


def test_all_variants_are_there_once() -> None:
    assert {row.number for row in VARIANTS} == set(range(1, max(row.number for row in VARIANTS) + 1))
    assert len({row.key for row in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("row", VARIANTS, ids=lambda row: row.key)
def test_a_variant_can_be_played_and_expects_a_state_or_a_code(row: Variant) -> None:
    assert set(row.expects.split("/")) <= STATES | set(CODES)
    assert set(row.generations) <= set(get_args(Generation))
    assert set(row.languages) <= set(get_args(Language))
    for generation in row.generations:
        for language in row.languages:
            switches = row.switches(generation, language)
            assert (switches.generation, switches.language) == (generation, language)


def test_every_variant_stands_on_the_page() -> None:
    lines = [line for line in variants_page().splitlines() if line.startswith("| ") and not line.startswith("| no.")]
    keys = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    assert sorted(keys) == sorted(row.key.lstrip("0") for row in VARIANTS)
