"""Nothing is lost, doubled or left behind, whatever breaks at whatever moment."""

import secrets

import anyio
import pytest

from tests.faults.rounds import Figures, run

pytestmark = pytest.mark.anyio


LANES = 5
"""Workstations at the same time: most of a round is waiting for clocks of the product."""


SEED = 2026


def verdict(figures: Figures, seed: int) -> None:
    print(f"seed {seed}, {LANES} lanes\n{figures}")
    assert figures.problems == [], f"seed {seed}"


async def test_fifteen_rounds_of_faults() -> None:
    """The same in every run, so that only a change makes it red; the nightly ones are drawn."""
    with anyio.fail_after(600):
        verdict(await run(15, SEED, lanes=LANES), SEED)


@pytest.mark.nightly
async def test_three_hundred_rounds_of_faults() -> None:
    seed = secrets.randbelow(1_000_000)
    with anyio.fail_after(7200):
        verdict(await run(300, seed, lanes=LANES), seed)
