"""Nothing is lost, doubled or left behind, whatever breaks at whatever moment."""

import secrets

import anyio
import pytest

from tests.faults.rounds import Figures, run

pytestmark = pytest.mark.anyio


def verdict(figures: Figures, seed: int) -> None:
    print(f"seed {seed}\n{figures}")
    assert figures.problems == [], f"seed {seed}"


async def test_twenty_five_rounds_of_faults() -> None:
    seed = secrets.randbelow(1_000_000)
    with anyio.fail_after(600):
        verdict(await run(25, seed), seed)


@pytest.mark.nightly
async def test_three_hundred_rounds_of_faults() -> None:
    seed = secrets.randbelow(1_000_000)
    with anyio.fail_after(7200):
        verdict(await run(300, seed), seed)
