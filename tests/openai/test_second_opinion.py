"""The vendor's own Python client against the stand-in server: is the server faithful, and do we agree with it?"""

import base64
import io
from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import anyio
import openai
import pytest
from openai.types import ImageModel
from PIL import Image

from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.models import ALL_FORMATS, ALL_QUALITIES, MODELS
from fixtures.images_api import ERRORS, ImagesApi, draw, error, png, stream
from tests.openai.doubles import DiskReport, MakeBackend, ask, reference

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(api: ImagesApi) -> Generator[openai.OpenAI]:
    with openai.OpenAI(api_key="anything", base_url=api.url, max_retries=0, timeout=20) as made:
        yield made


def test_the_vendors_client_reads_a_plain_answer(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt="a fox", n=2, size="1536x1024", quality="low")
    assert answer.data is not None
    pictures = [base64.b64decode(item.b64_json or "") for item in answer.data]
    assert [Image.open(io.BytesIO(picture)).size for picture in pictures] == [(1536, 1024)] * 2
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3512
    assert (answer.quality, answer.size) == ("low", "1536x1024")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("done", [True, False])
def test_the_vendors_client_reads_the_stream(newline: str, done: bool, api: ImagesApi, client: openai.OpenAI) -> None:
    large = png(256, 256, size=1_000_000)
    api.play(stream(large, newline=newline, done=done, comments=True))
    events = list(client.images.generate(model="gpt-image-2", prompt="x", stream=True, partial_images=2))
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert base64.b64decode(events[-1].b64_json) == large


def test_the_vendors_client_sends_edits_that_the_server_reads(api: ImagesApi, client: openai.OpenAI) -> None:
    files = [("a.png", png(32, 32), "image/png"), ("b.png", png(32, 32, seed=2), "image/png")]
    client.images.edit(
        model="gpt-image-2", prompt="x", image=files, mask=("m.png", png(32, 32, alpha=True), "image/png")
    )
    parts = [(part.name, part.data) for part in api.posts[0].parts() if part.filename]
    assert parts == [("image[]", files[0][1]), ("image[]", files[1][1]), ("mask", png(32, 32, alpha=True))]


@pytest.mark.parametrize("name", ERRORS)
def test_the_vendors_client_reads_every_error_body(name: str, api: ImagesApi, client: openai.OpenAI) -> None:
    row = ERRORS[name]
    api.play(error(name))
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(model="gpt-image-2", prompt="x")
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (row.status, row.code, row.param)
    assert caught.value.request_id == "req_0123456789abcdef"


def test_the_vendors_client_stops_at_an_error_within_the_stream(api: ImagesApi, client: openai.OpenAI) -> None:
    api.play(stream(fails="moderation"))
    with pytest.raises(openai.APIError):
        list(client.images.generate(model="gpt-image-2", prompt="x", stream=True))


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"size": "1000x1000"}, "invalid_value"), ({"response_format": "b64_json"}, "unknown_parameter")],
)
def test_the_server_refuses_what_the_vendor_refuses(fields: dict[str, str], code: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="gpt-image-2", prompt="x", extra_body=fields)
    assert caught.value.code == code


def test_the_server_refuses_streams_of_several(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="n=1"):
        client.images.generate(model="gpt-image-2", prompt="x", n=2, stream=True)


async def test_both_clients_get_the_same_bytes_and_send_the_same_fields(
    api: ImagesApi, client: openai.OpenAI, backend: ApiBackend, report: DiskReport
) -> None:
    pictures = [png(64, 64, size=500_000, seed=number) for number in range(3)]
    api.always = draw(pictures)
    with anyio.fail_after(20):
        answer = await anyio.to_thread.run_sync(
            lambda: client.images.generate(model="gpt-image-2", prompt="a fox", n=3, quality="low")
        )
        await backend.generate(ask("a fox", n=3, quality="low"), report)
    assert [base64.b64decode(item.b64_json or "") for item in answer.data or []] == report.pictures == pictures
    theirs, ours = (request.json() for request in api.posts)
    assert theirs == ours


async def test_both_clients_send_the_same_form(
    api: ImagesApi, client: openai.OpenAI, backend: ApiBackend, report: DiskReport, tmp_path: Path
) -> None:
    data = png(32, 32, size=16_000_000)  # too long for a data URL: ours goes as a form too
    picture = reference(tmp_path, data)
    with anyio.fail_after(30):
        await backend.generate(ask("x", reference_images=(picture,), quality="low"), report)
        await anyio.to_thread.run_sync(
            lambda: client.images.edit(
                model="gpt-image-2", prompt="x", quality="low", image=("image-1.png", data, "image/png")
            )
        )
    ours, theirs = (sorted(request.parts()) for request in api.posts)
    assert ours == theirs


NEW: dict[str, dict[str, Any]] = {
    "transparent": {"background": "transparent"},
    "complexity": {"complexity": "low"},
    "gif": {"output_format": "gif", "size": "960x960"},
    "svg": {"output_format": "svg", "complexity": "high"},
    "xhigh": {"quality": "xhigh"},
}


@pytest.mark.parametrize("edit", [False, True], ids=["new", "edit"])
@pytest.mark.parametrize("name", NEW)
async def test_both_clients_send_the_newest_parameters_alike(
    name: str,
    edit: bool,
    api: ImagesApi,
    client: openai.OpenAI,
    make_backend: MakeBackend,
    report: DiskReport,
    tmp_path: Path,
) -> None:
    data = png(32, 32)
    pictures = (reference(tmp_path, data),) if edit else ()
    common: dict[str, Any] = {"model": "gpt-image-2.6-flare", "prompt": "x", "safety_identifier": "5f", **NEW[name]}
    compat = "openai:multipart" if edit else "openai"
    backend = make_backend(model="gpt-image-2.6-flare", safety_identifier="5f", moderation="low", compat=compat)
    api.always = draw([data])

    def ask_theirs() -> None:
        if edit:
            client.images.edit(image=("image-1.png", data, "image/png"), **common)
        else:
            client.images.generate(moderation="low", **common)

    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(ask_theirs)
        await backend.generate(ask("x", reference_images=pictures, **NEW[name]), report)
    theirs, ours = api.posts
    if not edit:
        # A picture of this quality takes minutes: ours has it streamed.
        assert ours.json() | {"stream": True} == theirs.json() | {"stream": True}
        return
    parts = [sorted(part for part in request.parts() if part.name != "stream") for request in (theirs, ours)]
    assert parts[0] == parts[1]


def test_the_vendors_types_know_every_value_that_we_send() -> None:
    """A copy of its tables that nobody compares grows old."""
    from openai.types import image_edit_params, image_generate_params

    for module in (image_generate_params.ImageGenerateParamsBase, image_edit_params.ImageEditParamsBase):
        hints = get_type_hints(module)
        known = {name: set(_literals(hints[name])) for name in ("output_format", "quality", "background", "complexity")}
        assert set(ALL_FORMATS) == known["output_format"]
        assert set(ALL_QUALITIES) <= known["quality"]
        assert known["complexity"] == {"low", "medium", "high"}
    named = _literals(ImageModel)
    assert {name for name, model in MODELS.items() if model.ends is None} <= set(named)


def _literals(hint: Any) -> list[str]:
    return [hint] if isinstance(hint, str) else [found for one in get_args(hint) for found in _literals(one)]
