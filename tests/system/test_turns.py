"""One turn at a time, in order, over processes that may be killed."""

import errno
import random
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.system.presence import OWN_FOLDER
from cdp_image_mcp.system.turns import Turns
from tests.browser import left_out_if_quick
from tests.library.making import end, other_process
from tests.library.smalldisk import fill_up, needs_root, small_disk
from tests.system.tickets import waiting

pytestmark = pytest.mark.anyio


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "data" / "profile"


async def test_opening_touches_nothing_and_files_are_the_users_own(profile: Path) -> None:
    turns = Turns(profile)
    assert not profile.parent.exists()
    with anyio.fail_after(60):
        async with turns.take():
            assert waiting(profile) == 1
        assert waiting(profile) == 0
    assert [path.name for path in profile.parent.iterdir()] == ["profile"]
    for path in profile.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_turns_are_taken_in_order_and_positions_are_told(profile: Path) -> None:
    turns, other = Turns(profile), Turns(profile)
    took: list[int] = []
    places: dict[int, list[int]] = {number: [] for number in range(4)}
    queued = anyio.Event()

    async def call(number: int, queue: Turns) -> None:
        def told(place: int) -> None:
            places[number].append(place)
            if number == 3:
                queued.set()

        async with queue.take(on_position=told):
            took.append(number)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, turns.take(on_position=places[0].append):
            for number in (1, 2, 3):
                group.start_soon(call, number, (turns, other)[number % 2])
                while waiting(profile) <= number:
                    await anyio.lowlevel.checkpoint()
            await queued.wait()
            assert took == []
    assert took == [1, 2, 3]
    assert places[0] == []
    assert places[1] == [1]
    assert places[2][0] == 2
    assert places[3][0] == 3
    assert all(sorted(told, reverse=True) == told for told in places.values())


async def test_a_cancelled_wait_gives_its_place_back(profile: Path) -> None:
    turns = Turns(profile)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, turns.take():
            queued = anyio.Event()

            async def wait() -> None:
                async with turns.take(on_position=lambda _: queued.set()):
                    raise AssertionError("the turn was taken twice")

            group.start_soon(wait)
            await queued.wait()
            assert waiting(profile) == 2
            group.cancel_scope.cancel()
        assert waiting(profile) == 0
        async with turns.take():
            pass


async def test_an_error_in_the_turn_ends_it(profile: Path) -> None:
    turns = Turns(profile)
    with anyio.fail_after(60):
        with pytest.raises(ValueError, match="mine"):
            async with turns.take():
                raise ValueError("mine")
        async with turns.take():
            assert waiting(profile) == 1


async def test_the_ticket_of_a_process_that_is_gone_holds_nobody_up(profile: Path) -> None:
    turns = Turns(profile)
    with anyio.fail_after(60):
        async with turns.take():
            left = profile / OWN_FOLDER / "queue" / f"{1:020}-0123456789abcdef01234567"
            left.write_bytes(b"")
            assert waiting(profile) == 1
        left.write_bytes(b"")
        async with turns.take():
            assert not left.exists()


async def test_a_queue_that_was_swept_away_keeps_its_order_and_lets_no_second_one_in(profile: Path) -> None:
    turns, other = Turns(profile), Turns(profile)
    took: list[str] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def call(name: str, queue: Turns, queued: anyio.Event) -> None:
                async with queue.take(on_position=lambda _: queued.set()):
                    took.append(name)

            async with turns.take():
                events = [anyio.Event() for _ in range(3)]
                group.start_soon(call, "first", other, events[0])
                await events[0].wait()
                group.start_soon(call, "second", turns, events[1])
                await events[1].wait()
                for path in (profile / OWN_FOLDER / "queue").iterdir():
                    path.unlink()
                group.start_soon(call, "third", other, events[2])
                await events[2].wait()
                while waiting(profile) < 3:  # noqa: ASYNC110 - both put themselves back, with their old numbers
                    await anyio.sleep(0.01)
                assert took == []
    assert took == ["first", "second", "third"]


