"""Events as servers say them in a stream, and their pictures."""

import base64
from typing import Any

from fixtures.images_api import png

MADE = png(64, 64, seed=3)
BLURRED = png(8, 8)
USED = {"input_tokens": 20, "output_tokens": 100, "total_tokens": 120}
PARTIAL = "image_generation.partial_image"
COMPLETED = "image_generation.completed"
LIMIT = {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Rate limit reached. Try again in 1s."}}
BLOCKED = {"type": "error", "error": {"code": "moderation_blocked", "message": "Stopped by safety."}}
FORMS = {
    "SiliconFlow": '{"images": [{"url": "%s"}], "timings": {"inference": 2.1}, "seed": 7}',
    "no list": '{"data": {"url": "%s"}}',
    "alone": '{"created": 1, "url": "%s"}',
    "within a result": '{"code": 0, "result": {"images": [{"url": "%s", "width": 64}]}}',
    "beside a profile": '{"url": "%s", "user": {"image_url": "https://a.example/profile.png"}}',
    "written in Go": '{"data": null, "error": {"code": ""}, "images": ["%s"]}',
}
"""Whole answers of relays, in forms of their own."""


def event(kind: str, picture: bytes = MADE, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "b64_json": base64.b64encode(picture).decode(), **fields}
