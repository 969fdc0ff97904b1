# ruff: noqa: ASYNC221 - a test may look at its own files
"""One generation's folder: whole files, nothing overwritten, faults that leave the earlier state as it was."""

import errno
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR, Folder, encode_record, read_record
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import State
from cdp_image_mcp.system import disk
from tests.library.making import a_record, end, other_process, picture
from tests.library.smalldisk import fill_up, needs_root, small_disk

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "20261103-040506-a-lighthouse"
    path.mkdir(0o700)
    return Folder(path)


def names(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


async def test_a_record_comes_back_as_it_was_written(folder: Folder) -> None:
    record = a_record("Ein Leuchtturm – 灯台", facts={"note": "é"}, usage={"tokens": 3})
    with anyio.fail_after(60):
        await folder.write(record)
        assert read_record(folder.path)[0] == record

    raw = (folder.path / SIDECAR).read_text("utf-8")
    assert raw.startswith('{\n  "version": 1')
    assert "灯台" in raw
    assert stat.S_IMODE((folder.path / SIDECAR).stat().st_mode) == 0o600
    assert names(folder) == [SIDECAR]


async def test_half_characters_from_a_page_do_not_cost_the_record(folder: Folder) -> None:
    record = a_record("half \ud83d a fox", facts={"text": ["\udc00"], "\ud800": 1, "nan": float("nan")})
    with anyio.fail_after(60):
        await folder.write(record)
        read = read_record(folder.path)[0]

    assert read.prompt == "half \ufffd a fox"
    assert read.facts == {"text": ["\ufffd"], "\ufffd": 1, "nan": None}


async def test_pictures_are_numbered_and_their_bytes_are_not_touched(folder: Folder) -> None:
    sorts = [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
    with anyio.fail_after(60):
        for number, (kind, extension) in enumerate(sorts, 1):
            data = picture(kind)
            saved = await folder.add_picture(data, inspect(data))
            assert Path(saved.path) == folder.path / f"image-{number:02}.{extension}"
            assert Path(saved.path).read_bytes() == data
            assert stat.S_IMODE(Path(saved.path).stat().st_mode) == 0o600
            assert saved.bytes == len(data)
    assert names(folder) == ["image-01.png", "image-02.jpg", "image-03.webp"]


async def test_nothing_that_lies_there_is_ever_overwritten(folder: Folder) -> None:
    (folder.path / "image-01.png").write_bytes(b"somebody's")
    (folder.path / "image-07.jpg").symlink_to(folder.path / "nowhere")
    data = picture()
    with anyio.fail_after(60):
        saved = await folder.add_picture(data, inspect(data))

    assert Path(saved.path).name == "image-08.png"
    assert (folder.path / "image-01.png").read_bytes() == b"somebody's"


async def test_a_number_of_the_record_is_given_to_no_other_picture_though_its_file_was_moved_away(
    folder: Folder,
) -> None:
    first, second = picture(), picture()
    record = a_record()
    with anyio.fail_after(60):
        saved = await folder.add_picture(first, inspect(first), record)
        record.images.append(saved)
        Path(saved.path).rename(folder.path.parent / "mine.png")
        again = await folder.add_picture(second, inspect(second), record)
        kept = await folder.keep(b"odd", "bin", record)
        record.facts["kept"] = [str(kept)]
        kept.rename(folder.path.parent / "mine.bin")
        other = await folder.keep(b"odder", "bin", record)
    assert (Path(again.path).name, other.name) == ("image-02.png", "unrecognised-02.bin")


async def test_pictures_added_at_the_same_time_through_two_objects_get_names_of_their_own(folder: Folder) -> None:
    twin = Folder(folder.path)
    pictures = [picture() for _ in range(20)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number, data in enumerate(pictures):
                group.start_soon((folder, twin)[number % 2].add_picture, data, inspect(data))

    assert len(names(folder)) == 20
    assert {(folder.path / name).read_bytes() for name in names(folder)} == set(pictures)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EINVAL, errno.EIO, errno.ENOTSUP, errno.EMLINK])
async def test_a_file_system_without_hard_links_overwrites_nothing_either(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """FAT, FUSE, 9p, vboxsf and shares each refuse in their own way."""

    def no_links(self: Path, target: Path) -> None:
        raise OSError(number, "Not here")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    part, _ = disk.write_part(folder.path / "image", b"new")
    (folder.path / "image-01.png").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        disk.settle(part, folder.path / "image-01.png")
    disk.settle(part, folder.path / "image-02.png")

    assert (folder.path / "image-01.png").read_bytes() == b"old"
    assert (folder.path / "image-02.png").read_bytes() == b"new"
    assert names(folder) == ["image-01.png", "image-02.png"]


def test_what_a_killed_run_left_is_in_nobodys_way_where_process_ids_begin_anew(tmp_path: Path) -> None:
    """Each start of a container counts from the same numbers."""
    code = """
import os, sys
from pathlib import Path
from cdp_image_mcp.system.disk import write_part
os.getpid = lambda: 7
write_part(Path(sys.argv[1]), b"left")
"""
    for _ in range(2):
        process = other_process(code, str(tmp_path / "metadata.json"))
        assert process.wait(60) == 0
        end(process)
    assert len(list(tmp_path.glob(".metadata.json.*.part"))) == 2


async def test_bytes_handed_over_are_saved_even_when_the_caller_was_cancelled(folder: Folder) -> None:
    data = picture()
    record = a_record()
    with anyio.fail_after(60):
        with anyio.CancelScope() as scope:
            scope.cancel()
            record.images.append(await folder.add_picture(data, inspect(data)))
            await folder.write(record)
        # Shielded: both were done although the scope was cancelled before they began.
        assert (read_record(folder.path)[0]).images == record.images
    assert Path(record.images[0].path).read_bytes() == data


async def test_what_is_written_last_is_what_stands_there(folder: Folder) -> None:
    record = a_record(prompt="first")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for state in ("starting", "submitting", "generating", "saving", "saved"):
                record.state = state
                group.start_soon(folder.write, msgspec.structs.replace(record))
    assert (read_record(folder.path)[0]).state == "saved"


async def test_a_record_changed_right_after_the_call_is_not_torn(folder: Folder) -> None:
    record = a_record(prompt="first")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(folder.write, record)
            await anyio.lowlevel.checkpoint()
            record.state, record.prompt = "saved", "second"
    written = read_record(folder.path)[0]
    assert (written.state, written.prompt) == ("queued", "first")


async def test_paths_follow_a_folder_that_was_moved_and_never_lead_out_of_it(folder: Folder, tmp_path: Path) -> None:
    data = picture()
    with anyio.fail_after(60):
        record = a_record()
        saved = await folder.add_picture(data, inspect(data))
        record.images = [saved, msgspec.structs.replace(saved, path="C:\\Users\\x\\..\\image-02.png")]
        record.facts["kept"] = [str(await folder.keep(b"half", "png")), "/etc/passwd"]
        record.error = {"code": "network", "message": "It broke off.", "details": {"kept": record.facts["kept"]}}
        await folder.write(record)
        moved = Folder(folder.path.rename(tmp_path / "elsewhere"))
        found = read_record(moved.path)[0]

    images = [image.path for image in found.images]
    assert images == [str(moved.path / "image-01.png"), str(moved.path / "image-02.png")]
    kept = [str(moved.path / "unrecognised-01.png"), str(moved.path / "passwd")]
    assert (found.facts["kept"], (found.error or {})["details"]["kept"]) == (kept, kept)


async def test_a_record_whose_kept_files_are_no_list_is_read_all_the_same(folder: Folder) -> None:
    with anyio.fail_after(60):
        record = a_record()
        record.facts["kept"], record.error = 5, {"code": "network", "details": "none"}
        await folder.write(record)
    assert read_record(folder.path)[0].facts["kept"] == 5


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"[]", b"\xff\xfe\0", b"{}", b'{"version": 2}', b"[" * 100_000, b"nul" * 10],
    ids=["empty", "cut", "list", "bytes", "nothing", "newer", "deep", "words"],
)
def test_a_garbled_record_is_told_and_left_alone(folder: Folder, garbage: bytes) -> None:
    (folder.path / SIDECAR).write_bytes(garbage)
    with pytest.raises(ImageError, match="left as it is") as caught:
        read_record(folder.path)

    assert caught.value.code == "disk"
    assert (folder.path / SIDECAR).read_bytes() == garbage


