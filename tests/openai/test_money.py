"""What pictures cost: before, after, and how the day's budget is kept."""

import math
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai import ApiBackend
from cdp_image_mcp.openai.models import MODELS
from cdp_image_mcp.openai.prices import cost, grid_tokens, input_image_tokens
from fixtures.images_api import ImagesApi, draw, error, usage_of
from tests.openai.conftest import MakeBackend
from tests.openai.doubles import MemoryLedger, MemoryReport, ask

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
async def test_the_estimate_of_a_square_agrees_with_the_guides_price(
    quality: str, dollars: float, backend: ApiBackend
) -> None:
    found = backend.estimate(ask(quality=quality, size="1024x1024"))
    partials = found["partial_images"] * 100 * 30 / 1e6
    assert found["cost_usd_high"] - partials == pytest.approx(dollars, abs=0.0006)
    assert found["cost_usd_low"] == found["cost_usd_high"]
    assert "2026-04-21" in found["basis"]


async def test_an_estimate_of_auto_spans_low_to_high_and_grows_with_n(backend: ApiBackend) -> None:
    one, four = backend.estimate(ask()), backend.estimate(ask(n=4))
    assert one["output_tokens_low"] < one["output_tokens_high"] == 7024
    assert four["cost_usd_high"] == pytest.approx(4 * 7024 * 30 / 1e6, rel=0.01)


async def test_an_estimate_of_an_unknown_model_says_so(make_backend: MakeBackend) -> None:
    found = make_backend(model="mystery").estimate(ask())
    assert found["cost_usd_high"] is None
    assert "no price is known for mystery" in found["basis"]


async def test_a_local_server_costs_nothing(make_backend: MakeBackend) -> None:
    assert make_backend(compat="localai", model="flux").estimate(ask())["cost_usd_high"] == 0


async def test_uncertain_figures_widen_the_estimate(make_backend: MakeBackend) -> None:
    found = make_backend(model="gpt-image-2.6-flare").estimate(ask(quality="low", size="1024x1024"))
    assert (found["output_tokens_low"], found["output_tokens_high"]) == (196, 784)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (usage_of(1), (20 * 5 + 1756 * 30) / 1e6),
        (usage_of(2, references=3), (20 * 5 + 3072 * 8 + 3512 * 30) / 1e6),
        ({"input_tokens": 10, "output_tokens": 196}, (10 * 8 + 196 * 30) / 1e6),
        ({"output_tokens": "many"}, None),
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


async def test_a_request_beyond_the_days_budget_is_refused_before_sending(
    api: ImagesApi, make_backend: MakeBackend, ledger: MemoryLedger, report: MemoryReport
) -> None:
    ledger.spent = 0.95
    backend = make_backend(budget_usd=1.0)
    with anyio.fail_after(10), pytest.raises(ImageError) as caught:
        await backend.generate(ask(quality="high"), report)
    found = caught.value
    assert (found.code, found.submitted, found.spent) == ("billing", False, False)
    assert found.details["budget_usd"] == 1.0
    assert found.reset_at is not None
    assert api.log == []
    with anyio.fail_after(10):
        await backend.generate(ask(quality="low"), report)
    assert len(report.pictures) == 1


async def test_requests_under_way_count_against_the_budget(
    api: ImagesApi, make_backend: MakeBackend, ledger: MemoryLedger
) -> None:
    backend = make_backend(budget_usd=0.5)
    outcomes: list[str] = []

    async def one() -> None:
        try:
            await backend.generate(ask(quality="high", size="1024x1024"), MemoryReport())
            outcomes.append("made")
        except ImageError as failure:
            outcomes.append(failure.code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)
    # Each may cost $0.217: two fit into half a dollar.
    assert sorted(outcomes) == ["billing", "billing", "made", "made"]
    assert len(api.posts) == 2


async def test_a_budget_counts_an_unknown_model_as_the_dearest(
    api: ImagesApi, make_backend: MakeBackend, report: MemoryReport
) -> None:
    with pytest.raises(ImageError) as caught:
        await make_backend(budget_usd=0.1, model="my-deployment").generate(ask(), report)
    assert caught.value.code == "billing"


async def test_a_local_server_needs_no_budget(api: ImagesApi, make_backend: MakeBackend, report: MemoryReport) -> None:
    api.strict = False
    with anyio.fail_after(10):
        await make_backend(budget_usd=0.0, compat="vllm", model="qwen-image").generate(ask(), report)
    assert report.known["cost_usd"] == 0
    assert len(report.pictures) == 1


async def test_a_router_that_tells_the_price_is_believed(
    api: ImagesApi, make_backend: MakeBackend, report: MemoryReport, ledger: MemoryLedger
) -> None:
    api.play(draw(extra={"usage": {"cost": 0.04, "total_tokens": 5}, "created": 0}))
    with anyio.fail_after(10):
        await make_backend(compat="openrouter", model="bytedance-seed/seedream-4.5").generate(ask(), report)
    assert report.known["cost_usd"] == 0.04
    assert ledger.spent == 0.04
    assert "openai_created" not in report.known


async def test_what_was_turned_away_costs_nothing(
    api: ImagesApi, backend: ApiBackend, report: MemoryReport, ledger: MemoryLedger
) -> None:
    api.play(error("moderation"))
    with anyio.fail_after(10), pytest.raises(ImageError):
        await backend.generate(ask(), report)
    assert ledger.lines == []


async def test_status_tells_money_and_the_end_of_the_model_and_sends_nothing(
    api: ImagesApi, make_backend: MakeBackend, ledger: MemoryLedger
) -> None:
    ledger.spent = 0.25
    found = await make_backend(model="gpt-image-1.5", budget_usd=2.0).status()
    assert set(found) == {"configured", "ready", "message", "details"}
    assert (found["configured"], found["ready"]) == (True, True)
    details = found["details"]
    assert details["model_ends"] == "2026-12-01"
    assert "shut down" in details["warnings"][0]
    assert (details["spent_today_usd"], details["budget_usd"]) == (0.25, 2.0)
    assert details["estimate"]["cost_usd_high"] == pytest.approx((1056 + 100) * 32 / 1e6, abs=0.001)
    assert math.isfinite(details["estimate"]["cost_usd_low"])
    assert {"model", "output_root"} <= set(details)
    assert api.log == []


async def test_status_without_a_key_and_with_a_bad_profile(make_backend: MakeBackend) -> None:
    without = await make_backend(api_key=None).status()
    assert (without["configured"], without["ready"]) == (False, False)
    assert "OPENAI_API_KEY" in without["message"]
    bad = await make_backend(compat="opnai").status()
    assert bad["ready"] is False
    assert "OPENAI_COMPAT" in bad["message"]
