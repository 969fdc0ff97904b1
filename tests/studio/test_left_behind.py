"""What earlier calls and earlier processes left: taken up, never paid twice, never mistaken for something else."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.config import Problem
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.attendance import Attendance
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.library import Entry, Library
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.studio import Standing
from tests.library.making import ago
from tests.studio.leaving import asking, collects, interrupted, left, sent, sent_then_hangs
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio


# --- joining ----------------------------------------------------------------------------------------------------


async def test_the_same_question_after_a_shutdown_collects_and_sends_nothing(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(sent_then_hangs)) as studio:
        started = await sent(studio)
    second = Scripted(draw, collects)
    async with studio_with(tmp_path, second) as studio:
        standing = await studio.generate(asking())
    assert standing.joined
    assert standing.record.generation_id == started.record.generation_id
    assert standing.record.state == "saved"
    assert (second.started, second.collected) == ([], [started.record.generation_id])


async def test_make_it_blue_joins_only_what_went_on_from_the_same_conversation(tmp_path: Path) -> None:
    async def draws(request: ImageRequest, report: Report) -> None:
        url = request.continue_url or f"http://site/c/{request.prompt}"
        await report.state("generating", submitted=True, conversation_url=url)
        await report.save(png(len(request.prompt)))

    async with studio_with(tmp_path, Scripted(draws)) as studio:
        cat = await studio.generate(asking("cat"))
        await studio.fetched(cat)
        first = await studio.generate(asking("make it blue", conversation_mode="continue"))
        again = await studio.generate(asking("make it blue", conversation_mode="continue"))
        await studio.fetched(await studio.generate(asking("dog")))
        other = await studio.generate(asking("make it blue", conversation_mode="continue"))
    assert first.record.conversation_url == "http://site/c/cat"
    assert (again.joined, again.record.generation_id) == (True, first.record.generation_id)
    assert not other.joined
    assert other.record.conversation_url == "http://site/c/dog"


async def test_at_the_api_the_continued_picture_tells_two_calls_apart(tmp_path: Path) -> None:
    async def draws(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        await report.save(png(len(request.prompt)))

    async with studio_with(tmp_path, api=Scripted(draws), backend="api", api_key="test-key") as studio:
        for prompt in ("cat", "a horse"):
            await studio.fetched(await studio.generate(asking(prompt)))
            blue = await studio.generate(asking("make it blue", conversation_mode="continue"))
            assert not blue.joined


async def test_of_a_record_that_cannot_be_read_nobody_says_that_nothing_was_sent(tmp_path: Path) -> None:
    record = await interrupted(tmp_path)
    entry = await Library(tmp_path / "output").find(record.generation_id)
    assert entry is not None
    (entry.folder.path / "metadata.json").write_text("{")
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        for ask in (studio.wait, studio.cancel):
            with pytest.raises(ImageError) as caught:
                await ask(record.generation_id)
            assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("disk", "unknown", "unknown")


async def test_a_need_of_a_person_that_arose_while_no_call_waited_is_told_to_the_next_at_once(tmp_path: Path) -> None:
    needed = anyio.Event()

    async def asks(_request: ImageRequest, report: Report) -> None:
        await report.state("needs_sign_in")
        needed.set()
        await anyio.sleep_forever()

    async with studio_with(tmp_path, Scripted(asks)) as studio:
        identity = (await studio.generate(asking(wait_seconds=0))).record.generation_id
        await needed.wait()
        with anyio.fail_after(20):
            assert (await studio.wait(identity, 600)).record.state == "needs_sign_in"
        with anyio.move_on_after(1) as waits:  # told once, it is waited for
            await studio.wait(identity, 600)
    assert waits.cancelled_caught


async def test_what_is_taken_up_again_has_its_time_again(tmp_path: Path) -> None:
    late = await interrupted(tmp_path, over_time=True)
    seen: list[tuple[float, bool]] = []

    async def looks(request: ImageRequest, report: Report) -> None:
        entry = await studio.library.find(report.generation_id)
        assert entry is not None
        seen.append((report.time_left, entry.record.over_time))
        await collects(request, report)

    async with studio_with(tmp_path, Scripted(draw, looks)) as studio:
        record = (await studio.wait(late.generation_id)).record
    assert [(left > 0, over) for left, over in seen] == [(True, False)]
    assert (record.state, record.over_time) == ("saved", False)


@pytest.mark.parametrize("way", ["api", "chatgpt-web"])
async def test_what_a_program_with_another_root_makes_in_ones_own_folder_is_waited_for(
    way: str, tmp_path: Path
) -> None:
    out, go_on = anyio.Event(), anyio.Event()

    async def draws(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", spent="unknown")
        out.set()
        await go_on.wait()
        await draw(request, report)

    ours = tmp_path / "ours"
    mine, theirs = Scripted(draw, collects), Scripted(draws)
    own: dict[str, Any] = {"backend": way, "api_key": "test-key"}
    async with studio_with(tmp_path / "theirs", theirs, theirs, **own, input_roots=(ours,)) as maker:
        elsewhere = asking(output_dir=str(ours / "output"), wait_seconds=0)
        identity = (await maker.generate(elsewhere)).record.generation_id
        await out.wait()
        async with studio_with(ours, mine, mine, **own) as studio:
            assert (await studio.wait(identity, 0)).record.state == "submitting"
            go_on.set()
            record = (await studio.wait(identity)).record
    assert (record.state, len(record.images), record.facts.get("taken_up")) == ("saved", 1, None)
    assert (mine.started, mine.collected) == ([], [])


async def test_the_same_question_while_a_command_collects_joins_and_sends_nothing(tmp_path: Path) -> None:
    """A person runs ``collect`` in a terminal, and the client that was started again repeats its call."""
    looking, go_on = anyio.Event(), anyio.Event()

    async def slowly(request: ImageRequest, report: Report) -> None:
        looking.set()
        await go_on.wait()
        await collects(request, report)

    async with studio_with(tmp_path, Scripted(sent_then_hangs)) as first:
        sent_there = await sent(first)
    web, joined = Scripted(draw), list[Standing]()
    async with (
        studio_with(tmp_path, Scripted(draw, slowly)) as terminal,
        studio_with(tmp_path, web) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(terminal.collect)
        await looking.wait()
        joined.append(await client.generate(asking(wait_seconds=0)))
        go_on.set()
    (told,) = joined
    assert (told.joined, told.record.generation_id) == (True, sent_there.record.generation_id)
    assert web.started == []


async def test_what_cannot_be_looked_for_is_not_said_to_be_unsent(tmp_path: Path) -> None:
    record = await left(tmp_path)
    bad = Problem("GPT_IMAGE_OUTPUT_DIR", "it is not an absolute path.")
    async with studio_with(tmp_path, Scripted(draw), problems=(bad,)) as studio:
        for asked in (studio.wait, studio.cancel):
            with pytest.raises(ImageError, match="GPT_IMAGE_OUTPUT_DIR") as caught:
                await asked(record.generation_id)
            assert (caught.value.code, caught.value.submitted, caught.value.spent) == (
                "configuration",
                "unknown",
                "unknown",
            )
            assert "othing was sent" not in caught.value.message
        with pytest.raises(ImageError, match="Nothing was sent") as caught:
            await studio.generate(asking())
        assert caught.value.submitted is False


# --- sent with another profile ------------------------------------------------------------------------------------


def a_profile(folder: Path) -> Path:
    (folder / "Default").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("how", [left, interrupted])
async def test_what_only_another_profiles_account_has_is_left_to_whoever_has_that_profile(
    how: Callable[..., Awaitable[Record]], tmp_path: Path
) -> None:
    own = await left(tmp_path, created_at=ago(minutes=5))
    theirs = await how(tmp_path, profile_dir=str(a_profile(tmp_path / "theirs")))
    collected = anyio.Event()

    async def tells(request: ImageRequest, report: Report) -> None:
        await collects(request, report)
        collected.set()

    web = Scripted(draw, tells)
    async with studio_with(tmp_path, web) as studio:
        with pytest.raises(ImageError, match="was sent with the browser profile") as caught:
            await studio.wait(theirs.generation_id)
        assert (caught.value.code, caught.value.submitted) == ("configuration", True)
        assert f"CHATGPT_WEB_PROFILE_DIR={tmp_path / 'theirs'}" in caught.value.next_step
        await studio.generate(asking())
        await collected.wait()  # the older one, behind the user's job
        found = await studio.library.find(theirs.generation_id)
        assert found is not None
        assert (found.record.state, found.record.owner) == (theirs.state, theirs.owner)
    assert web.collected == [own.generation_id]
    async with studio_with(tmp_path, web, profile_dir=tmp_path / "theirs") as studio:
        assert (await studio.wait(theirs.generation_id)).record.state == "saved"


async def test_what_was_sent_with_a_profile_that_was_moved_is_looked_for_and_never_given_up(tmp_path: Path) -> None:
    async def nothing(_request: ImageRequest, _report: Report) -> None:
        raise ImageError("not_found", "Nothing of ours is at the site.", submitted=True, spent="unknown")

    sent = await left(tmp_path, profile_dir=str(tmp_path / "moved"))
    async with studio_with(tmp_path, Scripted(draw, nothing)) as studio:
        record = (await studio.wait(sent.generation_id)).record
    assert (record.state, record.collectable) == ("interrupted", True)
    assert record.error is not None
    assert (record.error["code"], record.error["submitted"]) == ("network", True)
    assert "CHATGPT_WEB_PROFILE_DIR" in record.error["next_step"]
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        assert (await studio.wait(sent.generation_id)).record.state == "saved"


# --- beside an ended record --------------------------------------------------------------------------------------


async def lost(tmp_path: Path, **more: Any) -> tuple[Record, Path]:
    """A picture of the API that was in memory on a full disk; its process died while it wrote it at last."""
    told = ImageError("disk", "The disk is full.", submitted=True, spent=True).as_dict()
    ended = {"state": "failed", "finished_at": ago(minutes=1), "spent": True, "error": told}
    record = await left(tmp_path, backend="api", **(ended | more))
    entry = await Library(tmp_path / "output").find(record.generation_id)
    assert entry is not None
    (entry.folder.path / ".image.1-1.part").write_bytes(png(3))
    return record, entry.folder.path


async def test_waiting_finds_a_picture_that_was_written_and_not_recorded(tmp_path: Path) -> None:
    record, folder = await lost(tmp_path, fetched=True)
    async with studio_with(tmp_path, api=Scripted(draw), backend="api", api_key="test-key") as studio:
        standing = await studio.wait(record.generation_id)
    assert (standing.record.state, standing.record.error) == ("saved", None)
    assert [image.path for image in standing.record.images] == [str(folder / "image-01.png")]
    assert (folder / "image-01.png").read_bytes() == png(3)


async def test_who_asks_the_same_again_is_given_the_picture_that_was_not_recorded(tmp_path: Path) -> None:
    api = Scripted(draw)
    async with studio_with(tmp_path, api=api, backend="api", api_key="test-key") as studio:
        mark = (await studio.intake.accept(asking(), "0" * 32)).record.fingerprint
        record, _ = await lost(tmp_path, fingerprint=mark)
        standing = await studio.generate(asking())
    assert (standing.joined, standing.record.generation_id) == (True, record.generation_id)
    assert (standing.record.state, api.started) == ("saved", [])


@pytest.mark.parametrize(
    ("backend", "name", "state"),
    [
        ("api", "image-01.png", "saved"),
        ("chatgpt-web", "image-01.png", "saved"),
        ("api", "unrecognised-01.bin", "interrupted"),
    ],
)
async def test_what_a_process_that_died_had_written_is_told_as_sent_and_paid(
    backend: str, name: str, state: str, tmp_path: Path
) -> None:
    record = await left(tmp_path, backend=backend, submitted="unknown", spent="unknown")
    entry = await Library(tmp_path / "output").find(record.generation_id)
    assert entry is not None
    (entry.folder.path / name).write_bytes(png(3) if state == "saved" else b"no picture that we know")
    async with studio_with(tmp_path, Scripted(draw), Scripted(draw), api_key="test-key") as studio:
        found = (await studio.wait(record.generation_id)).record
    assert (found.state, found.submitted, found.spent) == (state, True, True)


async def test_cancelling_what_a_process_that_died_had_written_keeps_the_picture(tmp_path: Path) -> None:
    record = await left(tmp_path, backend="api", submitted="unknown", spent="unknown", request={"n": 2})
    entry = await Library(tmp_path / "output").find(record.generation_id)
    assert entry is not None
    (entry.folder.path / "image-01.png").write_bytes(png(3))
    async with studio_with(tmp_path, api=Scripted(draw), api_key="test-key") as studio:
        for found in (await studio.cancel(record.generation_id), await studio.wait(record.generation_id)):
            assert [Path(image.path).name for image in found.record.images] == ["image-01.png"]
            assert (found.record.state, found.record.submitted, found.record.spent) == ("cancelled", True, True)
            assert [(failure.index, failure.code) for failure in found.record.failures] == [(2, "cancelled")]


async def test_what_could_still_be_collected_can_be_cancelled_for_good(tmp_path: Path) -> None:
    web = Scripted(draw, collects)
    record = await interrupted(tmp_path)
    async with studio_with(tmp_path, web) as studio:
        for found in (await studio.cancel(record.generation_id), await studio.wait(record.generation_id)):
            assert (found.record.state, found.record.submitted, found.record.spent) == ("cancelled", True, "unknown")
    assert web.collected == []


async def test_behind_the_first_request_what_was_not_recorded_is_taken_in(tmp_path: Path) -> None:
    record, _ = await lost(tmp_path, fetched=True)
    library = Library(tmp_path / "output")
    with anyio.fail_after(60):
        async with studio_with(tmp_path, api=Scripted(draw), backend="api", api_key="test-key") as studio:
            await studio.generate(asking("another"))
            while (entry := await library.find(record.generation_id)) is None or entry.record.state != "saved":
                await anyio.lowlevel.checkpoint()


# --- the day's limit --------------------------------------------------------------------------------------------


async def test_running_generations_count_towards_the_daily_limit_and_can_still_be_joined(tmp_path: Path) -> None:
    backend = Scripted(sent_then_hangs)
    async with studio_with(tmp_path, backend, daily_limit=3) as studio:
        first = await studio.generate(asking(n=2, wait_seconds=0.1))
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking("a fox", n=2))
        again = await studio.generate(asking(n=2, wait_seconds=0.1))
        third = await studio.generate(asking("a fox", wait_seconds=0.1))
    assert (caught.value.code, caught.value.submitted) == ("quota_reached", False)
    assert again.record.generation_id == first.record.generation_id
    assert not third.joined


async def test_what_is_only_being_collected_counts_as_the_one_picture_that_was_asked_for_last(tmp_path: Path) -> None:
    waits = anyio.Event()

    async def hangs(_request: ImageRequest, _report: Report) -> None:
        waits.set()
        await anyio.sleep_forever()

    for n in (4, 4):
        await interrupted(tmp_path, request={"n": n})
    async with studio_with(tmp_path, Scripted(sent_then_hangs, hangs), daily_limit=4) as studio:
        (first, _) = await studio.library.collectable()
        await studio.wait(first.record.generation_id, 0)
        await waits.wait()
        with pytest.raises(ImageError, match="2 are being made or may have been drawn"):
            await studio.generate(asking("a fox", n=3))
        allowed = await studio.generate(asking("a fox", n=2, wait_seconds=0))
    assert not allowed.joined


# --- recovery behind the user's jobs ----------------------------------------------------------------------------


async def test_who_uses_the_api_gets_no_browser_for_what_was_left(tmp_path: Path) -> None:
    # Found behind the other one: once it has ended, that one was passed over.
    unsent = await left(tmp_path, state="queued", submitted=False, created_at=ago(minutes=5))
    orphan = await left(tmp_path)
    web = Scripted(draw, collects)

    async with studio_with(tmp_path, web, Scripted(draw), backend="api", api_key="test-key") as studio:
        await studio.generate(asking())
        with anyio.fail_after(60):
            while (entry := await studio.library.find(unsent.generation_id)) is None or not entry.record.finished:
                await anyio.lowlevel.checkpoint()
            # Whoever looks after what the site may have: it waits for the site's use, or has gone there.
            used = studio._runner.web_used  # pyright: ignore[reportPrivateUsage]
            while not used.statistics().tasks_waiting and not web.collected:
                await anyio.lowlevel.checkpoint()
        entry = await studio.library.find(orphan.generation_id)
    assert web.collected == []
    assert entry is not None
    assert not entry.record.finished


async def test_what_was_left_is_collected_one_by_one_behind_the_users_job(tmp_path: Path) -> None:
    wanted = [await left(tmp_path), await interrupted(tmp_path)]
    too_old = await interrupted(tmp_path, finished_at=ago(hours=25))
    given_up = await interrupted(tmp_path, facts={"given_up": True})
    events: list[str] = []
    finished = anyio.Event()
    go_on = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        await go_on.wait()
        await draw(request, report)
        events.append("user")

    async def one(request: ImageRequest, report: Report) -> None:
        events.append("begin")
        assert len(studio._runner.jobs) == 1  # pyright: ignore[reportPrivateUsage]
        assert studio._runner.jobs[report.generation_id].background  # pyright: ignore[reportPrivateUsage]
        await collects(request, report)
        events.append("end")
        if events.count("end") == 2:
            finished.set()

    web = Scripted(slow, one)
    async with studio_with(tmp_path, web) as studio:
        await studio.generate(asking(wait_seconds=0.3))
        assert events == []
        go_on.set()
        await finished.wait()
    assert events == ["user", "begin", "end", "begin", "end"]
    assert set(web.collected) == {record.generation_id for record in wanted}
    assert not {too_old.generation_id, given_up.generation_id} & set(web.collected)


async def test_a_person_may_be_asked_for_what_is_collected_in_the_background_once_a_call_waits_for_it(
    tmp_path: Path,
) -> None:
    left_over = await interrupted(tmp_path)
    began, go_on, seen = anyio.Event(), anyio.Event(), list[bool]()

    async def one(request: ImageRequest, report: Report) -> None:
        seen.append(report.background)
        began.set()
        await go_on.wait()
        seen.append(report.background)
        await collects(request, report)

    async with studio_with(tmp_path, Scripted(draw, one)) as studio:
        await studio.generate(asking("another"))
        await began.wait()
        await studio.wait(left_over.generation_id, 0)
        go_on.set()
        found = (await studio.wait(left_over.generation_id)).record
    assert (seen, found.state) == ([True, False], "saved")


@pytest.mark.parametrize("who", ["the same server", "another server"])
async def test_what_is_collected_behind_gives_way_to_a_prompt_and_is_collected_after_it(
    tmp_path: Path, who: str
) -> None:
    """Its turn at the site may never end: nobody waits for that, and a person waits for the prompt."""
    left_over = await interrupted(tmp_path)
    looking, drawing, ends = anyio.Event(), anyio.Event(), anyio.Event()

    async def looks(request: ImageRequest, report: Report) -> None:
        if len(web.collected) == 1:
            await report.state("generating")
            looking.set()
            await anyio.sleep_forever()
        await collects(request, report)

    async def draws(request: ImageRequest, report: Report) -> None:
        if request.prompt != "first":
            drawing.set()
            await ends.wait()
        await draw(request, report)

    web = Scripted(draws, looks)
    async with studio_with(tmp_path, web) as studio, studio_with(tmp_path, Scripted(draws)) as another:
        asked = studio if who == "the same server" else another
        await studio.generate(asking("first"))
        await looking.wait()
        second = await asked.generate(asking("second", wait_seconds=0))
        with anyio.fail_after(60):
            await drawing.wait()
        behind = await studio.library.find(left_over.generation_id)
        ends.set()
        saved = await studio.wait(second.record.generation_id)
        collected = await studio.wait(left_over.generation_id)
    assert behind is not None
    assert (behind.record.state, behind.record.error, behind.alive) == ("queued", None, True)
    assert [each.record.state for each in (saved, collected)] == ["saved", "saved"]
    assert len(web.collected) == 2


async def test_what_a_call_waits_for_does_not_give_way_though_it_was_begun_behind(tmp_path: Path) -> None:
    left_over = await interrupted(tmp_path)
    looking, go_on = anyio.Event(), anyio.Event()

    async def looks(request: ImageRequest, report: Report) -> None:
        looking.set()
        await go_on.wait()
        await collects(request, report)

    web = Scripted(draw, looks)
    async with studio_with(tmp_path, web) as studio:
        await studio.generate(asking("first"))
        await looking.wait()
        await studio.wait(left_over.generation_id, 0)
        queued = await studio.generate(asking("second", wait_seconds=0.5))
        assert (queued.record.state, web.started) == ("queued", ["first"])
        go_on.set()
        collected = await studio.wait(left_over.generation_id)
        saved = await studio.wait(queued.record.generation_id)
    assert [each.record.state for each in (collected, saved)] == ["saved", "saved"]
    assert web.collected == [left_over.generation_id]


async def test_no_person_is_asked_for_an_orphan_that_somebody_only_looks_on(tmp_path: Path) -> None:
    orphan, seen = await left(tmp_path), list[bool]()

    async def one(request: ImageRequest, report: Report) -> None:
        seen.append(report.background)
        await collects(request, report)

    async with studio_with(tmp_path, Scripted(draw, one)) as studio:
        found = (await studio.wait(orphan.generation_id, onlooker=True)).record
    assert (seen, found.state) == ([True], "saved")


async def test_whoever_waits_for_anothers_generation_goes_on_with_it_when_that_one_dies(tmp_path: Path) -> None:
    other = Attendance(tmp_path / "output", print)
    running = await left(tmp_path, owner=other.enter())
    web, found, seen = Scripted(draw, collects), list[Standing](), anyio.Event()
    async with studio_with(tmp_path, web) as studio, anyio.create_task_group() as group:

        async def look(_: object) -> None:
            seen.set()

        async def wait() -> None:
            found.append(await studio.wait(running.generation_id, 60, look))

        group.start_soon(wait)
        await seen.wait()
        other.leave()
    assert ([each.record.state for each in found], web.collected) == (["saved"], [running.generation_id])


# --- the command line's collecting ------------------------------------------------------------------------------


async def test_collecting_waits_for_a_person_to_the_end_and_one_error_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = await interrupted(tmp_path, created_at=ago(hours=1)), await interrupted(tmp_path)
    told: list[str] = []
    person = anyio.Event()

    async def asks(request: ImageRequest, report: Report) -> None:
        await report.waiting_for_person()
        await report.state("needs_sign_in")
        await person.wait()
        await collects(request, report)

    def tell(standing: Standing) -> None:
        told.append(standing.record.state)
        person.set()

    async with studio_with(tmp_path, Scripted(draw, asks)) as studio:
        adopt = studio.library.adopt

        async def breaks(generation_id: str) -> Entry | None:
            if generation_id == bad.generation_id:
                raise ImageError("disk", "There is no room.")
            return await adopt(generation_id)

        monkeypatch.setattr(studio.library, "adopt", breaks)
        found = {standing.record.generation_id: standing.record for standing in await studio.collect(tell)}
    assert told == ["needs_sign_in"]
    assert found[good.generation_id].state == "saved"
    error = found[bad.generation_id].error
    assert error is not None
    assert (error["code"], error["submitted"], error["spent"]) == ("disk", True, "unknown")


# --- half-way adoptions -----------------------------------------------------------------------------------------


def fail_once(monkeypatch: pytest.MonkeyPatch, runner: Any) -> None:
    recover = runner.recover

    def fails(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(runner, "recover", recover)
        raise ImageError("disk", "The folder cannot be read.")

    monkeypatch.setattr(runner, "recover", fails)


async def test_an_adoption_that_failed_half_way_is_told_truly_and_taken_up_by_the_next_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await interrupted(tmp_path)
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        fail_once(monkeypatch, studio._runner)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ImageError) as caught:
            await studio.wait(record.generation_id)
        standing = await studio.wait(record.generation_id)
    assert (caught.value.submitted, caught.value.spent) == (True, "unknown")
    assert standing.record.state == "saved"


async def test_an_adoption_that_failed_half_way_is_taken_up_by_the_same_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with studio_with(tmp_path, Scripted(sent_then_hangs)) as studio:
        started = await sent(studio)
    web = Scripted(draw, collects)
    async with studio_with(tmp_path, web) as studio:
        fail_once(monkeypatch, studio._runner)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking())
        standing = await studio.generate(asking())
    assert caught.value.submitted is True
    assert standing.record.generation_id == started.record.generation_id
    assert standing.record.state == "saved"
    assert web.started == []


async def test_an_adoption_that_failed_half_way_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await interrupted(tmp_path)
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        fail_once(monkeypatch, studio._runner)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ImageError):
            await studio.wait(record.generation_id)
        with anyio.fail_after(60):
            standing = await studio.cancel(record.generation_id)
    assert standing.record.state == "cancelled"


async def test_an_end_written_late_is_collected_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Folder.write
    full = True

    async def fills(self: Folder, record: Record) -> None:
        if record.finished and full:
            raise ImageError("disk", "There is no room.")
        await write(self, record)

    async def loses_its_browser(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url=f"http://site/c/{request.prompt}")
        raise ImageError("browser_failed", "The browser went away.", submitted=True)

    monkeypatch.setattr(Folder, "write", fills)
    web = Scripted(loses_its_browser, collects)
    async with studio_with(tmp_path, web) as studio:
        first = await studio.generate(asking())
        full = False
        standing = await studio.wait(first.record.generation_id)
    assert first.record.state == "interrupted"
    assert standing.record.state == "saved"
    assert web.collected == [first.record.generation_id]
