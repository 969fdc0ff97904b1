"""What a caller is told at the end about sending, paying and calling again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from cdp_image_mcp.cdp.errors import DebuggingForbidden, LaunchError, NeedsNoSandbox, NoDisplay, ProfileNotWritable
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.errors import CODES, Code, ImageError
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.ending import ADVICE, UNREACHED
from cdp_image_mcp.studio.jobs.job import Job
from cdp_image_mcp.studio.steering import account_of
from tests.studio.leaving import asking, collects, interrupted, left
from tests.studio.scripted import Play, Scripted, draw, png, studio_with

pytestmark = pytest.mark.anyio

API: dict[str, Any] = {"backend": "api", "api_key": "test-key"}


def fails(code: Code, *, after: int = 0, **facts: Any) -> Play:
    """Sent, ``after`` pictures saved, then that end."""

    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        for number in range(after):
            await report.save(png(number))
        raise ImageError(code, "It broke.", submitted=True, **facts)

    return play


async def ended(folder: Path, play: Play, *, api: bool, **arguments: Any) -> dict[str, Any]:
    """The error that a generation ended with."""
    backend = Scripted(play)
    web, at_api = (None, backend) if api else (backend, None)
    async with studio_with(folder, web, at_api, **(API if api else {})) as studio:
        standing = await studio.generate(GenerateImage(prompt="a bear", **arguments))
    assert standing.record.error is not None
    return standing.record.error


RETRYABLE = [code for code, rule in CODES.items() if rule.retryable]


@pytest.mark.parametrize("code", RETRYABLE)
async def test_what_the_api_may_have_been_paid_for_is_not_retryable_and_nothing_is_to_be_collected(
    code: Code, tmp_path: Path
) -> None:
    error = await ended(tmp_path, fails(code), api=True)
    assert (error["spent"], error["retryable"]) == ("unknown", False)
    assert error["next_step"].endswith(ADVICE["lost"])


async def test_advice_that_its_raiser_gave_is_kept(tmp_path: Path) -> None:
    error = await ended(tmp_path, fails("service_error", next_step="Look into the account."), api=True)
    assert (error["retryable"], error["next_step"]) == (False, "Look into the account.")


async def test_what_was_certainly_not_paid_stays_retryable(tmp_path: Path) -> None:
    error = await ended(tmp_path, fails("rate_limited", spent=False), api=True)
    assert (error["spent"], error["retryable"]) == (False, True)


@pytest.mark.parametrize("code", ["needs_sign_in", "verification_required"])
async def test_a_prompt_that_the_site_refused_is_not_to_be_collected(code: Code, tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(fails(code, spent=False))) as studio:
        record = (await studio.generate(asking())).record
    assert (record.state, record.collectable, record.spent) == ("failed", False, False)
    assert record.error is not None
    assert record.error["next_step"] == CODES[code].next_step


async def test_pictures_already_paid_make_the_same_call_no_retry(tmp_path: Path) -> None:
    error = await ended(tmp_path, fails("rate_limited", after=1, spent=False), api=True, n=2)
    assert (error["spent"], error["retryable"]) == (True, False)
    assert "missing" in error["next_step"]


async def test_a_fault_of_the_site_after_sending_is_not_retryable(tmp_path: Path) -> None:
    error = await ended(tmp_path, fails("service_error"), api=False)
    assert (error["spent"], error["retryable"]) == ("unknown", False)


async def test_what_is_left_at_the_site_may_be_tried_again_by_waiting(tmp_path: Path) -> None:
    error = await ended(tmp_path, fails("timeout"), api=False)
    assert error["retryable"] is True
    assert "wait_for_image" in error["next_step"]


async def test_a_try_that_sent_nothing_is_not_told_as_if_nothing_had_been_sent_before(tmp_path: Path) -> None:
    """As where an earlier prompt is out, and its page cannot be opened any more."""

    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        raise ImageError("rate_limited", "There were too many requests. Nothing was sent.")

    error = await ended(tmp_path, play, api=False)
    assert (error["submitted"], error["message"]) == (True, "There were too many requests. Nothing more was sent.")


async def test_a_later_prompt_of_which_nobody_knows_whether_it_was_taken_is_looked_for_at_the_site(
    tmp_path: Path,
) -> None:
    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        await report.save(png(0))
        raise ImageError("service_error", "It broke off.", submitted="unknown")

    error = await ended(tmp_path, play, api=False, n=2)
    assert (error["submitted"], error["spent"]) == (True, True)
    assert "wait_for_image" in error["next_step"]


def fails_before_sending(code: Code) -> Play:
    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("starting")
        raise ImageError(code, "It broke.")

    return play


@pytest.mark.parametrize("code", sorted(UNREACHED))
async def test_what_may_be_at_the_site_is_to_be_waited_for_and_not_asked_for_again(code: Code, tmp_path: Path) -> None:
    error = await ended(tmp_path, fails(code), api=False)
    assert "call wait_for_image" in error["next_step"].replace("Call", "call")
    assert "call again" not in error["next_step"]


@pytest.mark.parametrize(
    "fault",
    [
        ProfileNotWritable(Path("profile"), "no space left"),
        DebuggingForbidden("A policy forbids it"),
        NeedsNoSandbox(),
        NoDisplay(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_browser_that_cannot_start_again_costs_no_second_picture(fault: LaunchError, tmp_path: Path) -> None:
    """Another profile or the API would not join what is out, and pay for it again."""

    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=True, conversation_url="http://site/c/1")
        raise problem(fault, True)

    step = (await ended(tmp_path, play, api=False))["next_step"]
    assert step.startswith("Ask the user to ")
    assert step.endswith(ADVICE["collect"])
    for other_way in ("call again", "PROFILE_DIR", "API"):
        assert other_way not in step


@pytest.mark.parametrize("sent", [False, True])
async def test_a_report_of_the_page_is_named_where_there_is_one(tmp_path: Path, sent: bool) -> None:
    async def play(_request: ImageRequest, report: Report) -> None:
        await report.state("generating", submitted=sent, **({"conversation_url": "http://site/c/1"} if sent else {}))
        raise ImageError("site_changed", "Gone.", submitted=sent, details={"page_structure": {"main": []}})

    named = await ended(tmp_path / "named", play, api=False)
    without = await ended(tmp_path / "without", fails("site_changed"), api=False)
    assert Path(named["details"]["report"]).is_file()
    assert "details.report" in named["next_step"]
    assert "details.report" not in without["next_step"]


@pytest.mark.parametrize("fault", [fails, fails_before_sending])
async def test_whoever_is_to_update_is_told_that_the_running_program_stays_the_old_one(
    fault: Callable[[Code], Play], tmp_path: Path
) -> None:
    error = await ended(tmp_path, fault("site_changed"), api=False)
    assert "update cdp-image-mcp and to restart the client" in error["next_step"]


@pytest.mark.parametrize("code", sorted(UNREACHED))
async def test_where_nothing_was_sent_nothing_is_to_be_waited_for(code: Code, tmp_path: Path) -> None:
    error = await ended(tmp_path, fails_before_sending(code), api=False)
    assert (error["submitted"], error["spent"]) == (False, False)
    assert "wait_for_image" not in error["next_step"]


async def leaves(_request: ImageRequest, report: Report) -> None:
    """Its server ends between the record that something may go out and the request: the first takes up to a second."""
    assert isinstance(report, Job)
    await report.state("submitting", submitted="unknown", spent="unknown")
    report.leaving = True
    try:
        report.may_send()
    except ImageError as error:
        await report.state("starting", submitted=False, spent=False)
        error.submitted = error.spent = False
        raise


async def test_what_the_end_of_the_server_kept_from_being_sent_may_be_asked_for_again(tmp_path: Path) -> None:
    error = await ended(tmp_path, leaves, api=True)
    assert (error["code"], error["submitted"], error["spent"], error["retryable"]) == ("cancelled", False, False, True)
    assert error["next_step"] == ADVICE["unspent"]


async def test_a_quota_met_after_two_pictures_does_not_unpay_them(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(fails("quota_reached", after=2, spent=False))) as studio:
        standing = await studio.generate(asking(n=4))
    record = standing.record
    assert (record.state, record.submitted, record.spent) == ("partial", True, True)


async def test_pictures_that_were_never_asked_for_are_told_so(tmp_path: Path) -> None:
    lost = await left(tmp_path, request={"n": 3})
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        record = (await studio.wait(lost.generation_id)).record
    assert record.state == "partial"
    assert [(failure.index, failure.code) for failure in record.failures] == [(2, "cancelled"), (3, "cancelled")]
    assert "asked for" in record.failures[0].message


async def test_failures_are_gone_when_the_pictures_are_there(tmp_path: Path) -> None:
    web = Scripted(fails("timeout", after=1), collects)
    async with studio_with(tmp_path, web) as studio:
        first = await studio.generate(asking(n=2))
        assert [failure.index for failure in first.record.failures] == [2]
        record = (await studio.wait(first.record.generation_id)).record
    assert (record.state, len(record.images), record.failures) == ("saved", 2, [])


async def test_who_waits_again_as_soon_as_an_end_is_told_has_it_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That others may go on with it is noted on disk, which takes its time."""
    really = Library.let_go

    async def late(library: Library, generation_id: str) -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        await really(library, generation_id)

    monkeypatch.setattr(Library, "let_go", late)
    async with studio_with(tmp_path, Scripted(fails("timeout", after=1), collects)) as studio:
        first = await studio.generate(asking(n=2))
        record = (await studio.wait(first.record.generation_id)).record
    assert (first.record.state, record.state) == ("interrupted", "saved")


async def test_what_was_collected_says_nothing_about_a_rest(tmp_path: Path) -> None:
    lost = await interrupted(tmp_path)
    async with studio_with(tmp_path, Scripted(draw, collects)) as studio:
        who, site = account_of(studio.settings, "chatgpt-web"), Ledger(studio.settings.profile_dir)
        await site.rest_until(who, "quota_reached", "2999-01-01T00:00:00+00:00")
        assert (await studio.wait(lost.generation_id)).record.state == "saved"
        assert await site.resting(who) is not None
