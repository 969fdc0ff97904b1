# ruff: noqa: ASYNC221 - a test may look at its own files
"""Creating and finding generations, and an index that may break at any time."""

import errno
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import psutil
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import entries as module
from cdp_image_mcp.library.folder import SIDECAR, Stamp, read_record, write_record
from cdp_image_mcp.library.index import LOCK
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import now
from cdp_image_mcp.request import State
from cdp_image_mcp.system import disk
from cdp_image_mcp.system.disk import check_room
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER
from tests.library.making import DEAD, a_record, ago, create, finished, new_id, picture
from tests.library.smalldisk import a_drive, fill_up, needs_root, small_disk

pytestmark = pytest.mark.anyio

INDEX = ".cdp-image-mcp/index-5.sqlite3"


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


async def test_opening_touches_nothing_and_neither_does_looking(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        assert await library.newest() == []
        assert await library.find(new_id()) is None
        assert await library.unfinished() == []
        assert await library.latest_finished(["api"]) is None
    assert not root.exists()
    assert library.problems() == []


async def test_a_created_generation_is_on_disk_at_once(library: Library, root: Path) -> None:
    record = a_record("A lighthouse")
    with anyio.fail_after(60):
        folder = await create(library, record)

    assert folder.path.parent == root
    assert folder.path.name.endswith("-a-lighthouse")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / INDEX).stat().st_mode) == 0o600
    assert read_record(folder.path)[0] == record
    assert record.owner is not None
    assert record.owner.token == library.token


async def test_fifty_of_the_same_second_get_fifty_folders(library: Library, root: Path) -> None:
    at = ago(seconds=1)
    records = [a_record(created_at=at) for _ in range(50)]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for record in records:
                group.start_soon(create, library, record)
        found = {entry.record.generation_id for entry in await library.newest(60)}

    assert found == {record.generation_id for record in records}
    assert len(folders(root)) == 50


async def test_generations_are_found_newest_first(library: Library) -> None:
    with anyio.fail_after(60):
        records = [a_record(created_at=ago(minutes=number), backend="api") for number in (3, 1, 2)]
        for record in records:
            folder = await create(library, record)
            if record is not records[1]:
                record.finished_at = record.created_at
                await finished(library, folder, record)
        newest = [entry.record for entry in await library.newest(2)]
        unfinished = await library.unfinished()
        latest = await library.latest_finished(["api"])
        found = await library.find(records[0].generation_id)

    assert newest == [records[1], records[2]]
    assert [entry.record for entry in unfinished] == [records[1]]
    assert unfinished[0].alive
    assert latest is not None
    assert latest.record == records[2]
    assert found is not None
    assert found.record == records[0]
    assert not found.alive


async def test_what_a_wrong_clock_dated_into_the_future_is_the_last_only_where_there_is_no_other(
    library: Library,
) -> None:
    last: list[str] = []
    records = [a_record(created_at=ago(days=days), backend="api") for days in (-400, 2, 1)]
    with anyio.fail_after(60):
        for record in records:
            folder = await create(library, record)
            record.finished_at = record.created_at
            await finished(library, folder, record)
            found = await library.latest_finished(["api"])
            last += [found.record.generation_id] if found is not None else []

    assert last == [record.generation_id for record in records]


async def test_another_output_folder_is_remembered_by_the_index_and_after_its_loss(
    library: Library, root: Path, tmp_path: Path
) -> None:
    record = a_record()
    with anyio.fail_after(60):
        folder = await create(library, record, tmp_path / "project" / "art")
        (tmp_path / "project" / "art" / "unrelated").mkdir()
        (tmp_path / "project" / "art" / "unrelated" / SIDECAR).write_text("not ours")
        (root / INDEX).unlink()
        entry = await Library(root).find(record.generation_id)

    assert folder.path.parent == tmp_path / "project" / "art"
    assert entry is not None
    assert entry.folder.path == folder.path
    assert library.problems() == []


