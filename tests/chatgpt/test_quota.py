"""Quota told in passing."""

import json

import pytest

from cdp_image_mcp.chatgpt.quota import Quota, read_quotas


def body(**fields: object) -> bytes:
    return json.dumps({"type": "conversation_detail_metadata", **fields}).encode()


@pytest.mark.parametrize("key", ["reset_after", "resets_after"])
def test_both_spellings_of_the_reset_time_are_read(key: str) -> None:
    entry = {"feature_name": "image_gen", "remaining": 113, key: "2026-04-25T10:03:21.123Z"}
    assert read_quotas(body(limits_progress=[entry])) == (Quota("image_gen", 113, "2026-04-25T10:03:21+00:00"),)


def test_a_blocked_feature_has_nothing_left() -> None:
    progress = [{"feature_name": "image_gen", "remaining": 2, "reset_after": "2026-04-25T10:03:21+00:00"}]
    blocked = [{"name": "image_gen", "block_reason": "limit", "resets_after": None}]
    assert read_quotas(body(limits_progress=progress, blocked_features=blocked)) == (
        Quota("image_gen", 0, "2026-04-25T10:03:21+00:00", blocked=True),
    )


def test_a_blocked_feature_may_be_only_a_name() -> None:
    assert read_quotas(body(blocked_features=["image_gen"])) == (Quota("image_gen", 0, None, blocked=True),)


@pytest.mark.parametrize("limits", [None, [], {}, "x"])
def test_null_lists_say_nothing(limits: object) -> None:
    assert read_quotas(body(limits_progress=limits, blocked_features=limits if limits != "x" else None)) == ()


@pytest.mark.parametrize("reset", [None, "soon", "2026-04-25T10:03:21", 7])
def test_a_time_that_cannot_be_placed_is_unknown(reset: object) -> None:
    entry = {"feature_name": "file_upload", "remaining": None, "reset_after": reset}
    assert read_quotas(body(limits_progress=[entry])) == (Quota("file_upload"),)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"<html>", b'{"limits_progress":[null,1,{}]}'])
def test_anything_else_is_empty(data: bytes) -> None:
    assert read_quotas(data) == ()