async def test_a_clock_that_is_set_back_changes_no_order(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(profile)
    took: list[int] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, turns.take():

            async def call(number: int, queued: anyio.Event) -> None:
                async with turns.take(on_position=lambda _: queued.set()):
                    took.append(number)

            for number, clock in enumerate([5_000_000, 1_000]):
                monkeypatch.setattr("time.time_ns", lambda clock=clock: clock)
                queued = anyio.Event()
                group.start_soon(call, number, queued)
                await queued.wait()
    assert took == [0, 1]


async def test_a_profile_named_in_two_ways_has_one_queue(profile: Path, tmp_path: Path) -> None:
    profile.mkdir(parents=True)
    (tmp_path / "link").symlink_to(profile)
    with anyio.fail_after(60):
        async with Turns(tmp_path / "link").take():
            assert waiting(profile) == 1


async def test_a_queue_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with anyio.fail_after(60), pytest.raises(ImageError) as caught:
        async with Turns(tmp_path / "file" / "profile").take():
            pass
    assert caught.value.code == "disk"


async def test_a_profile_where_nothing_can_be_written_is_told_with_its_own_variable(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with anyio.fail_after(60), pytest.raises(ImageError, match="permission is denied") as caught:
        async with Turns(profile).take():
            pass
    assert "CHATGPT_WEB_PROFILE_DIR" in caught.value.next_step


@needs_root
async def test_a_disk_that_fills_up_during_a_turn_does_not_block_the_queue(tmp_path: Path) -> None:
    with anyio.fail_after(30), small_disk(tmp_path / "small", 300) as place:
        turns = Turns(place / "profile")
        async with turns.take():
            fill_up(place)
        async with turns.take():
            pass
        assert waiting(place / "profile") == 0


WORKER = """
import os, sys
import anyio
import anyio.lowlevel
from pathlib import Path
from cdp_image_mcp.system.turns import Turns

async def main():
    turns = Turns(Path(sys.argv[1]))
    inside = Path(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        async with turns.take():
            # The one place where two at a time would be seen: only one can make this folder.
            inside.mkdir()
            print("in", flush=True)
            if sys.stdin.readline() == "stay\\n":
                await anyio.sleep_forever()
            inside.rmdir()
        print("out", flush=True)

anyio.run(main)
"""


async def test_four_processes_take_turns_and_killed_holders_free_theirs(profile: Path, tmp_path: Path) -> None:
    left_out_if_quick("a while")
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    inside = tmp_path / "inside"
    with anyio.fail_after(90):
        for _ in range(3):
            workers = [other_process(WORKER, str(profile), str(inside), "3") for _ in range(4)]
            done = anyio.Semaphore(0)
            killed = chance.randrange(1, 6)
            holders: list[int] = []

            async def follow(number: int) -> None:
                worker = workers[number]  # noqa: B023 - joined before the next round
                assert worker.stdout is not None
                assert worker.stdin is not None
                while line := await anyio.to_thread.run_sync(worker.stdout.readline, abandon_on_cancel=True):
                    if line == "out\n":
                        continue
                    assert line == "in\n"
                    holders.append(number)  # noqa: B023
                    if len(holders) == killed:  # noqa: B023
                        worker.stdin.write("stay\n")
                        worker.stdin.flush()
                        inside.rmdir()  # while it still holds: the next one may be in as soon as it is dead
                        worker.kill()
                        await anyio.to_thread.run_sync(worker.wait)
                        return
                    worker.stdin.write("go\n")
                    worker.stdin.flush()
                done.release()  # noqa: B023

            try:
                async with anyio.create_task_group() as group:
                    for number in range(4):
                        group.start_soon(follow, number)
                victim = holders[killed - 1]
                left = [worker for number, worker in enumerate(workers) if number != victim]
                for worker in left:
                    assert await anyio.to_thread.run_sync(worker.wait) == 0, worker.stderr and worker.stderr.read()
                assert all(holders.count(number) == 3 for number in range(4) if number != victim)
            finally:
                for worker in workers:
                    end(worker)
        assert waiting(profile) == 0


async def test_who_goes_behind_comes_after_all_others_and_learns_that_one_waits(profile: Path) -> None:
    turns, other = Turns(profile), Turns(profile)
    took: list[str] = []
    tickets: list[int] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def call(name: str, queue: Turns, queued: anyio.Event, *, behind: bool) -> None:
                async with queue.take(on_position=lambda _: queued.set(), behind=lambda: behind):
                    took.append(name)

            async def watch() -> None:
                await turns.wanted()
                tickets.append(waiting(profile))

            async with turns.take(behind=lambda: True):
                events = [anyio.Event() for _ in range(3)]
                group.start_soon(partial(call, "behind", turns, events[0], behind=True))
                await events[0].wait()
                group.start_soon(watch)
                for name, queue, queued in (("first", other, events[1]), ("second", turns, events[2])):
                    group.start_soon(partial(call, name, queue, queued, behind=False))
                    await queued.wait()
                while not tickets:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                assert took == []
    assert tickets[0] > 2  # the holder's and the other's behind tell it nothing
    assert took == ["first", "second", "behind"]
    assert waiting(profile) == 0


async def test_who_is_behind_no_longer_takes_a_place_like_all_others(profile: Path) -> None:
    turns, behind, took = Turns(profile), [True], list[str]()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def call(name: str, queued: anyio.Event, is_behind: Callable[[], bool]) -> None:
                async with turns.take(on_position=lambda _: queued.set(), behind=is_behind):
                    took.append(name)

            async with turns.take():
                events = [anyio.Event() for _ in range(2)]
                group.start_soon(call, "behind", events[0], lambda: behind[0])
                await events[0].wait()
                behind[0] = False
                while any((profile / OWN_FOLDER / "queue").glob("behind-*")):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                group.start_soon(call, "later", events[1], lambda: False)
                await events[1].wait()
    assert took == ["behind", "later"]


async def test_nobody_is_starved_by_one_that_comes_again_and_again(profile: Path) -> None:
    turns, other = Turns(profile), Turns(profile)
    took: list[str] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:

            async def again() -> None:
                while "patient" not in took:
                    async with turns.take():
                        took.append("greedy")
                        while waiting(profile) < 2 and "patient" not in took:
                            await anyio.lowlevel.checkpoint()

            async def once() -> None:
                async with other.take():
                    took.append("patient")

            group.start_soon(again)
            group.start_soon(once)
    assert took.count("greedy") <= 2
