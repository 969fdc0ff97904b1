"""Nothing is lost, doubled or left behind, whatever breaks at whatever moment."""

import secrets
import sys

import anyio
import pytest

from tests.browser import is_root
from tests.faults.rounds import Figures, run

pytestmark = pytest.mark.anyio


LANES = 5
"""Workstations at the same time: most of a round is waiting for clocks of the product."""


SEED = 2026
BEYOND = {kind for kind, here in {"disk full": is_root(), "websocket cut": sys.platform == "linux"}.items() if not here}
"""Faults that this system cannot make."""


def verdict(figures: Figures, seed: int) -> None:
    print(f"seed {seed}, {LANES} lanes\n{figures}")
    assert figures.problems == [], f"seed {seed}"
    # Else nothing was tried: no picture was made that could be lost, or no fault came that could lose it.
    for side in (figures.web, figures.api):
        assert side.pictures
        assert side.missed <= BEYOND, f"seed {seed}"


async def test_fifteen_rounds_of_faults() -> None:
    """The same in every run, so that only a change makes it red; the nightly ones are drawn."""
    with anyio.fail_after(600):
        verdict(await run(15, SEED, lanes=LANES), SEED)


@pytest.mark.nightly
async def test_three_hundred_rounds_of_faults() -> None:
    seed = secrets.randbelow(1_000_000)
    with anyio.fail_after(7200):
        verdict(await run(300, seed, lanes=LANES), seed)
