"""A client that goes while a picture is being paid for at the API, in every way that clients go."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest

from cdp_image_mcp.mcp_server import serving, ways
from cdp_image_mcp.openai.wire.download import FETCHING
from cdp_image_mcp.previews.preview import OpenCanvas
from cdp_image_mcp.request import LONGEST_WAIT, ImageRequest, Report
from cdp_image_mcp.studio.jobs.settling import HELD_SECONDS
from fixtures.images_api import ImagesApi, Request, Response, draw, running_api
from tests.faults.faults import records, working_in
from tests.faults.peer import Gone, Peer
from tests.mcp_server.scripted import FakeCanvas, png
from tests.people.screen import until
from tests.studio.leaving import asking
from tests.studio.scripted import Scripted, settings
from tests.ways import Given
from tests.web.program import environment

pytestmark = pytest.mark.anyio
PROMPT = "a lighthouse at dusk"


class SlowApi:
    """Draws only when it may."""

    def __init__(self, api: ImagesApi) -> None:
        self.api = api
        self.asked = threading.Event()
        self.may_draw = threading.Event()
        api.always = self._play

    async def _play(self, request: Request, response: Response) -> None:
        self.asked.set()
        await asyncio.to_thread(self.may_draw.wait, 60)
        await draw()(request, response)


@pytest.fixture
def slow() -> Generator[SlowApi]:
    with running_api() as api:
        slow = SlowApi(api)
        yield slow
        slow.may_draw.set()


async def quit_in_order(peer: Peer) -> None:
    assert peer.process.stdin is not None
    await peer.process.stdin.aclose()


async def signalled(peer: Peer) -> None:
    peer.process.terminate()


async def killed(peer: Peer) -> None:
    peer.process.kill()


async def group_killed(peer: Peer) -> None:
    peer.kill_group()


WAYS: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "end of input": quit_in_order,
    "SIGTERM": signalled,
    "SIGKILL": killed,
    "SIGKILL of the group": group_killed,
}


def variables(folder: Path, slow: SlowApi) -> dict[str, str]:
    return environment(
        folder,
        "http://127.0.0.1:9/",
        GPT_IMAGE_BACKEND="api",
        OPENAI_BASE_URL=slow.api.url,
        OPENAI_COMPAT="openai",
        OPENAI_API_KEY="test-key",
    )


async def ask(peer: Peer, told: list[dict[str, Any]], n: int = 1) -> None:
    try:
        told.append(
            await peer.call("generate_image", prompt=PROMPT, images="none", wait_seconds=60, n=n, quality="high")
        )
    except Gone:
        return


async def until_split(peer: Peer) -> psutil.Process:
    """The server proper, once it is there."""
    await until(lambda: peer.server is not None, 30)
    server = peer.server
    assert server is not None
    return server


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_that_is_out_is_finished_and_saved_by_a_process_that_then_ends(
    slow: SlowApi, tmp_path: Path, way: str
) -> None:
    told: list[dict[str, Any]] = []
    with anyio.fail_after(90):
        peer = await Peer.start(tmp_path, variables(tmp_path, slow))
        server = await until_split(peer)
        async with anyio.create_task_group() as group:
            group.start_soon(peer.read)
            await peer.open()
            group.start_soon(ask, peer, told)
            await anyio.to_thread.run_sync(slow.asked.wait, 60)
            await WAYS[way](peer)
            await peer.process.wait()
            await until(lambda: working_in(tmp_path) == [server], 3 + 7)
        # The next server waits for it as for any other that is being made, and nobody pays again.
        successor = await Peer.start(tmp_path, variables(tmp_path, slow))
        async with anyio.create_task_group() as group:
            group.start_soon(successor.read)
            await successor.open()
            working = await successor.call(
                "generate_image", prompt=PROMPT, quality="high", images="none", wait_seconds=0
            )
            assert (working["status"], working.get("joined")) == ("working", True)
            slow.may_draw.set()
            answer = await successor.call(
                "wait_for_image", generation_id=working["generation_id"], images="none", wait_seconds=60
            )
            assert answer["status"] == "saved"
            await until(lambda: not server.is_running(), 20)
            await successor.end()
            group.cancel_scope.cancel()
        await peer.process.aclose()
        await successor.process.aclose()
    assert told == [] or told[0]["status"] == "working"
    assert len(slow.api.posts) == 1
    (record,) = records(tmp_path)
    assert (record["state"], len(record["images"]), record["owner"]) == ("saved", 1, None)
    assert working_in(tmp_path) == []


async def test_what_was_not_sent_is_not_sent_after_the_client_has_gone(slow: SlowApi, tmp_path: Path) -> None:
    """Four requests go out at once; the other two of six wait for a place."""
    told: list[dict[str, Any]] = []
    with anyio.fail_after(90):
        peer = await Peer.start(tmp_path, variables(tmp_path, slow))
        async with anyio.create_task_group() as group:
            group.start_soon(peer.read)
            await peer.open()
            group.start_soon(ask, peer, told, 6)
            await until(lambda: len(slow.api.posts) == 4, 30)
            await peer.vanish()
            await peer.process.wait()
            slow.may_draw.set()
            await until(lambda: working_in(tmp_path) == [], 30)
            group.cancel_scope.cancel()
        await peer.process.aclose()
    assert told == []
    assert len(slow.api.posts) == 4
    (record,) = records(tmp_path)
    assert (record["state"], len(record["images"])) == ("partial", 4)


async def test_a_picture_that_the_disk_did_not_take_is_tried_again_after_the_client_has_gone(
    slow: SlowApi, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    with anyio.fail_after(120):
        peer = await Peer.start(tmp_path, variables(tmp_path, slow))
        async with anyio.create_task_group() as group:
            group.start_soon(peer.read)
            await peer.open()
            group.start_soon(ask, peer, told)
            await anyio.to_thread.run_sync(slow.asked.wait, 60)
            (sidecar,) = tmp_path.rglob("metadata.json")
            in_the_way = sidecar.parent
            # The server may be writing the record at this moment, and makes its folder again.
            while not in_the_way.is_file():
                shutil.rmtree(in_the_way.rename(tmp_path / "tidied away"))
                with contextlib.suppress(FileExistsError):
                    in_the_way.touch(exist_ok=False)
            slow.may_draw.set()
            await until(lambda: bool(told), 30)
            assert (told[0]["code"], told[0]["submitted"], told[0]["spent"]) == ("disk", True, True)
            await quit_in_order(peer)
            await peer.process.wait()
            in_the_way.unlink()
            await until(lambda: working_in(tmp_path) == [], 60)
            group.cancel_scope.cancel()
        await peer.process.aclose()
    (record,) = records(tmp_path)
    assert (record["state"], len(record["images"]), record["error"]) == ("saved", 1, None)
    assert Path(record["images"][0]["path"]).is_file()


async def test_the_front_ends_as_its_server_does(slow: SlowApi, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        peer = await Peer.start(tmp_path, variables(tmp_path, slow))
        async with anyio.create_task_group() as group:
            group.start_soon(peer.read)
            await peer.open()
            (await until_split(peer)).kill()
            assert await peer.process.wait() == -9
        await peer.process.aclose()
    assert working_in(tmp_path) == []


async def test_what_is_out_is_told_before_the_browsers_of_previews_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs took longer than a process has to end, and the picture with it."""
    told, sent, may_draw = list[str](), anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def canvases(*_: object) -> AsyncGenerator[OpenCanvas]:
        yield FakeCanvas().open
        told.append("previews are closed")

    async def play(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
        sent.set()
        await may_draw.wait()
        await report.save(png())

    def outliving() -> Callable[[], None]:
        told.append("something is out")
        return may_draw.set

    monkeypatch.setattr(serving, "canvases", canvases)
    monkeypatch.setattr(ways, "InstalledWays", lambda: Given({"api": Scripted(play)}))
    with anyio.fail_after(30):
        async with serving.open_app(settings(tmp_path, backend="api", api_key="test-key"), outliving) as app:
            await (await app.studio()).generate(asking(wait_seconds=0))
            await sent.wait()
    assert told == ["something is out", "previews are closed"]


def test_whoever_outlives_its_client_has_time_for_all_that_one_picture_may_take() -> None:
    """An answer, then its address, then a disk that is full."""
    assert serving.OUTLIVING_SECONDS > LONGEST_WAIT + FETCHING + HELD_SECONDS
