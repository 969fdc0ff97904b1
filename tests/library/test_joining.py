"""Who joins whom: never two payments for one question, never one answer for two open questions."""

import json
import os
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import now
from cdp_image_mcp.system.presence import Presence
from tests.library.making import DEAD, a_record, ago, create, end, finished, joined, other_process

pytestmark = pytest.mark.anyio

WORKER = """
import json, sys
import anyio
from pathlib import Path
from cdp_image_mcp.library.library import Library
from tests.library.making import a_record

async def main():
    library = Library(Path(sys.argv[1]))
    print("ready", flush=True)
    waiters = []
    async for line in lines():
        command, *rest = json.loads(line)
        if command == "ask":
            claim = await library.claim_or_register(a_record(generation_id=rest[0], fingerprint=rest[1]))
            waiters.append(claim.waiter)
            answer = [claim.kind, claim.record.generation_id]
        elif command == "adopt":
            answer = await library.adopt(rest[0]) is not None
        elif command == "release":
            for waiter in waiters:
                await library.release(waiter)
            answer = len(waiters)
        print(json.dumps(answer), flush=True)

async def lines():
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        yield line

anyio.run(main)
"""


class Worker:
    """A second server process with the same output root."""

    def __init__(self, root: Path) -> None:
        self.process = other_process(WORKER, str(root))

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, *command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    async def ask(self, *command: str) -> Any:
        self.tell(*command)
        return await anyio.to_thread.run_sync(self.read)


async def test_two_identical_calls_that_are_open_are_two_generations(library: Library) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        second = await library.claim_or_register(a_record())

    assert (first.kind, second.kind) == ("new", "new")
    assert first.folder.path != second.folder.path


async def test_a_call_joins_the_running_generation_that_nobody_waits_on(library: Library) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        await library.release(first.waiter)
        second = await library.claim_or_register(a_record())
        third = await library.claim_or_register(a_record())
        other = await library.claim_or_register(a_record(fingerprint="other"))

    assert second.kind == "running"
    assert second.joined
    assert second.record.generation_id == first.record.generation_id
    assert second.folder.path == first.folder.path
    assert third.kind == "new"
    assert other.kind == "new"


