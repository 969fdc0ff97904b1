"""What does not go together is refused before anything is sent, whichever way it would have gone."""

from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.studio.asked import GenerateImage
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
    assert told in caught.value.message
    assert (caught.value.code, caught.value.submitted, web.started) == ("invalid_input", False, [])
