"""Servers that speak the same language with an accent: each by its documented differences."""

import base64
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.estimate import estimate
from cdp_image_mcp.openai.plan import make_plan
from cdp_image_mcp.openai.profiles import PROFILES, address, choose_profile, profile_problem
from fixtures.images_api import ImagesApi, draw, error, png
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask, reference, settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://us.api.openai.com/v1", "openai"),
        ("https://res.openai.azure.com/openai/v1", "azure"),
        ("https://res.services.ai.azure.com/openai/v1", "azure"),
        ("https://res.openai.azure.com/openai/deployments/pictures", "azure-deployment"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://localhost:8080/v1", "generic"),
        ("https://api.openai.com.evil.example/v1", "generic"),
        ("https://evilapi.openai.com.example/v1", "generic"),
    ],
)
def test_the_profile_follows_from_the_host(base: str, name: str) -> None:
    assert choose_profile(settings(base_url=base)).name == name


@pytest.mark.parametrize("name", [*PROFILES])
def test_the_profile_can_be_named(name: str) -> None:
    assert choose_profile(settings(compat=name.upper())).name == name


def test_how_edits_travel_can_be_chosen() -> None:
    assert choose_profile(settings(compat="litellm:json")).form == "json"
    assert choose_profile(settings(compat="openai:multipart")).form == "multipart"


@pytest.mark.parametrize("compat", ["opnai", "openai:xml", ":json", "openai:"])
def test_a_wrong_name_is_a_configuration_error_that_lists_the_right_ones(compat: str) -> None:
    problem = profile_problem(settings(compat=compat))
    assert problem is not None
    assert problem.variable == "OPENAI_COMPAT"
    assert "openrouter" in problem.message
    with pytest.raises(ImageError) as caught:
        choose_profile(settings(compat=compat))
    assert caught.value.code == "configuration"


@pytest.mark.parametrize("base", ["http://api.openai.com/v1", "http://openrouter.ai/api/v1"])
def test_a_known_host_is_never_asked_in_the_clear(base: str) -> None:
    problem = profile_problem(settings(base_url=base))
    assert problem is not None
    assert problem.variable == "OPENAI_BASE_URL"


@pytest.mark.parametrize(
    ("base", "version", "url"),
    [
        ("https://api.openai.com/v1", None, "https://api.openai.com/v1/images/generations"),
        ("https://api.openai.com/v1", "2026-01-01", "https://api.openai.com/v1/images/generations"),
        (
            "https://r.openai.azure.com/openai/v1",
            None,
            "https://r.openai.azure.com/openai/v1/images/generations?api-version=preview",
        ),
        (
            "https://r.openai.azure.com",
            "2026-01-01",
            "https://r.openai.azure.com/openai/v1/images/generations?api-version=2026-01-01",
        ),
        (
            "https://r.openai.azure.com/openai/deployments/d",
            None,
            "https://r.openai.azure.com/openai/deployments/d/images/generations?api-version=2025-04-01-preview",
        ),
        (
            "https://r.openai.azure.com/openai/v1?api-version=mine",
            None,
            "https://r.openai.azure.com/openai/v1/images/generations?api-version=mine",
        ),
        ("https://openrouter.ai/api/v1", None, "https://openrouter.ai/api/v1/images"),
        ("https://openrouter.ai", None, "https://openrouter.ai/api/v1/images"),
        ("https://openrouter.ai/api/v1/images", None, "https://openrouter.ai/api/v1/images"),
        ("https://api.openai.com", None, "https://api.openai.com/v1/images/generations"),
        ("https://eu.api.openai.com/", None, "https://eu.api.openai.com/v1/images/generations"),
        ("https://api.openai.com/v1/images/generations", None, "https://api.openai.com/v1/images/generations"),
        ("http://relay.example:8080/v1/images/edits", None, "http://relay.example:8080/v1/images/generations"),
        ("http://relay.example:8080", None, "http://relay.example:8080/images/generations"),
        ("http://relay.example/v1/chat/completions", None, "http://relay.example/v1/images/generations"),
        ("https://api.openai.com/v1/responses/", None, "https://api.openai.com/v1/images/generations"),
        (
            "https://r.openai.azure.com/openai/deployments/d/images/generations?api-version=2025-04-01-preview",
            None,
            "https://r.openai.azure.com/openai/deployments/d/images/generations?api-version=2025-04-01-preview",
        ),
    ],
)
def test_addresses_are_put_together_as_documented(base: str, version: str | None, url: str) -> None:
    chosen = settings(base_url=base, api_version=version)
    profile = choose_profile(chosen)
    assert address(profile, chosen, profile.generations) == url


