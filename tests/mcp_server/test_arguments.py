"""Arguments as models and clients really send them: which forms are understood, and what is said about the others."""

import re
import sys
from typing import Any

import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.arguments import BackendStatus, BrowserVisibility, CancelImage, WaitForImage, parse
from cdp_image_mcp.mcp_server.tools import ARGUMENTS
from cdp_image_mcp.studio.asked import GenerateImage, asked, fingerprint

FOREIGN = re.compile(r"\$\.|`|regex|Expected|Object|array|\bstr\b|\bint\b|\bbool\b|null|\^|enum value", re.IGNORECASE)
"""Traces of msgspec's own messages."""
IDENTITY = "0123456789abcdef" * 2
FOX = {"prompt": "a fox"}


def understood(**given: Any) -> dict[str, Any]:
    """What ``generate_image`` made of arguments beside a prompt; defaults are left out."""
    arguments, ignored = parse(GenerateImage, FOX | given)
    assert ignored == []
    return asked(arguments)


def refusal(kind: type[msgspec.Struct], arguments: Any) -> ImageError | None:
    try:
        parse(kind, arguments)
    except ImageError as error:
        return error
    return None


def complaint(kind: type[msgspec.Struct], arguments: Any) -> ImageError:
    found = refusal(kind, arguments)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"n": "2"}, {"n": 2}),
        ({"n": 2.0}, {"n": 2}),
        ({"n": "2.0"}, {"n": 2}),
        ({"wait_seconds": "45"}, {"wait_seconds": 45}),
        ({"reference_images": '["/a.png", "/b.png"]'}, {"reference_images": ["/a.png", "/b.png"]}),
        ({"reference_images": "/a.png"}, {"reference_images": ["/a.png"]}),
        ({"reference_images": ["/a.png", None, ""]}, {"reference_images": ["/a.png"]}),
        ({"reference_images": "/a [1].png"}, {"reference_images": ["/a [1].png"]}),
        ({"output_format": "jpg"}, {"output_format": "jpeg"}),
        ({"output_format": "JPG"}, {"output_format": "jpeg"}),
        ({"output_format": "WEBP"}, {"output_format": "webp"}),
        ({"quality": "High"}, {"quality": "high"}),
        ({"backend": "API"}, {"backend": "api"}),
        ({"size": "AUTO"}, {"size": "auto"}),
        ({"quality": "hd"}, {"quality": "high"}),
        ({"quality": "standard"}, {"quality": "medium"}),
        ({"size": "square"}, {"size": "1:1"}),
        ({"size": "portrait"}, {"size": "2:3"}),
        ({"size": "landscape"}, {"size": "3:2"}),
        ({"size": "1024*1024"}, {"size": "1024x1024"}),
        ({"size": "1024X1024"}, {"size": "1024x1024"}),
        ({"size": "1024 × 1536"}, {"size": "1024x1536"}),
        ({"size": "16/9"}, {"size": "16:9"}),
        ({"continue_from": f"{IDENTITY}/3"}, {"continue_from": f"{IDENTITY}/3"}),
    ],
)
def test_a_usual_form_of_an_argument_is_understood(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert understood(**given) == meant


def test_a_default_that_is_given_is_the_same_wish_as_one_that_is_left_out() -> None:
    left_out, given = (parse(GenerateImage, {"prompt": "a fox"} | more)[0] for more in ({}, {"size": "auto", "n": 1}))
    marks = {fingerprint(wish, ("api", "account"), (), None, None) for wish in (left_out, given)}
    other, _ = parse(GenerateImage, {"prompt": "a fox", "size": "1:1"})
    assert len(marks) == 1
    assert fingerprint(other, ("api", "account"), (), None, None) not in marks


def test_a_list_in_a_text_that_nests_too_deep_is_a_name_like_any_other() -> None:
    error = complaint(GenerateImage, {"prompt": "a fox", "reference_images": "[" * 100_000})
    assert (error.code, error.submitted) == ("invalid_input", False)


@pytest.mark.skipif(sys.platform == "win32", reason="a drive belongs to an absolute path there")
@pytest.mark.parametrize("field", ["mask", "output_dir", "reference_images"])
@pytest.mark.parametrize("address", ["file:///a%20b/c.png", "file://localhost/a%20b/c.png"])
def test_a_file_address_is_a_path(field: str, address: str) -> None:
    assert understood(**{field: address}) == {field: ["/a b/c.png"] if field == "reference_images" else "/a b/c.png"}


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_text_mean_left_out(value: Any) -> None:
    optional = [name for name in GenerateImage.__struct_fields__ if name != "prompt"]
    assert understood(**dict.fromkeys(optional, value)) == {}
    assert parse(WaitForImage, dict.fromkeys(WaitForImage.__struct_fields__, value)) == (WaitForImage(), [])
    assert parse(BackendStatus, {"backend": value}) == (BackendStatus(), [])


@pytest.mark.parametrize(("given", "prompt"), [(1234, "1234"), (12.5, "12.5"), ("  1234 ", "1234")])
def test_a_prompt_that_is_a_number_is_text(given: Any, prompt: str) -> None:
    assert parse(GenerateImage, {"prompt": given})[0].prompt == prompt


@pytest.mark.parametrize(
    ("kind", "name", "right"),
    [
        (GenerateImage, "promt", "prompt"),
        (GenerateImage, "count", "n"),
        (GenerateImage, "N", "n"),
        (GenerateImage, "num_images", "n"),
        (GenerateImage, "numImages", "n"),
        (GenerateImage, "number_of_images", "n"),
        (GenerateImage, "referenceImages", "reference_images"),
        (GenerateImage, "reference-image", "reference_images"),
        (GenerateImage, "image", "reference_images"),
        (GenerateImage, "image_urls", "reference_images"),
        (GenerateImage, "ref_images", "reference_images"),
        (GenerateImage, "base_image", "reference_images"),
        (GenerateImage, "sourceImagePath", "reference_images"),
        (GenerateImage, "photo", "reference_images"),
        (GenerateImage, "mask_image", "mask"),
        (GenerateImage, "mask_base64", "mask"),
        (GenerateImage, "image_base64", "reference_images"),
        (GenerateImage, "input_image_base64", "reference_images"),
        (GenerateImage, "image_bytes", "reference_images"),
        (GenerateImage, "previous_response_id", "continue_from"),
        (GenerateImage, "max_images", "n"),
        (GenerateImage, "variations", "n"),
        (GenerateImage, "batch_size", "n"),
        (GenerateImage, "image_number", "n"),
        (GenerateImage, "aspect_ratio", "size"),
        (GenerateImage, "image_size", "size"),
        (GenerateImage, "imageQuality", "quality"),
        (GenerateImage, "output_path", "output_dir"),
        (GenerateImage, "width", "size"),
        (GenerateImage, "aspect", "size"),
        (GenerateImage, "orientation", "size"),
        (GenerateImage, "transparent", "background"),
        (GenerateImage, "transparent_background", "background"),
        (GenerateImage, "timeout", "timeout_seconds"),
        (GenerateImage, "timeoutMs", "timeout_seconds"),
        (GenerateImage, "compression", "output_compression"),
        (GenerateImage, "continueFrom", "continue_from"),
        (GenerateImage, "previous_generation_id", "continue_from"),
        (GenerateImage, "outputFormat", "output_format"),
        (GenerateImage, "format", "output_format"),
        (WaitForImage, "generationId", "generation_id"),
        (WaitForImage, "id", "generation_id"),
        (CancelImage, "task_id", "generation_id"),
        (BackendStatus, "back_end", "backend"),
    ],
)
def test_a_name_that_is_nearly_right_is_refused_with_the_right_one(
    kind: type[msgspec.Struct], name: str, right: str
) -> None:
    error = complaint(kind, (FOX if kind is GenerateImage else {}) | {name: 4})
    assert error.message == f"Nothing was sent. There is no argument {name}; it is called {right}."
    assert error.details == {"field": name}


@pytest.mark.parametrize("name", ["generation_id", "id", "imageId"])
def test_an_id_given_with_a_prompt_pays_for_no_picture_of_that_prompt_alone(name: str) -> None:
    """Whoever names one wants that picture changed, or collected."""
    error = complaint(GenerateImage, FOX | {name: IDENTITY})
    assert error.message.startswith(f"Nothing was sent. There is no argument {name}; it is called continue_from.")
    assert error.message.endswith("wait_for_image collects that picture.")


DATA = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg"


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("style_image", "/home/a/fox.png", "reference_images"),
        ("controlImage", "C:\\fox.png", "reference_images"),
        ("subject_image", "~/fox.png", "reference_images"),
        ("previous_image", "fox.png", "reference_images"),
        ("previous_image", IDENTITY, "continue_from"),
        ("existing_image", "file:///a/fox.png", "reference_images"),
        ("starting_image", "https://example.com/fox", "reference_images"),
        ("first_frame_image", DATA, "reference_images"),
        ("attached_images", [{"type": "image_url", "image_url": {"url": DATA}}], "reference_images"),
        ("image_to_edit", "iVBORw0KGgoAAAANSUhEUg", "reference_images"),
        ("images_to_edit", ["/a.png", "/b.png"], "reference_images"),
        ("style_reference", "./fox", "reference_images"),
        ("character_reference", {"path": "/a/fox"}, "reference_images"),
        ("file", "/a/fox.heic", "reference_images"),
        ("files", ["/a/fox.png"], "reference_images"),
        ("file_path", "/a/fox.png", "reference_images"),
        ("input_files", ["file-AbCdEf12"], "reference_images"),
        ("attachments", [{"url": "https://example.com/fox"}], "reference_images"),
        ("inpaint_mask", "/a/mask.png", "mask"),
        ("subject", "/a/fox.png", "reference_images"),
        ("sketch", "https://example.com/fox.JPG?width=9", "reference_images"),
        ("init", "/9j/4AAQSkZJRgABAQ", "reference_images"),
        ("files", ["https://example.com/fox?size=9"], "reference_images"),
        ("input", "/home/a/upload_1f0e", "reference_images"),
        ("path", "/proj/public/hero.png", "reference_images"),
        ("target", "/proj/public/hero.png", "reference_images"),
        ("write_to", "/proj/public/hero.png", "reference_images"),
        ("TargetFile", "/proj/public/hero.png", "reference_images"),
        ("new_image", "/proj/public/hero.png", "reference_images"),
    ],
)
def test_a_picture_under_any_name_is_refused_with_the_argument_that_takes_it(name: str, value: Any, right: str) -> None:
    """Whoever named a place for the new one would otherwise pay for an edit of what lies there."""
    error = complaint(GenerateImage, FOX | {name: value})
    told = f"what it holds belongs in {right}."
    if right == "reference_images":
        told = (
            "a picture to work from belongs in reference_images. A place for the new one is to be left out: output_dir "
            "takes a folder."
        )
    assert error.message == f"Nothing was sent. There is no argument {name}; {told}"
    assert error.details == {"field": name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_progress", "- [x] look at /a/fox.png\n- [ ] draw it as b.png"),
        ("cwd", "/home/a/pictures"),
        ("filename", "fox.png"),
        ("output_file", "/home/a/fox.png"),
        ("saveAs", "/home/a/fox.png"),
        ("style_reference", "Van Gogh, late"),
        ("reference_artists", ["Monet", "Turner"]),
        ("image_strength", 0.7),
        ("file_extension", ".png"),
        ("workspace_file", "/home/a/notes.txt"),
        ("context_files", ["/home/a/App.tsx", "https://example.com/App.tsx"]),
        ("input", "/imagine a cat"),
        ("files", []),
        ("attachments", {"count": 0}),
    ],
)
def test_words_and_names_for_the_new_picture_are_ignored(name: str, value: Any) -> None:
    assert parse(GenerateImage, FOX | {name: value}) == (parse(GenerateImage, FOX)[0], [name])


