"""Time that passes at once. A limit of real milliseconds would also meet a busy machine that has not begun yet."""

import asyncio

import pytest


def leap(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on it is so much later for this event loop: what was to happen meanwhile happens now."""
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + seconds)
