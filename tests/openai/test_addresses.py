"""A picture that was only named is as much paid for as one that came: its address is kept whatever becomes of the
answer that it stood in."""

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.openai.wire.download import Downloader
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing, Studio, open_studio
from fixtures.images_api import ImagesApi, Play, Request, Response, html_page, png, raw
from tests.clock import leap
from tests.openai.doubles import KEY
from tests.openai.wire.events import FORMS as ANSWERS

pytestmark = pytest.mark.anyio

PNG = {"content-type": "image/png"}
MADE = png(64, 64, size=5000, seed=5)
FORMS = {
    "JSON": '{"created": 1, "data": [{"revised_prompt": "a {red} \\"fox\\"", "url": "%s"}',
    "an event": 'data: {"type": "image_generation.completed", "url": "%s"}\n\n',
    "half an event": 'data: {"type": "image_generation.completed", "url": "%s", "usage": {"inp',
    "under another name": 'data: {"type": "image.final", "url": "%s"}\n\n',
}
End = Literal["silence", "cut", "garbage"]


def settings(api: ImagesApi, folder: Path, **fields: Any) -> Settings:
    values: dict[str, Any] = {"backend": "api", "base_url": api.url, "compat": "localai", "api_key": KEY}
    return Settings(output_dir=folder / "p", profile_dir=folder / "q", wait_seconds=20, **(values | fields))


async def asked(studio: Studio, **arguments: Any) -> Standing:
    return await studio.generate(GenerateImage(prompt="a fox", **arguments))


def limit(end: End) -> dict[str, float]:
    """What is cut off ends by itself; what falls silent after enough time for a busy machine to have begun."""
    return {"timeout_seconds": 3} if end == "silence" else {}


def begun(text: str, end: End) -> Play:
    """An answer that begins so and is not ended as it should be."""

    async def play(_request: Request, response: Response) -> None:
        await response.start(200, {"content-type": "application/json"})
        await response.send(text.encode())
        if end == "silence":
            await response.silence()
        elif end == "cut":
            response.cut()
        else:
            await response.send(b"}]} and more that is no JSON")
            await response.end()

    return play


@pytest.mark.parametrize("end", ["silence", "cut", "garbage"])
@pytest.mark.parametrize("form", FORMS)
async def test_an_address_in_an_answer_without_its_end_is_fetched(
    form: str, end: End, api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.openai.generation.PATIENCE", 0.5)
    address = api.file("/made.png", raw(200, png(seed=5), PNG)).replace("/", "\\/")  # as PHP writes it
    api.play(begun(FORMS[form] % address, end))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, **limit(end))).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [png(seed=5)])
    assert (record.spent, len(api.posts)) == (True, 1)


async def test_an_address_that_was_being_fetched_when_its_user_stopped_it_is_fetched_when_asked_for(
    api: ImagesApi, tmp_path: Path
) -> None:
    hangs, there = anyio.Event(), False

    async def file(request: Request, response: Response) -> None:
        if not there:
            loop.call_soon_threadsafe(hangs.set)
            await response.silence()
        else:
            await raw(200, png(seed=5), PNG)(request, response)

    loop = asyncio.get_running_loop()
    api.play(raw(200, json.dumps({"data": [{"url": api.file("/slow.png", file)}]}).encode()))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            generation_id = (await asked(studio, wait_seconds=0)).record.generation_id
            await hangs.wait()
            there = True
            assert (await studio.cancel(generation_id)).record.state == "cancelled"
            record = (await studio.wait(generation_id)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [png(seed=5)])


