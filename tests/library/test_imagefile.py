"""What the bytes of a picture say, with Pillow as the second opinion."""

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, UnidentifiedImageError

from cdp_image_mcp.library.imagefile import ImageFacts, NotAPictureError, inspect
from tests.library.making import picture

PICTURES: dict[str, bytes] = {
    "png": picture("PNG"),
    "png-alpha": picture("PNG", mode="RGBA"),
    "png-palette": picture("PNG", mode="P"),
    "png-grey-alpha": picture("PNG", mode="LA"),
    "png-transparent-colour": picture("PNG", mode="P", transparency=0),
    "png-large": picture("PNG", (60, 40)),
    "jpeg": picture("JPEG"),
    "jpeg-progressive": picture("JPEG", (64, 48), progressive=True),
    "jpeg-grey": picture("JPEG", mode="L"),
    "jpeg-restarts": picture("JPEG", (128, 64), restart_marker_rows=1),
    "webp": picture("WEBP", (17, 9)),
    "webp-lossless": picture("WEBP", (17, 9), lossless=True),
    "webp-lossless-alpha": picture("WEBP", (17, 9), mode="RGBA", lossless=True),
    "webp-alpha": picture("WEBP", (16, 16), mode="RGBA", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "gif": picture("GIF", (33, 21), mode="P"),
    "gif-transparent-colour": picture("GIF", (33, 21), mode="P", transparency=0),
    "avif": picture("AVIF", (40, 24)),
    "avif-alpha": picture("AVIF", (24, 40), mode="RGBA"),
}


def second_opinion(data: bytes) -> tuple[str, int, int]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image) if image.format == "JPEG" else image
        return f"image/{(image.format or '').lower()}", upright.width, upright.height


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("name", PICTURES)
def test_format_and_size_agree_with_a_decoder(name: str) -> None:
    facts = inspect(PICTURES[name])

    assert (facts.mime_type, facts.width, facts.height) == second_opinion(PICTURES[name])
    assert facts.extension == {"jpeg": "jpg"}.get(name.partition("-")[0], name.partition("-")[0])
    assert facts.notes == ()


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        ("png", False),
        ("png-alpha", True),
        ("png-grey-alpha", True),
        ("png-transparent-colour", True),
        ("png-palette", False),
        ("jpeg", False),
        ("webp", False),
        ("webp-lossless", False),
        ("webp-lossless-alpha", True),
    ],
)
def test_alpha_is_read_from_the_bytes(name: str, alpha: bool) -> None:
    assert inspect(PICTURES[name]).alpha is alpha


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_measured_as_it_is_shown(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture("JPEG", (40, 20), exif=exif)

    facts = inspect(data)

    assert (facts.width, facts.height) == ((20, 40) if orientation > 4 else (40, 20))
    assert (facts.width, facts.height) == second_opinion(data)[1:]


@pytest.mark.parametrize("name", PICTURES)
def test_no_beginning_of_a_picture_passes_for_the_whole(name: str) -> None:
    data = PICTURES[name]
    # WebP writers differ about the last padding byte; without it nothing of the picture is missing.
    whole = len(data) - 1 if name.startswith("webp") else len(data)
    for length in range(whole):
        with pytest.raises(NotAPictureError) as caught:
            inspect(data[:length])
        assert caught.value.kind in {"truncated", "empty", "unknown"}, length


@pytest.mark.parametrize("name", ["png", "png-alpha", "png-large"])
def test_a_flipped_bit_in_a_png_is_noticed(name: str) -> None:
    data = PICTURES[name]
    for at in range(8, len(data)):
        with pytest.raises(NotAPictureError):
            inspect(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])


def test_a_wrong_checksum_where_no_pixel_comes_from_is_a_note() -> None:
    png = PICTURES["png-alpha"]
    text = bytearray(chunk(b"tEXt", b"made by\0somebody"))
    text[-1] ^= 0xFF
    facts = inspect(png[:33] + bytes(text) + png[33:])
    assert (facts.width, facts.height, facts.alpha) == (8, 6, True)
    assert facts.notes == ("the checksum of its tEXt chunk at byte 33 is wrong",)
    assert inspect(png).notes == ()


def test_provenance_is_found_in_each_format() -> None:
    jumbf = b"\0\0\0\x30jumb\0\0\0\x28jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    png = PICTURES["png"]
    with_block = png[:33] + chunk(b"caBX", jumbf) + png[33:]
    jpeg = PICTURES["jpeg"]
    with_segment = jpeg[:2] + segment(0xEB, b"JP\0\x01\0\0\0\x01" + jumbf) + jpeg[2:]
    webp = PICTURES["webp-alpha"] + b"C2PA" + struct.pack("<I", len(jumbf)) + jumbf + b"\0" * (len(jumbf) % 2)
    webp = webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:]

    box = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + jumbf
    avif = PICTURES["avif"] + struct.pack(">I4s", len(box) + 8, b"uuid") + box

    for data in (with_block, with_segment, webp, avif):
        assert inspect(data).c2pa
        assert second_opinion(data)[1:] == (inspect(data).width, inspect(data).height)
    for data in (png, jpeg, PICTURES["webp-alpha"], PICTURES["avif"]):
        assert not inspect(data).c2pa


