"""A screen with a person in front of it, the stand-in site, and the browsers of a folder."""

from collections.abc import Generator

import pytest

from fixtures.site import Site, Switches, running_site
from tests.people.screen import Screen, open_screen


@pytest.fixture(scope="session")
def screen() -> Generator[Screen]:
    with open_screen() as screen:
        yield screen


@pytest.fixture
def site() -> Generator[Site]:
    with running_site(Switches()) as site:
        yield site