async def test_a_call_that_is_given_up_waits_no_longer_from_that_moment_however_slow_its_disk_is(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_again, leave = threading.Event(), Presence.leave

    def slowly(presence: Presence, name: str) -> None:
        asked_again.wait(60)
        leave(presence, name)

    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        monkeypatch.setattr(Presence, "leave", slowly)
        async with anyio.create_task_group() as group:
            group.start_soon(library.release, first.waiter)
            await anyio.lowlevel.checkpoint()
            second = await library.claim_or_register(a_record())
            asked_again.set()
            assert (second.kind, second.record.generation_id) == ("running", first.record.generation_id)


async def test_a_call_gets_the_finished_answer_nobody_fetched_and_only_once(library: Library) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        await finished(library, first.folder, first.record)
        second = await library.claim_or_register(a_record())
        parallel = await library.claim_or_register(a_record())
        await library.mark_fetched(second.record)
        await library.release(second.waiter)
        await library.release(parallel.waiter)
        parallel.record.state = "cancelled"
        await parallel.folder.write(parallel.record)
        third = await library.claim_or_register(a_record())

    assert second.kind == "finished"
    assert second.record.images == first.record.images
    assert parallel.kind == "new"
    assert third.kind == "new"
    assert read_record(first.folder.path)[0].fetched


async def test_a_call_gets_the_answer_nobody_fetched_also_when_its_folder_was_renamed(
    library: Library, root: Path
) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        await finished(library, first.folder, first.record)
        first.folder.path.rename(root / "the one I like")
        second = await library.claim_or_register(a_record())
        await library.mark_fetched(second.record)
    assert (second.kind, second.record.generation_id) == ("finished", first.record.generation_id)
    assert read_record(root / "the one I like")[0].fetched


async def test_what_was_fetched_stays_fetched_after_the_index_was_lost(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await finished(library, first.folder, first.record)
        await library.mark_fetched(first.record)
        await library.release(first.waiter)
        library.index.path.unlink()
        assert (await Library(root).claim_or_register(a_record())).kind == "new"


@pytest.mark.parametrize(
    "change",
    [
        {"state": "failed"},
        {"state": "refused"},
        {"state": "cancelled"},
        {"state": "interrupted"},
        {"finished_at": ago(hours=25)},
        {"fetched": True},
    ],
    ids=" ".join,
)
async def test_ends_that_are_no_answer_are_not_joined(library: Library, change: dict[str, Any]) -> None:
    with anyio.fail_after(60):
        record = a_record()
        folder = await create(library, record)
        await finished(library, folder, record)
        await folder.write(msgspec.structs.replace(record, **change))
        assert (await library.claim_or_register(a_record())).kind == "new"


async def test_an_answer_whose_pictures_were_deleted_is_not_joined(library: Library) -> None:
    with anyio.fail_after(60):
        record = a_record()
        await finished(library, await create(library, record), record)
        Path(record.images[0].path).unlink()
        assert (await library.claim_or_register(a_record())).kind == "new"


async def test_an_answer_whose_picture_cannot_be_looked_at_for_a_moment_is_not_paid_again(library: Library) -> None:
    with anyio.fail_after(60):
        record = a_record()
        await finished(library, await create(library, record), record)
        path = Path(record.images[0].path)
        path.rename(path.with_name("away"))
        path.symlink_to(path)  # no system looks at it, not even for root
        claim = await library.claim_or_register(a_record())
    assert (claim.kind, claim.record.generation_id) == ("finished", record.generation_id)


async def test_an_answer_that_nobody_fetched_on_a_drive_that_is_away_is_told_of_before_it_is_paid_again(
    library: Library, tmp_path: Path
) -> None:
    """Where the folder stays in which the drive was: ``test_library``."""
    drive, unplugged = tmp_path / "drive", tmp_path / "unplugged"
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record(), drive)
        await library.release(first.waiter)
        await finished(library, first.folder, first.record)
        fetched = await create(library, a_record(fingerprint="fetched", state="saved", fetched=True), drive)
        drive.rename(unplugged)
        with pytest.raises(ImageError, match=r"Nothing was sent\..* not there now") as caught:
            await library.claim_or_register(a_record())
        assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("disk", False, False)
        assert str(first.folder.path) in caught.value.message
        assert "plug in" in (caught.value.next_step or "")
        assert (await library.claim_or_register(a_record(fingerprint="fetched"))).kind == "new"
        unplugged.rename(drive)
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("finished", first.record.generation_id)
    assert fetched.path.is_dir()


async def test_a_partial_answer_is_joined_too(library: Library) -> None:
    with anyio.fail_after(60):
        record = a_record()
        await finished(library, await create(library, record), record, "partial")
        claim = await joined(library, record.fingerprint)
        assert claim is not None
        assert claim.kind == "finished"
        assert await joined(library, record.fingerprint) is None


async def test_an_orphan_that_was_sent_to_the_site_is_joined_to_be_recovered(library: Library) -> None:
    with anyio.fail_after(60):
        sent = a_record(owner=DEAD, state="generating", submitted=True)
        await create(library, sent)
        claim = await library.claim_or_register(a_record())
        taken = await library.adopt(sent.generation_id)

    assert (claim.kind, claim.record.generation_id) == ("orphaned", sent.generation_id)
    assert taken is not None
    owner = read_record(claim.folder.path)[0].owner
    assert owner is not None
    assert owner == taken.record.owner
    assert owner.token == library.token


@pytest.mark.parametrize("backend", ["api", "chatgpt-web"])
async def test_an_orphan_that_was_never_sent_is_not_joined(library: Library, backend: str) -> None:
    with anyio.fail_after(60):
        await create(library, a_record(owner=DEAD, submitted=False, backend=backend))
        assert (await library.claim_or_register(a_record())).kind == "new"


async def test_an_orphan_that_was_sent_to_the_api_is_joined_to_be_told_of(library: Library) -> None:
    with anyio.fail_after(60):
        out: dict[str, Any] = {"owner": DEAD, "submitted": True, "backend": "api", "state": "generating"}
        await create(library, a_record(**out, spent="unknown"))
        assert (await library.claim_or_register(a_record())).kind == "orphaned"


@pytest.mark.parametrize("state", ["failed", "interrupted", "refused"])
async def test_a_lost_reply_of_the_api_is_told_once_before_it_is_paid_again(library: Library, state: str) -> None:
    lost = a_record(backend="api", state=state, submitted=True, spent="unknown", finished_at=now())
    with anyio.fail_after(60):
        await create(library, lost)
        claim = await library.claim_or_register(a_record())
        assert (claim.kind, claim.record.generation_id) == ("finished", lost.generation_id)
        await library.mark_fetched(lost)
        await library.release(claim.waiter)
        assert (await library.claim_or_register(a_record())).kind == "new"


@pytest.mark.parametrize(
    "change",
    [
        {"spent": False},
        {"submitted": False, "spent": False},
        {"state": "cancelled"},
        {"state": "refused", "spent": False},
    ],
    ids=str,
)
async def test_an_end_at_the_api_that_cost_nothing_or_was_wanted_is_not_told_again(
    library: Library, change: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"state": "failed", "submitted": True, "spent": "unknown", "finished_at": now()}
    with anyio.fail_after(60):
        await create(library, a_record(backend="api", **(fields | change)))
        assert (await library.claim_or_register(a_record())).kind == "new"


async def test_who_may_not_make_a_new_one_still_joins_and_leaves_no_trace_otherwise(library: Library) -> None:
    with anyio.fail_after(60):
        assert await joined(library) is None
        assert await library.newest() == []
        first = await library.claim_or_register(a_record())
        assert await joined(library) is None
        await library.release(first.waiter)
        assert await joined(library, "other") is None
        claim = await joined(library)
        assert claim is not None
        assert claim.record.generation_id == first.record.generation_id
        assert len(await library.newest()) == 1


async def test_what_decides_on_a_new_one_sees_those_of_today(library: Library) -> None:
    seen: list[str] = []
    with anyio.fail_after(60):
        old = a_record(state="saved", finished_at=ago(days=2), updated_at=ago(days=2))
        for record in (old, a_record(backend="api")):
            await create(library, record)
        running = await library.claim_or_register(a_record(fingerprint="a"))
        await library.claim_or_register(
            a_record(fingerprint="b"),
            admit=lambda today: seen.extend(e.record.generation_id for e in today("chatgpt-web")),
        )
    assert seen == [running.record.generation_id]


async def test_waiting_calls_count_as_waiting(library: Library) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        waiter = await library.wait(first.record.generation_id)
        assert await joined(library, "same") is None
        await library.release(waiter)
        assert await joined(library, "same") is not None


async def test_a_cancelled_wait_is_no_longer_waiting(library: Library) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        with anyio.CancelScope() as scope:
            waiter = await library.wait(first.record.generation_id)
            scope.cancel()
            await library.release(waiter)
        assert await joined(library, "same") is not None


async def test_open_calls_stay_open_when_the_index_is_lost(library: Library, root: Path) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        library.index.path.write_bytes(b"broken" * 1000)
        second = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        third = await library.claim_or_register(a_record())

    assert second.kind == "new"
    assert third.kind == "running"
    assert third.record.generation_id == first.record.generation_id


FULL = sqlite3.OperationalError, "database or disk is full", sqlite3.SQLITE_FULL
BROKEN = sqlite3.DatabaseError, "database disk image is malformed", sqlite3.SQLITE_CORRUPT


def at_the_end_of_a_transaction(
    monkeypatch: pytest.MonkeyPatch, kind: type[sqlite3.Error], words: str, number: int
) -> None:
    """The next one fails in its last step with this."""
    left = [kind(words)]
    left[0].sqlite_errorcode = number

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and left:
                raise left.pop()
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Failing))


