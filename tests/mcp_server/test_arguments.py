"""What a model is told about arguments that cannot be used: a sentence it can act on, and no library's own words."""

import re
from typing import Any

import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.arguments import BackendStatus, BrowserVisibility, CancelImage, WaitForImage, parse
from cdp_image_mcp.mcp_server.tools import ARGUMENTS
from cdp_image_mcp.studio.asked import GenerateImage

FOREIGN = re.compile(r"\$\.|`|regex|Expected|Object|array|\bstr\b|\bint\b|\bbool\b|null|\^|enum value", re.IGNORECASE)
"""Traces of msgspec's own messages."""


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


FOX = {"prompt": "a fox"}


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        (GenerateImage, {}, "prompt is missing: it must be text of 1 to 32,000 characters."),
        (GenerateImage, {"prompt": "  "}, "prompt must be text of 1 to 32,000 characters; it is empty."),
        (
            GenerateImage,
            {"prompt": "x" * 32_001},
            "prompt must be text of 1 to 32,000 characters; it has 32,001 characters.",
        ),
        (GenerateImage, FOX | {"n": 11}, "n must be a whole number from 1 to 10; it is 11."),
        (GenerateImage, FOX | {"n": "2"}, 'n must be a whole number from 1 to 10; it is "2".'),
        (GenerateImage, FOX | {"n": None}, "n must be a whole number from 1 to 10; leave it out for the default."),
        (
            GenerateImage,
            FOX | {"size": "big"},
            'size must be auto, WIDTHxHEIGHT in pixels such as 1024x1536, or a ratio such as 16:9; it is "big".',
        ),
        (GenerateImage, FOX | {"backend": "web"}, 'backend must be api, auto or chatgpt-web; it is "web".'),
        (GenerateImage, FOX | {"timeout_seconds": 5}, "timeout_seconds must be a number from 30 to 1800; it is 5."),
        (
            GenerateImage,
            FOX | {"timeout_seconds": float("nan")},
            "timeout_seconds must be a number from 30 to 1800; it is not finite.",
        ),
        (
            GenerateImage,
            FOX | {"reference_images": ["/a.png", 7]},
            'reference_images must be a list of at most 16 absolute paths; it is ["/a.png",7].',
        ),
        (
            GenerateImage,
            FOX | {"reference_images": ["/a.png"] * 17},
            "reference_images must be a list of at most 16 absolute paths; it has 17 entries.",
        ),
        (
            GenerateImage,
            FOX | {"mask": "a\ud800"},
            "mask must be an absolute path; it holds half a character or a number that is not finite.",
        ),
        (WaitForImage, {"wait_seconds": True}, "wait_seconds must be a number from 0 to 1800; it is true."),
        (
            WaitForImage,
            {"generation_id": "latest"},
            'generation_id must be a generation_id from an earlier answer, 32 hexadecimal digits; it is "latest".',
        ),
        (
            CancelImage,
            None,
            "generation_id is missing: it must be a generation_id from an earlier answer, 32 hexadecimal digits.",
        ),
        (BackendStatus, {"verbose": True}, "There is no argument verbose; there is backend."),
        (
            BrowserVisibility,
            {"start": 1},
            "There is no argument start; there are action and start_browser.",
        ),
        (BrowserVisibility, {"start_browser": "yes"}, 'start_browser must be true or false; it is "yes".'),
        (WaitForImage, [1], "The arguments must be a JSON object."),
    ],
)
def test_a_bad_argument_is_told_in_a_plain_sentence(kind: type[msgspec.Struct], arguments: Any, told: str) -> None:
    assert complaint(kind, arguments).message == f"Nothing was sent. {told}"


@pytest.mark.parametrize("kind", ARGUMENTS.values())
@pytest.mark.parametrize("value", [None, 3.5, -1, "?", [], {}, [[1]], "x" * 100_000, float("inf"), 2**70, "\x1b[2J"])
def test_no_argument_is_told_in_the_words_of_a_library(kind: type[msgspec.Struct], value: Any) -> None:
    for name in ("prompt", *kind.__struct_fields__, "zz"):
        error = refusal(kind, (FOX if kind is GenerateImage else {}) | {name: value})
        if error is not None:
            assert name in error.message
            assert not FOREIGN.search(error.message), error.message
            assert len(error.message) < 500
            assert error.details["field"] == name
