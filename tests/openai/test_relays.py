"""Servers that only resemble the vendor's: the picture all the same, or their true error."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.profiles import choose_profile, profile_problem
from cdp_image_mcp.request import Reference
from fixtures.images_api import RELAYS, ImagesApi, Play, Request, Response, draw, png, raw
from tests.openai.doubles import DiskReport, MakeBackend, ask, reference, settings

pytestmark = pytest.mark.anyio

MODEL = "qwen-image"
"""None of the vendor's: relays are asked for base64."""


def references(folder: Path, count: int) -> tuple[Reference, ...]:
    return tuple(reference(folder, png(32, 32, seed=number)) for number in range(count))


def form(request: Request) -> str:
    """How the pictures of an edit came."""
    if request.headers["content-type"].startswith("application/json"):
        return "json" if "images" in request.json() else "none"
    return "+".join(part.name for part in request.parts() if part.filename)


@pytest.mark.parametrize(
    ("relay", "pictures", "forms"),
    [
        ("image alone", 1, ["image"]),
        ("image alone", 2, ["image[]+image[]", "image+image"]),
        ("json alone", 1, ["image", "json"]),
        ("json alone", 2, ["image[]+image[]", "image+image", "json"]),
        ("form not read", 1, ["image", "json"]),
    ],
)
@pytest.mark.parametrize("compat", ["generic", "litellm", "vllm"])
async def test_an_edit_finds_the_form_in_which_the_relay_looks_for_pictures(
    compat: str, relay: str, pictures: int, forms: list[str], api: ImagesApi, make_backend: MakeBackend, tmp_path: Path
) -> None:
    """What is turned away before drawing costs nothing, and is learnt once."""
    api.always = RELAYS[relay].play
    backend = make_backend(compat=compat, model=MODEL)
    with anyio.fail_after(20):
        for number in range(2):
            report = DiskReport(tmp_path)
            await backend.generate(ask(f"{number}", reference_images=references(tmp_path, pictures)), report)
            assert len(report.pictures) == 1
            assert report.known["spent"] is True
    assert [form(request) for request in api.posts] == [*forms, forms[-1]]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "Invalid mask image format - mask image missing alpha channel"),
        ("invalid_image_file", "Invalid image file or mode: the image is missing its end."),
    ],
)
async def test_what_is_wrong_with_a_picture_itself_is_told_at_once(
    code: str | None, message: str, api: ImagesApi, make_backend: MakeBackend, tmp_path: Path
) -> None:
    """It had arrived, and in no other form would it be another."""
    refusal = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    api.always = raw(400, json.dumps(refusal).encode())
    wish = ask(reference_images=(reference(tmp_path, png(32, 32)),), mask=reference(tmp_path, png(32, 32, alpha=True)))
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await make_backend(compat="generic", model=MODEL).generate(wish, DiskReport(tmp_path))
    assert message in str(caught.value.details)
    assert len(api.posts) == 1


async def test_a_form_is_kept_once_it_was_answered_with_a_picture_and_no_sooner(
    api: ImagesApi, make_backend: MakeBackend, tmp_path: Path
) -> None:
    """Another form that is refused for another reason has shown nothing."""
    absent = raw(400, b'{"error":{"message":"image is required"}}')
    backend = make_backend(compat="generic", model=MODEL)

    async def forms(*plays: Play) -> list[str]:
        before = len(api.posts)
        api.play(*plays)
        with anyio.fail_after(20), suppress(ImageError):
            wish = ask(f"{before}", reference_images=references(tmp_path, 1))
            await backend.generate(wish, DiskReport(tmp_path))
        return [form(request) for request in api.posts[before:]]

    refused = raw(400, b'{"error":{"message":"The prompt is too long."}}')
    assert await forms(absent, refused) == ["image", "json"]
    assert await forms(absent, draw()) == ["image", "json"]
    assert await forms(draw()) == ["json"]
    # What has worked is left where it is objected to.
    assert await forms(absent) == ["json"]
    assert await forms(draw()) == ["image"]


@pytest.mark.parametrize("relay", ["json alone", "image alone"])
async def test_a_form_that_the_user_has_chosen_is_the_only_one(
    relay: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    api.always = RELAYS[relay].play
    backend = make_backend(compat="generic:multipart", model=MODEL)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(reference_images=references(tmp_path, 2)), report)
    assert (len(api.posts), caught.value.spent) == (1, False)
    assert choose_profile(settings(compat="generic:image")).form == "image"
    problem = profile_problem(settings(compat="generic:xml"))
    assert problem is not None
    assert ":image" in problem.message


@pytest.mark.parametrize("relay", ["no edits", "no edits, 501"])
async def test_a_server_without_edits_is_told_as_such(
    relay: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path
) -> None:
    api.always = RELAYS[relay].play
    backend = make_backend(compat="generic", model=MODEL)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(reference_images=references(tmp_path, 1)), report)
    assert (caught.value.code, caught.value.spent, len(api.posts)) == ("configuration", False, 1)
    assert "reference_images" in caught.value.next_step
    with anyio.fail_after(20):
        await backend.generate(ask(), report)
    assert len(report.pictures) == 1


