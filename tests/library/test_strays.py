"""What a process that died had written beside a record: what was paid for comes into it, and nothing is deleted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.library.folder import Folder, read_record
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.library.strays import gather, worthless
from cdp_image_mcp.request import SavedImage
from tests.library.making import DEAD, a_record, ago, create, finished, picture

pytestmark = pytest.mark.anyio

FAILED: dict[str, Any] = {
    "state": "failed",
    "backend": "api",
    "submitted": True,
    "spent": True,
    "fetched": True,
    "owner": DEAD,
    "error": {"code": "disk", "message": "The disk is full.", "submitted": True, "spent": True, "retryable": False},
}
"""An end that was told, after which the picture in memory was written; the process died in the middle of that."""


async def left(library: Library, lay: Callable[[Path], object], **fields: Any) -> tuple[Folder, Record]:
    """An ended generation of a process that is gone, what ``lay`` puts beside its record, and the record after all
    that a process does of its own accord."""
    told: dict[str, Any] = {"facts": {"held": 1}} | fields
    folder = await create(library, a_record(**(FAILED | told)))
    lay(folder.path)
    for entry in await library.with_strays():
        await library.rescue(entry)
    return folder, read_record(folder.path)[0]


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


async def test_a_whole_picture_beside_a_failed_end_makes_it_saved_and_is_joined_not_paid_again(
    library: Library,
) -> None:
    data = picture()
    with anyio.fail_after(60):
        folder, record = await left(library, lambda path: (path / ".image.1-1.part").write_bytes(data))
        again = await library.claim_or_register(a_record(fingerprint=record.fingerprint))
    assert (record.state, record.error, record.fetched) == ("saved", None, False)
    assert [Path(image.path).read_bytes() for image in record.images] == [data]
    assert hidden(folder.path) == []
    assert (again.kind, again.record.generation_id) == ("finished", record.generation_id)


async def test_one_of_two_pictures_makes_it_partial_with_the_reason_of_its_end(library: Library) -> None:
    with anyio.fail_after(60):
        _, record = await left(
            library, lambda path: (path / ".image.1-1.part").write_bytes(picture()), request={"n": 2}
        )
    assert (record.state, len(record.images), len(record.sources)) == ("partial", 1, 1)
    assert record.error is not None
    assert record.error["code"] == "disk"


async def test_a_picture_that_came_after_the_answer_is_listed_and_the_end_stays_told(library: Library) -> None:
    """Behind an answer the site's turn is watched for more."""
    first, late, unlisted = picture(), picture(), picture()
    with anyio.fail_after(60):
        pressed = {"turn_pressed": True}
        folder = await create(library, a_record(owner=DEAD, fetched=True, submitted=True, facts=pressed))
        record = read_record(folder.path)[0]
        record.session, ended = DEAD.token, "2026-11-27T08:00:00.000+00:00"
        record.finished_at = ended
        await finished(library, folder, record, data=first)
        (folder.path / "image-02.png").write_bytes(unlisted)
        (folder.path / ".image.1-1.part").write_bytes(late)
        (entry,) = await library.with_strays()
        assert await library.rescue(entry)
        record = read_record(folder.path)[0]
        again = await library.claim_or_register(a_record(fingerprint=record.fingerprint))
    assert [Path(image.path).read_bytes() for image in record.images] == [first, unlisted, late]
    assert (record.state, record.fetched, record.finished_at) == ("saved", True, ended)
    assert again.kind == "new"


async def test_what_is_taken_in_later_is_not_what_was_seen_last(library: Library) -> None:
    with anyio.fail_after(60):
        folder = await create(library, a_record(created_at=ago(hours=1), finished_at=ago(minutes=50)))
        seen = await finished(library, folder, read_record(folder.path)[0])
        _, late = await left(
            library, lambda path: (path / "image-01.png").write_bytes(picture()), created_at=ago(hours=3)
        )
        latest = await library.latest_finished(["api", "chatgpt-web"])
    assert (late.state, latest and latest.record.generation_id) == ("saved", seen.generation_id)


@pytest.mark.parametrize(
    ("name", "data", "ending"),
    [
        ("image", picture()[:-20], "png"),
        ("image", picture("JPEG", size=(40, 40))[:300], "jpeg"),
        ("unrecognised", b"II*\0 a TIFF that was paid for", "tif"),
        ("unrecognised", b"what nobody knows", "bin"),
    ],
    ids=["cut PNG", "cut JPEG", "TIFF", "unknown"],
)
async def test_what_is_no_whole_picture_and_nowhere_else_is_kept_and_named(
    library: Library, name: str, data: bytes, ending: str
) -> None:
    with anyio.fail_after(60):
        folder, record = await left(library, lambda path: (path / f".{name}.1-1.part").write_bytes(data))
        again = await library.with_strays()
    kept = folder.path / f"unrecognised-01.{ending}"
    assert kept.read_bytes() == data
    assert record.facts["kept"] == [str(kept)]
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["details"]["kept"] == [str(kept)]
    assert again == []


