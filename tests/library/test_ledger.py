"""The ledger: sums of the local day, typical durations, quota and rest, and a file that may be cut or garbled."""

import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library import ledger as module
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, Timings
from tests.library.making import DEAD, a_record, ago, create, end, finished, other_process
from tests.library.smalldisk import fill_up, needs_root, small_disk

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def ledger(path: Path, library: Library) -> Ledger:
    return Ledger(path, library)


def soon(**delta: float) -> str:
    return (datetime.now().astimezone() + timedelta(**delta)).isoformat()


async def test_an_unused_ledger_knows_nothing_and_makes_no_file(ledger: Ledger, path: Path) -> None:
    with anyio.fail_after(10):
        assert await ledger.spent_today() == 0
        assert await ledger.web_pictures_today() == 0
        assert await ledger.typical("api") is None
        assert await ledger.quota() == []
        assert await ledger.resting("api") is None
    assert not path.exists()
    assert ledger.problems() == []


async def test_what_is_noted_is_known_to_every_process(ledger: Ledger, path: Path, root: Path) -> None:
    with anyio.fail_after(10):
        await ledger.spend(0.25, {"output_tokens": 100})
        await ledger.spend(0.5)
        for seconds in (10, 20, 90):
            await ledger.add_duration("api", seconds)
        await ledger.add_duration("chatgpt-web", 60)
        await ledger.set_quota("image_gen", 7, soon(hours=1))
        await ledger.set_quota("image_gen", 6, soon(hours=1))
        await ledger.set_quota("other", 1, ago(hours=1))
        await ledger.rest_until("chatgpt-web", "quota_reached", soon(hours=2))
        other = Ledger(path, Library(root))
        assert await other.spent_today() == 0.75
        assert await other.typical("api") == 20
        assert await other.typical("chatgpt-web") == 60
        assert [(quota.feature, quota.remaining) for quota in await other.quota()] == [("image_gen", 6)]
        rest = await other.resting("chatgpt-web")
        assert rest is not None
        assert rest.code == "quota_reached"
        assert await other.resting("api") is None
        await other.clear_rest("chatgpt-web")
        assert await ledger.resting("chatgpt-web") is None
    assert ledger.problems() == []


async def test_a_rest_ends_at_its_time(ledger: Ledger) -> None:
    with anyio.fail_after(10):
        await ledger.rest_until("api", "rate_limited", ago(seconds=1))
        assert await ledger.resting("api") is None
        await ledger.rest_until("api", "rate_limited", "no time at all")
        assert await ledger.resting("api") is None


async def test_only_the_last_twenty_durations_count(ledger: Ledger) -> None:
    with anyio.fail_after(20):
        for seconds in [1000.0] * 5 + [30.0] * 20:
            await ledger.add_duration("api", seconds)
        assert await ledger.typical("api") == 30


