"""What came back for money is kept before anything is said of it, whatever it is and wherever it lies."""

import asyncio
import base64
import errno
import gzip
import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel
import pytest
from PIL import Image

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.index import LOCK
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Standing, Studio, open_studio
from cdp_image_mcp.system.disk import write_part
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER
from fixtures.images_api import ImagesApi, Request, Response, draw, error, html_page, png, raw
from tests.library.making import picture
from tests.openai.doubles import KEY

pytestmark = pytest.mark.anyio


def settings(api: ImagesApi, folder: Path, **fields: Any) -> Settings:
    values: dict[str, Any] = {"backend": "api", "base_url": api.url, "compat": "localai", "api_key": KEY}
    return Settings(output_dir=folder / "p", profile_dir=folder / "q", wait_seconds=20, **(values | fields))


async def asked(studio: Studio, **arguments: Any) -> Standing:
    standing = await studio.generate(GenerateImage(prompt="a fox", **arguments))
    await studio.fetched(standing)
    return standing


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


ODD = png(8, 8, size=5000, seed=9) + b"\xfb\xff"
"""Its base64 is padded, and has both letters that the alphabet for addresses writes otherwise."""
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='24'><rect width='9' height='9'/></svg>"


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "SVG"])
async def test_a_format_we_do_not_ask_for_is_a_picture_all_the_same(api: ImagesApi, tmp_path: Path, kind: str) -> None:
    data = SVG if kind == "SVG" else picture(kind, (40, 24))
    api.play(draw([data]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert record.state == "saved"
    (image,) = record.images
    assert (image.mime_type.removesuffix("+xml"), image.width, image.height) == (f"image/{kind.lower()}", 40, 24)
    assert Path(image.path).name == f"image-01.{kind.lower()}"
    assert Path(image.path).read_bytes() == data


async def test_one_odd_checksum_where_no_pixel_comes_from_costs_no_picture(api: ImagesApi, tmp_path: Path) -> None:
    body = b"tEXtby\0somebody"
    odd = png()[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body) ^ 1) + png()[33:]
    api.play(draw([odd]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, Path(record.images[0].path).read_bytes()) == ("saved", odd)
    assert "tEXt" in record.facts["notes"][0]


def heif() -> bytes:
    return b"\0\0\0\x1cftypheic" + bytes(300)


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (heif(), "heic"),
        (b"\x00\x01\x02 of no known format", "bin"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='4'><path d='M0", "svg"),
        (b"<html>sorry</html>", "html"),
        (png()[:-30], "png"),
    ],
    ids=["heif", "unknown", "half an svg", "html", "cut"],
)
async def test_bytes_that_are_no_picture_we_know_lie_beside_the_record_and_are_named(
    api: ImagesApi, tmp_path: Path, data: bytes, ending: str
) -> None:
    api.play(draw([data, data]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            standing = await asked(studio, n=2)
    error = standing.record.error
    assert error is not None
    assert (standing.record.state, error["code"], error["spent"], error["retryable"]) == (
        *("failed", "service_error", True),
        False,
    )
    kept = [Path(path) for path in standing.record.facts["kept"]]
    assert [path.name for path in kept] == [f"unrecognised-01.{ending}", f"unrecognised-02.{ending}"]
    assert {path.parent for path in kept} == {Path(standing.folder)}
    assert [path.read_bytes() for path in kept] == [data, data]
    assert set(error["details"]["kept"]) <= {str(path) for path in kept}
    assert "unrecognised-01" in error["message"]


async def test_an_odd_picture_takes_no_good_one_with_it(api: ImagesApi, tmp_path: Path) -> None:
    api.play(draw([heif(), png(seed=4)]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, n=2)).record
    assert (record.state, len(record.images), len(record.facts["kept"])) == ("partial", 1, 1)


@pytest.mark.parametrize("compat", ["localai", "openai"])
@pytest.mark.parametrize("base64_text", ["", " ", "no base64!", "null", "none"])
async def test_an_address_beside_a_base64_text_that_brings_nothing_is_fetched(
    api: ImagesApi, tmp_path: Path, base64_text: str, compat: str
) -> None:
    """Relays written in Go send both fields."""
    address = api.file("/made.png", raw(200, png(seed=5), {"content-type": "image/png"}))
    api.play(draw(items=[{"url": address, "b64_json": base64_text}, {"url": "", "b64_json": encoded(png(seed=6))}]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path, compat=compat), InstalledWays()) as studio:
            record = (await asked(studio, n=2)).record
    assert record.state == "saved"
    assert {Path(image.path).read_bytes() for image in record.images} == {png(seed=5), png(seed=6)}


DEEP = "[" * 50_000 + "]" * 50_000
"""JSON that no parser takes: Python's and msgspec's end near a thousand levels."""
MADE = png(64, 64, size=5000, seed=9)
URL_SAFE = base64.urlsafe_b64encode(MADE).decode()
PADDED = encoded(MADE) + "===="
SLASHED = encoded(MADE).replace("/", "\\/").replace("+", "\\u002B")
WRAPPED = base64.encodebytes(MADE).decode().replace("\n", "\\r\\n")


def beside(text: str) -> str:
    """An answer with the picture and ``text`` behind it."""
    return f'{{"data": [{{"b64_json": "{encoded(MADE)}"}}], {text}}}'


@pytest.mark.parametrize(
    "answer",
    [
        beside(f'"usage": {{"x": {DEEP}}}').encode(),
        beside('"created": 1').replace("{", f'{{"x": {DEEP}, ', 1).encode(),
        f'{{"data": [{{"b64_json": "{URL_SAFE}"}}]}}'.encode(),
        f'{{"data": [{{"b64_json": "{PADDED}"}}]}}'.encode(),
        MADE,
    ],
    ids=["too deep behind", "too deep before", "the alphabet for addresses", "too much padding", "the bytes alone"],
)
async def test_a_picture_is_saved_whatever_form_or_company_it_comes_in(
    api: ImagesApi, tmp_path: Path, answer: bytes
) -> None:
    api.play(raw(200, answer))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [MADE])


@pytest.mark.parametrize("number", ["²", "9" * 5000], ids=["none", "an endless one"])
async def test_a_text_that_looks_like_our_own_mark_costs_neither_the_picture_nor_what_was_told_beside_it(
    api: ImagesApi, tmp_path: Path, number: str
) -> None:
    items = [{"b64_json": encoded(MADE), "url": f"@picture:{number}"}]
    api.play(raw(200, json.dumps({"data": items, "usage": {"output_tokens": 10}}).encode()))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.error, record.usage) == ("saved", None, {"output_tokens": 10})


@pytest.mark.parametrize("before", ["", "data: ", 'data: {"type": "queued"}\n\nevent: image.final\ndata: '])
@pytest.mark.parametrize(
    "answer",
    [
        f'{{"data": [{{"b64_json": "{encoded(heif())[:-9]}%%%{encoded(heif())[-9:]}"}}]}}',
        f'{{"images": ["{encoded(MADE)}"]}}',
        f'{{"output": [{{"result": "{encoded(MADE)}"}}]}}',
        f'{{"output": [{{"result": "{encoded(MADE)}", "about": {{"url": "http://127.0.0.1:9/help"}}}}]}}',
        f'{{"output": [{{"result": "{encoded(MADE)}',
        f'{{"output": [{{"result": "{SLASHED}"}}]}}',
        f'{{"output": [{{"result": "{WRAPPED}"}}]}}',
    ],
    ids=[
        "damaged base64",
        "a form nobody knows",
        "another",
        "beside an address",
        "and cut",
        "escaped as PHP and .NET do",
        "in lines",
    ],
)
async def test_what_may_be_the_picture_is_kept_when_nothing_can_be_read_from_it(
    api: ImagesApi, tmp_path: Path, answer: str, before: str
) -> None:
    """In one JSON text, and in an event of a stream."""
    api.play(raw(200, (before + answer).encode()))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert record.error is not None
    assert (record.error["code"], record.error["spent"], record.error["retryable"]) == ("service_error", True, False)
    (kept,) = record.error["details"]["kept"]
    assert Path(kept).read_bytes() in (heif(), answer.encode())


@pytest.mark.parametrize("broken", [True, False], ids=["broken off", "never ended"])
@pytest.mark.parametrize(
    ("answer", "saved"),
    [(MADE, True), (MADE[:-40], False), (f'{{"output": [{{"result": "{encoded(MADE)}'.encode(), False)],
    ids=["the bytes alone", "a part of them", "a form nobody knows"],
)
async def test_what_may_be_the_picture_is_kept_also_where_its_answer_has_no_end(
    api: ImagesApi, tmp_path: Path, answer: bytes, saved: bool, broken: bool
) -> None:
    async def endless(request: Request, response: Response) -> None:
        await response.start(200, {"content-type": "image/png"})
        await response.send(answer)
        response.cut() if broken else await response.silence()

    async def given_up(studio: Studio) -> Record:
        """What was asked for, stopped as soon as its answer is being read."""
        identity = (await studio.generate(GenerateImage(prompt="a fox", wait_seconds=0))).record.generation_id
        while (news := studio.news(identity)) is not None and "arriving" not in news.message:
            await anyio.lowlevel.checkpoint()
        return (await studio.cancel(identity)).record

    api.play(endless)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record if broken else await given_up(studio)
    if saved:
        assert [Path(image.path).read_bytes() for image in record.images] == [MADE]
    else:
        assert [Path(kept).read_bytes() for kept in record.facts["kept"]] == [answer]
    assert record.spent is True


@pytest.mark.parametrize("damage", ["****", "\\q\udcff"], ids=["no base64", "a broken escape"])
async def test_a_picture_that_came_damaged_is_saved_and_said_to_be(api: ImagesApi, tmp_path: Path, damage: str) -> None:
    """Nothing in a JPEG tells that some of its bytes are missing."""
    text = encoded(picture("JPEG", (400, 240)))
    damaged = text[:-160] + damage + text[-156:]
    api.play(raw(200, f'{{"data": [{{"b64_json": "{damaged}"}}]}}'.encode("utf-8", "surrogateescape")))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert record.state == "saved", record.error
    assert ["damaged" in warning for warning in record.facts["warnings"]] == [True]


async def test_a_page_with_a_picture_in_it_is_no_picture_to_be_kept(api: ImagesApi, tmp_path: Path) -> None:
    """The hotel's, with its logo inside."""
    page = f'<html><title>Sign in</title><img src="data:image/png;base64,{encoded(MADE)}"></html>'
    api.play(raw(200, page.encode()))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert record.facts.get("kept") is None
    assert (record.error or {})["spent"] == "unknown"


async def test_words_in_place_of_a_picture_are_no_picture_to_be_kept(api: ImagesApi, tmp_path: Path) -> None:
    words = "the hotel's page " * 400
    api.play(raw(200, f"<html>{words}</html>".encode()), raw(200, f'{{"message": "{words}"}}'.encode()))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            records = [(await asked(studio)).record for _ in range(2)]
    assert [record.facts.get("kept") for record in records] == [None, None]
    assert {(record.error or {})["spent"] for record in records} == {"unknown"}


@pytest.mark.parametrize("status", [200, 400])
async def test_what_a_service_says_is_told_without_signatures_and_e_mail_addresses(
    api: ImagesApi, tmp_path: Path, status: int
) -> None:
    """Whoever has such an address has the picture: it stands in no file and no message."""
    said = b'{"message": "see https://files.example.test/a.png?sig=SECRET&exp=1, or https:\\/\\/b.test\\/c?SECRET"}'
    said = said.replace(b"see", b"user SECRET@mail.example: see")
    api.play(raw(status, said))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            standing = await asked(studio)
    assert standing.record.error is not None
    assert "SECRET" not in (Path(standing.folder) / "metadata.json").read_text()


async def test_an_address_that_cannot_be_fetched_now_is_kept_and_fetched_when_somebody_waits(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.openai.wire.download.ATTEMPTS", 1)
    there = False

    async def play(request: Request, response: Response) -> None:
        await (raw(200, png(seed=7), {"content-type": "image/png"}) if there else html_page(404))(request, response)

    api.play(draw(items=[{"url": api.file("/late.png", play)}]))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            first = await asked(studio)
            error = first.record.error
            assert error is not None
            assert (error["code"], error["spent"], error["retryable"]) == ("service_error", True, False)
            assert "wait_for_image" in error["next_step"]
            again = await asked(studio)  # nobody has the picture yet: nothing is paid a second time
            assert again.record.generation_id == first.record.generation_id
            assert not (await studio.wait(first.record.generation_id)).record.images
            there = True
            saved = await studio.wait(first.record.generation_id)
    assert (saved.record.state, saved.record.error) == ("saved", None)
    assert Path(saved.record.images[0].path).read_bytes() == png(seed=7)
    assert len(api.posts) == 1
    assert "late.png" not in (Path(saved.folder) / "metadata.json").read_text()


@pytest.mark.parametrize("n", [2, 3])
async def test_a_picture_that_the_disk_did_not_take_is_told_of_before_any_other_failure(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    write, full = write_part, True

    def may_be_full(path: Path, data: bytes) -> Any:
        if full and path.name == "image":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    async def later(request: Request, response: Response) -> None:
        await asyncio.sleep(0.3)
        await draw([png(seed=8)])(request, response)

    monkeypatch.setattr("cdp_image_mcp.library.folder.write_part", may_be_full)
    api.play(error("moderation"), *[later] * (n - 1))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path, compat="openai"), InstalledWays()) as studio:
            first = await asked(studio, quality="high", n=n)
            assert first.record.error is not None
            assert first.record.error["code"] == "disk"
            assert "must not be ended" in first.record.error["next_step"]
            full = False
            record = (await studio.wait(first.record.generation_id)).record
    assert (record.state, len(record.images)) == ("partial", n - 1)
    # Once there is room, only the refusal is left to be told.
    assert record.error is not None
    assert (record.error["code"], record.error["retryable"]) == ("refused", False)
    assert "free space" not in record.error["next_step"]
    assert set(record.error["details"]) == {"failures"}
    assert [(failure.index, failure.code) for failure in record.failures] == [(n, "refused")]


async def test_a_record_that_the_disk_did_not_take_hides_no_refusal(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Folder.write

    async def may_be_full(folder: Folder, record: Record) -> None:
        if record.submitted is True and not record.finished:
            raise ImageError("disk", "No space left on device")
        await write(folder, record)

    monkeypatch.setattr(Folder, "write", may_be_full)
    api.play(error("moderation"))
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path, compat="openai"), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert record.error is not None
    assert (record.state, record.error["code"]) == ("refused", "refused")


async def test_a_folder_that_went_while_its_picture_was_drawn_is_made_again_for_it(
    api: ImagesApi, tmp_path: Path
) -> None:
    async def drawn(request: Request, response: Response) -> None:
        for folder in (tmp_path / "p").glob("*-a-fox"):
            folder.rename(tmp_path / "elsewhere")
        await draw([png(seed=8)])(request, response)

    api.play(drawn)
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.error) == ("saved", None)
    assert [Path(image.path).read_bytes() for image in record.images] == [png(seed=8)]