async def test_what_was_made_from_a_saved_picture_beside_it_is_no_other_picture(library: Library) -> None:
    saved = SavedImage(
        path="image-01.png", mime_type="image/png", width=8, height=8, bytes=9, sha256="0", alpha=False, c2pa=False
    )

    def lay(path: Path) -> None:
        for name in ("image-01.png", "image-01.small.png", "image-01.webp"):
            (path / name).write_bytes(picture())

    with anyio.fail_after(60):
        _, record = await left(library, lay, state="saved", images=[saved])
    assert [Path(image.path).name for image in record.images] == ["image-01.png"]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "saved", "backend": "chatgpt-web", "facts": {"turn_pressed": False}},
        {"state": "partial", "backend": "chatgpt-web", "facts": {"turn_pressed": True}},
        {"state": "saved", "backend": "api"},
        {"state": "refused", "backend": "api"},
    ],
    ids=["its turn ended", "its turn failed", "API", "refused by the API"],
)
@pytest.mark.parametrize("noted", [False, True], ids=["", "and its end was told later"])
async def test_what_is_saved_beside_a_complete_record_later_is_somebody_elses(
    library: Library, fields: dict[str, Any], noted: bool
) -> None:
    """An agent works on the picture and keeps what it made beside it, under the next number."""
    with anyio.fail_after(60):
        record = a_record(submitted=True, finished_at=ago(hours=1), updated_at=ago(hours=1), owner=DEAD, **fields)
        folder = await create(library, record)
        edited = folder.path / "image-02.png"
        edited.write_bytes(picture())
        moment = (folder.path / "metadata.json").stat().st_mtime + (-1 if noted else 1)
        os.utime(edited, (moment, moment))
        assert await library.with_strays() == []
        assert not any(gather(folder.path, record))


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "cancelled", "backend": "api", "submitted": "unknown", "spent": "unknown", "facts": {}},
        {"state": "interrupted", "backend": "chatgpt-web", "facts": {}},
        FAILED,
    ],
    ids=["cancelled", "at the site", "full disk"],
)
async def test_what_is_older_than_the_record_was_copied_there(library: Library, fields: dict[str, Any]) -> None:
    """A copy keeps the time of what it was made from: by Finder, Explorer, ``cp -p`` or out of an archive."""

    def copy(folder: Path) -> None:
        copied = folder / "image-02.png"
        copied.write_bytes(picture())
        moment = copied.stat().st_mtime - 86_400
        os.utime(copied, (moment, moment))

    with anyio.fail_after(60):
        told: dict[str, Any] = {"submitted": True, "owner": DEAD, "finished_at": now()} | fields
        folder, record = await left(library, copy, **told)
        found = gather(folder.path, record)
    assert (record.state, record.submitted, record.images) == (fields["state"], told["submitted"], [])
    assert not any(found)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "saved", "backend": "chatgpt-web", "facts": {"turn_pressed": True}},
        {"state": "saved", "backend": "api", "facts": {"held": 1}},
        {"state": "partial", "backend": "api", "facts": {"held": 1}},
        {"state": "generating", "backend": "chatgpt-web"},
        {"state": "interrupted", "backend": "chatgpt-web"},
    ],
    ids=["behind its answer", "one too many", "full disk", "its process died", "at the site"],
)
async def test_where_more_was_to_come_what_came_late_is_taken_in(library: Library, fields: dict[str, Any]) -> None:
    with anyio.fail_after(60):
        record = a_record(submitted=True, updated_at=ago(hours=1), owner=DEAD, **fields)
        record.finished_at = record.updated_at if record.finished else None
        folder = await create(library, record)
        late, moment = folder.path / "image-02.png", (folder.path / "metadata.json").stat().st_mtime + 600
        late.write_bytes(picture())
        os.utime(late, (moment, moment))
        assert [stray.path for stray in gather(folder.path, record).pictures] == [str(late)]


@pytest.mark.parametrize("name", ["image-2.png", "image-002.png", "image-02.final.png", "image-02 final.png"])
async def test_a_name_that_we_never_give_is_somebody_elses(library: Library, name: str) -> None:
    with anyio.fail_after(60):
        _, record = await left(library, lambda path: (path / name).write_bytes(picture()))
    assert (record.state, record.images) == ("failed", [])


async def test_beside_what_was_never_sent_nothing_lies_that_was_paid_for(library: Library) -> None:
    with anyio.fail_after(60):
        unsent = {"state": "cancelled", "submitted": False, "spent": False, "error": None}
        _, record = await left(library, lambda path: (path / "image-01.png").write_bytes(picture()), **unsent)
    assert (record.state, record.submitted, record.spent, record.images) == ("cancelled", False, False, [])