def test_another_jumbf_segment_is_no_provenance() -> None:
    jpeg = PICTURES["jpeg"]
    other = segment(0xEB, b"JP\0\x01\0\0\0\x01\0\0\0\x20jumb\0\0\0\x18jumd360 picture\0")

    assert not inspect(jpeg[:2] + other + jpeg[2:]).c2pa


@pytest.mark.parametrize(
    ("data", "kind", "word"),
    [
        (b"", "empty", "no bytes"),
        (b"\n <!DOCTYPE html><html>", "html", "web page"),
        (b"\xef\xbb\xbf<html>", "html", "web page"),
        (b'{"error": {"message": "no"}}', "json", "JSON"),
        (b"[1]", "json", "JSON"),
        (b"<?xml version='1.0'?><feed/>", "unknown", "XML"),
        (b"GIF89a\x01\0\x01\0", "truncated", "too early"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "truncated", "too early"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "unknown", "HEIF"),
        (b"%PDF-1.7", "unknown", "PDF"),
        (b"RIFF\x04\0\0\0WAVE", "unknown", "RIFF"),
        (b"hello", "unknown", "no known format"),
        (b"\x89PN", "truncated", "too early"),
        (PICTURES["jpeg"].replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x00"), "damaged", "header"),
        (PICTURES["jpeg-grey"].replace(b"\x01\x01\x11\x00", b"\x02\x01\x11\x00", 1), "damaged", "header"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, kind: str, word: str) -> None:
    with pytest.raises(NotAPictureError, match=word) as caught:
        inspect(data)
    assert caught.value.kind == kind


def test_bytes_after_the_end_are_let_be() -> None:
    for name in ("png", "jpeg", "webp", "gif"):
        assert inspect(PICTURES[name] + b"appended by somebody") == inspect(PICTURES[name])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 3_000_000,
        PICTURES["jpeg"][:-2] + b"\xff\x00" * 3_000_000,
        PICTURES["jpeg"][:2] + b"\xff\xd0" * 3_000_000,
        PICTURES["png"][:33] + chunk(b"teXt", b"") * 300_000,
        b"RIFF\xff\xff\xff\xffWEBP" + b"ABCD\0\0\0\0" * 300_000,
        PICTURES["gif"][:-1] + b"\x21\xfe\0" * 300_000,
        PICTURES["avif"] + b"\0\0\0\x08free" * 300_000,
        b"\0\0\0\x08ftypavif" + b"\0\0\0\x01meta" + b"\xff" * 16,
    ],
)
def test_hostile_lengths_end_soon_and_clearly(data: bytes) -> None:
    with pytest.raises(NotAPictureError):
        inspect(data)


def opinion(data: bytes) -> ImageFacts | None:
    """The facts, or None for the one error that is allowed; any other makes the test fail."""
    try:
        return inspect(data)
    except NotAPictureError:
        return None


@given(
    st.binary(max_size=200),
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP", b"GIF89a", b"\0\0\0\x0cftypavif"]
    ),
)
@example(b"\xff\xd8\xff\xd9", b"")
def test_random_bytes_never_crash(tail: bytes, head: bytes) -> None:
    facts = opinion(head + tail)
    assert facts is None or facts.width * facts.height > 0


@settings(max_examples=300)
@given(st.data())
def test_altered_pictures_never_crash_and_never_change_their_size_unseen(data: Any) -> None:
    whole = PICTURES[data.draw(st.sampled_from(sorted(PICTURES)))]
    at = data.draw(st.integers(0, len(whole)))
    drop = data.draw(st.integers(0, 8))
    altered = whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + drop :]

    verdict = opinion(altered)

    if verdict is not None and altered.startswith((b"\x89PNG", b"\xff\xd8")):
        try:
            image = Image.open(io.BytesIO(altered))
        except UnidentifiedImageError:
            return  # it reads fewer kinds than there are, such as 8 bits a colour alone
        with image:
            size = {(image.width, image.height), (image.height, image.width)}
            assert (verdict.width, verdict.height) in size


def test_what_its_reader_cannot_bear_is_a_damaged_picture() -> None:
    nested = b""
    for _ in range(3_000):
        nested = struct.pack(">I", 8 + len(nested)) + b"iprp" + nested
    meta = struct.pack(">I", 12 + len(nested)) + b"meta" + bytes(4) + nested
    with pytest.raises(NotAPictureError) as caught:
        inspect(struct.pack(">I", 16) + b"ftypavif" + bytes(4) + meta + struct.pack(">I", 9) + b"mdatx")
    assert caught.value.kind == "damaged"
