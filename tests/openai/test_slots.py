"""Pictures of high quality are streams of their own, few at a time: what is to become of those that still wait."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.generation import MOST_STREAMS
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Studio, open_studio
from fixtures.images_api import ImagesApi, Request, Response, draw, png
from tests import clock
from tests.openai.doubles import KEY

pytestmark = pytest.mark.anyio

LIMIT = 30


def asking(prompt: str) -> GenerateImage:
    return GenerateImage(prompt=prompt, n=MOST_STREAMS + 2, quality="high", timeout_seconds=LIMIT, wait_seconds=0)


class Held:
    """The API, which draws when it may."""

    def __init__(self, api: ImagesApi) -> None:
        self.api = api
        self.may_draw = 0.0
        """How many pictures, of all."""
        self._drawn = 0
        api.always = self

    async def __call__(self, request: Request, response: Response) -> None:
        while self._drawn >= self.may_draw:  # noqa: ASYNC110 - set by another thread
            await anyio.sleep(0.01)
        self._drawn += 1
        await draw([png(seed=len(self.api.posts))])(request, response)

    @asynccontextmanager
    async def studio(self, folder: Path) -> AsyncGenerator[tuple[Studio, str]]:
        """With a generation that has all streams out."""
        settings = Settings(
            output_dir=folder / "p",
            profile_dir=folder / "q",
            backend="api",
            base_url=self.api.url,
            compat="openai",
            api_key=KEY,
            wait_seconds=20,
        )
        with anyio.fail_after(2 * LIMIT):
            async with open_studio(settings, InstalledWays(), lambda: self.let_go) as studio:
                first = await studio.generate(asking("a fox"))
                while len(self.api.posts) < MOST_STREAMS:  # noqa: ASYNC110 - counted by another thread
                    await anyio.sleep(0.01)
                yield studio, first.record.generation_id

    def let_go(self) -> None:
        self.may_draw = math.inf


async def test_after_its_time_what_is_out_is_saved_and_no_further_stream_is_begun(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(api)
    async with held.studio(tmp_path) as (studio, generation_id):
        clock.leap(monkeypatch, LIMIT)
        while not (await studio.wait(generation_id, 0)).record.over_time:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        held.let_go()
        record = (await studio.wait(generation_id)).record
    assert (record.state, len(record.images), len(api.posts)) == ("partial", MOST_STREAMS, MOST_STREAMS)
    assert [(failure.index, failure.code) for failure in record.failures] == [(5, "timeout"), (6, "timeout")]


async def test_when_the_client_has_gone_what_is_out_is_saved_and_no_further_stream_is_begun(
    api: ImagesApi, tmp_path: Path
) -> None:
    async with Held(api).studio(tmp_path):
        pass
    (folder,) = (tmp_path / "p").glob("*-a-fox")
    record = read_record(folder)[0]
    assert (record.state, len(record.images), len(api.posts)) == ("partial", MOST_STREAMS, MOST_STREAMS)
    assert [(failure.index, failure.code) for failure in record.failures] == [(5, "cancelled"), (6, "cancelled")]


async def test_a_generation_that_waits_for_the_streams_of_another_has_sent_nothing_and_ends_at_its_time(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(api)
    async with held.studio(tmp_path) as (studio, _):
        second = await studio.generate(asking("a hare"))
        streams = cast("ApiBackend", studio.backend("api"))._means.streams  # pyright: ignore[reportPrivateUsage]
        while streams.statistics().tasks_waiting < 3:  # noqa: ASYNC110 - two of the first, and the second
            await anyio.sleep(0.01)
        clock.leap(monkeypatch, LIMIT)
        record = (await studio.wait(second.record.generation_id)).record
        held.let_go()
    assert record.error is not None
    assert (record.state, record.error["code"]) == ("failed", "timeout")
    assert (record.submitted, record.spent, record.error["retryable"]) == (False, False, True)


async def test_a_generation_behind_another_that_has_just_got_a_stream_has_sent_nothing(
    api: ImagesApi, tmp_path: Path
) -> None:
    """The other sends by that very stream: given back before, it went to one whose requests were behind all others."""
    held = Held(api)
    async with held.studio(tmp_path) as (studio, _):
        streams = cast("ApiBackend", studio.backend("api"))._means.streams  # pyright: ignore[reportPrivateUsage]
        made = list[str]()
        for prompt in ("a hare", "a bear"):
            made.append((await studio.generate(asking(prompt))).record.generation_id)
            while streams.statistics().tasks_waiting < 2 + len(made):  # noqa: ASYNC110 - two are of the first
                await anyio.sleep(0.01)
        held.may_draw = 3
        while len(api.posts) < MOST_STREAMS + 3:  # noqa: ASYNC110 - counted by another thread
            await anyio.sleep(0.01)
        record = (await studio.wait(made[-1], 0)).record
        held.let_go()
    assert (record.submitted, record.spent) == (False, False)
