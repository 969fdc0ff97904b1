"""What could be paid twice, or sent while it must not be: lost replies, the day's limits, what was left at the site."""

import errno
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.ending import ADVICE
from cdp_image_mcp.studio.studio import Studio
from cdp_image_mcp.system.disk import write_part
from tests.library.making import DEAD, a_record, ago, create, end, other_process
from tests.studio.leaving import asking, collects, interrupted, left
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio

API: dict[str, Any] = {"backend": "api", "api_key": "test-key"}


# --- a record that cannot be read ---------------------------------------------------------------------------------


@contextmanager
def refused(folder: str | Path) -> Generator[None]:
    """The record there can be opened by nobody meanwhile, not even by root."""
    sidecar, away = Path(folder) / SIDECAR, Path(folder) / "away"
    sidecar.rename(away)
    sidecar.symlink_to(sidecar)
    yield
    away.replace(sidecar)


async def test_nothing_is_paid_while_the_record_that_may_speak_against_it_cannot_be_read(tmp_path: Path) -> None:
    web = Scripted(draw)
    async with studio_with(tmp_path, web, daily_limit=1) as studio:
        first = await studio.generate(asking())  # the client gave up: nobody fetched this
        with refused(first.folder):
            for prompt in ("a bear", "a fox"):
                with pytest.raises(ImageError, match=r"Nothing was sent\. Reading the record failed") as caught:
                    await studio.generate(asking(prompt))
                assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("disk", False, False)
            assert (await studio.status("chatgpt-web"))["newest"] == []
        told = await studio.generate(asking())
    assert (told.joined, told.record.generation_id, web.started) == (True, first.record.generation_id, ["a bear"])


async def test_a_picture_of_today_whose_folder_was_deleted_counts_towards_the_limit_of_the_site(tmp_path: Path) -> None:
    web = Scripted(draw)
    async with studio_with(tmp_path, web, daily_limit=2) as studio:
        first, unsent = await studio.generate(asking()), await left(tmp_path, state="queued", submitted=False)
        for entry in [await studio.library.find(each) for each in (first.record.generation_id, unsent.generation_id)]:
            assert entry is not None
            shutil.rmtree(entry.folder.path)
        told = await studio.status("chatgpt-web")
        assert told["statuses"][0]["details"]["pictures_today"] == 1
        with pytest.raises(ImageError, match="1 were made today, and 2 more asked"):
            await studio.generate(asking("a fox", n=2))
        await studio.generate(asking("a fox"))
        assert [line["prompt"] for line in (await studio.status())["newest"]] == ["a fox"]


async def test_what_was_left_at_the_site_and_then_deleted_may_have_been_drawn_and_cannot_be_fetched(
    tmp_path: Path,
) -> None:
    lost = await Library(tmp_path / "output").find((await interrupted(tmp_path)).generation_id)
    assert lost is not None
    shutil.rmtree(lost.folder.path)
    async with studio_with(tmp_path, Scripted(draw), daily_limit=1) as studio:
        with pytest.raises(ImageError, match="0 were made today, 1 is being made or may have been drawn, and 1 more"):
            await studio.generate(asking("a fox"))


async def test_a_record_that_cannot_be_read_is_in_the_way_of_nothing_that_it_is_not_about(tmp_path: Path) -> None:
    """Another wish where there is no limit; the limit, where it was left on another day."""
    old = a_record(state="generating", submitted=True, owner=DEAD, created_at=ago(days=2), updated_at=ago(days=2))
    library = Library(tmp_path / "output")
    folder = await create(library, old)
    library.close()
    web = Scripted(draw)
    with refused(folder.path):
        async with studio_with(tmp_path, web, daily_limit=2) as studio:
            await studio.generate(asking())
        async with studio_with(tmp_path, web) as studio:
            first = await studio.generate(asking("a fox"))
            with refused(first.folder):
                await studio.generate(asking("a crow"))
    assert web.started == ["a bear", "a fox", "a crow"]