async def test_a_call_that_found_the_disk_full_joins_when_it_asks_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        at_the_end_of_a_transaction(monkeypatch, *FULL)
        with pytest.raises(ImageError, match="disk is full"):
            await library.claim_or_register(a_record())
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("running", first.record.generation_id)


async def test_a_call_in_whose_middle_the_index_breaks_joins_all_the_same_and_waits_once(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(60):
        first = await library.claim_or_register(a_record())
        await library.release(first.waiter)
        at_the_end_of_a_transaction(monkeypatch, *BROKEN)
        claim = await library.claim_or_register(a_record())
        assert (claim.kind, claim.record.generation_id) == ("running", first.record.generation_id)
        await library.release(claim.waiter)
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("running", first.record.generation_id)


async def test_a_new_one_in_whose_middle_the_index_breaks_is_joined_when_its_call_has_gone(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(60):
        await create(library, a_record(fingerprint="another"))
        at_the_end_of_a_transaction(monkeypatch, *BROKEN)
        first = await library.claim_or_register(a_record())
        assert first.kind == "new"
        await library.release(first.waiter)
        again = await library.claim_or_register(a_record())
    assert (again.kind, again.record.generation_id) == ("running", first.record.generation_id)


async def test_exactly_one_of_many_adopts_an_orphan(library: Library, root: Path) -> None:
    with anyio.fail_after(30):
        orphan = a_record(owner=DEAD, state="generating", submitted=True)
        folder = await create(library, orphan)
        workers = [Worker(root) for _ in range(3)]
        try:
            for worker in workers:
                await anyio.to_thread.run_sync(worker.ready)
            for worker in workers:
                worker.tell("adopt", orphan.generation_id)
            mine = await library.adopt(orphan.generation_id) is not None
            got = [await anyio.to_thread.run_sync(worker.read) for worker in workers]
        finally:
            for worker in workers:
                end(worker.process)

    assert sum([mine, *got]) == 1
    owner = read_record(folder.path)[0].owner
    assert owner is not None
    assert owner.pid in {os.getpid(), *(worker.process.pid for worker in workers)}


async def test_generations_that_are_finished_or_not_there_cannot_be_adopted(library: Library) -> None:
    with anyio.fail_after(60):
        record = a_record(owner=DEAD)
        await finished(library, await create(library, record), record)
        assert await library.adopt(record.generation_id) is None
        assert await library.adopt("f" * 32) is None


async def test_identical_calls_that_race_in_processes_become_as_many_generations(root: Path) -> None:
    with anyio.fail_after(60):
        workers = [Worker(root) for _ in range(4)]
        try:
            for worker in workers:
                await anyio.to_thread.run_sync(worker.ready)
            seen: list[tuple[str, str]] = []
            for round_ in range(5):
                for number, worker in enumerate(workers):
                    worker.tell("ask", f"{round_:016x}{number:016x}", f"fingerprint {round_}")
                seen += [tuple(await anyio.to_thread.run_sync(worker.read)) for worker in workers]
        finally:
            for worker in workers:
                end(worker.process)

    assert [kind for kind, _ in seen] == ["new"] * 20
    assert len({generation for _, generation in seen}) == 20


async def test_calls_of_dead_processes_wait_no_more(library: Library, root: Path) -> None:
    with anyio.fail_after(30):
        worker = Worker(root)
        try:
            await anyio.to_thread.run_sync(worker.ready)
            record = a_record()
            await create(library, record)
            kind, generation = await worker.ask("ask", "e" * 32, "same")
            assert (kind, generation) == ("running", record.generation_id)
            assert await joined(library, "same") is None
        finally:
            end(worker.process)
        claim = await joined(library, "same")

    assert claim is not None
    assert claim.record.generation_id == record.generation_id


async def test_a_generation_of_another_living_process_is_joined(library: Library, root: Path) -> None:
    with anyio.fail_after(30):
        worker = Worker(root)
        try:
            await anyio.to_thread.run_sync(worker.ready)
            assert await worker.ask("ask", "e" * 32, "same") == ["new", "e" * 32]
            assert await worker.ask("release") == 1
            claim = await library.claim_or_register(a_record())
            assert (claim.kind, claim.record.generation_id) == ("running", "e" * 32)
        finally:
            end(worker.process)