async def test_what_lies_where_the_folder_was_is_asked_after_and_the_picture_kept_until_it_is_gone(
    api: ImagesApi, tmp_path: Path
) -> None:
    async def drawn(request: Request, response: Response) -> None:
        for folder in list((tmp_path / "p").glob("*-a-fox")):
            folder.rename(tmp_path / "elsewhere")
            folder.touch()
        await draw([png(seed=8)])(request, response)

    api.play(drawn)
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            standing = await asked(studio)
            error = standing.record.error
            assert error is not None
            assert (error["code"], error["spent"]) == ("disk", True)
            assert "move that file away" in error["next_step"]
            assert "must not be ended" in error["next_step"]
            Path(standing.folder).unlink()
            (tmp_path / "elsewhere").rename(standing.folder)
            record = (await studio.wait(standing.record.generation_id)).record
    assert [Path(image.path).read_bytes() for image in record.images] == [png(seed=8)]


def test_the_pictures_of_these_tests_are_what_they_say() -> None:
    with Image.open(io.BytesIO(picture("AVIF", (40, 24)))) as image:
        assert (image.format, image.size) == ("AVIF", (40, 24))


@pytest.mark.parametrize("n", [1, 2])
async def test_a_picture_that_an_answer_brings_in_two_forms_is_one_picture(
    api: ImagesApi, tmp_path: Path, n: int
) -> None:
    """Relays that fill every field: the same base64 in both."""
    made = [encoded(png(seed=seed)) for seed in range(n)]
    api.play(draw(items=[{"b64_json": one, "url": f"data:image/png;base64,{one}"} for one in made]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, n=n)).record
    assert [Path(image.path).read_bytes() for image in record.images] == [png(seed=seed) for seed in range(n)]
    assert (record.state, record.facts.get("warnings")) == ("saved", None)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("DATA:image/png;base64,", "holds no picture"),
        ("gs://pictures/fox.png?sig=SECRET", "its address (gs:) is none that may be fetched"),
        ("http://comfy.example:8188/view?sig=SECRET", "its address, at comfy.example:8188, is not encrypted"),
        ("https://[fe80/fox.png?sig=SECRET", "its address is malformed"),
    ],
    ids=["empty", "of a storage", "not encrypted", "malformed"],
)
async def test_an_address_that_will_never_give_its_picture_is_not_waited_for(
    api: ImagesApi, tmp_path: Path, address: str, why: str
) -> None:
    api.play(draw(items=[{"url": address}]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            error = (await asked(studio)).record.error
    assert error is not None
    assert (error["code"], error["spent"]) == ("service_error", True)
    assert why in error["message"]
    assert "SECRET" not in error["message"]
    assert "wait_for_image" not in error["next_step"]


@pytest.mark.parametrize("piece", [7, 1 << 16])
@pytest.mark.parametrize(
    ("address", "drawn"),
    [
        (f"data:image/svg+xml;utf8,{SVG.decode()}", SVG),
        ("data:image/svg+xml," + quote(SVG), SVG),
        ("DATA:image/png;BASE64," + encoded(png()), png()),
        ("data:image/png;base64," + encoded(png()), png()),
        ("data:image/png," + encoded(png()), png()),
        ("DATA:image/png;base64," + encoded(ODD).rstrip("="), ODD),
        ("DATA:image/png;base64," + base64.urlsafe_b64encode(ODD).decode(), ODD),
    ],
    ids=[
        *("a drawing as it is", "a drawing in percent signs", "capitals", "base64", "base64 untold"),
        *("without its padding", "the alphabet for addresses"),
    ],
)
async def test_a_picture_is_in_its_address_in_any_form_that_such_addresses_have(
    api: ImagesApi, tmp_path: Path, address: str, drawn: bytes, piece: int
) -> None:
    said = json.dumps({"data": [{"url": address}]})
    other = said.replace('"url"', '"image_url"')
    for answer in (said, said.replace("<", "\\u003c"), said.replace("/", "\\/"), other):
        api.play(draw(rewrite=lambda _, answer=answer: answer.encode(), piece=piece))
        with anyio.fail_after(30):
            async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
                record = (await asked(studio)).record
        assert (record.state, record.error) == ("saved", None)
        assert Path(record.images[0].path).read_bytes() == drawn


async def test_two_pictures_that_are_alike_were_asked_for_and_are_two(api: ImagesApi, tmp_path: Path) -> None:
    api.play(draw([png(seed=1), png(seed=1)]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, n=2)).record
    assert (record.state, len(record.images)) == ("saved", 2)


async def test_each_picture_that_is_missing_has_its_own_reason(api: ImagesApi, tmp_path: Path) -> None:
    api.play(draw([heif(), png(), b"of no known format"]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio, n=3)).record
    assert (record.state, len(record.images)) == ("partial", 1)
    names = [re.findall(r"unrecognised-\d+\.\w+", failure.message) for failure in record.failures]
    assert names == [["unrecognised-01.heic"], ["unrecognised-02.bin"]]


WHOLE = json.dumps({"created": 1, "data": [{"b64_json": encoded(png())}], "usage": {"output_tokens": 10}}).encode()
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("piece", [1, 1 << 16])
@pytest.mark.parametrize(
    ("told", "body"),
    [
        *[("gzip", WHOLE), ("deflate", WHOLE), ("", gzip.compress(WHOLE)), ("gzip", gzip.compress(WHOLE))],
        *[("deflate", zlib.compress(WHOLE)), ("x-gzip", gzip.compress(WHOLE)), ("zstd", WHOLE)],
        ("gzip", b"".join(gzip.compress(WHOLE[at : at + 50]) for at in range(0, len(WHOLE), 50))),
    ],
    ids=[
        *("unpacked on the way", "inflated on the way", "packed untold", "packed", "deflated", "packed x", "unknown"),
        "packed piece by piece",
    ],
)
async def test_a_picture_is_read_whatever_an_answer_says_of_how_it_is_packed(
    api: ImagesApi, tmp_path: Path, told: str, body: bytes, piece: int
) -> None:
    async def play(request: Request, response: Response) -> None:
        await response.start(200, {**JSON, "content-encoding": told} if told else JSON)
        for at in range(0, len(body), piece):
            await response.send(body[at : at + piece])
        await response.end()

    api.play(play)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, Path(record.images[0].path).read_bytes()) == ("saved", png())
    assert record.usage == {"output_tokens": 10}


async def test_a_picture_at_an_address_is_fetched_though_its_server_calls_it_packed(
    api: ImagesApi, tmp_path: Path
) -> None:
    told = {"content-type": "image/png", "content-encoding": "gzip"}
    api.play(draw(items=[{"url": api.file("/one.png", raw(200, png(), told))}]))
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, Path(record.images[0].path).read_bytes()) == ("saved", png())


