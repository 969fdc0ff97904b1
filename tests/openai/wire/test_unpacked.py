"""Bodies that are packed though nobody asked for it: what is read of them is bounded by what comes out."""

import gzip
import zlib
from collections.abc import AsyncIterator, Sequence

import anyio
import httpx
import pytest

from cdp_image_mcp.openai.wire.client import LARGEST_STEP, unpacked

pytestmark = pytest.mark.anyio

WORDS = b'{"data": []}'
ZEROS = bytes(1 << 24)


class Body(httpx.AsyncByteStream):
    """Counts the pieces that were taken, and holds what was read of them."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0
        self.found: list[bytes] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


async def read(body: Body, told: str = "gzip") -> bytes:
    with anyio.fail_after(30):
        async for piece in unpacked(httpx.Response(200, headers={"content-encoding": told}, stream=body)):
            body.found.append(piece)
    return b"".join(body.found)


@pytest.mark.parametrize("behind", [b"A" * 65536, b"\0" * 100 + b"A" * 65436], ids=["words", "words behind zeros"])
async def test_what_comes_behind_the_end_of_a_packed_body_is_not_read(behind: bytes) -> None:
    """Nobody would count it, and each piece of it was copied with all before it."""
    body = Body([gzip.compress(WORDS), *[behind] * 500])
    assert await read(body) == WORDS
    assert body.taken == 2


@pytest.mark.parametrize("between", [b"", b"\0" * 512], ids=["nothing", "zeros"])
@pytest.mark.parametrize("piece", [1, 1 << 16])
async def test_several_packed_texts_are_one_body(between: bytes, piece: int) -> None:
    whole = between.join([gzip.compress(WORDS)] * 3) + between
    body = Body([whole[at : at + piece] for at in range(0, len(whole), piece)])
    assert await read(body) == WORDS * 3


@pytest.mark.parametrize("piece", [1000, 1 << 16])
@pytest.mark.parametrize("told", ["gzip", "deflate"])
async def test_a_few_bytes_that_become_very_many_come_in_steps(told: str, piece: int) -> None:
    packed = gzip.compress(ZEROS) if told == "gzip" else zlib.compress(ZEROS)
    body = Body([packed[at : at + piece] for at in range(0, len(packed), piece)])
    assert await read(body, told) == ZEROS
    assert max(map(len, body.found)) <= LARGEST_STEP


async def test_a_body_that_is_damaged_is_read_up_to_there() -> None:
    packed = bytearray(gzip.compress(WORDS * 1000) + gzip.compress(WORDS))
    packed[-30] ^= 0xFF
    body = Body([bytes(packed)])
    with pytest.raises(httpx.DecodingError):
        await read(body)
    assert body.found[0] == WORDS * 1000