def test_no_record_is_not_found(folder: Folder) -> None:
    with pytest.raises(ImageError) as caught:
        read_record(folder.path)
    assert caught.value.code == "not_found"


# Failing disks.


async def test_what_was_paid_for_is_saved_while_a_disk_that_does_not_answer_keeps_all_threads(folder: Folder) -> None:
    limiter, data, record = anyio.to_thread.current_default_thread_limiter(), picture(), a_record()
    hanging = [object() for _ in range(int(limiter.available_tokens))]
    for each in hanging:
        limiter.acquire_on_behalf_of_nowait(each)
    try:
        with anyio.fail_after(60):
            record.images = [await folder.add_picture(data, inspect(data))]
            await folder.keep(b"half of one", "bin")
            await folder.write(record)
    finally:
        for each in hanging:
            limiter.release_on_behalf_of(each)
    assert read_record(folder.path)[0].images == record.images
    assert Path(record.images[0].path).read_bytes() == data


@needs_root
async def test_a_full_disk_leaves_record_and_pictures_whole(tmp_path: Path) -> None:
    with anyio.fail_after(60), small_disk(tmp_path / "small", 400) as place:
        folder = Folder(place)
        data = picture(size=(80, 80))
        record = a_record(images=[await folder.add_picture(data, inspect(data))])
        await folder.write(record)
        before = names(folder)
        big = picture(size=(900, 900))
        with pytest.raises(ImageError, match="disk is full") as caught:
            await folder.add_picture(big, inspect(big))
        assert caught.value.code == "disk"
        assert caught.value.details["errno"] == "ENOSPC"
        assert names(folder) == before

        filler = fill_up(place)
        later = msgspec.structs.replace(record, state="saved")
        with pytest.raises(ImageError, match="disk is full"):
            await folder.write(later)
        assert (read_record(folder.path)[0]).state == "queued"
        assert Path(record.images[0].path).read_bytes() == data

        filler.unlink()
        await folder.write(later)
        assert (read_record(folder.path)[0]).state == "saved"


