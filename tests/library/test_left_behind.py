"""What was left at the site or half-way adopted is taken up again, and only by who may."""

from pathlib import Path

import anyio
import anyio.from_thread
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.attendance import Attendance
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.system.lockfile import LockFile
from cdp_image_mcp.system.presence import OWN_FOLDER
from tests.library.making import DEAD, a_record, ago, create, finished

pytestmark = pytest.mark.anyio


def left(**more: object) -> Record:
    """A generation that a shutdown stopped after its prompt was sent."""
    fields: dict[str, object] = {"state": "interrupted", "submitted": True, "finished_at": now()}
    return a_record(**(fields | more))  # type: ignore[arg-type]


async def test_what_a_shutdown_left_at_the_site_is_joined_and_collected_not_paid_again(library: Library) -> None:
    with anyio.fail_after(60):
        record = left(fetched=True)
        await create(library, record)
        claim = await library.claim_or_register(a_record())
        second = await library.claim_or_register(a_record())
        taken = await library.adopt(claim.record.generation_id)

    assert (claim.kind, claim.record.generation_id) == ("orphaned", record.generation_id)
    assert taken is not None
    assert not taken.record.finished
    owner = read_record(claim.folder.path)[0].owner
    assert owner is not None
    assert owner.token == library.token
    assert second.kind == "new"


async def test_a_picture_collected_after_an_answered_interruption_waits_to_be_fetched_again(library: Library) -> None:
    with anyio.fail_after(60):
        record = left()
        await create(library, record)
        await library.mark_fetched(record)
        claim = await library.claim_or_register(a_record())
        taken = await library.adopt(claim.record.generation_id)
        assert taken is not None
        await finished(library, taken.folder, taken.record)
        await library.release(claim.waiter)
        again = await library.claim_or_register(a_record())

    assert claim.kind == "orphaned"
    assert (again.kind, again.record.generation_id) == ("finished", record.generation_id)


async def test_an_answer_with_an_earlier_end_does_not_mark_the_picture_collected_since(library: Library) -> None:
    """The call that was told of the interruption ends only when the picture is collected, or being collected."""
    with anyio.fail_after(60):
        record = left()
        await create(library, record)
        told = msgspec.structs.replace(record)
        claim = await library.claim_or_register(a_record())
        taken = await library.adopt(claim.record.generation_id)
        assert taken is not None
        await library.mark_fetched(told)
        await finished(library, taken.folder, taken.record)
        await library.mark_fetched(told)
        await library.release(claim.waiter)
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", record.generation_id)


async def test_what_was_left_where_nobody_can_note_that_he_works_is_taken_up_all_the_same(
    library: Library, tmp_path: Path
) -> None:
    """What lies there is another user's, as in an output folder that several share, or no folder."""
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / OWN_FOLDER).write_bytes(b"")
    with anyio.fail_after(60):
        orphan = left()
        await create(library, orphan, tmp_path / "share")
        assert await library.adopt(orphan.generation_id) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"submitted": False},
        {"backend": "api"},
        {"facts": {"given_up": True}},
        {"finished_at": ago(hours=25), "updated_at": ago(hours=25)},
    ],
    ids=" ".join,
)
async def test_what_can_bring_nothing_or_is_too_old_is_not_joined(library: Library, change: dict[str, object]) -> None:
    with anyio.fail_after(60):
        await create(library, left(**change))
        assert (await library.claim_or_register(a_record())).kind == "new"


async def test_collectable_ones_are_found_by_their_age(library: Library) -> None:
    with anyio.fail_after(60):
        young, old, unsent = left(), left(finished_at=ago(hours=25)), left(submitted=False)
        # Each try to collect it ends anew, and does not make it younger.
        tried = left(fingerprint="tried", finished_at=ago(hours=1), facts={"submitted_at": ago(hours=25)})
        for record in (young, old, unsent, tried):
            await create(library, record)
        found = [entry.record.generation_id for entry in await library.collectable(24 * 3600)]
        everything = {entry.record.generation_id for entry in await library.collectable()}
        assert (await library.claim_or_register(a_record(fingerprint="tried"))).kind == "new"

    assert found == [young.generation_id]
    assert everything == {young.generation_id, old.generation_id, tried.generation_id}


async def test_a_process_takes_up_its_own_generation_and_none_of_another_living_one(
    library: Library, root: Path
) -> None:
    with anyio.fail_after(60):
        record = a_record(state="starting", submitted=True)
        await create(library, record)
        assert await library.adopt(record.generation_id) is not None
        # To a library that plays another process it is a stranger's, and alive.
        assert await Library(root).adopt(record.generation_id) is None


async def test_what_a_program_with_another_root_makes_in_the_same_folder_is_alive_and_taken_up_by_nobody(
    library: Library, tmp_path: Path
) -> None:
    """Two programs, each with its own root, the one of which is the output folder that a call of the other names."""
    other = Library(tmp_path / "theirs")
    with anyio.fail_after(60):
        record = a_record(state="generating", submitted=True)
        claim = await other.claim_or_register(record, library.root)
        found = await library.find(record.generation_id)
        assert found is not None
        assert found.alive
        assert await library.adopt(record.generation_id) is None
        assert read_record(claim.folder.path)[0].owner == record.owner
        other.close()
        found = await library.find(record.generation_id)
        assert found is not None
        assert not found.alive
        assert await library.adopt(record.generation_id) is not None
        # Also the other way round: who has taken it up now is alive for those who began it.
        assert await Library(other.root).adopt(record.generation_id) is None


async def test_who_finds_an_orphan_that_one_with_another_root_takes_up_and_ends_meanwhile_leaves_it(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Library(tmp_path / "theirs")
    with anyio.fail_after(60):
        record = a_record(state="generating", submitted=True, owner=DEAD)
        folder = await create(other, record, library.root)
        assert await library.find(record.generation_id) is not None
        begin = Attendance.begin_work

        async def take_up_and_end() -> None:
            taken = await other.adopt(record.generation_id)
            assert taken is not None
            await finished(other, taken.folder, taken.record)
            await other.let_go(record.generation_id)

        def late(attendance: Attendance, generation_id: str, parent: Path) -> bool:
            monkeypatch.setattr(Attendance, "begin_work", begin)
            anyio.from_thread.run(take_up_and_end)
            return begin(attendance, generation_id, parent)

        monkeypatch.setattr(Attendance, "begin_work", late)
        assert await library.adopt(record.generation_id) is None
    there = read_record(folder.path)[0]
    assert (there.state, len(there.images)) == ("saved", 1)


async def test_where_nothing_can_be_locked_beside_the_pictures_the_root_alone_says_who_is_alive(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = LockFile.acquire

    def refuses(lock: LockFile, seconds: float = 30.0) -> None:
        if lock.path.parent.name == "working":
            lock.path.touch()
            raise ImageError("disk", "Locking a file failed: No locks available.")
        acquire(lock, seconds)

    monkeypatch.setattr(LockFile, "acquire", refuses)
    with anyio.fail_after(60):
        mine = await library.claim_or_register(a_record(), tmp_path / "share")
        orphan = left()
        await create(library, orphan, tmp_path / "share")
        other = Library(library.root)
        assert await other.adopt(mine.record.generation_id) is None
        assert await other.adopt(orphan.generation_id) is not None
    assert any("another output root" in problem for problem in library.problems())