@pytest.mark.parametrize(
    ("relay", "compat", "sent"),
    [
        ("response_format in the vendor's words", "generic", [True, False]),
        ("response_format in LiteLLM's words", "generic", [True, False]),
        ("response_format in FastAPI's words", "vllm", [True, False]),
        ("response_format wanted", "generic", [True]),
        ("response_format wanted", "litellm", [False, True]),
    ],
)
async def test_response_format_is_left_out_or_given_as_the_relay_wants_it(
    relay: str, compat: str, sent: list[bool], api: ImagesApi, make_backend: MakeBackend, tmp_path: Path
) -> None:
    api.always = RELAYS[relay].play
    backend = make_backend(compat=compat, model=MODEL)
    left_out = ["response_format"] if sent == [True, False] else None
    with anyio.fail_after(20):
        for _ in range(2):
            report = DiskReport(tmp_path)
            await backend.generate(ask(), report)
            assert (len(report.pictures), report.known.get("left_out")) == (1, left_out)
    assert ["response_format" in request.json() for request in api.posts] == [*sent, sent[-1]]


async def test_streams_that_run_at_once_all_learn_what_the_server_does_not_know(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    draws = RELAYS["events unasked"].play
    refuses = raw(400, b'{"error": {"code": "unknown_parameter", "param": "moderation", "message": "Unknown"}}')

    async def play(request: Request, response: Response) -> None:
        await (refuses if "moderation" in request.json() else draws)(request, response)

    api.always = play
    with anyio.fail_after(20):
        await make_backend(moderation="low").generate(ask(n=3, quality="high"), report)
    assert len(report.pictures) == 3
    assert report.known["left_out"] == ["moderation"]


@pytest.mark.parametrize(
    "relay",
    [
        *("events as JSON", "events as text", "events unasked", "JSON for events", "JSON as events"),
        *("JSON after blank lines", "comments", "wrapped comments"),
    ],
)
@pytest.mark.parametrize("quality", ["low", "high"], ids=["JSON asked", "events asked"])
async def test_an_answer_is_read_by_what_it_is(
    quality: str, relay: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.always = RELAYS[relay].play
    with anyio.fail_after(20):
        await make_backend().generate(ask(quality=quality), report)
    assert report.pictures == [png()]
    assert ("stream" in api.posts[0].json()) == (quality == "high")


@pytest.mark.parametrize(
    ("relay", "code", "spent", "retryable", "asked", "words"),
    [
        ("error in 200", "service_error", "unknown", False, 1, "overloaded"),
        ("error without a name in 200", "service_error", "unknown", False, 1, "quota of today is used up"),
        ("words in 200", "service_error", "unknown", False, 1, "I cannot draw that."),
        ("no data in 200", "service_error", "unknown", False, 1, "no picture"),
        ("no accounts", "service_error", False, True, 3, "No available compatible accounts"),
        ("no accounts, 400", "service_error", False, True, 3, "No available compatible accounts"),
        ("no channel", "service_error", False, True, 3, "gpt-image-2"),
        ("no channel in Chinese", "service_error", False, True, 3, "gpt-image-2"),
        ("no account signed in", "service_error", False, True, 3, "no auth available"),
        ("a date to come again", "rate_limited", False, True, 1, "busy"),
        ("an absurd date", "rate_limited", False, True, 3, "busy"),
        ("an absurd number", "rate_limited", False, True, 3, "busy"),
        ("a number below zero", "rate_limited", False, True, 3, "busy"),
        ("lines after the error", "invalid_input", False, False, 1, "size is not supported"),
        ("lines for an error", "invalid_input", False, False, 1, "ValueError: size is not supported"),
    ],
)
async def test_an_error_is_the_relays_true_one(
    relay: str,
    code: str,
    spent: Any,
    retryable: bool,
    asked: int,
    words: str,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
) -> None:
    api.always = RELAYS[relay].play
    with anyio.fail_after(30), pytest.raises(ImageError) as caught:
        await make_backend(compat="generic").generate(ask(), report)
    found = caught.value
    assert (found.code, found.spent, found.retryable, len(api.posts)) == (code, spent, retryable, asked)
    told = f"{found.message} {found.details.get('text', '')}"
    assert words in told
    assert "\n" not in told.strip()
    assert "OPENAI_API_KEY" not in f"{found.message} {found.next_step}"
    if relay == "a date to come again":
        assert found.retry_after_seconds == pytest.approx(7200, abs=60)
    elif code == "rate_limited":
        assert found.retry_after_seconds is None


def test_every_relay_of_the_stand_in_is_asked() -> None:
    text = Path(__file__).read_text()
    assert [name for name in RELAYS if f'"{name}"' not in text] == []
