"""Quota told in passing."""

import json
from datetime import UTC, datetime

import pytest

from cdp_image_mcp.chatgpt.network.quota import Quota, no_pictures_left, read_quotas


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
        Quota("image_gen", 0, "2026-04-25T10:03:21+00:00"),
    )


def test_a_blocked_feature_may_be_only_a_name() -> None:
    assert read_quotas(body(blocked_features=["image_gen"])) == (Quota("image_gen", 0, None),)


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


@pytest.mark.parametrize(
    ("feature", "remaining", "reset_at", "refused"),
    [
        ("image_gen", 0, "2026-04-25T12:00:01+00:00", True),
        ("image_gen", 0, "2026-04-25T11:59:59+00:00", False),
        ("image_gen", 0, None, False),
        ("image_gen", 1, "2026-04-25T12:00:01+00:00", False),
        ("image_gen", None, "2026-04-25T12:00:01+00:00", False),
        ("file_upload", 0, "2026-04-25T12:00:01+00:00", False),
    ],
)
def test_only_pictures_that_are_used_up_until_later_keep_a_prompt_back(
    feature: str, remaining: int | None, reset_at: str | None, refused: bool
) -> None:
    quota = Quota(feature, remaining, reset_at)
    left = no_pictures_left((Quota("other", 5), quota), now=datetime(2026, 4, 25, 12, tzinfo=UTC))
    assert left == (quota if refused else None)
