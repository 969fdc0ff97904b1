"""Quota the page was told in passing: answers of ``conversation/init`` and the stream's detail metadata."""

import msgspec

__all__ = ["Quota", "read_quotas"]


class Quota(msgspec.Struct, frozen=True):
    """What is left of one feature (``image_gen``, ``file_upload``, …). ``reset_at`` is ISO 8601 with offset."""

    feature: str
    remaining: int | None = None
    reset_at: str | None = None
    blocked: bool = False


def read_quotas(body: bytes) -> tuple[Quota, ...]:
    """The quotas in a ``conversation_detail_metadata`` object; empty for anything else. Never raises."""
    raise NotImplementedError
