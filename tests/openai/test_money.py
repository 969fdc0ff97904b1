"""What pictures cost: before, after, and how the day's budget is kept."""

import base64
import math
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.mcp_server.ways import InstalledWays
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.estimate import estimate
from cdp_image_mcp.openai.models import MODELS
from cdp_image_mcp.openai.prices import cost, grid_tokens, input_image_tokens
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.limits import dollars_beyond
from cdp_image_mcp.studio.steering import account_of
from cdp_image_mcp.studio.studio import Studio, open_studio
from fixtures.images_api import ImagesApi, cut, draw, error, png, raw, usage_of
from tests.library.making import a_record, ago
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask, settings
from tests.studio.scripted import Scripted, studio_with
from tests.studio.scripted import draw as scripted_draw

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("cells", "wide", "high", "tokens"),
    [
        (16, 1024, 1024, 196),
        (24, 1024, 1024, 439),
        (48, 1024, 1024, 1756),
        (64, 1024, 1024, 3122),
        (96, 1024, 1024, 7024),
        (48, 1024, 1536, 1372),
        (16, 1536, 864, 120),
        (16, 1536, 1024, 158),
        (64, 1536, 1024, 2459),
        (96, 1536, 864, 4312),
        (16, 2048, 2048, 397),
        (64, 2048, 1152, 2511),
        (96, 3840, 2160, 13342),
        (24, 3840, 2160, 865),
    ],
)
def test_output_tokens_agree_with_every_published_figure(cells: int, wide: int, high: int, tokens: int) -> None:
    assert grid_tokens(cells, wide, high) == tokens
    assert grid_tokens(cells, high, wide) == tokens


@pytest.mark.parametrize(("quality", "dollars"), [("low", 0.006), ("medium", 0.053), ("high", 0.211)])
def test_the_estimate_of_a_square_agrees_with_the_guides_price(quality: str, dollars: float) -> None:
    found = estimate(settings(), ask(quality=quality, size="1024x1024"))
    assert found["cost_usd_high"] == pytest.approx(dollars, abs=0.0006)
    assert found["cost_usd_low"] == found["cost_usd_high"]
    assert "2026-04-21" in found["basis"]


def test_an_estimate_of_auto_spans_low_to_high_and_grows_with_n() -> None:
    one, four = estimate(settings(), ask()), estimate(settings(), ask(n=4))
    assert one["output_tokens_low"] < one["output_tokens_high"] == 7024
    assert four["cost_usd_high"] == pytest.approx(4 * 7024 * 30 / 1e6, rel=0.01)


def test_an_estimate_of_an_unknown_model_says_so() -> None:
    found = estimate(settings(model="mystery"), ask())
    assert found["cost_usd_high"] is None
    assert "no price is known for mystery" in found["basis"]


def test_a_local_server_costs_nothing() -> None:
    assert estimate(settings(compat="localai", model="flux"), ask())["cost_usd_high"] == 0


def test_uncertain_figures_widen_the_estimate() -> None:
    found = estimate(settings(model="gpt-image-2.6-flare"), ask(quality="low", size="1024x1024"))
    assert (found["output_tokens_low"], found["output_tokens_high"]) == (196, 784)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (usage_of(1), (20 * 5 + 1756 * 30) / 1e6),
        (usage_of(2, references=3), (20 * 5 + 3072 * 8 + 3512 * 30) / 1e6),
        ({"input_tokens": 10, "output_tokens": 196}, (10 * 8 + 196 * 30) / 1e6),
        ({"output_tokens": "many"}, None),
        ({"input_tokens": 20}, None),  # nothing is told of the picture
        # A split that names other kinds, or nothing: what it does not name was an output all the same.
        ({**usage_of(1), "output_tokens_details": {"reasoning_tokens": 0}}, (20 * 5 + 1756 * 30) / 1e6),
        (
            {**usage_of(1), "output_tokens_details": {"image_tokens": 0, "text_tokens": 56}},
            (20 * 5 + 56 * 10 + 1700 * 30) / 1e6,
        ),
        ({**usage_of(1), "input_tokens_details": {"cached_tokens": 0}}, (20 * 8 + 1756 * 30) / 1e6),
        ({}, None),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
    ],
)
def test_usage_becomes_dollars(usage: dict[str, Any], dollars: float | None) -> None:
    price = MODELS["gpt-image-2"].price
    assert price is not None
    assert cost(price, usage) == (None if dollars is None else pytest.approx(dollars))


