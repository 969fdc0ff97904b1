"""Moods of the site drawn together at random, and that every switch is drawn or has a reason not to be."""

import random
import secrets
from pathlib import Path

import pytest

from fixtures.site import Switches
from fixtures.site.expectation import contradiction
from tests.web.combinations import MANNERS, NOT_DRAWN, TROUBLES, Tally, draw, play, scenes
from tests.web.performance import Performance, Scene

pytestmark = pytest.mark.anyio


def test_every_switch_is_drawn_or_has_a_reason_not_to_be() -> None:
    drawn = [*MANNERS, *TROUBLES, *NOT_DRAWN]
    assert sorted(drawn) == sorted(Switches.__struct_fields__)


def test_a_seed_gives_the_same_combinations_again_and_none_contradicts_itself() -> None:
    first, second = random.Random(7), random.Random(7)
    for number in range(300):
        drawn = draw(first, number, 7)
        assert drawn == draw(second, number, 7)
        assert contradiction(drawn.switches) == ""


def test_every_trouble_comes_up_in_three_hundred() -> None:
    chance = random.Random(7)
    met = {name for number in range(300) for name in draw(chance, number, 7).changed}
    assert set(TROUBLES) - met == set()


@pytest.mark.parametrize("scene", scenes(12, 2026, Tally()), ids=range(12))
async def test_a_combination(scene: Scene, performance: Performance) -> None:
    """The same in every run, so that only a change makes it red; the nightly ones are drawn."""
    await performance.seen(scene)


@pytest.mark.nightly
async def test_three_hundred_combinations(tmp_path: Path) -> None:
    tally = await play(300, secrets.randbelow(1_000_000), tmp_path)
    print(tally)
    assert tally.faults == []
