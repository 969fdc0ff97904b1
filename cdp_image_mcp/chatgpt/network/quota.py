"""Quota the page was told in passing: answers of ``conversation/init`` and the stream's detail metadata.

Shape as seen 2026-04 to 2026-09; ``reset_after`` is also spelled ``resets_after``, lists may be null.
"""

from datetime import datetime
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.network.wire import items, obj, read_json, text

PICTURES = "image_gen"


class Quota(msgspec.Struct, frozen=True):
    """What is left of one feature (``image_gen``, ``file_upload``, …). ``reset_at`` is ISO 8601 with offset."""

    feature: str
    remaining: int | None = None
    reset_at: str | None = None


def read_quotas(body: bytes) -> tuple[Quota, ...]:
    """The quotas in a ``conversation/init`` answer; empty for anything else. Never raises."""
    return quotas_of(obj(read_json(body)))


def quotas_of(said: dict[str, Any]) -> tuple[Quota, ...]:
    """The quotas of a ``conversation_detail_metadata`` object, each feature once."""
    found: dict[str, Quota] = {}
    for entry in map(obj, items(said.get("limits_progress"))[:100]):
        feature = text(entry.get("feature_name"))[:100]
        if feature:
            found[feature] = Quota(feature, _count(entry.get("remaining")), _reset(entry))
    for value in items(said.get("blocked_features"))[:100]:
        entry = obj(value)
        feature = (text(entry.get("name")) or text(value))[:100]
        if feature:
            known = found.get(feature, Quota(feature))
            found[feature] = Quota(feature, 0, _reset(entry) or known.reset_at)
    return tuple(found.values())


def no_pictures_left(quotas: tuple[Quota, ...], *, now: datetime) -> Quota | None:
    """The quota that says of a time still to come that no pictures are left until then; None when none does."""
    for quota in quotas:
        if quota.feature == PICTURES and quota.remaining == 0 and quota.reset_at is not None:
            return quota if datetime.fromisoformat(quota.reset_at) > now else None
    return None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 10**9 else None


def _reset(entry: dict[str, Any]) -> str | None:
    try:
        moment = datetime.fromisoformat(text(entry.get("reset_after")) or text(entry.get("resets_after")))
    except ValueError:
        return None
    return moment.isoformat(timespec="seconds") if moment.tzinfo is not None else None