def test_what_is_ignored_may_be_nested_however_deep() -> None:
    deep: Any = "/a/fox.png"
    for _ in range(5_000):
        deep = [deep]
    assert parse(GenerateImage, FOX | {"files": deep})[1] == ["files"]


@pytest.mark.parametrize("kind", [kind for kind in ARGUMENTS.values() if kind is not GenerateImage])
def test_a_call_that_draws_nothing_ignores_a_picture(kind: type[msgspec.Struct]) -> None:
    needed = {"generation_id": IDENTITY} if kind is CancelImage else {}
    assert parse(kind, needed | {"style_image": "/a/fox.png"})[1] == ["style_image"]


FOREIGN_NAMES = ["task_progress", "reason", "requires_approval", "_meta", "toolCallId", "seed", "response_format"]


@pytest.mark.parametrize(
    "name",
    [*FOREIGN_NAMES, "negative_prompt", "num_inference_steps", "session_id", "max", "max_image_size", "max_size"],
)
@pytest.mark.parametrize("kind", ARGUMENTS.values())
def test_any_other_name_is_ignored_and_told(kind: type[msgspec.Struct], name: str) -> None:
    needed = FOX if kind is GenerateImage else {"generation_id": IDENTITY} if kind is CancelImage else {}
    assert parse(kind, needed | {name: ["- [ ] a picture"]}) == (parse(kind, needed)[0], [name])


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        (GenerateImage, {}, "prompt is missing. What it takes: What to draw, in any language; 1 to 32,000 characters."),
        (GenerateImage, {"prompt": "  "}, "prompt cannot be empty."),
        (GenerateImage, {"prompt": None}, "prompt cannot be empty."),
        (GenerateImage, {"prompt": True}, "prompt cannot be true."),
        (GenerateImage, {"prompt": "x" * 32_001}, "prompt cannot be 32,001 characters of text."),
        (GenerateImage, FOX | {"n": 11}, "n cannot be 11. What it takes: How many pictures, 1 to 10."),
        (GenerateImage, FOX | {"n": "eleven"}, 'n cannot be "eleven".'),
        (GenerateImage, FOX | {"n": 2.5}, "n cannot be 2.5."),
        (GenerateImage, FOX | {"n": True}, "n cannot be true."),
        (GenerateImage, FOX | {"size": "big"}, 'size cannot be "big". What it takes: auto, WIDTHxHEIGHT in pixels'),
        (GenerateImage, FOX | {"backend": "web"}, 'backend cannot be "web".'),
        (GenerateImage, FOX | {"timeout_seconds": 5}, "timeout_seconds cannot be 5. What it takes: 30 to 1800."),
        (GenerateImage, FOX | {"timeout_seconds": float("nan")}, "timeout_seconds cannot be infinite or no number."),
        (GenerateImage, {"prompt": float("inf")}, "prompt cannot be infinite or no number."),
        (GenerateImage, FOX | {"mask": "file://[a/b.png"}, 'mask cannot be "file://[a/b.png": this is no address.'),
        (GenerateImage, FOX | {"timeout_seconds": "nan"}, 'timeout_seconds cannot be "nan".'),
        (GenerateImage, FOX | {"reference_images": ["/a.png", 7]}, 'reference_images cannot be ["/a.png",7].'),
        (GenerateImage, FOX | {"reference_images": ["/a.png"] * 17}, "reference_images cannot be 17 entries."),
        (
            GenerateImage,
            FOX | {"reference_images": "https://a.org/a.png"},
            'reference_images cannot be "https://a.org/a.png": addresses are not opened, only files of this machine.',
        ),
        (GenerateImage, FOX | {"mask": "data:image/png;base64,AAAA"}, "mask cannot be"),
        (GenerateImage, FOX | {"output_dir": "file://server/share"}, "output_dir cannot be"),
        (GenerateImage, FOX | {"mask": "a\ud800"}, "mask cannot be text with half a character."),
        (GenerateImage, FOX | {"continue_from": f"{IDENTITY}/0"}, "continue_from cannot be"),
        (WaitForImage, {"wait_seconds": True}, "wait_seconds cannot be true."),
        (WaitForImage, {"wait_seconds": "1801"}, 'wait_seconds cannot be "1801".'),
        (WaitForImage, {"generation_id": "latest"}, 'generation_id cannot be "latest".'),
        (CancelImage, None, "generation_id is missing. What it takes: generation_id from an earlier answer,"),
        (CancelImage, {"generation_id": ""}, "generation_id cannot be empty."),
        (BrowserVisibility, {"start_browser": "yes"}, 'start_browser cannot be "yes".'),
    ],
)
def test_what_cannot_be_used_is_told_in_a_plain_sentence(kind: type[msgspec.Struct], arguments: Any, told: str) -> None:
    assert complaint(kind, arguments).message.startswith(f"Nothing was sent. {told}")


@pytest.mark.parametrize("kind", ARGUMENTS.values())
@pytest.mark.parametrize("value", [3.5, -1, "?", [], {}, [[1]], "x" * 100_000, float("inf"), 2**70, "\x1b[2J"])
def test_no_argument_is_told_in_the_words_of_a_library(kind: type[msgspec.Struct], value: Any) -> None:
    for name in kind.__struct_fields__:
        error = refusal(kind, (FOX if kind is GenerateImage else {}) | {name: value})
        if error is not None:
            assert error.details["field"] in error.message
            assert not FOREIGN.search(error.message), error.message
            assert len(error.message) < 500
            assert error.details["field"] in {name, "generation_id"}  # the latter is missing where it is needed