@pytest.mark.parametrize("status", [302, 400, 429, 500, 504])
@pytest.mark.parametrize("beside", [{}, {"error": {"message": "upstream is slow", "type": "server_error"}}])
async def test_a_picture_that_comes_with_a_refusals_status_is_saved_and_not_asked_for_again(
    api: ImagesApi, tmp_path: Path, status: int, beside: dict[str, Any]
) -> None:
    api.always = raw(status, json.dumps({**json.loads(WHOLE), **beside}).encode(), JSON)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, Path(record.images[0].path).read_bytes()) == ("saved", png())
    assert (record.spent, record.usage, len(api.posts)) == (True, {"output_tokens": 10}, 1)


async def test_nor_is_one_that_comes_in_a_bare_list(api: ImagesApi, tmp_path: Path) -> None:
    api.always = raw(500, json.dumps([{"b64_json": encoded(png())}]).encode(), JSON)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.spent, len(api.posts)) == ("saved", True, 1)


@pytest.mark.parametrize("left", [20, 200], ids=["behind it", "within it"])
async def test_nor_is_one_whose_refusal_is_cut_off(api: ImagesApi, tmp_path: Path, left: int) -> None:
    async def play(request: Request, response: Response) -> None:
        await response.start(500, {**JSON, "content-length": str(len(WHOLE))})
        await response.send(WHOLE[:-left])
        await response.end()

    api.always = play
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.spent, len(api.posts)) == (True, 1)
    assert (len(record.images), len(record.facts.get("kept", []))) == ((1, 0) if left == 20 else (0, 1))


