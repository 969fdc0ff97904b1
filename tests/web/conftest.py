"""Tests with a ``scene`` are played side by side; each of them then waits for its own."""

from collections.abc import AsyncGenerator, Generator

import anyio
import pytest

from tests.browser import found_browser
from tests.scopes import scope_of
from tests.web.performance import Performance, Scene


@pytest.fixture(scope="package")
async def performance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Performance]:
    """The scenes of all chosen tests of the folder. Only where one process plays them all: see ``tests/run``."""
    found_browser()
    scenes = {item.nodeid: scene for item in request.session.items if (scene := scene_of(item)) is not None}
    assert len({scope_of(node) for node in scenes}) == 1, "a file with scenes is not among SCENES"
    performance = Performance(scenes.values())
    async with anyio.create_task_group() as group:
        group.start_soon(performance.run, tmp_path_factory.mktemp("performance"))
        yield performance
        performance.stop()
    if performance.errors:
        raise ExceptionGroup("programs did not end as they should", performance.errors)


def scene_of(item: pytest.Item) -> Scene | None:
    chosen = item.callspec.params.get("scene") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else 0
    return chosen if isinstance(chosen, Scene) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A scene's time is the time it was played, not the time its test waited."""
    report = yield
    if call.when == "call" and isinstance(item, pytest.Function) and (scene := scene_of(item)):
        performance = item.funcargs["performance"]
        assert isinstance(performance, Performance)
        report.duration = performance.seconds(scene)
    return report