async def test_an_output_folder_that_is_away_keeps_its_generations(library: Library, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    record = a_record()
    with anyio.fail_after(60):
        await create(library, record, drive)
        drive.rename(tmp_path / "unplugged")
        assert await library.rescan() == 1
        assert await library.newest() == []
        with pytest.raises(ImageError, match="not there now") as caught:  # there is one, and it may be paid for
            await library.find(record.generation_id)
        assert (caught.value.code, str(drive) in caught.value.message) == ("disk", True)
        (tmp_path / "unplugged").rename(drive)
        assert [entry.record for entry in await library.newest()] == [record]


@needs_root
@pytest.mark.parametrize("holds", ["nothing", "a file", "another picture"])
async def test_a_folder_in_which_a_drive_was_mounted_is_not_taken_for_the_drive(
    library: Library, tmp_path: Path, holds: str
) -> None:
    """Forgotten, the same wish would be paid for once more, at once or when the drive is back."""
    with anyio.fail_after(60), a_drive(tmp_path / "mnt") as drive:
        claim = await library.claim_or_register(a_record(), drive.at / "art")
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        drive.plug_out()
        if holds == "a file":
            (drive.at / "NOT MOUNTED").write_text("")
        if holds == "another picture":
            await create(library, a_record("a bear", fingerprint="another"), drive.at / "art")
        assert claim.record not in [entry.record for entry in await library.newest(1)]
        assert await library.rescan() == (2 if holds == "another picture" else 1)
        with pytest.raises(ImageError, match=r"Nothing was sent\..* not there now"):
            await library.claim_or_register(a_record())
        drive.plug_in()
        assert [entry.record for entry in await library.newest()] == [claim.record]
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)


