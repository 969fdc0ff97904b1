"""When auto goes on with the other back end: what is remembered, and what its record says."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cdp import errors
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, Timings
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.jobs.job import Job
from cdp_image_mcp.studio.standing import News, standing_of
from cdp_image_mcp.studio.steering import account_of
from cdp_image_mcp.system.day import in_seconds
from fixtures.images_api import error, running_api
from tests.library.making import a_record, create, finished
from tests.studio.leaving import asking
from tests.studio.scripted import Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio

AUTO: dict[str, Any] = {"backend": "auto", "api_key": "test-key"}


async def refuses(request: ImageRequest, report: Report) -> None:
    await report.state(
        "submitting", sent_prompt=request.prompt, model="gpt-image-9", sent_parameters={"n": 1}, requests=1
    )
    raise ImageError("api_key_invalid", "The key is not taken.")


async def test_our_own_daily_limit_puts_the_web_to_no_rest(tmp_path: Path) -> None:
    began, go_on = anyio.Event(), anyio.Event()

    async def slow(request: ImageRequest, report: Report) -> None:
        began.set()
        await go_on.wait()
        await refuses(request, report)

    web = Scripted(draw)
    async with studio_with(tmp_path, web, Scripted(slow), daily_limit=3, **AUTO) as studio:
        waiting = await studio.generate(asking("a fox", n=2, wait_seconds=0))
        await began.wait()
        await studio.generate(asking("a hare", n=2, backend="chatgpt-web"))
        go_on.set()
        refused = (await studio.wait(waiting.record.generation_id)).record
        site = Ledger(studio.settings.profile_dir)
        assert await site.resting(account_of(studio.settings, "chatgpt-web")) is None
        allowed = await studio.generate(asking("a bear", backend="chatgpt-web"))
    assert refused.error is not None
    assert (refused.error["code"], refused.submitted) == ("quota_reached", False)
    assert (allowed.record.state, web.started) == ("saved", ["a hare", "a bear"])


async def test_the_api_leaves_half_of_the_time_to_the_site(tmp_path: Path) -> None:
    """A limit that would clear after half of it is no longer waited for where the site can make the picture."""
    web = Scripted(draw)
    with running_api() as api, anyio.fail_after(60):
        api.always = error("rate", {"retry-after": "250"})
        own: dict[str, Any] = {"base_url": api.url, "compat": "openai"}
        async with studio_with(tmp_path, web, **AUTO, **own) as studio:
            record = (await studio.generate(asking(wait_seconds=50))).record
    assert (record.state, record.backend, record.fallback_reason) == ("saved", "chatgpt-web", "rate_limited")
    assert len(api.posts) == 1


async def test_when_both_ways_fail_the_answer_tells_why_the_first_one_did(tmp_path: Path) -> None:
    async def no_browser(_request: ImageRequest, _report: Report) -> None:
        raise problem(errors.BrowserNotFound("no google-chrome on PATH"), sent=False)

    async with studio_with(tmp_path, Scripted(no_browser), Scripted(refuses), **AUTO) as studio:
        error = (await studio.generate(asking())).record.error
    assert error is not None
    assert error["code"] == "browser_not_found"
    assert error["message"].endswith("on PATH. api came first and could not: api_key_invalid.")


async def test_after_a_change_of_way_the_record_tells_of_the_new_one_only(tmp_path: Path) -> None:
    async def draws(request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        raise ImageError("refused", "Not this one.", submitted=True)

    async with studio_with(tmp_path, Scripted(draws), Scripted(refuses), **AUTO) as studio:
        record = (await studio.generate(asking())).record
    assert (record.backend, record.fallback_from) == ("chatgpt-web", "api")
    assert (record.model, record.sent_prompt) == (None, None)
    assert "sent_parameters" not in record.facts
    assert "requests" not in record.facts


async def test_what_the_web_told_of_itself_before_it_could_not_is_no_fact_about_a_picture_of_the_api(
    tmp_path: Path,
) -> None:
    async def no_browser(_request: ImageRequest, report: Report) -> None:
        await report.state("starting", mode="direct-cdp", profile_dir="/profile", session_reused=False)
        await report.state("starting", conversation_id="1", conversation_url="http://site/c/1")
        report.progress("starting the browser")
        raise ImageError("browser_failed", "It did not start.")

    async def at_the_api(request: ImageRequest, report: Report) -> None:
        told.append(standing_of(studio_job(report)).news)
        await report.state("submitting", sent_prompt=request.prompt, submitted="unknown", model="gpt-image-9")
        await report.save(png())

    def studio_job(report: Report) -> Job:
        assert isinstance(report, Job)
        return report

    told: list[News | None] = []
    async with studio_with(tmp_path, Scripted(no_browser), Scripted(at_the_api), **AUTO) as studio:
        ledger = Ledger(studio.settings.output_dir)
        await ledger.rest_until(account_of(studio.settings, "api"), "billing", in_seconds(3600))
        record = (await studio.generate(asking())).record
    assert (record.state, record.backend, record.fallback_from) == ("saved", "api", "chatgpt-web")
    assert (record.mode, record.profile_dir, record.session_reused) == (None, None, None)
    assert (record.conversation_id, record.conversation_url) == (None, None)
    assert [news.message for news in told if news] == ["queued"]


async def test_a_fault_while_one_end_is_written_leaves_the_other_jobs_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, broken = anyio.Event(), anyio.Event()
    write = Folder.write

    async def breaks(self: Folder, record: Record) -> None:
        if record.prompt == "a fox" and record.finished:
            broken.set()
            raise TypeError("a fact that is no JSON")
        await write(self, record)

    async def slow(request: ImageRequest, report: Report) -> None:
        drawing.set()
        await broken.wait()
        await draw(request, report)

    async def fails(_request: ImageRequest, _report: Report) -> None:
        raise ImageError("service_error", "It broke.")

    monkeypatch.setattr(Folder, "write", breaks)
    async with studio_with(tmp_path, Scripted(slow), Scripted(fails), api_key="test-key") as studio:
        good = await studio.generate(asking(wait_seconds=0))
        await drawing.wait()
        await studio.generate(asking("a fox", backend="api", wait_seconds=0))
        standing = await studio.wait(good.record.generation_id)
    assert standing.record.state == "saved"


async def test_after_the_change_the_times_are_those_of_the_other_way(tmp_path: Path) -> None:
    drawing = anyio.Event()

    async def draws(_: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True)
        drawing.set()
        await anyio.sleep_forever()

    library = Library(tmp_path / "output")
    for backend, seconds in (("api", 20.0), ("chatgpt-web", 60.0)):
        record = a_record(fingerprint=backend, backend=backend, timings=Timings(generate=seconds))
        await finished(library, await create(library, record), record)
    async with studio_with(tmp_path, Scripted(draws), Scripted(refuses), **AUTO) as studio:
        asked = await studio.generate(asking("a fox", wait_seconds=0))
        await drawing.wait()
        news = studio.news(asked.record.generation_id)
    assert news is not None
    assert news.expected == 60.0


async def test_without_a_readable_index_for_its_statistics_a_generation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: Library, backend: str) -> float:
        raise ImageError("disk", f"The index is kept busy by others; nothing is known of {backend}.")

    monkeypatch.setattr(Library, "typical_seconds", busy)
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        assert (await studio.generate(asking("a fox"))).record.state == "saved"