def test_reference_pictures_are_counted_as_measured() -> None:
    assert input_image_tokens(1024, 1024) == 1024
    assert input_image_tokens(128, 128) == 64


async def asked(api: ImagesApi, folder: Path, budget: float, *prompts: str, **fields: Any) -> list[Record]:
    """The records of generations that were asked for at once, of those alone that were not refused."""
    records: list[Record] = []
    refusals: list[ImageError] = []
    values: dict[str, Any] = {"backend": "api", "base_url": api.url, "compat": "openai", "api_key": KEY}
    values |= {name: fields.pop(name) for name in ("model", "compat", "resend_unclear") if name in fields}

    async def one(studio: Studio, prompt: str) -> None:
        try:
            records.append((await studio.generate(GenerateImage(prompt=prompt, **fields))).record)
        except ImageError as refusal:
            refusals.append(refusal)

    limited = Settings(output_dir=folder / "p", profile_dir=folder / "q", budget_usd=budget, wait_seconds=20, **values)
    with anyio.fail_after(40):
        async with open_studio(limited, InstalledWays()) as studio, anyio.create_task_group() as group:
            for prompt in prompts:
                group.start_soon(one, studio, prompt)
    for refusal in refusals:
        assert (refusal.code, refusal.submitted, refusal.spent) == ("billing", False, False)
        assert refusal.details["budget_usd"] == budget
        assert refusal.reset_at is not None
    return records


SQUARE: dict[str, Any] = {"size": "1024x1024", "quality": "high"}


async def test_a_request_beyond_the_days_budget_is_refused_before_sending(api: ImagesApi, tmp_path: Path) -> None:
    assert await asked(api, tmp_path, 0.2, "a fox", **SQUARE) == []
    assert api.log == []
    assert len(await asked(api, tmp_path, 0.2, "a fox", size="1024x1024", quality="low")) == 1


async def test_requests_under_way_count_against_the_budget(api: ImagesApi, tmp_path: Path) -> None:
    # Each may cost $0.211, and does: two fit into half a dollar, whether the first has ended or not.
    api.always = draw(extra={"usage": usage_of(1, tokens=7024)})
    made = await asked(api, tmp_path, 0.5, "a", "b", "c", "d", **SQUARE)
    assert [record.state for record in made] == ["saved", "saved"]
    assert len(api.posts) == 2


async def test_an_svg_is_booked_at_the_worst_for_its_author_is_billed_apart(api: ImagesApi, tmp_path: Path) -> None:
    svg = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='24'/>").decode()
    told = {"usage": usage_of(1), "svg_usage": {"input_tokens": 900, "output_tokens": 4000}}
    api.always = draw(items=[{"b64_json": svg}], extra=told)
    (made,) = await asked(api, tmp_path, 5.0, "a logo", model="gpt-image-2.6-flare", output_format="svg")
    assert (made.state, made.cost_usd) == ("saved", None)
    assert made.booked_usd is not None
    assert made.booked_usd > 0.05


async def test_what_is_not_used_up_comes_back_and_what_was_spent_stays(api: ImagesApi, tmp_path: Path) -> None:
    (first,) = await asked(api, tmp_path, 0.25, "a", **SQUARE)
    assert (first.reserved_usd, first.booked_usd) == (0.0, first.cost_usd)
    assert first.cost_usd == pytest.approx(0.0528, abs=0.0001)  # the stand-in tells of a cheaper one
    assert await asked(api, tmp_path, 0.25, "b", **SQUARE) == []
    assert len(await asked(api, tmp_path, 0.27, "b", **SQUARE)) == 1


async def test_a_budget_is_exact_to_the_millionth(api: ImagesApi, tmp_path: Path) -> None:
    """In binary fractions a tenth and two tenths are more than three."""
    entries = [Entry(_spent(usd), Folder(tmp_path), alive=False) for usd in (0.1, 0.1)]
    assert dollars_beyond(0.3, 0.1, entries) is None
    assert dollars_beyond(0.3, 0.100001, entries) is not None


