"""What a server says to be wrong within a success: beside pictures, in place of one of them, or in an event alone."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import open_studio
from fixtures.images_api import ImagesApi, png, raw
from tests.openai.doubles import KEY

pytestmark = pytest.mark.anyio

ITEM = {"b64_json": base64.b64encode(png(seed=3)).decode()}
BLOCKED = {"code": "moderation_blocked", "type": "image_generation_user_error", "message": "Stopped by safety."}


async def made(api: ImagesApi, folder: Path, said: str, **asked: Any) -> Record:
    api.play(raw(200, said.encode()))
    settings = Settings(
        backend="api",
        base_url=api.url,
        compat="localai",
        api_key=KEY,
        output_dir=folder / "p",
        profile_dir=folder / "q",
        wait_seconds=20,
    )
    with anyio.fail_after(40):
        async with open_studio(settings, InstalledWays()) as studio:
            return (await studio.generate(GenerateImage(prompt="a fox", **asked))).record


@pytest.mark.parametrize(
    "said",
    [
        {"data": [ITEM], "error": BLOCKED},
        {"data": [ITEM, {"error": BLOCKED}]},
        {"data": [{"b64_json": "", "error": BLOCKED}, ITEM]},
    ],
    ids=["beside them", "in place of one", "with an empty one"],
)
async def test_why_a_picture_is_missing_is_told_in_the_servers_own_words(
    said: dict[str, Any], api: ImagesApi, tmp_path: Path
) -> None:
    record = await made(api, tmp_path, json.dumps(said), n=2)
    assert record.error is not None
    assert (record.state, record.error["code"], len(record.images)) == ("partial", "refused", 1)
    assert (record.error["submitted"], record.error["spent"], record.error["retryable"]) == (True, True, False)
    assert record.error["details"]["text"] == BLOCKED["message"]
    assert [failure.code for failure in record.failures] == ["refused"]


async def test_an_error_in_place_of_every_picture_is_the_answers(api: ImagesApi, tmp_path: Path) -> None:
    record = await made(api, tmp_path, json.dumps({"data": [{"error": BLOCKED}]}))
    assert (record.state, (record.error or {})["code"]) == ("refused", "refused")


async def test_an_error_beside_all_pictures_that_were_asked_for_is_no_failure(api: ImagesApi, tmp_path: Path) -> None:
    record = await made(api, tmp_path, json.dumps({"data": [ITEM], "error": BLOCKED}))
    assert (record.state, record.error, len(record.images)) == ("saved", None, 1)


@pytest.mark.parametrize(
    "event",
    [
        f"data: {json.dumps({**BLOCKED, 'type': 'error'})}",
        f"event: error\ndata: {json.dumps(BLOCKED)}",
        f"data: {json.dumps({**BLOCKED, 'type': 'image_generation.failed', 'error': None})}",
        "event: error\ndata: Blocked by our safety system.",
    ],
    ids=["by its type", "by its name", "failed", "in words"],
)
async def test_an_event_that_is_an_error_is_told_whatever_its_form(event: str, api: ImagesApi, tmp_path: Path) -> None:
    record = await made(api, tmp_path, f"{event}\n\n")
    assert record.error is not None
    assert "safety" in str(record.error["details"].get("text"))
    assert record.error["code"] == ("service_error" if "Blocked by" in event else "refused")
    assert "connection" not in record.error["message"]
