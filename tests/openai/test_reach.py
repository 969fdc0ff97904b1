"""What doctor is told of the way to the API, found by a real request of the client that pictures take."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.reach import Reach, reach
from cdp_image_mcp.openai.wire import exchange
from fixtures.images_api import ERRORS, ImagesApi, raw
from tests.openai.doubles import KEY
from tests.openai.wire.ways import http_proxy, listening, make_authority, other_proxy

pytestmark = pytest.mark.anyio


async def found(folder: Path, base_url: str, *, key: bool = True, **fields: Any) -> Reach:
    settings = Settings(output_dir=folder, profile_dir=folder, api_key=KEY, base_url=base_url, **fields)
    with anyio.fail_after(30):
        return await reach(settings, key=key)


def listing(api: ImagesApi, *names: str) -> None:
    api.file("/v1/models", raw(200, json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()))


@pytest.mark.parametrize("key", [True, False])
async def test_a_list_with_the_model_is_all_one_can_ask(key: bool, api: ImagesApi, tmp_path: Path) -> None:
    listing(api, "gpt-5", "gpt-image-2")
    answer = await found(tmp_path, api.url, key=key)
    assert answer.level == "ok"
    [asked] = api.log
    assert (asked.method, asked.path) == ("GET", "/v1/models")
    assert asked.headers.get("authorization") == (f"Bearer {KEY}" if key else None)


async def test_a_list_without_the_model_names_those_that_draw(api: ImagesApi, tmp_path: Path) -> None:
    listing(api, "gpt-5", "gpt-image-2.6-flare")
    answer = await found(tmp_path, api.url, model="gpt-image-2")
    assert answer.level == "warning"
    assert "gpt-image-2.6-flare." in answer.advice
    assert "gpt-5" not in answer.advice


ANSWERS = [(401, True, "failed"), (401, False, "ok"), (403, True, "ok"), (404, True, "ok"), (200, True, "ok")]


@pytest.mark.parametrize(
    ("status", "key", "level"), [*ANSWERS, (502, True, "warning"), (429, True, "failed"), (307, True, "failed")]
)
async def test_an_answer_without_a_list_is_weighed(
    status: int, key: bool, level: str, api: ImagesApi, tmp_path: Path
) -> None:
    body = json.dumps(ERRORS["key"].body()) if status == 401 else "<title>elsewhere</title>"
    api.file("/v1/models", raw(status, body.encode(), {"content-type": "text/html"}))
    answer = await found(tmp_path, api.url, key=key)
    assert answer.level == level
    assert KEY not in repr(answer)


async def test_the_way_is_that_of_pictures(api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(api, "gpt-image-2")
    authority = make_authority(tmp_path, "api.example", name="Corporate Root")
    async with listening(api.url, secure=authority.server) as tls, http_proxy(f"http://127.0.0.1:{tls.port}") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        answer = await found(tmp_path, "https://api.example/v1")
    assert answer.level == "failed"
    assert f"by way of http://127.0.0.1:{proxy.port} (HTTPS_PROXY)" in answer.message
    assert "Corporate Root" in answer.message
    assert "SSL_CERT_FILE" in answer.advice
    assert "secret" not in repr(answer)


@pytest.mark.parametrize("said", [b"", None], ids=["hangs up", "says nothing"])
async def test_what_does_not_answer_as_a_socks_proxy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes | None
) -> None:
    monkeypatch.setattr(exchange, "ASKING", 0.3)
    async with other_proxy(said) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        answer = await found(tmp_path, "https://api.example/v1")
    assert answer.level == "failed"
    assert f"by way of socks5://127.0.0.1:{proxy.port} (HTTPS_PROXY)" in answer.message
    assert "check HTTPS_PROXY" in answer.advice


async def test_settings_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://127.0.0.1:1")
    assert "HTTPS_PROXY cannot be used" in (await found(tmp_path, "https://api.example/v1")).message
    assert "OPENAI_COMPAT" in (await found(tmp_path, "https://api.example/v1", compat="nobody")).message