@needs_root
async def test_a_read_only_disk_leaves_everything_and_says_so(tmp_path: Path) -> None:
    with anyio.fail_after(60), small_disk(tmp_path / "small", 400) as place:
        folder = Folder(place)
        record = a_record()
        await folder.write(record)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        data = picture()
        with pytest.raises(ImageError, match="read-only"):
            await folder.add_picture(data, inspect(data))
        with pytest.raises(ImageError, match="read-only"):
            await folder.write(msgspec.structs.replace(record, state="saved"))
        assert read_record(folder.path)[0] == record


async def test_a_file_size_limit_leaves_record_and_pictures_whole(folder: Folder) -> None:
    """The way to a full disk that every user can go: the limit of the own process."""
    if sys.platform == "win32":
        pytest.skip("no such limit there")
    import resource

    data = picture()
    record = a_record(images=[await folder.add_picture(data, inspect(data))])
    await folder.write(record)
    before = names(folder)
    big = picture(size=(300, 300))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with anyio.fail_after(60), pytest.raises(ImageError, match="larger than the system allows") as caught:
            await folder.add_picture(big, inspect(big))
        with anyio.fail_after(60), pytest.raises(ImageError, match="larger than the system allows"):
            await folder.write(msgspec.structs.replace(record, facts={"much": "x" * 9000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert caught.value.code == "disk"
    assert names(folder) == before
    assert read_record(folder.path)[0] == record


@pytest.mark.parametrize(
    ("number", "words"),
    [("EACCES", "permission is denied"), ("EDQUOT", "quota"), ("EIO", "reports an error"), ("ENOSPC", "is full")],
)
async def test_each_failure_of_a_disk_has_its_own_words(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, number: str, words: str
) -> None:
    record = a_record()
    await folder.write(record)

    def fail(handle: int) -> None:
        raise OSError(getattr(disk.errno, number), "said the system")

    monkeypatch.setattr(disk.os, "fsync", fail)
    data = picture()
    with anyio.fail_after(60):
        with pytest.raises(ImageError, match=words) as caught:
            await folder.add_picture(data, inspect(data))
        with pytest.raises(ImageError, match=words):
            await folder.write(msgspec.structs.replace(record, state="saved"))
        monkeypatch.undo()
        assert (read_record(folder.path)[0]).state == "queued"
    assert caught.value.next_step
    assert names(folder) == [SIDECAR]


@pytest.mark.parametrize("how_far", [{}, {"submitted": True, "state": "saved"}], ids=["unsent", "ended"])
async def test_a_folder_that_vanished_is_an_error_and_not_made_again(folder: Folder, how_far: dict[str, Any]) -> None:
    folder.path.rmdir()
    with anyio.fail_after(60), pytest.raises(ImageError, match="folder is gone"):
        await folder.write(a_record(**how_far))
    assert not folder.path.exists()


@pytest.mark.parametrize("state", ["generating", "interrupted"])
async def test_the_record_of_a_prompt_that_is_out_makes_its_folder_again(folder: Folder, state: State) -> None:
    """Its picture is being drawn, is paid for, and is found again by this record alone."""
    folder.path.rmdir()
    await folder.write(a_record(backend="chatgpt-web", submitted=True, state=state))
    assert (read_record(folder.path)[0]).state == state


async def test_a_picture_that_is_handed_over_when_the_folder_was_tidied_away_makes_it_again(folder: Folder) -> None:
    data = picture()
    folder.path.rmdir()
    image = await folder.add_picture(data, inspect(data))
    assert Path(image.path).parent == folder.path
    assert Path(image.path).read_bytes() == data


@pytest.mark.parametrize("refusal", [PermissionError, FileNotFoundError])
async def test_a_record_that_another_one_is_just_taking_the_place_of_is_read_all_the_same(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, refusal: type[OSError]
) -> None:
    """As Windows refuses it meanwhile; passed over, the same wish would be paid for once more."""
    record, refusals = a_record(), iter((refusal, refusal))
    really: Any = Path.open
    await folder.write(record)

    def refused(path: Path, *how: Any) -> Any:
        for kind in refusals:
            raise kind(errno.EACCES, "said the system")
        return really(path, *how)

    monkeypatch.setattr(disk, "PATIENCE", 60.0)
    monkeypatch.setattr(Path, "open", refused)
    assert (await anyio.to_thread.run_sync(read_record, folder.path))[0] == record


def test_the_encoding_of_a_record_is_stable() -> None:
    record = a_record()
    assert msgspec.json.decode(encode_record(record), type=Record) == record


def of_windows(number: int, path: str = "C:") -> OSError:
    """As Python makes one of Windows' own errors there."""
    error = FileNotFoundError(errno.ENOENT, "in its own words", path)
    error.winerror = number  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("system", "refused"),
    [
        ("linux", OSError(errno.ENAMETOOLONG, "File name too long")),
        ("win32", of_windows(3, "C:" + "\\fox" * 64)),
        ("win32", of_windows(206)),
    ],
)
def test_a_path_too_long_is_no_folder_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, system: str, refused: OSError
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ImageError) as caught, disk.doing("Writing the record", Path("a")):
        raise refused
    assert caught.value.code == "disk"
    assert "longer than the system takes" in caught.value.message
    assert "GPT_IMAGE_OUTPUT_DIR" in (caught.value.next_step or "")