@needs_root
async def test_what_was_moved_to_a_drive_of_its_own_without_another_path_is_there(
    library: Library, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        record = a_record(state="saved", finished_at=now())
        folder = await create(library, record, tmp_path / "art")
        folder.path.parent.rename(tmp_path / "before")
        with a_drive(tmp_path / "art"):
            shutil.copytree(tmp_path / "before" / folder.path.name, folder.path)
            assert [entry.record for entry in await library.newest()] == [record]


@needs_root
async def test_a_drive_that_is_mounted_under_another_name_is_the_drive_from_then_on(
    library: Library, tmp_path: Path
) -> None:
    """Its files are the same, and the link to it was put right: what is deleted there is gone."""
    link = tmp_path / "art"
    link.symlink_to(tmp_path / "first")
    with anyio.fail_after(60), a_drive(tmp_path / "first") as drive:
        gone = await create(library, a_record(state="saved", finished_at=now()), link)
        claim = await library.claim_or_register(a_record(fingerprint="unfetched"), link)
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        drive.plug_out()
        link.unlink()
        link.symlink_to(tmp_path / "second")
        drive.at = tmp_path / "second"
        drive.at.mkdir()
        drive.plug_in()
        assert len(await library.newest()) == 2
        shutil.rmtree(gone.path)
        shutil.rmtree(claim.folder.path)
        assert await library.find(claim.record.generation_id) is None
        assert await library.rescan() == 0
        assert (await library.claim_or_register(a_record(fingerprint="unfetched"))).kind == "new"


async def test_a_volume_that_does_not_say_where_it_is_mounted_is_a_folder_like_any_other(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows raises an error for those, for all but the roots of drives."""

    def asked(path: Path) -> bool:
        if path == Path(path.anchor):
            return True
        raise FileNotFoundError(errno.ENOENT, "The volume does not contain a recognized file system", str(path))

    monkeypatch.setattr(os.path, "ismount", asked)
    with anyio.fail_after(60):
        kept, gone = (a_record(state="saved", finished_at=now(), fingerprint=name) for name in ("kept", "gone"))
        await create(library, kept, tmp_path / "art")
        shutil.rmtree((await create(library, gone, tmp_path / "art")).path)
        assert [entry.record for entry in await library.newest()] == [kept]
        assert await library.rescan() == 1
        assert await library.find(gone.generation_id) is None


@pytest.mark.parametrize("keeps", [True, False], ids=["something else", "nothing"])
async def test_the_only_picture_of_a_folder_is_deleted_like_any_other(
    library: Library, tmp_path: Path, keeps: bool
) -> None:
    """The folder around it is still there, on the drive on which it was: no drive is to be plugged in."""
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record(), tmp_path / "project")
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        shutil.rmtree(claim.folder.path)
        if keeps:
            (tmp_path / "project" / "notes.txt").write_text("")
        assert await library.find(claim.record.generation_id) is None
        assert (await library.claim_or_register(a_record())).kind == "new"


@pytest.mark.parametrize("what", ["deleted", "renamed"])
async def test_a_drive_that_is_another_folder_to_the_system_each_time_it_is_mounted_is_the_same_drive(
    library: Library, tmp_path: Path, what: str
) -> None:
    """As many a share, and macOS' disks after a start: here it is a copy."""
    drive, again = tmp_path / "drive", tmp_path / "again"
    with anyio.fail_after(60):
        older = await create(library, a_record(state="saved", finished_at=ago(hours=1)), drive)
        claim = await library.claim_or_register(a_record(fingerprint="newer"), drive)
        await library.release(claim.waiter)
        newer = await finished(library, claim.folder, claim.record)
        shutil.copytree(drive, again)
        drive.rename(tmp_path / "old")
        again.rename(drive)
        if what == "deleted":
            shutil.rmtree(claim.folder.path)
            assert await library.find(newer.generation_id) is None
            assert (await library.claim_or_register(a_record(fingerprint="newer"))).kind == "new"
        else:
            claim.folder.path.rename(claim.folder.path.with_name(f"{claim.folder.path.name}-kept"))
            latest = await library.latest_finished(["chatgpt-web"])
            assert latest is not None
            assert latest.record.generation_id == newer.generation_id
            assert (await library.claim_or_register(a_record(fingerprint="newer"))).kind == "finished"
    assert older.path.is_dir()


async def test_what_lies_on_a_drive_that_is_away_takes_no_time(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it is: neither is one record opened there, nor the index asked again for each hundred."""
    kept, drive = a_record(created_at=ago(days=1), state="saved", finished_at=ago(days=1)), tmp_path / "drive"
    with anyio.fail_after(60):
        await create(library, kept)
        await create(library, a_record(state="saved"), drive)
        away = [a_record(state="saved", finished_at=now()) for _ in range(3000)]

        def put(db: sqlite3.Connection) -> None:
            for record in away:
                library.index.put(db, drive / f"20260101-000000-{record.generation_id}", record, Stamp(1, 1, 1))

        await anyio.to_thread.run_sync(library.index.run, put)
        drive.rename(tmp_path / "unplugged")
        read: list[Path] = []
        asked: list[object] = []
        view = library.index.view

        def counted(folder: Path, *more: Any) -> object:
            read.append(folder)
            return read_record(folder, *more)

        def viewed(work: Any) -> Any:
            asked.append(work)
            return view(work)

        monkeypatch.setattr(module, "read_record", counted)
        monkeypatch.setattr(library.index, "view", viewed)
        assert [entry.record for entry in await library.newest(10)] == [kept]
        latest = await library.latest_finished(["chatgpt-web"])
        assert await library.with_strays() == []
    assert latest is not None
    assert latest.record == kept
    assert {folder.parent for folder in read} == {library.root}
    assert len(asked) <= 6


async def test_records_that_the_system_refuses_share_what_patience_there_is(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a reader without its card Windows refuses each one of them."""
    waited: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(waited), sleep=waited.append)
    really: Any = Path.open

    def refused(path: Path, *how: Any) -> Any:
        if path.name == SIDECAR and path.parent.parent == tmp_path / "card":
            raise PermissionError(errno.EACCES, "The device is not ready")
        return really(path, *how)

    with anyio.fail_after(60):
        kept = a_record(created_at=ago(days=1))
        await create(library, kept)
        for _ in range(10):
            await create(library, a_record(), tmp_path / "card")
        monkeypatch.setattr(disk, "PATIENCE", 3.0)
        monkeypatch.setattr(disk, "time", clock)
        monkeypatch.setattr(Path, "open", refused)
        assert [entry.record for entry in await library.newest(1)] == [kept]
    assert 3 <= sum(waited) < 4


async def test_a_root_that_was_moved_still_knows_everything(library: Library, root: Path, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        record = a_record()
        await finished(library, await create(library, record), record)
        root.rename(tmp_path / "moved")
        library.close()
        moved = Library(tmp_path / "moved")
        entry = await moved.find(record.generation_id)
        ((card,),) = moved.index.cards()

    assert entry is not None
    assert Path(entry.record.images[0].path).parent == entry.folder.path
    assert Path(entry.record.images[0].path).exists()
    assert str(tmp_path / "moved") in card
    assert str(root) not in card


async def test_a_root_that_was_moved_still_knows_what_lies_in_folders_of_its_own(
    library: Library, root: Path, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record(), root / "project" / "art")
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        root.rename(tmp_path / "moved")
        library.close()
        moved = Library(tmp_path / "moved")
        again = await moved.claim_or_register(a_record())

    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)
    assert again.folder.path.parent == tmp_path / "moved" / "project" / "art"


async def test_a_root_that_was_moved_while_a_drive_was_away_still_knows_what_lies_there(
    library: Library, root: Path, tmp_path: Path
) -> None:
    drive, unplugged = tmp_path / "drive", tmp_path / "unplugged"
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record(), drive)
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        drive.rename(unplugged)
        root.rename(tmp_path / "moved")
        library.close()
        moved = Library(tmp_path / "moved")
        assert await moved.newest() == []
        unplugged.rename(drive)
        again = await moved.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)


