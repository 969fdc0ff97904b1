"""Whose picture a call gets, and whose it stays."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import SIDECAR
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio import studio as module
from cdp_image_mcp.system.tasks import background
from tests.library.making import ago
from tests.studio.leaving import asking, collects, interrupted, sent_then_hangs
from tests.studio.scripted import Scripted, draw, settings, studio_with

pytestmark = pytest.mark.anyio


def on_disk(folder: str) -> dict[str, Any]:
    return json.loads((Path(folder) / SIDECAR).read_bytes())


async def test_nothing_is_left_to_wait_for_in_an_empty_house(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        with pytest.raises(ImageError) as caught:
            await studio.wait(None)
    assert caught.value.code == "not_found"


async def test_a_call_without_an_id_gets_what_its_own_server_began_and_not_last_weeks_orphan(tmp_path: Path) -> None:
    await interrupted(tmp_path, created_at=ago(days=7), updated_at=ago(days=7), finished_at=ago(days=7))
    web, api = Scripted(draw, collects), Scripted(draw)
    async with studio_with(tmp_path, web, api, backend="api", api_key="k") as studio:
        first = await studio.generate(asking())  # the answer is lost
        assert (await studio.wait(None)).record.generation_id == first.record.generation_id
        await studio.fetched(await studio.wait(None))
        assert (await studio.wait(None)).record.generation_id == first.record.generation_id
    assert web.collected == []


@pytest.mark.parametrize("state", ["interrupted", "saved", "refused"])
async def test_what_nobody_has_worked_on_for_a_day_comes_only_by_its_id(tmp_path: Path, state: str) -> None:
    """As the answer to another wish it would be a wrong picture, or an old failure."""
    days = ago(days=2)
    old = await interrupted(tmp_path, state=state, created_at=days, updated_at=days, finished_at=days)
    web = Scripted(draw, collects)
    async with studio_with(tmp_path, web) as studio:
        with pytest.raises(ImageError, match=old.generation_id):
            await studio.wait(None)
        assert (await studio.wait(old.generation_id)).record.state == ("saved" if state == "interrupted" else state)


async def test_what_was_left_in_the_middle_comes_before_what_another_run_has_given_out(tmp_path: Path) -> None:
    left = await interrupted(tmp_path)
    await interrupted(tmp_path, state="saved", created_at=ago(minutes=-1), fetched=True)
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        assert (await studio.wait(None)).record.generation_id == left.generation_id
        mine = await studio.generate(asking())
        await studio.fetched(mine)
        await interrupted(tmp_path)
        assert (await studio.wait(None)).record.generation_id == mine.record.generation_id


async def test_the_order_is_mine_running_mine_unfetched_others_running_and_then_the_rest(tmp_path: Path) -> None:
    going = anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        if request.prompt == "mine, running":
            await going.wait()
        await draw(request, report)

    left = await interrupted(tmp_path)
    async with (
        studio_with(tmp_path, Scripted(draw, collects)) as studio,
        studio_with(tmp_path, api=Scripted(sent_then_hangs), backend="api", api_key="k") as other,
    ):
        assert (await studio.wait(None)).record.generation_id == left.generation_id
        theirs = await other.generate(asking("theirs", wait_seconds=0))
        assert (await studio.wait(None, 0)).record.generation_id == theirs.record.generation_id
        mine = await studio.generate(asking("mine, whole"))
        assert (await studio.wait(None, 0)).record.generation_id == mine.record.generation_id
    async with studio_with(tmp_path, Scripted(slow)) as studio:
        mine = await studio.generate(asking("mine, whole again"))
        running = await studio.generate(asking("mine, running", wait_seconds=0))
        assert (await studio.wait(None, 0)).record.generation_id == running.record.generation_id
        going.set()
        await studio.fetched(await studio.wait(None))
        assert (await studio.wait(None, 0)).record.generation_id == mine.record.generation_id


async def test_another_clients_picture_is_shown_and_stays_to_be_fetched(tmp_path: Path) -> None:
    web = Scripted(draw)
    async with studio_with(tmp_path, web) as theirs, studio_with(tmp_path, Scripted(draw)) as mine:
        made = await theirs.generate(asking())  # the answer is lost
        shown = await mine.wait(None)
        assert shown.record.generation_id == made.record.generation_id
        assert shown.notes == (module.OF_ANOTHER,)
        await mine.fetched(shown)
        assert on_disk(made.folder)["fetched"] is False
        again = await theirs.generate(asking())
        assert (again.joined, again.notes) == (True, ())
        await theirs.fetched(again)
        assert on_disk(made.folder)["fetched"] is True
    assert web.started == ["a bear"]


async def test_another_client_that_waits_for_a_picture_keeps_its_owner_from_nothing(tmp_path: Path) -> None:
    """Programs give a call up at their limit and ask the same again."""
    web, looks_on = Scripted(sent_then_hangs), anyio.Event()

    async def hears(_: module.News) -> None:
        looks_on.set()

    with anyio.fail_after(30):
        async with studio_with(tmp_path, web) as theirs, studio_with(tmp_path, Scripted(draw)) as mine:
            made = await theirs.generate(asking(wait_seconds=0))
            async with background() as group:
                group.start_soon(mine.wait, made.record.generation_id, 600, hears)
                await looks_on.wait()
                again = await theirs.generate(asking(wait_seconds=0))
    assert (again.joined, again.record.generation_id) == (True, made.record.generation_id)


async def test_whoever_joins_anothers_picture_has_it(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as theirs, studio_with(tmp_path, Scripted(draw)) as mine:
        await theirs.generate(asking())
        joined = await mine.generate(asking())
        await mine.fetched(joined)
    assert joined.joined
    assert on_disk(joined.folder)["fetched"] is True


async def test_the_heir_of_a_server_that_is_gone_has_what_it_left(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        await studio.generate(asking())
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        shown = await studio.wait(None)
        await studio.fetched(shown)
        assert shown.notes == ()
        assert not (await studio.generate(asking())).joined


async def never_heard(folder: Path) -> None:
    await anyio.sleep_forever()


async def test_cancelling_what_another_process_does_not_let_go_says_that_the_wish_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_FOR_OTHERS", 0.1)
    monkeypatch.setattr("cdp_image_mcp.studio.jobs.stopfile.wanted", never_heard)
    async with (
        studio_with(tmp_path, api=Scripted(sent_then_hangs), backend="api", api_key="k") as theirs,
        studio_with(tmp_path, Scripted(draw)) as mine,
    ):
        running = await theirs.generate(asking(wait_seconds=0))
        standing = await mine.cancel(running.record.generation_id)
        assert (standing.record.finished, standing.notes) == (False, (module.WISH_LEFT,))
        assert (Path(running.folder) / ".cancel").exists()


async def test_the_first_picture_that_auto_has_a_key_pay_for_says_so_once(tmp_path: Path) -> None:
    key: dict[str, Any] = {"backend": "auto", "api_key": "k"}
    async with studio_with(tmp_path, api=Scripted(draw), **key) as studio:
        assert (await studio.generate(asking("named", backend="api"))).notes == ()
        assert (await studio.generate(asking())).notes == (module.WHO_PAYS,)
        assert (await studio.generate(asking("a fox"))).notes == ()
    async with studio_with(tmp_path, api=Scripted(draw), **key) as studio:
        assert (await studio.generate(asking("a hare"))).notes == ()
    async with studio_with(tmp_path / "another", Scripted(draw)) as studio:
        assert (await studio.generate(asking())).notes == ()


async def test_a_look_up_of_news_that_fails_fails_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEWS_SECONDS", 0.01)
    asked = anyio.Event()

    async def listener(_: object) -> None:
        raise AssertionError("there is no news")

    web = Scripted(draw)
    async with studio_with(tmp_path, web) as studio:
        find, news = studio._current, 0  # pyright: ignore[reportPrivateUsage]

        async def busy(generation_id: str) -> Any:
            nonlocal news
            news += 1
            if news > 1:
                asked.set()
                raise ImageError("disk", "The index has been locked for 10 s.")
            return await find(generation_id)

        async def waits(request: ImageRequest, report: Report) -> None:
            await asked.wait()
            await draw(request, report)

        web.play = waits
        monkeypatch.setattr(studio, "_current", busy)
        standing = await studio.generate(asking(), listener)
    assert standing.record.state == "saved"


async def test_going_on_means_the_picture_that_ended_last_and_not_the_one_whose_time_looks_largest(
    tmp_path: Path,
) -> None:
    """Times of several zones: as text 23:00 of Tokyo is later than 16:00 of Paris, and it is two hours earlier."""
    seen: list[ImageRequest] = []

    async def sees(request: ImageRequest, report: Report) -> None:
        seen.append(request)
        await draw(request, report)

    web, api = Scripted(sees), Scripted(draw)
    async with studio_with(tmp_path, web, api, backend="auto", api_key="k") as studio:
        early = await studio.generate(asking("early", backend="api"))
        late = await studio.generate(asking("late", backend="chatgpt-web"))
        for standing, at in ((early, "2026-11-25T23:00:00+09:00"), (late, "2026-11-25T16:00:00+01:00")):
            path = Path(standing.folder) / SIDECAR
            tree = json.loads(path.read_bytes()) | {"created_at": at, "finished_at": at, "updated_at": at}
            path.write_text(json.dumps(tree))
        await studio.library.rescan()
        await studio.generate(asking("go on", conversation_mode="continue"))
    assert settings(tmp_path).output_dir.exists()
    assert [request.continue_from for request in seen if request.prompt == "go on"] == [late.record.generation_id]


async def test_an_end_that_is_told_late_says_nothing_of_the_one_that_is_collected_meanwhile(tmp_path: Path) -> None:
    go = anyio.Event()

    async def breaks(request: ImageRequest, report: Report) -> None:
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
        await report.state("generating", submitted=True, conversation_id="1", conversation_url="http://site/c/1")
        raise ImageError("browser_failed", "It was closed.", submitted=True)

    async def late(request: ImageRequest, report: Report) -> None:
        await go.wait()
        await collects(request, report)

    async with studio_with(tmp_path, Scripted(breaks, late)) as studio:
        first = await studio.generate(asking())
        assert first.record.state == "interrupted"
        await studio.wait(first.record.generation_id, 0)  # it is collected from now on
        await studio.fetched(first)
        go.set()
        saved = await studio.wait(first.record.generation_id)  # and this answer is lost
        assert (saved.record.state, on_disk(saved.folder)["fetched"]) == ("saved", False)
        assert (await studio.generate(asking())).joined
