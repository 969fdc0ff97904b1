"""What does not go together is refused before anything is sent, whichever way it would have gone."""

from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.config import Problem
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from tests.library.making import a_record, create
from tests.studio.scripted import Scripted, draw, studio_with

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"size": "0:5"}, "size: '0:5' has a side of length 0"),
        ({"size": "0x512"}, "size: '0x512' has a side of length 0"),
        ({"background": "transparent", "output_format": "jpeg"}, "background transparent needs output_format png"),
        ({"output_compression": 50}, "output_compression goes with output_format jpeg or webp, not png"),
        ({"output_compression": 5, "output_format": "gif"}, "output_compression goes with output_format jpeg or webp"),
        ({"mask": "/a.png"}, "mask needs reference_images"),
        ({"mask": "/a.png", "reference_images": ["/b.png"], "backend": "chatgpt-web"}, "mask is taken by the API"),
    ],
)
async def test_a_combination_that_cannot_be_made_is_named(tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    web = Scripted(draw)
    async with studio_with(tmp_path, web) as studio:
        with pytest.raises(ImageError) as caught:
            await studio.generate(GenerateImage(prompt="a bear", **arguments))
    assert caught.value.message.startswith(f"Nothing was sent. {told}")
    assert (caught.value.code, caught.value.submitted, web.started) == ("invalid_input", False, [])
    assert caught.value.details["field"] == told.partition(" ")[0].rstrip(":")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"continue_from": "0" * 32}, "not_found"),
        ({"conversation_mode": "continue"}, "not_found"),
        ({"continue_from": "1" * 32, "backend": "chatgpt-web"}, "invalid_input"),
        ({"continue_from": "1" * 32 + "/2"}, "invalid_input"),
        ({"backend": "api"}, "api_key_missing"),
    ],
)
async def test_whatever_is_refused_before_it_is_accepted_says_that_nothing_was_sent(
    tmp_path: Path, arguments: dict[str, Any], code: str
) -> None:
    library = Library(tmp_path / "output")
    record = a_record(generation_id="1" * 32, backend="api", state="failed")
    await create(library, record)
    library.close()
    web = Scripted(draw)
    async with studio_with(tmp_path, web) as studio:
        with pytest.raises(ImageError, match="Nothing was sent") as caught:
            await studio.generate(GenerateImage(prompt="a bear", **arguments))
    assert (caught.value.code, caught.value.submitted, web.started) == (code, False, [])


async def test_an_output_folder_that_cannot_be_looked_at_is_told_as_what_it_is_with_nothing_sent(
    tmp_path: Path,
) -> None:
    root, web = tmp_path / "output", Scripted(draw)
    root.symlink_to(root)  # no system looks at it, not even for root
    async with studio_with(tmp_path, web) as studio:
        with pytest.raises(ImageError, match="Looking for the index failed") as caught:
            await studio.generate(GenerateImage(prompt="a bear", conversation_mode="continue"))
    assert (caught.value.code, caught.value.submitted, web.started) == ("disk", False, [])
    assert caught.value.details["path"] == str(root)


async def test_a_bad_setting_says_that_nothing_was_sent(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw), problems=(Problem("GPT_IMAGE_BACKEND", "no"),)) as studio:
        with pytest.raises(ImageError, match="Nothing was sent") as caught:
            await studio.generate(GenerateImage(prompt="a bear"))
    assert caught.value.code == "configuration"


async def no_credit(_request: ImageRequest, _report: Report) -> None:
    raise ImageError("billing", "There is no credit. Nothing was sent.", submitted=False)


@pytest.mark.parametrize("default", ["chatgpt-web", "auto"])
async def test_a_mask_goes_no_way_that_was_not_asked_for(default: str, tmp_path: Path) -> None:
    """Neither to the API and its price where the user's way is the web, nor to the site, which takes none."""
    web, api = Scripted(draw), Scripted(draw)
    async with studio_with(tmp_path, web, api, backend=default, api_key="test-key") as studio:
        made = await studio.generate(GenerateImage(prompt="a bear", backend="chatgpt-web"))
        picture = made.record.images[0].path
        more: dict[str, Any] = {"continue_from": made.record.generation_id} if default == "auto" else {}
        with pytest.raises(ImageError) as caught:
            await studio.generate(GenerateImage(prompt="bluer", reference_images=[picture], mask=picture, **more))
        named = await studio.generate(
            GenerateImage(prompt="x", reference_images=[picture], mask=picture, backend="api")
        )
    assert "mask is taken by the API" in caught.value.message
    assert (caught.value.code, web.started) == ("invalid_input", ["a bear"])
    assert (named.record.backend, api.started) == ("api", ["x"])


async def test_more_pictures_than_the_site_takes_go_to_the_api_alone(tmp_path: Path) -> None:
    """It takes ten attachments (live 2026-08); what they show is paid for at the API only where that may be asked."""
    web, api = Scripted(draw), Scripted(no_credit)
    async with studio_with(tmp_path, web, api, backend="auto", api_key="test-key") as studio:
        made = await studio.generate(GenerateImage(prompt="a bear", backend="chatgpt-web"))
        picture = made.record.images[0].path
        eleven: dict[str, Any] = {"reference_images": [picture] * 11}
        ways: list[dict[str, Any]] = [{"backend": "chatgpt-web"}, {"continue_from": made.record.generation_id}]
        for way in ways:
            with pytest.raises(ImageError) as caught:
                await studio.generate(GenerateImage(prompt="bluer", **eleven, **way))
            assert (caught.value.code, caught.value.details["field"]) == ("invalid_input", "reference_images")
            assert "at most 10" in caught.value.message
        fits = await studio.generate(GenerateImage(prompt="ten", reference_images=[picture] * 10))
        alone = await studio.generate(GenerateImage(prompt="eleven", **eleven))
    assert (fits.record.backend, fits.record.fallback_from) == ("chatgpt-web", "api")
    assert (alone.record.backend, alone.record.state) == ("api", "failed")
    assert (api.started, web.started) == (["ten", "eleven"], ["a bear", "ten"])


async def test_more_pictures_than_the_site_takes_are_refused_where_there_is_no_key(tmp_path: Path) -> None:
    web = Scripted(draw)
    async with studio_with(tmp_path, web, backend="auto") as studio:
        made = await studio.generate(GenerateImage(prompt="a bear"))
        with pytest.raises(ImageError) as caught:
            await studio.generate(GenerateImage(prompt="x", reference_images=[made.record.images[0].path] * 11))
    assert (caught.value.code, caught.value.details["field"]) == ("invalid_input", "reference_images")
    assert web.started == ["a bear"]


async def test_the_folder_of_an_earlier_answer_means_beside_that_picture_not_inside_it(tmp_path: Path) -> None:
    """Models repeat ``output_dir`` of an answer; deleting that picture took the nested ones with it."""
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        first = await studio.generate(GenerateImage(prompt="a bear", output_dir=str(tmp_path / "output" / "art")))
        second = await studio.generate(GenerateImage(prompt="a fox", output_dir=first.folder))
        again = await studio.generate(GenerateImage(prompt="a fox", output_dir=second.folder))
    assert Path(first.folder).parent == Path(second.folder).parent == tmp_path / "output" / "art"
    assert Path(second.record.images[0].path).parent == Path(second.folder)
    assert (again.joined, again.record.generation_id, again.unmet) == (True, second.record.generation_id, ())
