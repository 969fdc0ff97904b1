"""Model rules: what is refused before anything is sent, and what is sent instead."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.estimate import estimate
from cdp_image_mcp.openai.models import MODELS, end_warning, find_model, is_gpt_image
from cdp_image_mcp.openai.plan import Plan, make_plan
from cdp_image_mcp.openai.profiles import PROFILES
from cdp_image_mcp.request import ImageRequest
from fixtures.images_api import ImagesApi, png
from tests.library.making import picture as drawn
from tests.openai.doubles import DiskReport, ask, reference, settings

pytestmark = pytest.mark.anyio


def planned(request: ImageRequest, model: str = "gpt-image-2", profile: str = "openai", **fields: Any) -> Plan:
    settings = Settings(output_dir=Path("/o"), profile_dir=Path("/p"), model=model, **fields)
    return make_plan(request, settings, PROFILES[profile])


def refused(model: str = "gpt-image-2", profile: str = "openai", **fields: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        planned(ask(**fields), model, profile)
    assert (caught.value.code, caught.value.submitted) == ("invalid_input", False)
    return caught.value


@pytest.mark.parametrize(
    ("model", "fields", "field", "word"),
    [
        ("gpt-image-2", {"quality": "xhigh"}, "quality", "auto, low, medium, high"),
        ("gpt-image-1.5", {"quality": "max"}, "quality", "auto, low, medium, high"),
        ("gpt-image-1.5", {"size": "1536x864"}, "size", "nearest that it makes is 1536x1024"),
        ("gpt-image-2", {"size": "1792x936"}, "size", "multiples of 16"),
        ("gpt-image-2", {"size": "4096x2048"}, "size", "3840"),
        ("gpt-image-2", {"size": "512x512"}, "size", "262144 pixels"),
        ("gpt-image-2", {"size": "3200x1024"}, "size", "3 times"),
        ("gpt-image-2", {"size": "3840x3840"}, "size", "pixels"),
        ("gpt-image-2", {"size": "big"}, "size", "neither"),
        (
            "gpt-image-2",
            {"output_format": "gif"},
            "output_format",
            "png, jpeg, webp. gpt-image-2.6-sunburst, ",
        ),
        ("gpt-image-2.5-flare", {"output_format": "svg"}, "output_format", "gpt-image-2.6-flare make it"),
        ("gpt-image-2.6-flare", {"output_format": "svg", "n": 2}, "n", "one at a time"),
        ("gpt-image-2", {"complexity": "low"}, "complexity", "gpt-image-2.6-sunburst, gpt-image-2.6-flare do"),
    ],
)
def test_a_bad_combination_is_refused_naming_the_field_and_what_the_model_takes(
    model: str, fields: dict[str, Any], field: str, word: str
) -> None:
    error = refused(model, **fields)
    assert error.details["field"] == field
    assert error.message.startswith(f"Nothing was sent. {field}:")
    assert word in error.message
    assert error.details["accepted"]


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ("1820x1024", "1824x1024"),
        ("1792x936", "1808x944"),
        ("1000x1000", "1008x1008"),
        ("4096x2304", "3840x2160"),
        ("512x512", "816x816"),
        ("100x4000", "480x1440"),
        ("4000x4000", "2880x2880"),
    ],
)
def test_a_size_that_is_not_made_is_refused_with_the_nearest_that_is(size: str, near: str) -> None:
    assert f"The nearest that it makes is {near}." in refused(size=size).message
    assert planned(ask(size=near)).parameters["size"] == near


def test_what_the_user_has_set_for_all_pictures_goes_with_each(tmp_path: Path) -> None:
    house = {"moderation": "low", "safety_identifier": "0a1b"}
    plan = planned(ask(), **house)
    assert {name: plan.parameters[name] for name in house} == house
    assert not plan.asked & house.keys()
    assert not planned(ask()).parameters.keys() & house.keys()
    one = reference(tmp_path, png(32, 32))
    form = planned(ask(reference_images=(one,)), profile="generic", **house)
    assert form.parameters.keys() & house.keys() == {"safety_identifier"}


@pytest.mark.parametrize("output_format", ["gif", "svg"])
def test_what_moves_or_is_drawn_in_lines_is_never_streamed(output_format: str) -> None:
    plan = planned(ask(output_format=output_format, quality="high", complexity="high"), "gpt-image-2.6-flare")
    assert (plan.parameters["output_format"], plan.parameters["complexity"]) == (output_format, "high")
    assert "stream" not in plan.parameters


@pytest.mark.parametrize(
    ("profile", "quality", "streamed"),
    [
        ("openai", "auto", False),
        ("azure", "auto", True),
        ("azure-deployment", "auto", True),
        ("azure", "medium", False),
        ("azure", "high", True),
    ],
)
def test_where_what_is_drawn_without_a_word_takes_long_it_is_streamed(
    profile: str, quality: str, streamed: bool
) -> None:
    """Azure draws in high quality unasked, and cuts off what says nothing for two minutes."""
    one, three = planned(ask(quality=quality), profile=profile), planned(ask(quality=quality, n=3), profile=profile)
    assert one.parameters.get("stream", False) is streamed
    assert three.parameters.get("stream", False) is streamed
    assert three.requests == (3 if streamed else 1)
    assert ("quality" in one.parameters) is (quality != "auto")


def test_a_prompt_of_which_the_server_would_draw_a_part_alone_is_warned_of() -> None:
    """LocalAI's, to which the rest is what must not be seen."""
    [warning] = planned(ask("a fox | a hare"), profile="localai").warnings
    assert "'|'" in warning
    assert "must not show" in warning
    assert not planned(ask("a fox, a hare"), profile="localai").warnings
    assert not planned(ask("a fox | a hare"), profile="vllm").warnings