async def test_a_fault_at_one_address_takes_no_other_picture_with_it_and_is_no_end_of_its_own(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being fetched beside it may be given once."""
    under_way, failed = anyio.Event(), threading.Event()
    fetch = Downloader.fetch

    async def once(request: Request, response: Response) -> None:
        if under_way.is_set():
            await html_page(404)(request, response)
            return
        loop.call_soon_threadsafe(under_way.set)
        await asyncio.to_thread(failed.wait)
        await raw(200, png(seed=5), PNG)(request, response)

    async def faulty(downloader: Downloader, place: str, base: str = "") -> bytes:
        if place.endswith("/faulty.png") and not failed.is_set():
            await under_way.wait()
            failed.set()
            raise RuntimeError("can't start new thread")
        return await fetch(downloader, place, base)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Downloader, "fetch", faulty)
    places = [api.file("/once.png", once), api.file("/faulty.png", raw(200, png(seed=6), PNG))]
    api.play(raw(200, json.dumps({"data": [{"url": place} for place in places]}).encode()))
    with anyio.fail_after(60):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            first = (await asked(studio, n=2)).record
            record = (await studio.wait(first.generation_id)).record
    assert (first.state, [Path(image.path).read_bytes() for image in first.images]) == ("partial", [png(seed=5)])
    assert [Path(image.path).read_bytes() for image in record.images] == [png(seed=5), png(seed=6)]
    assert (record.state, len(api.posts)) == ("saved", 1)


async def test_an_address_beside_a_picture_that_came_is_no_second_picture(api: ImagesApi, tmp_path: Path) -> None:
    address = api.file("/made.png", raw(200, png(seed=5), PNG))
    came = base64.b64encode(png(seed=6)).decode()
    api.play(begun(f'{{"data": [{{"url": "{address}", "b64_json": "{came}", "size": "1024', "cut"))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert [Path(image.path).read_bytes() for image in record.images] == [png(seed=6)]
    assert {request.method for request in api.log} == {"POST"}


@pytest.mark.parametrize(
    "said",
    [
        '{"error": {"message": "see the page", "url": "%s", "co',
        '<html><script>var x = {"data": [{"url": "%s"}]}</script>',
    ],
    ids=["an error", "a page"],
)
async def test_an_address_in_an_error_or_a_page_is_none_of_a_picture(said: str, api: ImagesApi, tmp_path: Path) -> None:
    api.play(begun(said % api.file("/help.html", raw(200, b"<html>help</html>")), "cut"))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.facts.get("kept")) == ("failed", None)
    assert {request.method for request in api.log} == {"POST"}


@pytest.mark.parametrize(
    "before", ['{"data": [{"b64_json": "', 'data: {"type": "image_generation.completed", "b64_json": "'], ids=str
)
@pytest.mark.parametrize("end", ["silence", "cut"])
async def test_what_came_of_a_picture_before_its_answer_broke_off_is_kept(
    before: str, end: End, api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a photograph is better than none that was paid for."""
    monkeypatch.setattr("cdp_image_mcp.openai.generation.PATIENCE", 0.5)
    api.play(begun(before + base64.b64encode(MADE).decode()[:4000], end))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, **limit(end))).record
    assert record.error is not None
    assert (record.error["spent"], record.error["retryable"]) == (True, False)
    (kept,) = record.error["details"]["kept"]
    assert Path(kept).read_bytes() == MADE[:3000]


