"""Pictures and addresses that stand in each other's fields: both are paid, and both are had."""

import base64
import json
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from fixtures.images_api import ImagesApi, Play, png, raw
from tests.library.making import picture
from tests.openai.doubles import DiskReport, ask

pytestmark = pytest.mark.anyio

MADE = png(64, 64, size=5000, seed=9)
SMALL = png(64, 64, seed=3)
JPEG = picture("JPEG", (40, 24))
PNG = {"content-type": "image/png"}


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answered(form: str, item: dict[str, Any], status: int = 200) -> Play:
    """An answer with this place for a picture, as JSON or as an event."""
    if form == "JSON":
        return raw(status, json.dumps({"created": 1, "data": [item]}).encode())
    said = f"data: {json.dumps({'type': f'image_generation.{form}', **item})}\n\n"
    return raw(status, said.encode(), {"content-type": "text/event-stream"})


@pytest.mark.parametrize("form", ["JSON", "completed", "final"])
@pytest.mark.parametrize("field", ["url", "image_url"])
@pytest.mark.parametrize(
    ("written", "data"),
    [
        (text(MADE), MADE),
        (text(SMALL), SMALL),
        (text(JPEG), JPEG),
        (base64.urlsafe_b64encode(MADE).decode(), MADE),
        (base64.encodebytes(MADE).decode(), MADE),
    ],
    ids=["a large one", "a small one", "a JPEG", "the alphabet for addresses", "in lines"],
)
async def test_base64_in_the_place_of_an_address_is_the_picture(
    written: str, data: bytes, field: str, form: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(answered(form, {field: written}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [data]
    assert [request.method for request in api.log] == ["POST"]


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
@pytest.mark.parametrize("slash", ["/", "\\/", "\\u002f", "\\u002F"])
async def test_it_is_however_its_bytes_arrive_and_are_escaped(
    slash: str, piece: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    said = json.dumps({"data": [{"url": text(JPEG)}]}).replace("/", slash).encode()

    async def play(request: Any, response: Any) -> None:
        await response.start(200, {"content-type": "application/json"})
        for at in range(0, len(said), piece):
            await response.send(said[at : at + piece])
        await response.end()

    api.play(play)
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert report.pictures == [JPEG]


async def test_base64_in_both_fields_is_one_picture(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(answered("JSON", {"b64_json": text(MADE), "url": text(MADE)}))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert report.pictures == [MADE]


@pytest.mark.parametrize("path", ["/images/", "images/"])
async def test_a_path_alone_stays_an_address(
    path: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """gpt4free names its files after the prompt."""
    name = f"1764380000_{'a+red_fox-' * 12}{'0123456789abcdef' * 2}.png"
    api.file(f"/{path.strip('/')}/{name}", raw(200, MADE, PNG))
    api.file(f"/v1/images/{path.strip('/')}/{name}", raw(200, MADE, PNG))
    api.play(answered("JSON", {"url": f"{path}{name}"}))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert report.pictures == [MADE]


async def test_an_address_that_no_request_can_carry_is_no_fault_of_the_network(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(answered("JSON", {"url": f"{api.url}/{'a.' * 40_000}.png"}))
    with anyio.fail_after(20), pytest.raises(ImageError, match="its address is malformed") as caught:
        await backend.generate(ask(), report)
    assert (caught.value.spent, caught.value.retryable) == (True, False)


@pytest.mark.parametrize("form", ["JSON", "completed", "final"])
@pytest.mark.parametrize("beside", [{}, {"url": ""}, {"url": None}, {"revised_prompt": "a fox"}], ids=str)
async def test_an_address_in_the_place_of_base64_is_fetched(
    beside: dict[str, Any], form: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    address = api.file("/made.png", raw(200, MADE, PNG))
    api.play(answered(form, {"b64_json": address, **beside}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [MADE]


async def test_it_is_fetched_also_where_both_fields_have_it_and_where_a_refusal_has_it(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    address = api.file("/made.png", raw(200, MADE, PNG))
    api.play(answered("JSON", {"b64_json": address, "url": address}, status=500))
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert (report.pictures, len(api.posts)) == ([MADE], 1)


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
async def test_it_is_told_from_base64_however_its_bytes_arrive(
    piece: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    address = api.file("/made.png", raw(200, MADE, PNG)).replace("http:", "HTTP:")
    said = json.dumps({"data": [{"b64_json": address}, {"b64_json": text(SMALL)}]}).replace("/", "\\/").encode()

    async def play(request: Any, response: Any) -> None:
        await response.start(200, {"content-type": "application/json"})
        for at in range(0, len(said), piece):
            await response.send(said[at : at + piece])
        await response.end()

    api.play(play)
    with anyio.fail_after(20):
        await backend.generate(ask(n=2), report)
    assert sorted(report.pictures) == sorted([MADE, SMALL])
