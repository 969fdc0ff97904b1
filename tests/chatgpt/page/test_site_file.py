"""What is known of the site is data: addresses of its own calls, and a user's file that comes before ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.address import Call, Site
from cdp_image_mcp.chatgpt.page.locators import load
from cdp_image_mcp.errors import ImageError
from tests.chatgpt.talk import site_at

BASE = "https://chatgpt.com/"
CHAT = "6a1f0c52-7d3e-4b8a-9c41-2e5f8a7b9d10"
SITE = site_at(BASE)


def asked(path: str, method: str = "GET", base: str = BASE) -> Request:
    return Request("r", f"{base}{path}", method, "Fetch", "f", "l")


@pytest.mark.parametrize(
    ("call", "path", "method"),
    [
        ("turn", "backend-api/f/conversation", "POST"),
        ("turn", "backend-api/conversation", "POST"),
        ("turn", "backend-anon/f/conversation", "POST"),
        ("sending", "backend-api/f/conversation/prepare", "POST"),
        ("sending", "backend-api/sentinel/chat-requirements/finalize", "POST"),
        ("resume", "backend-api/f/conversation/resume", "POST"),
        ("conversation", f"backend-api/conversations/{CHAT}?num_turns=10&include_has_versions=true", "GET"),
        ("conversation", f"backend-api/conversations/{CHAT}/messages?before=x&num_turns=10", "GET"),
        ("conversation", f"backend-api/conversation/{CHAT}", "GET"),
        ("batch", "backend-api/conversations/batch", "POST"),
        ("stream_status", f"backend-api/conversation/{CHAT}/stream_status", "GET"),
        ("history", "backend-api/conversations?offset=0&limit=28&order=updated", "GET"),
        ("quota", "backend-api/conversation/init", "POST"),
        ("upload_begun", "backend-api/files", "POST"),
        ("upload_done", "backend-api/files/process_upload_stream", "POST"),
        ("upload_done", "backend-api/files/file-7f/uploaded", "POST"),
    ],
)
def test_each_call_of_the_page_is_known_and_is_no_other(call: Call, path: str, method: str) -> None:
    calls: tuple[Call, ...] = (
        *("turn", "sending", "resume", "conversation", "batch", "stream_status", "history", "quota"),
        *("upload_begun", "upload_done"),
    )
    assert [one for one in calls if SITE.asks(one, asked(path, method))] == [call]


@pytest.mark.parametrize("home", ["https://ChatGPT.com/", "https://chatgpt.com:443/", "https://chatgpt.com/"])
def test_the_site_is_known_however_its_address_was_written(home: str) -> None:
    """A browser tells the host in lower case, and leaves out the port that goes without saying."""
    site = site_at(home)
    assert site.ours("https://chatgpt.com/c/1")
    assert not site.ours("https://chatgpt.com:8443/c/1")
    assert not site.ours("https://chatgpt.com.example/c/1")


def test_a_conversation_is_named_by_the_address_of_its_answer() -> None:
    assert SITE.asked_about(asked(f"backend-api/conversations/{CHAT}/messages?before=x")) == CHAT
    assert SITE.asked_about(asked(f"backend-api/conversation/{CHAT}/stream_status")) == CHAT
    assert SITE.asked_about(asked("backend-api/conversations/batch", "POST")) == ""
    assert not SITE.reads_conversation(asked(f"backend-api/conversation/{CHAT}", base="https://elsewhere.example/"))


def written(folder: Path, **content: Any) -> Path:
    path = folder / "site.json"
    path.write_text(json.dumps(content))
    return path


def test_a_users_endpoint_comes_beside_ours(tmp_path: Path) -> None:
    found = load(written(tmp_path, endpoints={"turn": [{"path": "/backend-api/f/v2/conversation", "method": "POST"}]}))
    site = Site(BASE, found.endpoints, found.words)
    assert site.asks("turn", asked("backend-api/f/v2/conversation", "POST"))
    assert site.asks("turn", asked("backend-api/f/conversation", "POST"))
    assert not SITE.asks("turn", asked("backend-api/f/v2/conversation", "POST"))


def test_a_file_in_another_encoding_is_told_with_the_first_wrong_byte(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_bytes('{"words":{"rules":[{"meaning":"refused","language":"fr","all":[["échoué"]]}]}}'.encode("cp1252"))
    with pytest.raises(ImageError, match=r"site\.json: byte 65 is not UTF-8; save it in that encoding\.") as caught:
        load(path)
    assert caught.value.code == "configuration"


def test_a_file_with_the_mark_of_an_editor_on_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps({"words": {"rules": [WELSH]}}), "utf-8-sig")
    assert load(path).words.meaning("Mae'n ddrwg gen i am y llun") == "refused"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"endpoints": {"trun": []}}, "there is no endpoint trun"),
    ({"endpoints": {"turn": [{"path": "/backend-api/(f"}]}}, "no regular expression"),
    ({"endpoints": {"turn": [{"path": "/(f)/x{99999999999}"}]}}, r"no regular expression .*endpoints\S*\[0\]"),
    ({"endpoints": {"turn": [{"path": f"/{'(' * 5000}{')' * 5000}"}]}}, "no regular expression"),
    ({"endpoints": {"turn": [{"css": "main"}]}}, "unknown field"),
    ({"roles": {"kompozer": []}}, "there is no role kompozer"),
    (
        {"words": {"rules": [{"meaning": "maybe", "language": "en", "all": [["x"]]}]}},
        r"words\.rules\S*\.meaning",
    ),
    ({"words": {"rules": [{"meaning": "rate", "language": "en", "all": [["x"]], "script": "x"}]}}, "script"),
    ({"words": {"rules": [{"meaning": "rate", "language": "en", "all": []}]}}, "empty group of phrases"),
    ({"words": {"rules": [{"meaning": "rate", "language": "en", "all": [[" "]]}]}}, "empty group of phrases"),
    ({"words": {"rule": []}}, "rule"),
]


@pytest.mark.parametrize(("content", "says"), WRONG)
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageError, match=says) as caught:
        load(written(tmp_path, **content))
    assert caught.value.code == "configuration"


WELSH = {"meaning": "refused", "language": "cy", "all": [["mae'n ddrwg"], ["llun"]]}


def test_a_users_wordings_come_before_ours(tmp_path: Path) -> None:
    words = load(written(tmp_path, words={"rules": [WELSH]})).words
    assert words.meaning("MAE’N DDRWG gen i am y llun") == "refused"
    assert words.meaning("You've hit your limit.") == "quota"