async def test_the_day_begins_at_local_midnight(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("the time zone of a process cannot be set there")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")  # 5:45 ahead: no whole hour hides a mistake
    time.tzset()
    try:
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        lines = [
            f'{{"kind":"spend","usd":1.0,"usage":null,"at":"{(midnight - timedelta(seconds=1)).isoformat()}"}}',
            f'{{"kind":"spend","usd":2.0,"usage":null,"at":"{midnight.isoformat()}"}}',
        ]
        path.write_text("".join(line + "\n" for line in lines))
        with anyio.fail_after(10):
            assert await ledger.spent_today() == 2.0
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_pictures_of_today_are_counted_from_the_records(ledger: Ledger, library: Library) -> None:
    with anyio.fail_after(10):
        for more in ({}, {"finished_at": ago(days=2)}, {"backend": "api"}):
            record = a_record(**more)
            await finished(library, await create(library, record), record)
        assert await ledger.web_pictures_today() == 1


async def test_dollars_in_the_records_count_when_the_ledger_lost_them(
    ledger: Ledger, library: Library, path: Path
) -> None:
    with anyio.fail_after(10):
        record = a_record(backend="api", cost_usd=0.4)
        await finished(library, await create(library, record), record)
        await ledger.spend(0.4)
        assert await ledger.spent_today() == 0.4
        path.unlink()
        assert await ledger.spent_today() == 0.4


async def _with_history(library: Library) -> None:
    for seconds in (40, 50, 60):
        record = a_record(backend="api", timings=Timings(queue=500, generate=seconds, save=1))
        await finished(library, await create(library, record), record)


@pytest.mark.parametrize("damage", ["cut", "garbled", "missing", "binary", "no end"])
async def test_a_damaged_ledger_keeps_what_can_be_read_and_gets_the_rest_from_the_records(
    ledger: Ledger, library: Library, path: Path, root: Path, damage: str
) -> None:
    with anyio.fail_after(20):
        await _with_history(library)
        await ledger.set_quota("image_gen", 3, soon(hours=1))
        await ledger.spend(1.5)
        await ledger.add_duration("api", 99)
        raw = path.read_bytes()
        match damage:
            case "cut":
                path.write_bytes(raw[:-20])
            case "garbled":
                lines = raw.splitlines(keepends=True)
                path.write_bytes(b"".join([lines[0], b"\0\xff{]" * 9 + b"\n", *lines[1:]]))
            case "missing":
                path.unlink()
            case "binary":
                path.write_bytes(bytes(range(256)) * 40)
            case _:
                path.write_bytes(raw[:-1])
        fresh = Ledger(path, Library(root))
        typical = await fresh.typical("api")
        spent, quota = await fresh.spent_today(), await fresh.quota()
        await fresh.spend(1.0)
        again = Ledger(path, Library(root))
        assert await again.spent_today() == spent + 1.0

    assert typical == 51
    if damage not in {"missing", "binary"}:
        assert spent == 1.5
        assert [one.remaining for one in quota] == [3]
    assert len(fresh.problems()) == 1
    assert again.problems() == []


async def test_damage_while_running_is_mended_too(ledger: Ledger, library: Library, path: Path) -> None:
    with anyio.fail_after(10):
        await _with_history(library)
        for _ in range(2):
            await ledger.spend(1.0)
            path.write_bytes(path.read_bytes() + b"\xff\xff{\n")
        assert await ledger.spent_today() == 2.0
        assert await ledger.typical("api") == 51


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
async def test_no_bytes_in_the_file_make_it_fail(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "ledger.jsonl").write_bytes(raw)
        ledger = Ledger(place / "ledger.jsonl", Library(place / "pictures"))
        with anyio.fail_after(10):
            before = await ledger.spent_today()
            await ledger.spend(1.0)
            assert await ledger.spent_today() == before + 1.0
            await ledger.resting("api")
            await ledger.quota()


async def test_a_long_ledger_is_shortened_to_what_can_still_be_asked(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 40)
    with anyio.fail_after(20):
        await ledger.set_quota("image_gen", 3, soon(hours=1))
        for number in range(60):
            await ledger.add_duration("api", number)
        assert await ledger.typical("api") == 49.5
        assert len(await ledger.quota()) == 1
    assert len(path.read_bytes().splitlines()) <= 41


@needs_root
async def test_a_full_disk_loses_no_entry_of_this_process(tmp_path: Path, library: Library) -> None:
    with anyio.fail_after(30), small_disk(tmp_path / "small", 100) as place:
        ledger = Ledger(place / "ledger.jsonl", library)
        await ledger.spend(1.0)
        filler = fill_up(place)
        await ledger.spend(2.0)
        assert await ledger.spent_today() == 3.0
        assert any("cannot be written" in problem for problem in ledger.problems())
        filler.unlink()
        await ledger.spend(4.0)
        assert await Ledger(place / "ledger.jsonl", library).spent_today() == 7.0


async def test_dollars_set_aside_come_back_when_the_generation_is_over(ledger: Ledger) -> None:
    with anyio.fail_after(10):
        assert (await ledger.reserve("a", 0.6, 1.0)).granted
        refused = await ledger.reserve("b", 0.6, 1.0)
        assert (refused.granted, refused.spent, refused.under_way) == (False, 0.0, 0.6)
        await ledger.spend(0.25)
        await ledger.release("a")
        assert (await ledger.reserve("b", 0.6, 1.0)).granted


async def test_what_a_dead_process_set_aside_counts_only_while_nobody_knows_its_cost(
    ledger: Ledger, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsent, known, unclear = (
        a_record(backend="api", submitted=False),
        a_record(backend="api", submitted=True, cost_usd=0.25),
        a_record(backend="api", submitted=True),
    )
    with anyio.fail_after(10):
        with monkeypatch.context() as patch:
            patch.setattr(module, "this_process", lambda: DEAD)
            for record in (unsent, known, unclear):
                await create(library, record)
                assert (await ledger.reserve(record.generation_id, 0.5, 10.0)).granted
        day = await ledger.reserve("mine", 0.5, 1.0)
    assert (day.granted, day.spent, day.under_way) == (False, 0.25, 0.5)


async def test_what_a_living_process_set_aside_before_midnight_is_held_on_the_new_day(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(10):
        for owner in (module.this_process(), DEAD):
            with monkeypatch.context() as patch:
                patch.setattr(module, "this_process", lambda owner=owner: owner)
                patch.setattr(module, "now", lambda: ago(hours=25))
                await ledger.reserve(str(owner.pid), 0.6, 10.0)
        day = await ledger.reserve("mine", 0.6, 1.0)
        assert (day.granted, day.under_way) == (False, 0.6)
        await ledger.release(str(module.this_process().pid))
        assert (await ledger.reserve("mine", 0.6, 1.0)).granted


@needs_root
async def test_on_a_full_disk_the_budget_is_still_kept_within_this_process(tmp_path: Path, library: Library) -> None:
    with anyio.fail_after(30), small_disk(tmp_path / "small", 100) as place:
        ledger = Ledger(place / "ledger.jsonl", library)
        fill_up(place)
        assert (await ledger.reserve("a", 0.6, 1.0)).granted
        assert not (await ledger.reserve("b", 0.6, 1.0)).granted
        await ledger.release("a")
        assert (await ledger.reserve("b", 0.6, 1.0)).granted
        assert any("cannot be written" in problem for problem in ledger.problems())


async def test_noting_never_fails_although_the_records_cannot_be_read(
    ledger: Ledger, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_at: float) -> list[Record]:
        raise ImageError("disk", "The index is locked.")

    monkeypatch.setattr(library, "since", fails)
    with anyio.fail_after(10):
        await ledger.spend(0.5)
        await ledger.rest_until("api", "billing", soon(hours=1))
        await ledger.clear_rest("api")
        await ledger.add_duration("api", 12.0)
        assert await ledger.typical("api") == 12.0
        assert await ledger.resting("api") is None
    assert any("The index is locked." in problem for problem in ledger.problems())


SPENDER = """
import sys
import anyio
import anyio.to_thread
from pathlib import Path
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library

async def main():
    ledger = Ledger(Path(sys.argv[1]), Library(Path(sys.argv[2])))
    for _ in range(25):
        await ledger.spend(0.125)

anyio.run(main)
"""


async def test_processes_that_note_at_the_same_time_lose_nothing(ledger: Ledger, path: Path, root: Path) -> None:
    with anyio.fail_after(60):
        spenders = [other_process(SPENDER, str(path), str(root)) for _ in range(3)]
        try:
            async with anyio.create_task_group() as group:
                for _ in range(25):
                    group.start_soon(ledger.spend, 0.125)
            for spender in spenders:
                assert await anyio.to_thread.run_sync(spender.wait) == 0
        finally:
            for spender in spenders:
                end(spender)
        assert await ledger.spent_today() == 12.5
    assert ledger.problems() == []