async def test_lines_about_output_folders_that_others_wrote_are_kept_byte_for_byte(
    library: Library, root: Path, tmp_path: Path
) -> None:
    theirs = [b'{"folder":  "C:\\\\art"}', b'"D:\\\\pictures"', b"\xff\xfe no text", b'"/old  place"']
    with anyio.fail_after(60):
        await create(library, a_record(), tmp_path / "one")
        noted = root / ".output-folders.txt"
        noted.write_bytes(b"\n".join((noted.read_bytes().strip(), *theirs)))
        record = a_record()
        await create(library, record, tmp_path / "two")
        (root / INDEX).unlink()
        assert len(await Library(root).newest()) == 2
    assert [line for line in noted.read_bytes().splitlines() if line in theirs] == theirs


async def test_a_list_of_output_folders_that_cannot_be_read_is_not_written_over(
    library: Library, root: Path, tmp_path: Path
) -> None:
    noted, away = root / ".output-folders.txt", tmp_path / "away"
    with anyio.fail_after(60):
        record = a_record()
        await create(library, record, tmp_path / "one")
        noted.rename(away)
        noted.symlink_to(noted)  # no system opens it, not even for root
        with pytest.raises(ImageError) as caught:
            await create(library, a_record(), tmp_path / "two")
        assert (caught.value.code, caught.value.submitted) == ("disk", False)
        assert await library.rescan() == 1
        away.replace(noted)
        (root / INDEX).unlink()
        assert [entry.record for entry in await Library(root).newest()] == [record]
    assert any(f"{noted} cannot be read" in problem for problem in library.problems())


async def test_a_folder_dropped_in_is_found_by_id_and_by_a_rescan(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        await create(library, a_record())
        for name in ("20260101-000000-restored", "any name the user likes"):
            (root / name).mkdir()
            record = a_record()
            write_record(root / name, record)
            entry = await library.find(record.generation_id)
            assert entry is not None
            assert entry.folder.path == root / name
        assert await library.rescan() == 3


async def test_a_deleted_or_renamed_folder_is_noticed(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        kept, gone = a_record(), a_record()
        folder = await create(library, kept)
        shutil.rmtree((await create(library, gone)).path)
        folder.path.rename(root / "the one I like")
        assert await library.find(gone.generation_id) is None
        entry = await library.find(kept.generation_id)
        assert entry is not None
        assert entry.folder.path.name == "the one I like"
        assert await library.rescan() == 1


async def test_where_the_newest_folder_was_deleted_or_renamed_or_is_away_the_others_are_there_all_the_same(
    library: Library, root: Path, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        old, renamed, gone, away = (a_record(created_at=ago(minutes=number), state="saved") for number in (4, 3, 2, 1))
        folders = [await create(library, record) for record in (old, renamed, gone)]
        await create(library, away, tmp_path / "drive")
        (tmp_path / "drive").rename(tmp_path / "unplugged")
        shutil.rmtree(folders[2].path)
        folders[1].path.rename(root / "the one I like")
        (newest,) = await library.newest(1)
        latest = await library.latest_finished(["chatgpt-web"])
        assert [entry.record for entry in await library.newest(2)] == [renamed, old]
    assert newest.folder.path == root / "the one I like"
    assert latest is not None
    assert latest.record == renamed


async def test_a_copied_folder_is_told_and_does_not_become_a_second_generation(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record)
        shutil.copytree(folder.path, root / "a copy")
        assert await library.rescan() == 1
        entry = await library.find(record.generation_id)

    assert entry is not None
    assert entry.folder.path == folder.path
    assert any("is a copy of" in problem for problem in library.problems())


async def test_a_folder_that_has_another_name_too_is_no_copy_of_itself(library: Library, root: Path) -> None:
    """So are those of other capitals on a disk that does not tell them apart, and those whose letters it took apart."""
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record())
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        claim.folder.path.rename(root / "the one I like")
        claim.folder.path.symlink_to(root / "the one I like")
        assert await library.rescan() == 1
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)
    assert again.folder.path == root / "the one I like"
    assert library.problems() == []


async def test_a_folder_that_a_link_leads_to_from_its_old_place_is_not_forgotten(
    library: Library, root: Path, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record())
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        claim.folder.path.rename(tmp_path / "large disk")
        claim.folder.path.symlink_to(tmp_path / "large disk")
        assert await library.rescan() == 1
        (tmp_path / "large disk").rename(tmp_path / "unplugged")
        assert await library.newest(1) == []
        assert await library.rescan() == 1
        (tmp_path / "unplugged").rename(tmp_path / "large disk")
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)


