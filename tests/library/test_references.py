"""Reference pictures: what may be read, and that nothing else ever is."""

import hashlib
import os
import socket
import struct
import sys
import zlib
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import references as module
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.references import (
    MAX_BYTES,
    allowed_output_dir,
    check_reference,
    check_references,
    may_be_asked,
    read_reference,
)
from tests.browser import is_root
from tests.library.making import a_record, create, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    path = tmp_path / "Pictures"
    path.mkdir()
    return path


async def refusal(path: str | Path, *roots: Path) -> ImageError:
    with anyio.fail_after(60), pytest.raises(ImageError) as caught:
        await check_reference(str(path), roots, "reference_images[0]")
    assert caught.value.code == "invalid_input"
    assert caught.value.submitted is False
    assert "reference_images[0]" in caught.value.message
    assert caught.value.details["field"] == "reference_images[0]"
    return caught.value


async def test_a_picture_in_an_allowed_folder_is_described_by_its_bytes(allowed: Path) -> None:
    data = picture("JPEG", (30, 20))
    path = allowed / "sub folder" / "wrong ending.png"
    path.parent.mkdir()
    path.write_bytes(data)
    with anyio.fail_after(60):
        reference = await check_reference(str(path), [allowed], "mask")
        assert await read_reference(reference) == data

    assert reference.path == path
    assert (reference.mime_type, reference.width, reference.height) == ("image/jpeg", 30, 20)
    assert reference.bytes == len(data)
    assert reference.sha256 == hashlib.sha256(data).hexdigest()


async def test_several_keep_their_order_and_the_bad_one_is_named(allowed: Path) -> None:
    for name in ("b.png", "a.png"):
        (allowed / name).write_bytes(picture())
    (allowed / "c.png").write_bytes(b"GIF89a")
    paths = [str(allowed / name) for name in ("b.png", "a.png", "c.png")]
    with anyio.fail_after(60):
        assert [one.path.name for one in await check_references(paths[:2], [allowed])] == ["b.png", "a.png"]
        with pytest.raises(ImageError, match=r"reference_images\[2\].*GIF"):
            await check_references(paths, [allowed])


@pytest.mark.parametrize("path", ["relative.png", "", "~/a.png", "./a.png", "a\0b", "/a\0b", "/" + "x" * 5000])
async def test_paths_that_are_none_are_refused(path: str, allowed: Path) -> None:
    await refusal(path, allowed)


