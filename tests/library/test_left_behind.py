"""What was left at the site or half-way adopted is taken up again, and only by who may."""

from pathlib import Path

import anyio
import msgspec
import pytest

from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from tests.library.making import a_record, ago, create, finished

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