@pytest.mark.parametrize("which", ["record", "folder around it"])
async def test_what_cannot_be_read_for_a_moment_is_not_forgotten(
    library: Library, root: Path, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgotten, the same wish would be paid for once more."""
    really = os.scandir

    def refused(path: Path) -> object:
        if path == tmp_path / "share":
            raise OSError(errno.ESTALE, "said the system")
        return really(path)

    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record(), tmp_path / "share")
        await library.release(claim.waiter)
        await finished(library, claim.folder, claim.record)
        sidecar, away = claim.folder.path / SIDECAR, tmp_path / "away"
        if which == "record":
            sidecar.rename(away)
            sidecar.symlink_to(sidecar)
        else:
            monkeypatch.setattr(os, "scandir", refused)
        assert await library.rescan() == 1
        if which == "record":
            away.replace(sidecar)
        monkeypatch.undo()
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", claim.record.generation_id)


async def test_a_folder_whose_maker_died_before_the_record_is_taken_away_and_others_are_told(
    library: Library, root: Path
) -> None:
    with anyio.fail_after(60):
        await create(library, a_record())
        for name in ("20260101-000000-begun", "20260101-000000-empty", "20260101-000000-pictures", "empty"):
            (root / name).mkdir()
        (root / "20260101-000000-begun" / ".metadata.json.12-1.part").write_bytes(b"{")
        (root / "20260101-000000-pictures" / "image-01.png").write_bytes(picture())
        assert await library.rescan() == 1

    assert (root / "20260101-000000-pictures" / "image-01.png").exists()
    assert (root / "empty").exists()
    assert not (root / "20260101-000000-begun").exists()
    assert not (root / "20260101-000000-empty").exists()
    assert [problem for problem in library.problems() if "pictures has no metadata.json" in problem]


@pytest.mark.parametrize("state", ["saved", "interrupted", "generating"])
async def test_a_garbled_sidecar_is_told_and_neither_given_nor_written_from_memory(
    library: Library, state: State
) -> None:
    with anyio.fail_after(60):
        record, other = a_record(submitted=True), a_record()
        folder = await create(library, record)
        await finished(library, folder, record, state=state)
        await create(library, other)
        (folder.path / SIDECAR).write_bytes(b'{"version": 1, "generation')
        with pytest.raises(ImageError, match="cannot be read"):
            await library.find(record.generation_id)
        assert [entry.record for entry in await library.newest()] == [other]
        assert await library.adopt(record.generation_id) is None
        await library.mark_fetched(record)

    assert any("cannot be read" in problem for problem in library.problems())
    assert (folder.path / SIDECAR).read_bytes() == b'{"version": 1, "generation'
    assert Path(record.images[0].path).exists()


async def test_what_other_programs_lay_in_the_root_is_not_told_as_damaged_records_of_ours(
    library: Library, root: Path
) -> None:
    theirs: dict[str, Any] = {"backend": "api", "prompt": "a fox", "created_at": ago(days=90), "images": []}
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record)
        for name, data in (("20260401-120000-a-fox", theirs), ("Holiday 2019", {"title": "Holiday", "access": ""})):
            (root / name).mkdir()
            (root / name / SIDECAR).write_text(json.dumps(data))
        fresh = Library(root)
        assert await fresh.rescan() == 1
        assert await fresh.ids("") == [record.generation_id]
        assert fresh.problems() == []
        (folder.path / SIDECAR).write_text(json.dumps(theirs))  # where one of ours was it is told all the same
        await fresh.rescan()
        with pytest.raises(ImageError, match="it has no generation_id"):
            await fresh.find(record.generation_id)
    (told,) = fresh.problems()
    assert f"{folder.path / SIDECAR} cannot be read (it has no generation_id)" in told


async def test_a_garbled_sidecar_does_not_stop_a_rebuild(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        bad = await create(library, a_record())
        good = a_record()
        await create(library, good)
        (bad.path / SIDECAR).write_bytes(b"\0" * 100)
        (root / INDEX).unlink()
        fresh = Library(root)
        assert [entry.record for entry in await fresh.newest()] == [good]

    assert any(str(bad.path) in problem for problem in fresh.problems())
    assert bad.path.exists()


def _cut(index: Path) -> None:
    with index.open("r+b") as file:
        file.truncate(index.stat().st_size // 2 + 100)


def _other_tables(index: Path) -> None:
    connection = sqlite3.connect(index)
    connection.execute("DROP TABLE made_for")
    connection.commit()
    connection.close()


def _scribbled(index: Path) -> None:
    with index.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(index.stat().st_size - 4096))


BREAKS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda index: index.write_bytes(b""),
    "cut": _cut,
    "garbage": lambda index: index.write_bytes(b"<html>" * 5000),
    "scribbled": _scribbled,
    "other tables": _other_tables,
}


@pytest.mark.parametrize("fresh", [True, False], ids=["next start", "while running"])
@pytest.mark.parametrize("how", BREAKS)
async def test_a_broken_index_is_made_again_and_told(library: Library, root: Path, how: str, fresh: bool) -> None:
    with anyio.fail_after(60):
        records = [a_record(created_at=ago(minutes=number)) for number in range(30)]
        for record in records:
            await create(library, record)
        BREAKS[how](root / INDEX)
        used = Library(root) if fresh else library
        assert [entry.record for entry in await used.newest(100)] == records
        added = a_record(fingerprint="another")
        await used.claim_or_register(added)
        assert await used.find(added.generation_id) is not None
        assert len(await Library(root).newest(100)) == 31

    assert len(used.problems()) == 1
    assert "anew" in used.problems()[0]


async def test_a_journal_of_a_broken_index_does_not_break_the_new_one(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        record = a_record()
        await create(library, record)
        (root / INDEX).write_bytes(b"broken" * 2000)
        (root / (INDEX + "-journal")).write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\xff" * 9000)
        assert [entry.record for entry in await library.newest()] == [record]
        await create(library, a_record())
        assert len(await library.newest()) == 2


async def test_an_index_behind_its_sidecars_catches_up(library: Library, root: Path) -> None:
    """A process can die between the sidecar, which counts, and the index."""
    with anyio.fail_after(60):
        record = a_record(owner=DEAD)
        folder = await create(library, record)
        ended = msgspec.structs.replace(record, state="failed")
        write_record(folder.path, ended)
        assert await library.unfinished() == []
        assert (await library.newest())[0].record.state == "failed"
        connection = sqlite3.connect(root / INDEX)
        assert connection.execute("SELECT state, finished FROM generations").fetchall() == [("failed", 1)]
        connection.close()


async def test_questions_walk_no_folders(library: Library, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        path = root / f"20260101-000000-{number}"
        path.mkdir(parents=True)
        write_record(path, a_record(state="failed", created_at=ago(hours=number)))
    with anyio.fail_after(30):
        assert await library.rescan() == 300
        fresh = Library(root)
        read: list[Path] = []

        def counted(folder: Path, *more: Any) -> object:
            read.append(folder)
            return read_record(folder, *more)

        def walked(*_: object) -> None:
            raise AssertionError("the folders were walked")

        monkeypatch.setattr(os, "scandir", walked)
        monkeypatch.setattr(module, "read_record", counted)
        assert len(await fresh.newest(10)) == 10
        assert await fresh.unfinished() == []
        assert await fresh.latest_finished(["api"]) is None
        await create(fresh, a_record())
    assert len(read) == 10


@needs_root
async def test_a_full_disk_refuses_a_new_generation_and_leaves_no_trace_of_it(tmp_path: Path) -> None:
    with anyio.fail_after(60), small_disk(tmp_path / "small", 600) as place:
        library = Library(place / "pictures")
        first = a_record()
        folder = await create(library, first)
        before = folders(library.root)
        filler = fill_up(place)
        with pytest.raises(ImageError) as caught:
            await library.claim_or_register(a_record(fingerprint="another"))
        assert caught.value.code == "disk"
        assert caught.value.submitted is False
        assert folders(library.root) == before
        entry = await library.find(first.generation_id)
        assert entry is not None
        await library.release(await library.wait(first.generation_id))
        await library.mark_fetched(first)
        with pytest.raises(ImageError, match="Nothing was sent"):
            check_room(1, library.root)

        filler.unlink()
        first.state = "failed"
        await folder.write(first)
        again = await library.claim_or_register(a_record(fingerprint="another"))
        assert again.kind == "new"


@needs_root
async def test_a_read_only_disk_can_still_be_looked_at(tmp_path: Path) -> None:
    with anyio.fail_after(60), small_disk(tmp_path / "small", 600) as place:
        library = Library(place / "pictures")
        record = a_record()
        await create(library, record)
        library.close()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        for reader in (library, Library(place / "pictures")):
            assert [entry.record for entry in await reader.newest()] == [record]
            assert await reader.find(record.generation_id) is not None
        with pytest.raises(ImageError) as caught:
            await create(library, a_record())
        assert caught.value.code == "disk"


async def test_a_file_in_the_place_of_the_root_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with anyio.fail_after(60):
        with pytest.raises(ImageError) as caught:
            await create(Library(tmp_path / "file"), a_record())
        assert caught.value.code == "disk"
        with pytest.raises(ImageError) as caught:
            await create(Library(tmp_path / "ok"), a_record(), tmp_path / "file")
        assert caught.value.code == "disk"


async def test_the_end_of_a_generation_stands_on_the_disk_though_the_index_is_held(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stopped program, or one that walks a large library on a share; calls are answered when it is written."""

    def never(_lock: LockFile, _seconds: float) -> bool:
        return False

    record = a_record()
    folder = await create(library, record)
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    record.state, record.finished_at = "failed", now()
    with anyio.fail_after(60), LockFile(root / OWN_FOLDER / LOCK).held():
        async with anyio.create_task_group() as group:
            group.start_soon(folder.write, record)
            while read_record(folder.path)[0].state != "failed":  # noqa: ASYNC110 - a file that a thread writes
                await anyio.sleep(0.01)
            monkeypatch.setattr(LockFile, "_take", never)  # nobody waits on


async def test_what_came_to_nothing_is_worked_on_by_nobody(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ImageError("disk", "The disk is full.")

    monkeypatch.setattr("cdp_image_mcp.library.library.new_folder", full)
    with pytest.raises(ImageError, match="full"):
        await library.claim_or_register(a_record())
    assert os.listdir(root / OWN_FOLDER / "working") == []  # noqa: PTH208


def test_room_is_looked_for_where_the_pictures_will_go(tmp_path: Path) -> None:
    check_room(1, tmp_path)
    with pytest.raises(ImageError, match="may need") as caught:
        check_room(10**9, tmp_path / "not" / "there")
    assert caught.value.code == "disk"


def test_a_file_system_that_does_not_tell_how_much_is_free_is_not_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of FUSE answer statfs with zeros."""

    def usage(_place: Path) -> SimpleNamespace:
        return SimpleNamespace(total=0, used=0, free=0)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check_room(1, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="psutil asks /proc there alone")
@pytest.mark.parametrize("hidden", ["boot time", "all"])
async def test_where_the_system_hides_its_processes_work_begins_all_the_same(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    """As systemd does for a service with ProcSubset=pid (its manual, systemd.exec), and sandboxes without /proc."""
    shown = tmp_path / "proc"
    if hidden == "boot time":
        shown.mkdir()
        (shown / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(shown))
    with anyio.fail_after(60):
        record = a_record()
        await create(library, record)
        assert (entry := await library.find(record.generation_id)) is not None
        assert entry.alive


@pytest.mark.parametrize("host", [DEAD.host, "another machine"])
async def test_a_generation_belongs_to_nobody_as_soon_as_its_owner_is_gone_whatever_its_machine_was_called(
    library: Library, root: Path, host: str
) -> None:
    """A laptop changes its name with the network; a container's processes cannot be seen from outside."""
    with anyio.fail_after(60):
        left = a_record(owner=msgspec.structs.replace(DEAD, host=host), state="generating", submitted=True)
        await create(library, left)
        mine = a_record(fingerprint="mine")
        await create(library, mine)
        other = Library(root)
        alive = {entry.record.generation_id: entry.alive for entry in await other.unfinished()}
        assert alive == {left.generation_id: False, mine.generation_id: True}
        assert await other.adopt(mine.generation_id) is None
        assert await other.adopt(left.generation_id) is not None


async def test_what_the_first_edition_left_which_wrote_no_tokens_is_taken_up(library: Library) -> None:
    with anyio.fail_after(60):
        await create(library, left := a_record(owner=msgspec.structs.replace(DEAD, token="")))
        assert await library.adopt(left.generation_id) is not None


async def test_pictures_are_kept_by_their_own_bytes(library: Library) -> None:
    """The seed's worst fault: two calls of one second shared a folder and overwrote each other."""
    at = ago(seconds=1)
    data = [picture(), picture()]
    with anyio.fail_after(60):
        records = [a_record("same words", created_at=at), a_record("same words", created_at=at)]
        for record, one in zip(records, data, strict=True):
            await finished(library, await create(library, record), record, data=one)

    assert [Path(record.images[0].path).read_bytes() for record in records] == data


async def test_of_whom_nothing_can_be_learnt_is_taken_to_be_there_and_told(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        record = a_record(owner=DEAD, session=DEAD.token, state="generating", submitted=True)
        await create(library, record)
        lock = root / OWN_FOLDER / "alive" / DEAD.token
        lock.symlink_to(lock)  # no system opens it, as it opens no file of another user's
        entry = await library.find(record.generation_id)
        assert entry is not None
        assert entry.alive
        assert await anyio.to_thread.run_sync(library.is_of_another, entry.record)
        assert await library.adopt(record.generation_id) is None
        assert any(str(lock) in problem for problem in library.problems())
        await create(library, a_record("another"))  # it keeps nobody from being there


async def test_half_a_character_in_a_prompt_does_not_keep_its_record_from_being_changed(library: Library) -> None:
    with anyio.fail_after(60):
        claim = await library.claim_or_register(a_record("half \ud83d"))
        await library.amend(claim.record, claim.folder, lambda _: setattr(claim.record, "reserved_usd", 1.5))
        entry = await library.find(claim.record.generation_id)
    assert entry is not None
    assert (entry.record.prompt, entry.record.reserved_usd) == ("half \ufffd", 1.5)


@pytest.mark.parametrize("name", [b"place", b"caf\xe9"] if sys.platform == "linux" else [b"place"])
async def test_a_root_that_is_named_in_two_ways_is_read_once(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client names it through a link of its own."""
    (tmp_path / os.fsdecode(name)).mkdir()
    links = [tmp_path / "one", tmp_path / "other"]
    for link in links:
        link.symlink_to(tmp_path / os.fsdecode(name))
    with anyio.fail_after(60):
        records = [a_record(), a_record()]
        await create(Library(links[0]), records[0])
        await create(Library(links[0]), records[1], links[1] / "art")
        monkeypatch.setattr("cdp_image_mcp.library.index.read_record", None)
        for link in (*links, *links):
            assert await Library(link).rescan() == 2
            newest = await Library(link).newest()
            assert {entry.record.generation_id for entry in newest} == {record.generation_id for record in records}