async def test_a_refused_request_never_reaches_the_server(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with pytest.raises(ImageError):
        await backend.generate(ask(quality="max"), report)
    with pytest.raises(ImageError):
        estimate(settings(), ask(size="17x17"))
    assert (api.log, report.states) == ([], [])


@pytest.mark.parametrize(
    ("size", "sent"), [("auto", None), ("16:9", "1536x864"), ("1:1", "1024x1024"), ("01024x1024", "1024x1024")]
)
def test_sizes_are_sent_as_pixels_and_auto_is_left_to_the_model(size: str, sent: str | None) -> None:
    assert planned(ask(size=size), "gpt-image-2").parameters.get("size") == sent


def test_an_unknown_model_passes_with_the_loosest_rules() -> None:
    request = ask(size="333x777", quality="max", background="transparent", output_format="webp")
    plan = planned(request, "some-new-model")
    assert plan.parameters["size"] == "333x777"
    assert plan.parameters["quality"] == "max"
    assert planned(ask(size="16:9"), "some-new-model").parameters["size"] == "1536x864"


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("gpt-image-2-2026-04-21", "gpt-image-2"),
        ("openai/gpt-image-2", "gpt-image-2"),
        ("gpt-image-2.5-sunburst-2026-09-08", "gpt-image-2.5-sunburst"),
        ("gpt-image-1.5-2025-12-16", "gpt-image-1.5"),
    ],
)
def test_snapshots_and_routers_names_have_the_rules_of_their_model(name: str, rules: str) -> None:
    assert find_model(name) is MODELS[rules]


def test_only_the_vendors_family_is_spared_response_format() -> None:
    assert is_gpt_image("openai/gpt-image-2")
    assert is_gpt_image("chatgpt-image-latest")
    assert not is_gpt_image("flux-1")
    for name in MODELS:
        for profile in PROFILES.values():
            assert "response_format" not in planned(ask(), name, profile.name).parameters


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (date(2026, 11, 23), "will be shut down on 2026-12-01, in 8 days"),
        (date(2026, 11, 30), "in 1 day."),
        (date(2026, 12, 1), "was to be shut down on 2026-12-01"),
    ],
)
def test_the_end_of_a_model_is_announced(today: date, words: str) -> None:
    warning = end_warning(find_model("gpt-image-1.5"), today, azure=False)
    assert warning is not None
    assert words in warning
    assert "gpt-image-2.6-sunburst" in warning


def test_azure_keeps_a_model_longer_than_its_maker() -> None:
    model = find_model("gpt-image-1.5")
    assert "2026-12-16, in 15 days" in (end_warning(model, date(2026, 12, 1), azure=True) or "")
    assert end_warning(find_model("gpt-image-1-mini"), date(2026, 12, 1), azure=True) is None


def test_a_model_without_an_end_is_not_warned_of() -> None:
    assert end_warning(find_model("gpt-image-2"), date(2030, 1, 1), azure=False) is None


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (png(32, 32), "no alpha"),
        (png(32, 16, alpha=True), "32x16"),
        (drawn("JPEG", (32, 32)), "must be a PNG"),
    ],
)
def test_a_mask_must_be_a_png_with_alpha_of_the_first_pictures_size(data: bytes, word: str, tmp_path: Path) -> None:
    first = reference(tmp_path, png(32, 32, seed=1))
    error = refused(reference_images=(first,), mask=reference(tmp_path, data))
    assert error.details["field"] == "mask"
    assert word in error.message


def test_a_mask_belongs_to_the_picture_that_is_gone_on_from(tmp_path: Path) -> None:
    mask = reference(tmp_path, png(32, 32, alpha=True))
    earlier = reference(tmp_path, png(32, 32))
    other = reference(tmp_path, png(64, 64))
    plan = planned(ask(mask=mask, continue_image=earlier, reference_images=(other,)), "gpt-image-2")
    assert plan.pictures == (earlier, other)


def test_a_large_mask_is_warned_of(tmp_path: Path) -> None:
    first = reference(tmp_path, png(32, 32))
    mask = reference(tmp_path, png(32, 32, alpha=True, size=5_000_000))
    assert planned(ask(reference_images=(first,), mask=mask), "gpt-image-2").warnings


def test_the_continued_picture_counts_among_the_sixteen(tmp_path: Path) -> None:
    one = reference(tmp_path, png(32, 32))
    assert planned(ask(reference_images=(one,) * 16), "gpt-image-2").edit
    assert "17" in refused(reference_images=(one,) * 16, continue_image=one).message