async def test_of_several_that_change_to_the_api_at_once_no_more_go_than_the_budget_allows(tmp_path: Path) -> None:
    """It had no credit a moment ago, so the site was asked first, and cannot do it."""
    both, refused = anyio.Event(), anyio.Event()

    async def cannot(_request: ImageRequest, _report: Report) -> None:
        await both.wait()
        raise ImageError("browser_not_found", "There is none.")

    async def slow(request: ImageRequest, report: Report) -> None:
        await refused.wait()
        await scripted_draw(request, report)

    auto: dict[str, Any] = {"backend": "auto", "api_key": "k", "budget_usd": 0.3}
    async with studio_with(tmp_path, Scripted(cannot), Scripted(slow), **auto) as studio:
        who = account_of(studio.settings, "api")
        await Ledger(studio.settings.output_dir).rest_until(who, "billing", ago(hours=-1))
        asked = [GenerateImage(prompt=prompt, wait_seconds=0, **SQUARE) for prompt in ("a", "b")]
        ids = [(await studio.generate(each)).record.generation_id for each in asked]
        both.set()
        while not any([(await studio.wait(each, 0.05)).record.finished for each in ids]):
            continue
        refused.set()
        records = [(await studio.wait(each)).record for each in ids]
    assert sorted(record.state for record in records) == ["failed", "saved"]
    assert [record.error["code"] for record in records if record.error] == ["billing"]


def _spent(usd: float) -> Record:
    return a_record(backend="api", state="saved", finished_at=now(), booked_usd=usd)


async def test_a_request_whose_end_nobody_told_counts_as_the_worst_case(api: ImagesApi, tmp_path: Path) -> None:
    api.play(cut("headers"))
    (lost,) = await asked(api, tmp_path, 0.3, "a", **SQUARE)
    assert lost.error is not None
    assert (lost.error["code"], lost.cost_usd) == ("network", None)
    assert lost.booked_usd == pytest.approx(0.211, abs=0.001)
    assert await asked(api, tmp_path, 0.3, "b", **SQUARE) == []


@pytest.mark.parametrize(("budget", "sent"), [(0.3, 1), (0.5, 2)])
async def test_a_request_that_may_be_paid_twice_is_sent_again_only_within_the_budget(
    api: ImagesApi, tmp_path: Path, budget: float, sent: int
) -> None:
    api.play(cut("headers"))
    (record,) = await asked(api, tmp_path, budget, "a", resend_unclear=True, **SQUARE)
    assert len(api.posts) == sent
    assert record.state == ("saved" if sent == 2 else "failed")
    assert record.booked_usd == pytest.approx(0.211 + 0.0528 * (sent - 1), abs=0.001)


async def test_a_budget_counts_an_unknown_model_as_the_dearest(api: ImagesApi, tmp_path: Path) -> None:
    assert await asked(api, tmp_path, 0.1, "a fox", model="my-deployment") == []
    assert api.log == []


@pytest.mark.parametrize("dearer", [{"output_format": "gif"}, {"size": "4096x4096"}], ids=str)
async def test_what_makes_a_picture_dearer_does_so_for_an_unknown_model(
    api: ImagesApi, tmp_path: Path, dearer: dict[str, Any]
) -> None:
    unknown: dict[str, Any] = {"model": "relay-x", "quality": "high"}
    assert await asked(api, tmp_path, 1.0, "a", **unknown, **dearer) == []
    assert len(await asked(api, tmp_path, 1.0, "a", **unknown)) == 1


async def test_a_local_server_needs_no_budget(api: ImagesApi, tmp_path: Path) -> None:
    api.strict = False
    (record,) = await asked(api, tmp_path, 0.0, "a fox", compat="vllm", model="qwen-image")
    assert (record.cost_usd, len(record.images)) == (0, 1)


async def test_auto_goes_to_the_site_when_the_budget_is_used_up(tmp_path: Path) -> None:
    web, at_api = Scripted(scripted_draw), Scripted(scripted_draw)
    async with studio_with(tmp_path, web, at_api, backend="auto", api_key="k", budget_usd=0.01) as studio:
        record = (await studio.generate(GenerateImage(prompt="a bear"))).record
    assert (record.backend, record.fallback_from, record.fallback_reason) == ("chatgpt-web", "api", "billing")
    assert (record.state, record.reserved_usd, at_api.started) == ("saved", 0.0, [])