async def test_a_picture_of_ours_that_a_refusal_says_back_is_none_of_its_own(api: ImagesApi, tmp_path: Path) -> None:
    said = {"image_url": f"data:image/png;base64,{encoded(png())}"}
    fault = {"type": "extra_forbidden", "loc": ["body", "images", 0], "msg": "not permitted", "input": said}
    api.always = raw(422, json.dumps({"detail": [fault]}).encode(), JSON)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.spent, record.images, record.error and record.error["code"]) == (
        *("failed", False, []),
        "invalid_input",
    )


@pytest.mark.parametrize("by", ["itself", "its address"])
async def test_an_answer_that_is_whole_and_never_ends_is_told_as_it_stands(
    api: ImagesApi, tmp_path: Path, by: str
) -> None:
    named = {
        **json.loads(WHOLE),
        "data": [{"url": api.file("/one.png", raw(200, png(), {"content-type": "image/png"}))}],
    }

    async def play(request: Request, response: Response) -> None:
        await response.start(200, JSON)
        await response.send(WHOLE if by == "itself" else json.dumps(named).encode())
        await response.silence()

    api.play(play)
    with anyio.fail_after(30):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    assert (record.state, record.usage) == ("saved", {"output_tokens": 10})


@pytest.mark.parametrize("stream", [False, True], ids=["a JSON", "an event"])
async def test_the_largest_picture_that_any_model_makes_is_kept_whole_in_a_form_that_is_not_known(
    api: ImagesApi, tmp_path: Path, stream: bool
) -> None:
    said = json.dumps({"output": [{"type": "image_generation_call", "result": encoded(bytes(33_000_000))}]}).encode()
    api.play(raw(200, b"data: " + said + b"\n\n" if stream else said, JSON))
    with anyio.fail_after(60):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await asked(studio)).record
    (kept,) = record.facts["kept"]
    assert Path(kept).read_bytes() == said