async def test_what_lies_outside_is_answered_the_same_whether_it_exists_or_not(allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    there = await refusal(tmp_path / "secret.png", allowed)
    missing = await refusal(tmp_path / "absent.png", allowed)

    assert "outside the allowed folders" in there.message
    assert there.message.replace("secret", "absent") == missing.message
    assert (await refusal(allowed / ".." / "secret.png", allowed)).message.endswith(there.message[-40:])
    assert "none" in (await refusal(tmp_path / "secret.png")).message


async def test_a_refusal_names_each_allowed_folder_once(allowed: Path, tmp_path: Path) -> None:
    """The output root is always one, and stands among the defaults too."""
    refused = await refusal(tmp_path / "secret.png", allowed, allowed)
    assert refused.message.count(str(allowed)) == 1


ROOTS = [r"C:\Users\me\Pictures", r"\\nas\Photos\mine", r"\\?\UNC\nas\art"]


@pytest.mark.parametrize(
    "path",
    [
        r"\\evil.example\a\b.png",
        "//evil.example/a/b.png",
        "/\\evil.example/a/b.png",
        r"\\?\UNC\evil.example\a\b.png",
        "//?/unc/evil.example/a/b.png",
        r"\\nas\others\b.png",
        r"\\.\pipe\b",
        r"\\.\C:\Users\me\Pictures\b.png",
        r"\\?\GLOBALROOT\Device\Mup\evil.example\a\b.png",
        r"\\nas",
    ],
)
def test_windows_is_not_asked_about_shares_and_devices_that_hold_no_allowed_folder(path: str) -> None:
    """Asking it about one signs the user in there."""
    assert not may_be_asked(path, ROOTS)


@pytest.mark.parametrize(
    "path",
    [
        r"C:\a.png",
        "d:/a.png",
        r"\\?\C:\a.png",
        r"\\NAS\photos\a.png",
        "//nas/PHOTOS/x",
        r"\\?\UNC\Nas\Photos",
        r"\\nas\art",
    ],
)
def test_windows_is_asked_about_drives_and_the_shares_of_allowed_folders_however_they_are_written(path: str) -> None:
    assert may_be_asked(path, ROOTS)


async def test_a_foreign_share_is_outside_without_being_asked_about(
    allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def spied(path: str | Path) -> str:
        asked.append(str(path))
        return str(path)

    def same(path: Path, _: Path) -> bool:
        asked.append(str(path))
        return False

    monkeypatch.setattr(module, "WINDOWS", True, raising=False)
    monkeypatch.setattr(os.path, "realpath", spied)
    monkeypatch.setattr(Path, "samefile", same)
    outside = await refusal("//evil.example/a/b.png", allowed)
    with pytest.raises(ImageError, match="outside the allowed folders"):
        await allowed_output_dir("//evil.example/a", [allowed])
    assert "outside the allowed folders" in outside.message
    assert [name for name in asked if "evil" in name] == []


async def test_links_are_followed_before_the_place_is_judged(allowed: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(picture())
    (allowed / "link.png").symlink_to(outside / "a.png")
    (allowed / "folder").symlink_to(outside)
    (allowed / "circle").symlink_to(allowed / "circle")
    for path in (allowed / "link.png", allowed / "folder" / "a.png"):
        assert "outside" in (await refusal(path, allowed)).message
    await refusal(allowed / "circle", allowed)
    (outside / "back.png").symlink_to(allowed / "real.png")
    (allowed / "real.png").write_bytes(picture())
    (tmp_path / "root link").symlink_to(allowed)
    with anyio.fail_after(60):
        assert (await check_reference(str(outside / "back.png"), [allowed], "mask")).path == allowed / "real.png"
        linked = await check_reference(str(tmp_path / "root link" / "real.png"), [tmp_path / "root link"], "mask")
        assert linked.path == allowed / "real.png"


async def test_folders_with_a_dot_below_the_root_are_never_used(tmp_path: Path) -> None:
    root = tmp_path / ".local" / "pictures"
    (root / ".ssh" / "deep").mkdir(parents=True)
    for path in (root / ".ssh" / "deep" / "a.png", root / "fine.png", root / ".hidden.png"):
        path.write_bytes(picture())
    (root / "link").symlink_to(root / ".ssh")
    for path in (root / ".ssh" / "deep" / "a.png", root / ".hidden.png", root / "link" / "deep" / "a.png"):
        assert "dot" in (await refusal(path, root)).message
    with anyio.fail_after(60):
        await check_reference(str(root / "fine.png"), [root], "mask")
        # A root named by the user may itself lie below a dot: only what is below it counts.
        await check_reference(str(root / ".ssh" / "deep" / "a.png"), [root, root / ".ssh"], "mask")


async def test_only_regular_files_are_read_and_nothing_hangs(allowed: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("no such files there")
    os.mkfifo(allowed / "pipe.png")
    (allowed / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(allowed)  # addresses of sockets are short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
        assert "not a regular file" in (await refusal(allowed / "pipe.png", allowed)).message
        assert "folder" in (await refusal(allowed / "folder.png", allowed)).message
        await refusal(allowed / "socket.png", allowed)
    assert "no such file" in (await refusal(allowed / "absent.png", allowed)).message
    assert "no such file" in (await refusal(allowed / "absent" / "a.png", allowed)).message
    await refusal(allowed, allowed)
    await refusal("/dev/zero", Path("/dev"))


def wide_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


async def test_the_limits_are_25_megabytes_and_100_megapixels(allowed: Path) -> None:
    (allowed / "wide.png").write_bytes(wide_png(10_000, 10_001))
    (allowed / "fits.png").write_bytes(wide_png(10_000, 10_000))
    (allowed / "full.png").write_bytes(picture().ljust(MAX_BYTES, b"\0"))
    (allowed / "heavy.png").write_bytes(picture().ljust(MAX_BYTES + 1, b"\0"))
    with (allowed / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)
    with anyio.fail_after(60):
        await check_reference(str(allowed / "fits.png"), [allowed], "mask")
        await check_reference(str(allowed / "full.png"), [allowed], "mask")
    assert "megapixels" in (await refusal(allowed / "wide.png", allowed)).message
    assert "MB" in (await refusal(allowed / "heavy.png", allowed)).message
    assert "MB" in (await refusal(allowed / "sparse.png", allowed)).message


@pytest.mark.parametrize("data", [b"", b"text", b"<svg/>", picture()[:-20], b"%PDF-1.4"], ids=repr)
async def test_what_is_no_whole_picture_is_refused(allowed: Path, data: bytes) -> None:
    (allowed / "a.png").write_bytes(data)
    await refusal(allowed / "a.png", allowed)


async def test_an_unreadable_path_is_shown_shortened(allowed: Path) -> None:
    error = await refusal("x" * 100_000, allowed)
    assert len(error.message) < 1000


async def test_a_file_changed_after_the_check_is_not_sent(allowed: Path) -> None:
    path = allowed / "a.png"
    path.write_bytes(picture())
    with anyio.fail_after(60):
        reference = await check_reference(str(path), [allowed], "mask")
        path.write_bytes(picture())
        with pytest.raises(ImageError, match="changed after"):
            await read_reference(reference)
        path.unlink()
        with pytest.raises(ImageError, match="no such file"):
            await read_reference(reference)


async def test_a_link_put_there_between_the_check_and_the_opening_leads_nowhere(
    allowed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.png").write_bytes(picture())
    (allowed / "sub").mkdir()
    (allowed / "sub" / "a.png").write_bytes(picture())
    judged = module._inside  # pyright: ignore[reportPrivateUsage]

    def judge_then_swap(path: str, roots: tuple[Path, ...], field: str) -> tuple[Path, Path]:
        verdict = judged(path, roots, field)
        if (allowed / "sub").is_symlink():
            return verdict
        (allowed / "sub").rename(allowed / "was")
        (allowed / "sub").symlink_to(secret)
        return verdict

    monkeypatch.setattr(module, "_inside", judge_then_swap)
    error = await refusal(allowed / "sub" / "a.png", allowed)
    assert "no such file" in error.message or "link" in error.message


async def test_output_folders_obey_the_same_rules_and_need_not_exist(allowed: Path, tmp_path: Path) -> None:
    (allowed / "file").write_text("")
    with anyio.fail_after(60):
        assert await allowed_output_dir(str(allowed / "new" / "deep"), [allowed]) == allowed / "new" / "deep"
        assert await allowed_output_dir(str(allowed), [allowed]) == allowed
        refused = [allowed / "file", allowed / "file" / "below", tmp_path / "x", allowed / ".git" / "x", Path("art")]
        for path in (*refused, allowed / ("a" * 300)):
            with pytest.raises(ImageError, match="output_dir") as caught:
                await allowed_output_dir(str(path), [allowed])
            assert "file" not in caught.value.next_step  # there is none to copy
            assert caught.value.code == "invalid_input"
    assert not (allowed / "new").exists()


async def test_a_generations_folder_as_output_folder_means_the_one_around_it_where_that_is_allowed(
    allowed: Path, library: Library
) -> None:
    """Also of one that was put into another's folder once; any other folder inside is taken as it is."""
    with anyio.fail_after(60):
        outer = (await create(library, a_record(), allowed / "art")).path
        inner = (await create(library, a_record(), outer)).path
        for path in (outer, inner):
            assert await allowed_output_dir(str(path), [allowed]) == allowed / "art"
        assert await allowed_output_dir(str(inner), [outer]) == outer
        assert await allowed_output_dir(str(outer / "variants"), [allowed]) == outer / "variants"


@pytest.mark.skipif(not is_root(), reason="a second name for a folder needs root")
async def test_a_folder_that_the_system_knows_by_another_name_too_is_inside(tmp_path: Path) -> None:
    """As on disks that do not tell capitals apart: here by mounting one folder over another."""
    root, other = tmp_path / "Pictures", tmp_path / "PICTURES"
    for folder in (root, other):
        folder.mkdir()
    (root / "x.png").write_bytes(picture())
    await anyio.run_process(["mount", "--bind", str(root), str(other)])
    try:
        found = await check_reference(str(other / "x.png"), (root,), "mask")
        with pytest.raises(ImageError, match="outside"):
            await check_reference(str(other / "x.png"), (tmp_path / "elsewhere",), "mask")
    finally:
        await anyio.run_process(["umount", str(other)])
    assert found.path == other / "x.png"
