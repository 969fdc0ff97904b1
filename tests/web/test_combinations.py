"""Moods of the site drawn together at random, and that every switch is drawn or has a reason not to be."""

import random
import secrets
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from fixtures.site import Switches
from fixtures.site.expectation import contradiction
from tests.web.combinations import MANNERS, NO_SUCH_VALUE, NOT_DRAWN, TROUBLES, Tally, draw, given, play, scenes
from tests.web.performance import Performance, Scene

pytestmark = pytest.mark.anyio


def test_every_switch_is_drawn_or_has_a_reason_not_to_be() -> None:
    drawn = {*MANNERS, *TROUBLES}
    assert drawn & NOT_DRAWN.keys() == set()
    assert drawn | NOT_DRAWN.keys() == set(Switches.__struct_fields__)


def values(kind: Any) -> set[Any]:
    """All that a switch of this type can be, each of a list's by itself; empty where they cannot be counted."""
    if kind is bool:
        return {True, False}
    if get_origin(kind) is tuple:
        return values(get_args(kind)[0]) if get_args(kind)[-1] is ... else set()
    return set(get_args(kind)) if get_origin(kind) is Literal else set()


def test_every_value_of_a_switch_is_drawn_or_has_a_reason_not_to_be() -> None:
    usual: dict[str, Any] = msgspec.structs.asdict(Switches())
    never: set[tuple[str, Any]] = set()
    for name, kind in get_type_hints(Switches).items():
        if name not in NOT_DRAWN:
            met: set[Any] = set()
            for each in (usual[name], *MANNERS.get(name, ()), *TROUBLES.get(name, ())):
                met |= {*each} if isinstance(each, tuple) else {each}
            never |= {(name, value) for value in values(kind) - met}
    assert never == NO_SUCH_VALUE.keys()


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


def test_what_is_drawn_counts_whatever_its_value_is() -> None:
    """In so many rounds each of them comes up, always with what makes it count."""
    chance, met = random.Random(7), set[tuple[str, Any]]()
    for number in range(4000):
        drawn = draw(chance, number, 7)
        mood = msgspec.structs.asdict(drawn.switches) | msgspec.structs.asdict(drawn.asked)
        changed = {(name, mood[name]) for name in drawn.changed}
        for name, value in changed:
            for other, options in given(name, value).items():
                assert mood[other] in options, (name, value)
        met |= changed
    assert {(name, value) for name, options in TROUBLES.items() for value in options} - met == set()


@pytest.mark.parametrize("scene", scenes(12, 2026, Tally()), ids=range(12))
async def test_a_combination(scene: Scene, performance: Performance) -> None:
    """The same in every run, so that only a change makes it red; the nightly ones are drawn."""
    await performance.seen(scene)


@pytest.mark.nightly
async def test_three_hundred_combinations(tmp_path: Path) -> None:
    tally = await play(300, secrets.randbelow(1_000_000), tmp_path)
    print(tally)
    assert tally.faults == []