async def test_bytes_that_have_their_name_but_no_place_in_the_record_are_named_in_it(library: Library) -> None:
    with anyio.fail_after(60):
        folder, record = await left(library, lambda path: (path / "unrecognised-01.bin").write_bytes(b"paid"))
    assert record.facts["kept"] == [str(folder.path / "unrecognised-01.bin")]


async def test_what_holds_nothing_new_stays_for_cleaning_and_changes_no_record(library: Library) -> None:
    data = picture()

    def lay(path: Path) -> None:
        (path / ".image.1-1.part").write_bytes(data[:-20])
        (path / ".image.1-2.part").write_bytes(data)
        (path / ".image.1-3.part").write_bytes(b"")
        (path / ".image.1-4.part").write_bytes(bytes(500))  # a power cut leaves this of what was not yet written
        (path / ".unrecognised.1-5.part").write_bytes(b"pai")
        (path / "unrecognised-01.bin").write_bytes(b"paid")

    with anyio.fail_after(60):
        folder = await create(library, a_record(**(FAILED | {"backend": "chatgpt-web"})))
        record = read_record(folder.path)[0]
        record.facts["kept"] = [str(folder.path / "unrecognised-01.bin")]
        await finished(library, folder, record, data=data)
        before = read_record(folder.path)[0]
        lay(folder.path)
        (entry,) = await library.with_strays()
        assert not await library.rescue(entry)
    assert read_record(folder.path)[0] == before
    parts = sorted(folder.path.glob(".*.part"))
    assert len(parts) == 5
    assert all(map(worthless, parts))


async def test_nothing_that_may_be_the_only_copy_is_worthless(tmp_path: Path) -> None:
    listed = picture()
    (tmp_path / "image-01.png").write_bytes(listed)
    for number, data in enumerate((picture(), picture()[:-20], listed + b"more")):
        (tmp_path / f".image.1-{number}.part").write_bytes(data)
    (tmp_path / ".unrecognised.1-9.part").write_bytes(b"anything")
    (tmp_path / ".film.mkv.part").write_bytes(b"")
    assert not any(map(worthless, tmp_path.iterdir()))


async def test_what_the_site_can_still_give_whole_is_not_kept_in_pieces(library: Library) -> None:
    with anyio.fail_after(60):
        folder = await create(library, a_record(state="generating", submitted=True, owner=DEAD))
        (folder.path / ".image.1-1.part").write_bytes(picture()[:-20])
        record = read_record(folder.path)[0]
    assert not any(gather(folder.path, record))
    assert hidden(folder.path) == [".image.1-1.part"]


async def test_while_its_process_lives_nobody_touches_what_is_being_written(library: Library, root: Path) -> None:
    other = Library(root)
    with anyio.fail_after(60):
        claim = await other.claim_or_register(a_record(backend="api"))
        await finished(other, claim.folder, claim.record)
        part = claim.folder.path / ".image.1-1.part"
        part.write_bytes(picture())
        (entry,) = await library.with_strays()
        assert not await library.rescue(entry)
        assert part.exists()
        other.close()
        assert await library.rescue(entry)
    assert len(read_record(claim.folder.path)[0].images) == 2


async def test_pictures_that_the_record_does_not_know_are_rescued_once(library: Library) -> None:
    listed, unlisted, in_part, linked_twice = (picture() for _ in range(4))
    with anyio.fail_after(60):
        folder = await create(library, a_record(owner=DEAD))
        record = read_record(folder.path)[0]
        await finished(library, folder, record, data=listed)
        for name, data in (("image-02.png", unlisted), ("image-03.png", linked_twice), (".image.1-1.part", in_part)):
            (folder.path / name).write_bytes(data)
        os.link(folder.path / "image-03.png", folder.path / ".image.1-4.part")
        (folder.path / "image-09.png").write_bytes(b"")  # a name that was taken, on a disk without links
        found = gather(folder.path, record)
    assert [Path(stray.path).read_bytes() for stray in found.pictures] == [unlisted, linked_twice, in_part]
    assert [Path(stray.path).name for stray in found.pictures] == ["image-02.png", "image-03.png", "image-10.png"]


async def test_nothing_is_taken_out_of_a_folder_in_which_whoever_took_it_up_still_writes(
    library: Library, root: Path
) -> None:
    """Whose client asked for it is gone, and its end has been told: the turn may bring more pictures."""
    other = Library(root)
    with anyio.fail_after(60):
        record = a_record(owner=DEAD, state="generating", submitted=True)
        await create(library, record)
        taken = await library.adopt(record.generation_id)
        assert taken is not None
        await finished(library, taken.folder, taken.record)
        (taken.folder.path / ".image.1-1.part").write_bytes(picture())
        (entry,) = await other.with_strays()
        assert not await other.rescue(entry)
        assert not await library.rescue(entry)
        assert hidden(taken.folder.path) == [".image.1-1.part"]
        await library.let_go(record.generation_id)
        assert await other.rescue(entry)
