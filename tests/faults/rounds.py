"""Rounds of generations with faults at random moments, at the site and at the API."""

import random
import tempfile
from pathlib import Path

import anyio

from cdp_image_mcp.request import BackendName
from fixtures.images_api import running_api
from fixtures.site import Switches, running_site
from tests.faults.api import api_round
from tests.faults.faults import mount
from tests.faults.figures import Figures
from tests.faults.line import Line
from tests.faults.web import web_round

API_SHARE = 0.25


async def run(rounds: int, seed: int, backend: BackendName | None = None, lanes: int = 1) -> Figures:
    """The rounds of ``lanes`` workstations that have a bad day at the same time, each with a library, an account and a
    key of its own. Without ``backend`` each round draws its own."""
    figures = Figures()
    async with anyio.create_task_group() as group:
        for lane in range(lanes):
            numbers = range(lane, rounds, lanes)
            group.start_soon(_lane, numbers, random.Random(f"{seed} {lane}"), figures, backend)
    return figures


async def _lane(numbers: range, chance: random.Random, figures: Figures, backend: BackendName | None) -> None:
    with tempfile.TemporaryDirectory(prefix="cdp-image-mcp-faults-") as name:
        folder = Path(name)
        unmount = mount(folder / "output")
        try:
            with running_site(Switches()) as site, running_api() as api:
                line = Line(api)
                for number in numbers:
                    drawn: BackendName = "api" if chance.random() < API_SHARE else "chatgpt-web"
                    if (backend or drawn) == "api":
                        await api_round(folder, line, chance, number, figures.api)
                    else:
                        await web_round(folder, site, chance, number, figures.web)
        finally:
            if unmount is not None:
                unmount()
