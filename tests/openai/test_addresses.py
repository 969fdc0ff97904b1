"""A picture that was only named is as much paid for as one that came: its address is kept whatever becomes of the
answer that it stood in."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing, Studio, open_studio
from fixtures.images_api import ImagesApi, Play, Request, Response, png, raw
from tests.openai.doubles import KEY

pytestmark = pytest.mark.anyio

PNG = {"content-type": "image/png"}
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
            record = (await asked(studio, timeout_seconds=0.5)).record
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
    made = png(64, 64, size=5000, seed=5)
    api.play(begun(before + base64.b64encode(made).decode()[:4000], end))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, timeout_seconds=0.5)).record
    assert record.error is not None
    assert (record.error["spent"], record.error["retryable"]) == (True, False)
    (kept,) = record.error["details"]["kept"]
    assert Path(kept).read_bytes() == made[:3000]