@pytest.mark.parametrize(
    "instead",
    [b"<!DOCTYPE html><html><title>One moment</title></html>", b'{"status": "processing", "progress": 40}'],
    ids=["a page", "a task"],
)
async def test_an_address_that_gives_no_picture_yet_is_asked_again(
    instead: bytes, api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.openai.wire.download.ATTEMPTS", 1)
    there = False

    async def file(request: Request, response: Response) -> None:
        await (raw(200, png(seed=5), PNG) if there else raw(200, instead))(request, response)

    api.play(raw(200, json.dumps({"data": [{"url": api.file("/later.png", file)}]}).encode()))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            first = (await asked(studio)).record
            assert first.error is not None
            assert ("wait_for_image" in first.error["next_step"], first.facts.get("kept")) == (True, None)
            there = True
            record = (await studio.wait(first.generation_id)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [png(seed=5)])


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_picture_that_comes_slowly_from_its_address_is_waited_for(
    at_once: bool, api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty megabytes by a slow connection, asked for a second time perhaps."""
    there, half, go_on, loop = at_once, anyio.Event(), threading.Event(), asyncio.get_running_loop()

    async def file(request: Request, response: Response) -> None:
        if not there:
            await html_page(404)(request, response)
            return
        await response.start(200, PNG)
        await response.send(MADE[:100])
        loop.call_soon_threadsafe(half.set)
        await asyncio.to_thread(go_on.wait)
        await response.send(MADE[100:])
        await response.end()

    api.play(raw(200, json.dumps({"data": [{"url": api.file("/slow.png", file)}]}).encode()))
    with anyio.fail_after(3600):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            first = (await asked(studio, wait_seconds=0 if at_once else 20)).record
            there = True
            await studio.wait(first.generation_id, 0)
            await half.wait()
            leap(monkeypatch, 45)
            go_on.set()
            record = (await studio.wait(first.generation_id, 600)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [MADE])
    assert len(api.log) == len(api.posts) + (1 if at_once else 2)


async def test_a_picture_that_never_comes_whole_from_its_address_holds_nothing_up_for_ever(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, loop = anyio.Event(), asyncio.get_running_loop()

    async def file(_request: Request, response: Response) -> None:
        await response.start(200, PNG)
        while response.open:
            await response.send(b"x")
            loop.call_soon_threadsafe(begun.set)
            await asyncio.sleep(0.01)

    api.play(raw(200, json.dumps({"data": [{"url": api.file("/endless.png", file)}]}).encode()))
    with anyio.fail_after(3600):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            generation_id = (await asked(studio, wait_seconds=0)).record.generation_id
            await begun.wait()
            leap(monkeypatch, 700)  # its bytes never stop
            record = (await studio.wait(generation_id, 600)).record
            assert record.error is not None
            assert ("could not be fetched" in record.error["message"], record.spent) == (True, True)
            leap(monkeypatch, 1400)  # what is asked for once more at the end


@pytest.mark.parametrize("form", ["%s", "data: %s\n\ndata: [DONE]\n\n", "data: %s"], ids=["JSON", "a stream", "cut"])
@pytest.mark.parametrize("answer", [*ANSWERS.values(), '[{"url": "%s"}]'], ids=[*ANSWERS, "a list"])
async def test_an_address_is_found_in_whatever_form_an_answer_has(
    answer: str, form: str, api: ImagesApi, tmp_path: Path
) -> None:
    """Gateways that only seem to stream say the whole of it in one event."""
    api.play(raw(200, (form % answer % api.file("/made.png", raw(200, MADE, PNG))).encode()))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [MADE])
    assert [request.path for request in api.log if request.method == "GET"] == ["/made.png"]


WORDS = [
    '{"code": 500, "message": "see the page", "url": "%s"}',
    '{"choices": [{"message": {"content": "see the page %s"}}]}',
]
ERRORS = [
    '{"error": {"message": "see the page", "url": "%s"}}',
    '{"error": {"message": "see the page", "help": {"url": "%s"}}}',
    '{"error": {"message": "see the page"}, "links": {"url": "%s"}}',
    '{"error": {"message": "see the page"}, "links": ["%s"]}',
    '{"error": {"message": "see the page"}, "data": null, "links": ["%s"]}',
]


@pytest.mark.parametrize("answer", [*WORDS, *ERRORS, *(f"data: {each}\n\ndata: [DONE]\n\n" for each in ERRORS)])
async def test_an_address_beside_words_is_no_pictures(answer: str, api: ImagesApi, tmp_path: Path) -> None:
    api.play(raw(200, (answer % api.file("/help.html", raw(200, b"<html>help</html>"))).encode()))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, "see the page" in str(record.error)) == ("failed", True)
    assert {request.method for request in api.log} == {"POST"}
