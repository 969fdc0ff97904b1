"""How much work an answer makes that is very long, or comes in very many pieces."""

import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import anyio
import httpx
import pytest

from cdp_image_mcp.openai.wire import pictures
from cdp_image_mcp.openai.wire.answer import Answer
from cdp_image_mcp.openai.wire.exchange import BrokenError, Reply
from cdp_image_mcp.openai.wire.receiving import read_answer

pytestmark = pytest.mark.anyio

PIECES = 200


async def looking_whole() -> AsyncIterator[bytes]:
    """Each piece ends as a whole JSON does."""
    yield b'{"a": [{"b": 1}'
    for _ in range(PIECES):
        yield b', {"b": 1}' * 100
    yield b"]}"


async def as_an_event() -> AsyncIterator[bytes]:
    yield b'data: {"type": "queued"}\n\ndata: '
    async for piece in looking_whole():
        yield piece


async def with_blanks() -> AsyncIterator[bytes]:
    """It is whole, and goes on."""
    async for piece in looking_whole():
        yield piece
    for _ in range(PIECES):
        yield b" "


async def one_after_another() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield b'{"b": 1}' * 100


async def with_pictures() -> AsyncIterator[bytes]:
    yield b'{"data": [{}'
    for number in range(PIECES):
        text = base64.b64encode(number.to_bytes(50, "big"))
        yield b', {"b64_json": "' + text + b'", "said": "' + b"words " * 100 + b'"}'
    yield b"]}"


async def answered(body: AsyncIterator[bytes], status: int = 200) -> list[bytes]:
    """The pictures that were saved of it."""
    saved: list[bytes] = []

    async def save(data: bytes) -> None:
        saved.append(data)

    response = httpx.Response(status, content=body, request=httpx.Request("POST", "https://api.example/v1/images"))
    with anyio.fail_after(60), suppress(BrokenError):
        await read_answer(Reply(response), Answer(None, save, 1), lambda: None)
    return saved


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [looking_whole, as_an_event, with_blanks, one_after_another])
async def test_an_answer_is_not_read_anew_with_each_of_its_pieces(
    body: Callable[[], AsyncIterator[bytes]], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    decode = pictures.decode

    def counted(data: bytes) -> object:
        tried.append(len(data))
        return decode(data)

    monkeypatch.setattr(pictures, "decode", counted)
    assert await answered(body(), status) == []
    assert len([each for each in tried if each > 1000]) <= 3


async def test_an_answer_is_not_gone_through_anew_with_each_of_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As is asked of each whether it stands where events have theirs."""
    gone_through: list[int] = []
    pieces = pictures.PIECE

    class Counting:
        def finditer(self, text: bytes) -> Iterator[re.Match[bytes]]:
            gone_through.append(len(text))
            return pieces.finditer(text)

    monkeypatch.setattr(pictures, "PIECE", Counting())
    length = sum([len(piece) async for piece in with_pictures()])
    assert len(await answered(with_pictures())) == PIECES
    assert sum(gone_through) < 5 * length
