"""The files the stand-in makes are real ones, by the judgement of a library that had no part in making them."""

import io
import struct
import zlib
from typing import get_args

import pytest
from PIL import Image

from fixtures.site.pictures import Format, draw_words, make_picture

FORMATS: tuple[Format, ...] = get_args(Format)
SIZES = ((1, 1), (8, 9), (37, 53), (256, 256), (1672, 941))


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    position = 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        name, body = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        (check,) = struct.unpack_from(">I", content, position + 8 + length)
        assert check == zlib.crc32(name + body)
        found.append((name, body))
        position += 12 + length
    return found


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("alpha", [False, True])
def test_a_file_of_any_format_and_size_decodes_to_that_size(
    format: Format,  # noqa: A002
    size: tuple[int, int],
    alpha: bool,
) -> None:
    made = make_picture("words", size=size, format=format, alpha=alpha)
    image = opened(made.content)
    assert image.size == size == (made.width, made.height)
    assert image.format == format.upper()
    assert ("A" in image.getbands()) is (alpha and format != "jpeg")
    assert Image.MIME[format.upper()] == made.mime


def test_the_three_encoders_draw_the_same_picture() -> None:
    drawn = {
        name: opened(make_picture("The same", size=(320, 200), format=name, nonce="n").content).convert("RGB")
        for name in FORMATS
    }
    assert drawn["png"].tobytes() == drawn["webp"].tobytes()
    worst = max(abs(one - other) for one, other in zip(drawn["png"].tobytes(), drawn["jpeg"].tobytes(), strict=True))
    assert worst <= 6, "flat blocks lose nothing but the rounding of colours"


def test_alpha_is_really_transparent_somewhere() -> None:
    for name in ("png", "webp"):
        image = opened(make_picture("", size=(64, 64), format=name, alpha=True).content)
        lowest, highest = image.getchannel("A").getextrema()
        assert lowest == 0
        assert highest == 255


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [150_000, 150_001, 2_000_000])
def test_padding_brings_a_file_to_a_size_in_bytes_and_no_compressor_takes_it_away(format: Format, size: int) -> None:  # noqa: A002
    content = make_picture("padded", size=(64, 64), format=format, at_least=size).content
    assert abs(len(content) - size) <= 1, "only WebP chunks are rounded up to even"
    assert len(zlib.compress(content)) > 0.95 * size - 60_000
    assert opened(content).size == (64, 64)


def test_the_claim_stands_where_it_stands_in_pictures_of_the_real_site() -> None:
    png = make_picture("x", size=(64, 64), claim_bytes=67_900).content
    chunks = png_chunks(png)
    assert [name for name, _ in chunks[:2]] == [b"IHDR", b"caBX"]
    assert len(chunks[1][1]) == 67_900
    assert chunks[1][1][4:8] == b"jumb"

    jpeg = make_picture("x", size=(64, 64), format="jpeg", claim_bytes=67_900).content
    assert jpeg.count(b"\xff\xeb") >= 2, "a claim longer than a segment is spread over several"
    assert b"jumb" in jpeg[:200]

    webp = make_picture("x", size=(64, 64), format="webp").content
    assert b"C2PA" in webp
    assert struct.unpack("<I", webp[4:8])[0] == len(webp) - 8


def test_writing_a_picture_anew_loses_the_claim() -> None:
    again = io.BytesIO()
    opened(make_picture("x", size=(64, 64)).content).save(again, "PNG")
    assert b"caBX" not in again.getvalue()


def test_no_two_pictures_are_alike_unless_asked() -> None:
    assert make_picture("a", size=(64, 64)).sha256 != make_picture("a", size=(64, 64)).sha256
    assert make_picture("a", size=(64, 64), nonce="1") == make_picture("a", size=(64, 64), nonce="1")


def test_the_demonstration_shows_the_words_and_says_demo() -> None:
    fox = opened(draw_words("A small red fox").content)
    assert fox.size == (1024, 1024)
    colours = {colour for _, colour in fox.getcolors(1 << 20) or []}
    assert (255, 255, 255) in colours, "the words"
    assert (250, 204, 21) in colours, "the band that says DEMO"
    same = make_picture("A small red fox", size=(512, 512), nonce="n")
    other = make_picture("A small red hen", size=(512, 512), nonce="n")
    assert opened(same.content).tobytes() != opened(other.content).tobytes()


@pytest.mark.parametrize("words", ["", "x" * 5000, "狐 \u202e \x00 \U0001f98a", "word " * 2000])
def test_any_text_can_be_drawn(words: str) -> None:
    assert opened(make_picture(words, size=(512, 512)).content).size == (512, 512)