@pytest.mark.parametrize("refused", [False, True], ids=["no folder", "device not ready"])
async def test_what_was_made_today_counts_also_while_it_lies_on_a_drive_that_is_away_and_is_in_nobodys_way(
    tmp_path: Path, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, drive = Scripted(draw), tmp_path / "output" / "drive"
    really: Any = Path.stat

    def not_ready(path: Path, **how: Any) -> Any:
        if path == drive or drive in path.parents:
            raise PermissionError(errno.EACCES, "The device is not ready")
        return really(path, **how)

    async with studio_with(tmp_path, web, daily_limit=3) as studio:
        first = await studio.generate(asking("a bear", output_dir=str(drive)))
        assert first.record.images[0].path.startswith(str(drive))
        drive.rename(tmp_path / "unplugged")
        if refused:
            monkeypatch.setattr(Path, "stat", not_ready)
        assert (await studio.status("chatgpt-web"))["statuses"][0]["details"]["pictures_today"] == 1
        await studio.generate(asking("a fox"))
        with pytest.raises(ImageError, match="2 were made today") as caught:
            await studio.generate(asking("two crows", n=2))
        await studio.generate(asking("a crow"))
    assert (caught.value.code, web.started) == ("quota_reached", ["a bear", "a fox", "a crow"])


# --- a reply of the API that was lost ---------------------------------------------------------------------------


async def reply_lost(request: ImageRequest, report: Report) -> None:
    await report.state("submitting", sent_prompt=request.prompt, submitted=False, spent=False)
    await report.state("generating", submitted=True)
    raise ImageError("network", "The connection broke.", submitted=True, spent="unknown", retryable=False)


async def out_at_the_api(request: ImageRequest, report: Report) -> None:
    await report.state("submitting", sent_prompt=request.prompt, submitted=False, spent=False)
    await report.state("generating", submitted=True)
    await anyio.sleep_forever()


async def sent(studio: Studio, prompt: str = "a bear") -> str:
    """Ask, give up at once, and see the request leave; the id of its generation."""
    generation_id = (await studio.generate(asking(prompt, wait_seconds=0))).record.generation_id
    while (await studio.wait(generation_id, 0)).record.submitted is not True:  # noqa: ASYNC110 - news ends calls no earlier
        await anyio.sleep(0.02)
    return generation_id


async def test_a_lost_reply_nobody_was_told_of_is_told_before_the_same_question_pays_again(tmp_path: Path) -> None:
    api = Scripted(reply_lost)
    async with studio_with(tmp_path, api=api, **API) as studio:
        first = await studio.generate(asking())  # the client gave up: nobody fetched this
        told = await studio.generate(asking())
        assert (told.joined, told.record.generation_id) == (True, first.record.generation_id)
        assert told.record.error is not None
        assert (told.record.error["code"], told.record.error["spent"]) == ("network", "unknown")
        assert len(api.started) == 1
        await studio.fetched(told)
        again = await studio.generate(asking())
    assert not again.joined
    assert len(api.started) == 2


@pytest.mark.parametrize("state", ["generating", "interrupted"])
async def test_after_the_server_died_the_same_question_tells_of_the_lost_reply_first(
    state: str, tmp_path: Path
) -> None:
    async with studio_with(tmp_path, api=Scripted(out_at_the_api), **API) as studio:
        lost = await sent(studio)
    if state == "generating":
        await dies_again(tmp_path, lost)
    api = Scripted(draw)
    async with studio_with(tmp_path, api=api, **API) as studio:
        told = await studio.generate(asking())
        await studio.fetched(told)
        assert (told.joined, told.record.generation_id, told.record.state) == (True, lost, "interrupted")
        assert told.record.error is not None
        assert (told.record.error["submitted"], told.record.error["spent"]) == (True, "unknown")
        assert told.record.error["retryable"] is False
        assert "twice" in told.record.error["next_step"]
        assert api.started == []
        again = await studio.generate(asking())
    assert (again.record.state, api.started) == ("saved", ["a bear"])


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
async def test_after_a_server_that_went_between_two_tries_that_cost_nothing_the_same_question_is_asked(
    killed: bool, tmp_path: Path
) -> None:
    pausing = anyio.Event()

    async def between_two_tries(request: ImageRequest, report: Report) -> None:
        """As the API's back end behind an answer of 500, while it waits to send once more."""
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", spent="unknown")
        await report.state("submitting", submitted="unknown", spent=False)
        pausing.set()
        await anyio.sleep_forever()

    async with studio_with(tmp_path, api=Scripted(between_two_tries), **API) as studio:
        first = (await studio.generate(asking(wait_seconds=0))).record.generation_id
        await pausing.wait()
    if killed:
        await dies_again(tmp_path, first)
    async with studio_with(tmp_path, api=Scripted(draw), **API) as studio:
        again = await studio.generate(asking())
        assert (again.joined, again.record.state) == (False, "saved")
        earlier = await studio.wait(first, 10)
    error = earlier.record.error
    assert error is not None
    assert (error["code"], error["submitted"], error["spent"]) == ("cancelled", "unknown", False)
    assert (error["retryable"], error["next_step"]) == (True, ADVICE["unspent"])
    assert "before anything was paid" in error["message"]


async def dies_again(folder: Path, generation_id: str) -> None:
    """Put the record back to how a killed process leaves it."""
    from tests.library.making import DEAD

    entry = await Library(folder / "output").find(generation_id)
    assert entry is not None
    record = entry.record
    record.state, record.owner, record.error, record.finished_at = "generating", DEAD, None, None
    await entry.folder.write(record)


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
async def test_pictures_saved_before_the_server_went_are_given_before_the_same_question_pays_again(
    killed: bool, tmp_path: Path
) -> None:
    saved = anyio.Event()

    async def one_of_two(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", spent="unknown")
        await report.state("generating", submitted=True)
        await report.save(png(1))
        saved.set()
        await anyio.sleep_forever()

    async with studio_with(tmp_path, api=Scripted(one_of_two), **API) as studio:
        first = (await studio.generate(asking(n=2, wait_seconds=0))).record.generation_id
        await saved.wait()
    if killed:
        await dies_again(tmp_path, first)
    api = Scripted(draw)
    async with studio_with(tmp_path, api=api, **API) as studio:
        again = await studio.generate(asking(n=2))
    assert (again.joined, again.record.generation_id, api.started) == (True, first, [])
    assert (again.record.state, len(again.record.images)) == ("partial", 1)
    assert again.record.error is not None
    assert (again.record.error["spent"], again.record.error["retryable"]) == (True, False)


async def both_came(request: ImageRequest, report: Report) -> None:
    """As the API's back end does it: one picture that cannot be saved takes no other with it."""
    await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", spent="unknown")
    failures: list[ImageError] = []
    for number in range(2):
        try:
            await report.save(png(number))
        except ImageError as error:
            error.submitted = error.spent = True
            failures.append(error)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("by", ["waiting", "asking the same"])
async def test_a_paid_picture_that_a_full_disk_did_not_take_is_given_when_there_is_room_again(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_full = True

    def on_a_small_disk(path: Path, data: bytes) -> Any:
        if disk_is_full and path.name == "image":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_part(path, data)

    monkeypatch.setattr("cdp_image_mcp.library.folder.write_part", on_a_small_disk)
    api = Scripted(both_came)
    async with studio_with(tmp_path, api=api, **API) as studio:
        full = await studio.generate(asking(n=2))
        await studio.fetched(full)
        generation_id = full.record.generation_id
        assert full.record.error is not None
        assert (full.record.state, full.record.error["code"], full.record.spent) == ("failed", "disk", True)
        assert "memory" in full.record.error["next_step"]
        still_full = await studio.wait(generation_id)
        assert still_full.record.state == "failed"
        assert json.loads((Path(full.folder) / SIDECAR).read_bytes())["facts"]["held"] == 2
        disk_is_full = False
        there = await (studio.wait(generation_id) if by == "waiting" else studio.generate(asking(n=2)))
        on_disk = await studio.library.find(generation_id)
    assert (there.record.generation_id, there.record.state) == (generation_id, "saved")
    assert [Path(image.path).read_bytes() for image in there.record.images] == [png(0), png(1)]
    assert on_disk is not None
    assert (on_disk.record.state, on_disk.record.error, on_disk.record.fetched) == ("saved", None, False)
    assert "held" not in on_disk.record.facts
    assert api.started == ["a bear"]


class Addresses:
    """Answers with ``n`` pictures that are named by address only; those in ``reached`` can be fetched by now."""

    def __init__(self) -> None:
        self.reached: set[int] = set()

    async def __call__(self, request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", spent="unknown")
        await report.state("generating", submitted=True)
        for number in range(request.n):
            report.fetch_later(partial(self.fetch, number))
        raise ImageError("service_error", "The answer held no picture.", submitted=True, spent=True, retryable=False)

    async def fetch(self, number: int) -> bytes:
        if number not in self.reached:
            raise ImageError("network", "It cannot be fetched.", submitted=True)
        return png(number)


@pytest.mark.parametrize("first", [0, 1])
async def test_each_picture_that_can_be_fetched_later_is_in_the_record_at_once(first: int, tmp_path: Path) -> None:
    addresses = Addresses()
    async with studio_with(tmp_path, api=Scripted(addresses), **API) as studio:
        generation_id = (await studio.generate(asking(n=2))).record.generation_id
        addresses.reached = {first}
        one = await studio.wait(generation_id)
        on_disk = await studio.library.find(generation_id)
        assert on_disk is not None
        for record in (one.record, on_disk.record):
            assert (record.state, [Path(image.path).read_bytes() for image in record.images]) == (
                "partial",
                [png(first)],
            )
        addresses.reached = {0, 1}
        both = await studio.wait(generation_id)
        assert (both.record.state, both.record.error, len(both.record.images)) == ("saved", None, 2)


async def test_only_the_server_that_holds_an_address_says_that_it_does(tmp_path: Path) -> None:
    api = Scripted(Addresses())
    async with studio_with(tmp_path, api=api, **API) as studio:
        held = await studio.generate(asking())
    async with studio_with(tmp_path, api=api, **API) as studio:
        later = await studio.wait(held.record.generation_id)
    assert held.record.error is not None
    assert later.record.error is not None
    assert "wait_for_image" in held.record.error["next_step"]
    assert later.record.error["next_step"] == ADVICE["lost"]


async def test_paid_bytes_of_no_known_format_that_were_fetched_on_a_full_disk_are_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_full, tiff = True, b"II*\0 a picture that was paid for"

    def on_a_small_disk(path: Path, data: bytes) -> Any:
        if disk_is_full and path.name == "unrecognised":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_part(path, data)

    async def fetch() -> bytes:
        return tiff

    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        report.fetch_later(fetch)
        raise ImageError("service_error", "The answer held no picture.", submitted=True, spent=True, retryable=False)

    monkeypatch.setattr("cdp_image_mcp.library.folder.write_part", on_a_small_disk)
    async with studio_with(tmp_path, api=Scripted(play), **API) as studio:
        generation_id = (await studio.generate(asking())).record.generation_id
        full = await studio.wait(generation_id)
        assert full.record.error is not None
        assert "memory" in full.record.error["next_step"]
        disk_is_full = False
        there = await studio.wait(generation_id)
        on_disk = await studio.library.find(generation_id)
    assert on_disk is not None
    assert [Path(kept).read_bytes() for kept in on_disk.record.facts["kept"]] == [tiff]
    assert [path.read_bytes() for path in Path(there.folder).glob("unrecognised*")] == [tiff]


def of_many_pictures() -> Scripted:
    """A way that draws another picture each time."""

    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(png(len(api.started)))

    api = Scripted(play)
    return api


@pytest.mark.parametrize("told", [False, True])
async def test_continuing_again_whose_answer_was_lost_is_not_paid_again(told: bool, tmp_path: Path) -> None:
    api = of_many_pictures()
    async with studio_with(tmp_path, api=api, **API) as studio:
        await studio.fetched(await studio.generate(asking("a cat")))
        blue = await studio.generate(asking("make it blue", conversation_mode="continue"))
        if told:
            await studio.fetched(blue)
        again = await studio.generate(asking("make it blue", conversation_mode="continue", wait_seconds=5))
    same = again.record.generation_id == blue.record.generation_id
    assert (again.joined, same) == (not told, not told)
    assert len(api.started) == (3 if told else 2)


async def test_what_another_account_was_asked_for_in_the_same_words_is_not_taken_for_a_lost_answer(
    tmp_path: Path,
) -> None:
    api = of_many_pictures()
    async with studio_with(tmp_path, api=api, **API) as studio:
        await studio.fetched(await studio.generate(asking("a cat")))
        theirs = await studio.generate(asking("make it blue", conversation_mode="continue"))
    async with studio_with(tmp_path, api=api, backend="api", api_key="another-key") as studio:
        ours = await studio.generate(asking("make it blue", conversation_mode="continue"))
    assert (ours.joined, ours.record.generation_id == theirs.record.generation_id) == (False, False)


async def test_waiting_for_collecting_and_continuing_a_lost_reply_pay_nothing(tmp_path: Path) -> None:
    lost = await left(tmp_path, backend="api", requested_backend="api")
    api = Scripted(draw)
    async with studio_with(tmp_path, api=api, **API) as studio:
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking("make it blue", continue_from=lost.generation_id))
        standing = await studio.wait(lost.generation_id)
        await studio.collect()
        with pytest.raises(ImageError):
            await studio.generate(asking("make it blue", conversation_mode="continue"))
    assert caught.value.code == "invalid_input"
    assert (standing.record.state, standing.record.submitted) == ("interrupted", True)
    assert api.started == []


async def test_a_lost_reply_that_the_user_cancelled_does_not_stand_in_the_way(tmp_path: Path) -> None:
    api = Scripted(out_at_the_api)
    async with studio_with(tmp_path, api=api, **API) as studio:
        await studio.cancel(await sent(studio))
        api.play = draw
        again = await studio.generate(asking())
    assert (again.joined, again.record.state) == (False, "saved")


# --- the limits of the day, over processes ----------------------------------------------------------------------

ASKER = """
import sys
from pathlib import Path
import anyio
from tests.studio.scripted import Scripted, studio_with
from tests.studio.leaving import asking, sent_then_hangs
from cdp_image_mcp.errors import ImageError

async def main():
    async with studio_with(Path(sys.argv[1]), Scripted(sent_then_hangs), daily_limit=3) as studio:
        accept = studio.intake.accept
        async def accepted(*arguments):
            found = await accept(*arguments)
            print("accepted", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.readline)
            return found
        studio.intake.accept = accepted
        try:
            await studio.generate(asking(sys.argv[2], n=2, wait_seconds=0))
            print("taken", flush=True)
        except ImageError as error:
            print(error.code, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


async def test_two_processes_just_below_the_daily_limit_do_not_both_pass(tmp_path: Path) -> None:
    """Both have been checked and found the day free before either has its record."""
    processes = [other_process(ASKER, str(tmp_path), prompt) for prompt in ("a fox", "a hare")]
    try:
        with anyio.fail_after(30):
            heard = [await hear(process) for process in processes]
            assert heard == ["accepted", "accepted"]
            for process in processes:
                say(process)
            answers = sorted([await hear(process) for process in processes])
            for process in processes:
                say(process)
    finally:
        for process in processes:
            end(process)
    assert answers == ["quota_reached", "taken"]
    assert len(await Library(tmp_path / "output").newest()) == 1


async def test_who_falls_back_to_the_web_is_counted_there(tmp_path: Path) -> None:
    async def no_way(_request: ImageRequest, _report: Report) -> None:
        raise ImageError("api_key_invalid", "The key is not taken.")

    web = Scripted(draw)
    auto: dict[str, Any] = {"backend": "auto", "api_key": "test-key", "daily_limit": 3}
    began = anyio.Event()
    go_on = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        began.set()
        await go_on.wait()
        await no_way(request, report)

    api = Scripted(slow)
    async with studio_with(tmp_path, web, api, **auto) as studio:
        # Accepted for the API while the web's day still has room for it.
        waiting = await studio.generate(asking("a fox", n=2, wait_seconds=0))
        await began.wait()
        await studio.generate(asking("a hare", n=2, backend="chatgpt-web"))
        go_on.set()
        standing = await studio.wait(waiting.record.generation_id)
    assert web.started == ["a hare"]
    assert standing.record.error is not None
    assert (standing.record.error["code"], standing.record.submitted) == ("quota_reached", False)


async def test_of_two_that_fall_back_to_the_web_at_once_the_day_has_room_for_one(tmp_path: Path) -> None:
    came: list[str] = []
    both = anyio.Event()

    async def no_way(request: ImageRequest, _report: Report) -> None:
        came.append(request.prompt)
        if len(came) == 2:
            both.set()
        await both.wait()
        raise ImageError("api_key_invalid", "The key is not taken.")

    web = Scripted(draw)
    auto: dict[str, Any] = {"backend": "auto", "api_key": "test-key", "daily_limit": 3}
    with anyio.fail_after(30):
        async with studio_with(tmp_path, web, Scripted(no_way), **auto) as studio:
            asked = [await studio.generate(asking(prompt, n=2, wait_seconds=0)) for prompt in ("a fox", "a hare")]
            records = [(await studio.wait(each.record.generation_id)).record for each in asked]
    assert sorted(record.state for record in records) == ["failed", "saved"]
    assert len(web.started) == 1


SPENDER = """
import sys
from pathlib import Path
import anyio
from tests.studio.scripted import Scripted, studio_with
from tests.studio.leaving import asking, sent_then_hangs
from cdp_image_mcp.errors import ImageError

async def main():
    api = {"backend": "api", "api_key": "k", "model": "gpt-image-2", "budget_usd": float(sys.argv[3]) or None}
    async with studio_with(Path(sys.argv[1]), api=Scripted(sent_then_hangs), **api) as studio:
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        try:
            # 0.053 dollars at most by the table; two of these are more than the budget.
            await studio.generate(asking(sys.argv[2], quality="medium", size="1024x1024", wait_seconds=0))
            print("taken", flush=True)
        except ImageError as error:
            print(error.code, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


async def test_processes_cannot_set_aside_the_same_rest_of_the_budget(tmp_path: Path) -> None:
    processes = [other_process(SPENDER, str(tmp_path), f"a fox {number}", "0.1") for number in range(4)]
    try:
        with anyio.fail_after(60):
            assert [await hear(process) for process in processes] == ["ready"] * 4
            for process in processes:
                say(process)
            answers = sorted([await hear(process) for process in processes])
    finally:
        for process in processes:
            end(process)
    assert answers == ["billing", "billing", "billing", "taken"]


async def test_what_a_program_without_a_budget_may_spend_counts_for_those_that_have_one(tmp_path: Path) -> None:
    """While it is out, and as the worst case where its process died and nobody learns what it cost."""
    wish: dict[str, Any] = {"quality": "medium", "size": "1024x1024"}
    process = other_process(SPENDER, str(tmp_path), "a fox", "0")
    try:
        async with studio_with(tmp_path, api=Scripted(draw), **API, model="gpt-image-2", budget_usd=0.1) as studio:
            assert await hear(process) == "ready"
            say(process)
            assert await hear(process) == "taken"
            while (entry := (await studio.library.newest())[0]).record.submitted is not True:  # noqa: ASYNC110
                await anyio.sleep(0.05)
            with pytest.raises(ImageError, match=r"\$0\.05 under way"):
                await studio.generate(asking(**wish))
            end(process)
            died = (await studio.wait(entry.record.generation_id)).record
            with pytest.raises(ImageError, match=r"\$0\.05 are spent"):
                await studio.generate(asking(**wish))
    finally:
        end(process)
    assert (died.state, died.booked_usd) == ("interrupted", pytest.approx(0.053, abs=0.001))


async def hear(process: Any) -> str:
    # Abandoned at the deadline: the process is killed then, and the thread reads the end.
    return str(await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)).strip()


def say(process: Any) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


# --- what was left at the site ----------------------------------------------------------------------------------


async def test_auto_with_a_key_opens_no_browser_for_what_was_left_until_the_web_is_used(tmp_path: Path) -> None:
    orphan = await left(tmp_path)
    unsent = await left(tmp_path, submitted=False, state="queued")
    lost = await left(tmp_path, backend="api")
    collected = anyio.Event()

    async def tells(request: ImageRequest, report: Report) -> None:
        await collects(request, report)
        collected.set()

    web = Scripted(draw, tells)
    async with studio_with(tmp_path, web, Scripted(draw), backend="auto", api_key="test-key") as studio:
        await studio.generate(asking())
        # What needs no browser is told truly all the same.
        for record in (unsent, lost):
            await until_finished(studio, record)
        assert web.collected == []
        await studio.generate(asking("a fox", backend="chatgpt-web"))
        await collected.wait()
    assert web.collected == [orphan.generation_id]


async def test_auto_that_falls_back_to_the_web_collects_what_was_left_there(tmp_path: Path) -> None:
    orphan = await left(tmp_path)
    collected = anyio.Event()

    async def no_way(_request: ImageRequest, _report: Report) -> None:
        raise ImageError("api_key_invalid", "The key is not taken.")

    async def tells(request: ImageRequest, report: Report) -> None:
        await collects(request, report)
        collected.set()

    web = Scripted(draw, tells)
    async with studio_with(tmp_path, web, Scripted(no_way), backend="auto", api_key="test-key") as studio:
        standing = await studio.generate(asking())
        await collected.wait()
    assert standing.record.fallback_from == "api"
    assert web.collected == [orphan.generation_id]


async def until_finished(studio: Studio, record: Record) -> None:
    while (entry := await studio.library.find(record.generation_id)) is None or not entry.record.finished:  # noqa: ASYNC110
        await anyio.sleep(0.05)
