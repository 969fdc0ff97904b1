"""Why a picture's bytes could not be had is told without the address that opens it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import BodyUnavailable, StreamFailed
from cdp_image_mcp.chatgpt.capture import Mismatch, capture
from cdp_image_mcp.chatgpt.turn import Pointer
from cdp_image_mcp.chatgpt.turnwatch import PageReport, TurnWatch
from tests.chatgpt.talk import file_id

SIGNED = f"https://files.example/{file_id(1)}/raw?se=2026&sig=SECRET#SECRET"


class Unreadable:
    """Bodies of which none can be read."""

    def __init__(self) -> None:
        request = SimpleNamespace(url=SIGNED, ended=True, status=200, mime_type="image/png")
        self.requests = [cast("Request", request)]

    async def read(self, request: Request, *, accept: Callable[[bytes], bool]) -> Any:
        assert not accept(b"")
        raise BodyUnavailable(request.url, ("network: evicted", "resource: not there"))


class Watched:
    """What ``capture`` asks of a watch."""

    def __init__(self) -> None:
        self.tab = SimpleNamespace(bodies=Unreadable())
        self.page = PageReport()

    def mark(self) -> anyio.Event:
        return anyio.Event()

    async def news_since(self, mark: anyio.Event, seconds: float | None) -> None:
        assert seconds is None
        await mark.wait()


@pytest.mark.anyio
async def test_the_reason_names_each_way_and_never_the_signed_address() -> None:
    watch = cast("TurnWatch", Watched())
    with anyio.fail_after(20), pytest.raises(Mismatch) as caught:
        await capture(watch, Pointer(file_id=file_id(1), message_id="leaf", final=True), 0.05)
    assert str(caught.value) == "network: evicted; resource: not there"


def test_errors_of_the_driver_say_the_place_without_its_key() -> None:
    for error in (BodyUnavailable(SIGNED, ("network: evicted",)), StreamFailed(SIGNED, "net::ERR_FAILED")):
        assert f"https://files.example/{file_id(1)}/raw" in str(error)
        assert "SECRET" not in str(error)
        assert "sig=" not in str(error)
        assert error.url == SIGNED
    assert "SECRET" not in str(BodyUnavailable("data:image/png;base64,SECRET", ()))