async def test_azure_gets_its_own_key_header_and_version_and_no_webp(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    backend = make_backend(compat="azure", base_url=api.url.replace("/v1", "/openai/v1"), model="my-deployment")
    with anyio.fail_after(10):
        await backend.generate(ask(reference_images=(reference(tmp_path, png(32, 32)),)), report)
    [sent] = api.posts
    assert sent.path == "/openai/v1/images/edits"
    assert sent.query == {"api-version": ["preview"]}
    assert sent.headers["api-key"] == KEY
    assert "authorization" not in sent.headers
    assert sent.headers["content-type"].startswith("multipart/form-data")
    assert sent.fields()["model"] == "my-deployment"
    with pytest.raises(ImageError, match="webp"):
        estimate(settings(compat="azure", model="my-deployment"), ask(output_format="webp"))


async def test_azure_takes_a_token_from_elsewhere(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    backend = make_backend(
        compat="azure", base_url=api.url.replace("/v1", "/openai/v1"), api_key="eyJ.a.b", bearer=True
    )
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    assert api.posts[0].headers["authorization"] == "Bearer eyJ.a.b"
    assert "api-key" not in api.posts[0].headers


async def test_azure_deployment_paths_carry_the_deployment(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    base = api.url.replace("/v1", "/openai/deployments/pictures")
    with anyio.fail_after(10):
        await make_backend(compat="azure", base_url=base).generate(ask(), report)
    assert api.posts[0].path == "/openai/deployments/pictures/images/generations"
    assert api.posts[0].query == {"api-version": ["2025-04-01-preview"]}


async def test_azures_content_filter_is_a_refusal(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.play(error("azure_filter"))
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await make_backend(compat="azure").generate(ask(), report)
    assert caught.value.code == "refused"


async def test_openrouter_gets_references_and_ratios_in_its_own_fields(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    api.strict = False
    picture = reference(tmp_path, png(32, 32))
    api.play(draw([png()], extra={"created": 0, "usage": {"cost": 0.04}}))
    with anyio.fail_after(10):
        await make_backend(compat="openrouter", model="openai/gpt-image-2").generate(
            ask(size="16:9", quality="high", reference_images=(picture,)), report
        )
    [sent] = api.posts
    assert sent.path == "/v1/images"
    fields = sent.json()
    assert fields["aspect_ratio"] == "16:9"
    assert set(fields) == {"model", "prompt", "aspect_ratio", "quality", "input_references"}
    [entry] = fields["input_references"]
    assert entry["type"] == "image_url"
    assert base64.b64decode(entry["image_url"]["url"].partition(",")[2]) == picture.path.read_bytes()


async def test_localai_needs_no_key_and_gets_references_as_plain_base64(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    api.strict = False
    picture = reference(tmp_path, png(32, 32))
    backend = make_backend(compat="localai", api_key=None, model="flux.1-kontext")
    with anyio.fail_after(10):
        await backend.generate(ask("a fox", reference_images=(picture,)), report)
    [sent] = api.posts
    assert sent.path == "/v1/images/generations"
    assert "authorization" not in sent.headers
    fields = sent.json()
    assert fields["response_format"] == "b64_json"
    assert "size" not in fields  # "auto" would silently become 512x512 there
    assert [base64.b64decode(text) for text in fields["ref_images"]] == [picture.path.read_bytes()]
    with pytest.raises(ImageError, match="masks"):
        estimate(settings(compat="localai"), ask(reference_images=(picture,), mask=picture))


@pytest.mark.parametrize(("compat", "asked"), [("litellm", None), ("vllm", "b64_json"), ("generic", "b64_json")])
async def test_response_format_is_sent_only_where_it_is_understood(
    compat: str, asked: str | None, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.strict = False
    with anyio.fail_after(10):
        await make_backend(compat=compat, model="qwen-image").generate(ask(quality="high"), report)
    sent = api.posts[0].json()
    assert sent.get("response_format") == asked
    assert "stream" not in sent


def test_only_servers_known_to_stream_are_asked_for_streams() -> None:
    for profile in PROFILES.values():
        plan = make_plan(ask(quality="high"), settings(), profile)
        assert ("stream" in plan.parameters) == (profile.name in {"openai", "azure", "azure-deployment"})
