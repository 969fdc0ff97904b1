"""Rounds of generations with faults at random moments, at the site and at the API."""

import random
import tempfile
from pathlib import Path

from cdp_image_mcp.request import BackendName
from fixtures.images_api import running_api
from fixtures.site import Switches, running_site
from tests.faults.api import api_round
from tests.faults.faults import mount
from tests.faults.figures import Figures
from tests.faults.line import Line
from tests.faults.web import web_round

__all__ = ["Figures", "run"]

API_SHARE = 0.25


async def run(rounds: int, seed: int, backend: BackendName | None = None) -> Figures:
    """All rounds on one library, one account and one key, as on a workstation that has a bad day. Without ``backend``
    each round draws its own."""
    chance = random.Random(seed)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="cdp-image-mcp-faults-") as name:
        folder = Path(name)
        unmount = mount(folder / "output")
        try:
            with running_site(Switches()) as site, running_api() as api:
                line = Line(api)
                for number in range(rounds):
                    drawn: BackendName = "api" if chance.random() < API_SHARE else "chatgpt-web"
                    if (backend or drawn) == "api":
                        await api_round(folder, line, chance, number, figures.api)
                    else:
                        await web_round(folder, site, chance, number, figures.web)
        finally:
            if unmount is not None:
                unmount()
    return figures
