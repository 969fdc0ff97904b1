"""What was learnt of an account: known to every process, kept by none alone, and never in the way of a picture."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_image_mcp.library.ledger import Ledger
from tests.library.making import end, other_process
from tests.library.smalldisk import fill_up, needs_root, small_disk

pytestmark = pytest.mark.anyio


def soon(**delta: float) -> str:
    return (datetime.now().astimezone() + timedelta(**delta)).isoformat(timespec="milliseconds")


async def test_an_unused_ledger_knows_nothing_and_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "place")
    with anyio.fail_after(60):
        assert await ledger.quota() == []
        assert await ledger.resting("me") is None
        await ledger.clear_rest("me")
    assert not (tmp_path / "place").exists()
    assert ledger.problems() == []


async def test_what_is_noted_is_known_to_every_process_and_the_newest_counts(tmp_path: Path) -> None:
    ledger, other, until = Ledger(tmp_path), Ledger(tmp_path), soon(hours=1)
    with anyio.fail_after(60):
        await ledger.set_quota("image_gen", 3, until)
        await ledger.set_quota("image_gen", 2, until)
        await other.set_quota("deep_research", 9, None)
        await ledger.rest_until("me", "rate_limited", until)
        await other.rest_until("another account", "billing", soon(minutes=1))
        told = [(quota.about, quota.remaining) for quota in await other.quota()]
        rest = await other.resting("me")
        await other.clear_rest("me")
        assert await ledger.resting("me") is None
        assert await ledger.resting("another account") is not None
    assert told == [("image_gen", 2), ("deep_research", 9)]
    assert rest is not None
    assert (rest.code, rest.reset_at) == ("rate_limited", until)
    assert len(ledger.path.read_bytes().splitlines()) == 4


async def test_what_is_said_of_a_time_is_over_at_that_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with anyio.fail_after(60):
        await ledger.set_quota("image_gen", 0, soon(seconds=-1))
        await ledger.rest_until("me", "quota_reached", soon(seconds=-1))
        assert await ledger.quota() == []
        assert await ledger.resting("me") is None


async def test_something_is_told_once_whoever_asks(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        assert await Ledger(tmp_path).tell_once("who pays")
        assert not await Ledger(tmp_path).tell_once("who pays")
        assert await Ledger(tmp_path).tell_once("something else")


async def test_lines_of_another_program_are_kept_byte_for_byte(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    theirs = [b'{"kind":"forecast",  "usd": 1.50}', b"\xff\xfe no text", b'{"kind":"rest","who":7}', b"[]"]
    with anyio.fail_after(60):
        await ledger.set_quota("image_gen", 3, None)
        ledger.path.write_bytes(ledger.path.read_bytes() + b"\n".join(theirs) + b"\n")
        await ledger.set_quota("image_gen", 2, None)
        await Ledger(tmp_path).rest_until("me", "billing", soon(hours=1))
        assert [quota.remaining for quota in await ledger.quota()] == [2]
    assert [line for line in ledger.path.read_bytes().splitlines() if line in theirs] == theirs
    assert ledger.problems() == []


async def test_what_a_newer_program_says_more_in_a_line_stays_until_the_line_is_about_something_newer(
    tmp_path: Path,
) -> None:
    ledger, until = Ledger(tmp_path), soon(hours=1)
    theirs = json.dumps(
        {"kind": "quota", "about": "image_gen", "remaining": 3, "reset_at": until, "at": until, "x": [1]}
    )
    with anyio.fail_after(60):
        await ledger.tell_once("who pays")
        ledger.path.write_bytes(ledger.path.read_bytes() + theirs.encode() + b"\n")
        await ledger.rest_until("me", "billing", until)
        assert theirs.encode() in ledger.path.read_bytes().splitlines()
        await ledger.set_quota("image_gen", 2, until)
        assert [quota.remaining for quota in await Ledger(tmp_path).quota()] == [2]
    assert theirs.encode() not in ledger.path.read_bytes().splitlines()


async def test_a_file_that_cannot_be_read_for_a_moment_is_not_written_over(tmp_path: Path) -> None:
    ledger, away = Ledger(tmp_path), tmp_path / "away"
    with anyio.fail_after(60):
        await ledger.rest_until("me", "billing", soon(hours=1))
        ledger.path.rename(away)
        ledger.path.symlink_to(ledger.path)  # no system opens it, not even for root
        await ledger.set_quota("image_gen", 2, None)
        assert [quota.remaining for quota in await ledger.quota()] == [2]
        assert any("cannot be written" in problem for problem in ledger.problems())
        assert ledger.path.is_symlink()
        away.replace(ledger.path)
        await ledger.set_quota("other", 1, None)
        fresh = Ledger(tmp_path)
        assert await fresh.resting("me") is not None
        assert {quota.about: quota.remaining for quota in await fresh.quota()} == {"image_gen": 2, "other": 1}


@given(raw=st.binary(max_size=400))
async def test_no_bytes_in_the_file_make_it_fail(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    with anyio.fail_after(60):
        ledger.path.parent.mkdir()
        ledger.path.write_bytes(raw)
        await ledger.set_quota("image_gen", 1, None)
        assert [quota.remaining for quota in await ledger.quota() if quota.about == "image_gen"] == [1]


@needs_root
async def test_a_full_disk_loses_nothing_of_this_process(tmp_path: Path) -> None:
    with anyio.fail_after(30), small_disk(tmp_path / "small", 100) as place:
        ledger = Ledger(place)
        await ledger.set_quota("image_gen", 9, None)
        filler = fill_up(place)
        await ledger.set_quota("image_gen", 2, None)
        await ledger.rest_until("me", "billing", soon(hours=1))
        assert [quota.remaining for quota in await ledger.quota()] == [2]
        assert await ledger.resting("me") is not None
        assert ledger.problems()
        assert [quota.remaining for quota in await Ledger(place).quota()] == [9]
        filler.unlink()
        await ledger.set_quota("other", 1, None)
        fresh = Ledger(place)
        assert {quota.about: quota.remaining for quota in await fresh.quota()} == {"image_gen": 2, "other": 1}
        assert await fresh.resting("me") is not None


WORKER = """
import sys
import anyio
from pathlib import Path
from cdp_image_mcp.library.ledger import Ledger

async def main():
    ledger = Ledger(Path(sys.argv[1]))
    for number in range(25):
        await ledger.set_quota(f"{sys.argv[2]}-{number}", number, None)

anyio.run(main)
"""


async def test_processes_that_note_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    workers = [other_process(WORKER, str(tmp_path), str(number)) for number in range(3)]
    try:
        with anyio.fail_after(60):
            for worker in workers:
                assert await anyio.to_thread.run_sync(worker.wait) == 0
        lines = [json.loads(line) for line in Ledger(tmp_path).path.read_bytes().splitlines()]
        assert len({line["about"] for line in lines}) == len(lines) == 75
    finally:
        for worker in workers:
            end(worker)