async def test_a_picture_is_on_the_disk_though_another_program_holds_the_index(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should this process die now, it is there."""
    lock = LockFile(tmp_path / "p" / OWN_FOLDER / LOCK)

    async def drawn(request: Request, response: Response) -> None:
        await asyncio.to_thread(lock.acquire)
        await draw([MADE])(request, response)

    monkeypatch.setattr("cdp_image_mcp.library.entries.LOCK_SECONDS", 0.0)
    api.play(drawn)
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            try:
                with anyio.fail_after(20):
                    await studio.generate(GenerateImage(prompt="a fox", wait_seconds=0))
                    while not (found := list((tmp_path / "p").glob("*-a-fox/image-01.png"))):  # noqa: ASYNC110 - a file
                        await anyio.sleep(0.01)
            finally:
                lock.release()
            assert [path.read_bytes() for path in found] == [MADE]
            record = (await asked(studio)).record
    assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == ("saved", [MADE])


async def test_pictures_are_saved_though_the_system_gives_no_more_threads(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def drawn(request: Request, response: Response) -> None:
        monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
        await draw([MADE, png(seed=4)])(request, response)

    api.play(drawn)
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await studio.generate(GenerateImage(prompt="a fox", n=2))).record
    monkeypatch.undo()
    assert [Path(image.path).read_bytes() for image in record.images] == [MADE, png(seed=4)]
    (sidecar,) = (tmp_path / "p").glob("*-a-fox/metadata.json")
    written = json.loads(sidecar.read_bytes())
    assert (written["state"], len(written["images"]), written.get("error")) == ("saved", 2, None)


async def test_a_fault_while_a_record_is_written_costs_no_picture(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, out = Folder.write, False

    async def fails(folder: Folder, record: Record) -> None:
        if out and record.submitted is True:
            raise MemoryError
        await write(folder, record)

    async def drawn(request: Request, response: Response) -> None:
        nonlocal out
        out = True
        await draw([MADE, png(seed=4)])(request, response)

    monkeypatch.setattr(Folder, "write", fails)
    api.play(drawn)
    with anyio.fail_after(40):
        async with open_studio(settings(api, tmp_path), InstalledWays()) as studio:
            record = (await studio.generate(GenerateImage(prompt="a fox", n=2))).record
            assert [Path(image.path).read_bytes() for image in record.images] == [MADE, png(seed=4)]
            assert (record.state, record.error) == ("saved", None)
            out = False
            await studio.wait(record.generation_id)
    (sidecar,) = (tmp_path / "p").glob("*-a-fox/metadata.json")
    written = json.loads(sidecar.read_bytes())
    assert (written["state"], len(written["images"])) == ("saved", 2)