async def test_a_router_that_tells_the_price_is_believed(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.play(draw(extra={"usage": {"cost": 0.04, "total_tokens": 5}, "created": 0}))
    with anyio.fail_after(10):
        await make_backend(compat="openrouter", model="bytedance-seed/seedream-4.5").generate(ask(), report)
    assert report.known["cost_usd"] == 0.04
    assert report.known["booked_usd"] == 0.04
    assert "openai_created" not in report.known


ENDLESS = 10**400
"""JSON holds it, and no fraction does."""


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"compat": "openrouter"}, {"usage": {"cost": ENDLESS, "total_tokens": 5}}),
        ({}, {"usage": {"output_tokens": ENDLESS, "total_tokens": 5}}),
        ({}, {"usage": {"output_tokens_details": {"image_tokens": ENDLESS}, "total_tokens": 5}}),
        ({}, {"usage": {"total_tokens": 5}, "created": ENDLESS}),
    ],
    ids=["dollars", "tokens", "tokens of a kind", "seconds"],
)
async def test_a_number_that_cannot_be_meant_counts_as_not_told_and_costs_no_picture(
    api: ImagesApi, tmp_path: Path, fields: dict[str, Any], told: dict[str, Any]
) -> None:
    """The picture is only named in the answer, so that it is still to be fetched when that is booked."""
    address = api.file("/made.png", raw(200, png(), {"content-type": "image/png"}))
    api.play(draw(items=[{"url": address}], extra={"created": 0, **told}))
    (made,) = await asked(api, tmp_path, 5.0, "a fox", quality="high", **fields)
    assert (made.state, made.error, len(made.images)) == ("saved", None, 1)
    assert (made.usage, made.cost_usd, made.openai_created) == ({"total_tokens": 5}, None, None)
    worst = estimate(settings(**fields), ask(quality="high"))["cost_usd_high"]
    assert made.booked_usd == pytest.approx(worst, abs=0.0001)


async def test_usage_is_kept_as_deep_as_anybody_tells_it(api: ImagesApi, tmp_path: Path) -> None:
    deep: dict[str, Any] = {"tokens": 1}
    for _ in range(600):
        deep = {"below": deep, "tokens": 1}
    api.play(draw(extra={"usage": {"output_tokens": 10, "output_tokens_details": deep}}))
    (made,) = await asked(api, tmp_path, 5.0, "a fox", quality="high")
    assert (made.state, made.cost_usd) == ("saved", pytest.approx(10 * 30 / 1e6))
    below = {"below": {"below": {"tokens": 1}, "tokens": 1}, "tokens": 1}
    assert made.usage == {"output_tokens": 10, "output_tokens_details": below}


async def test_what_was_turned_away_costs_nothing(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(error("moderation"))
    with anyio.fail_after(10), pytest.raises(ImageError):
        await backend.generate(ask(), report)
    assert report.known["booked_usd"] == 0


async def test_status_tells_money_and_the_end_of_the_model_and_sends_nothing(
    api: ImagesApi, make_backend: MakeBackend
) -> None:
    found = await make_backend(model="gpt-image-1.5", budget_usd=2.0).status()
    assert set(found) == {"configured", "ready", "message", "details"}
    assert (found["configured"], found["ready"]) == (True, True)
    details = found["details"]
    assert details["model_ends"] == "2026-12-01"
    assert "shut down" in details["warnings"][0]
    assert details["estimate"]["cost_usd_high"] == pytest.approx(1056 * 32 / 1e6, abs=0.001)
    assert math.isfinite(details["estimate"]["cost_usd_low"])
    assert details["model"] == "gpt-image-1.5"
    assert api.log == []


async def test_status_without_a_key_and_with_a_bad_profile(make_backend: MakeBackend) -> None:
    without = await make_backend(api_key=None).status()
    assert (without["configured"], without["ready"]) == (False, False)
    assert "OPENAI_API_KEY" in without["message"]
    bad = await make_backend(compat="opnai").status()
    assert bad["ready"] is False
    assert "OPENAI_COMPAT" in bad["message"]
