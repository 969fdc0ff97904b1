"""What was learnt earlier orders the ways of auto, and refuses nothing that was named or is the only one."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import Code, ImageError
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.request import BackendName, ImageRequest, Report
from cdp_image_mcp.studio.steering import account_of
from cdp_image_mcp.studio.studio import News, Studio
from tests.clock import leap
from tests.library.making import ago
from tests.studio.leaving import asking, sent_then_hangs
from tests.studio.scripted import Play, Scripted, draw, settings, studio_with

pytestmark = pytest.mark.anyio

KEY: dict[str, Any] = {"api_key": "test-key"}
IN_A_DAY = ago(hours=-20)


def refuses(code: Code, reset_at: str | None = None) -> Play:
    async def play(_request: ImageRequest, _report: Report) -> None:
        raise ImageError(code, "Not now.", reset_at=reset_at)

    return play


async def rested(folder: Path, way: BackendName, code: str = "billing", until: str = IN_A_DAY, **more: Any) -> None:
    """Somebody was told so earlier."""
    values = settings(folder, **more)
    place = values.output_dir if way == "api" else values.profile_dir
    await Ledger(place).rest_until(account_of(values, way), code, until)


@pytest.mark.parametrize("code", ["billing", "quota_reached", "rate_limited"])
@pytest.mark.parametrize("way", ["api", "chatgpt-web"])
async def test_a_way_that_was_named_is_asked_whatever_it_said_earlier(
    tmp_path: Path, way: BackendName, code: str
) -> None:
    await rested(tmp_path, way, code, **KEY)
    backend = Scripted(draw)
    web, at_api = (None, backend) if way == "api" else (backend, None)
    async with studio_with(tmp_path, web, at_api, **KEY) as studio:
        assert (await studio.generate(asking(backend=way))).record.state == "saved"
    async with studio_with(tmp_path, web, at_api, backend=way, **KEY) as studio:
        assert (await studio.generate(asking("a fox"))).record.state == "saved"


async def test_the_only_way_is_asked_too(tmp_path: Path) -> None:
    await rested(tmp_path, "chatgpt-web", "quota_reached")
    await Ledger(tmp_path / "profile").set_quota("image_gen", 0, IN_A_DAY)
    async with studio_with(tmp_path, Scripted(draw), backend="auto") as studio:
        assert (await studio.generate(asking())).record.state == "saved"


async def test_auto_asks_a_way_that_was_out_of_credit_last_and_says_so(tmp_path: Path) -> None:
    web, api = Scripted(draw), Scripted(refuses("billing"))
    auto: dict[str, Any] = {"backend": "auto", **KEY}
    async with studio_with(tmp_path, web, api, **auto) as studio:
        first = (await studio.generate(asking())).record
        second = (await studio.generate(asking("a fox"))).record
        assert (len(api.started), web.started) == (1, ["a bear", "a fox"])
        assert [(r.backend, r.fallback_from, r.fallback_reason) for r in (first, second)] == [
            ("chatgpt-web", "api", "billing")
        ] * 2
        # The site cannot do it now: then the other one is asked all the same.
        web.play = refuses("quota_reached", IN_A_DAY)
        api.play = draw
        third = (await studio.generate(asking("a hare"))).record
    assert (third.backend, third.state) == ("api", "saved")


async def test_an_answer_ends_the_rest(tmp_path: Path) -> None:
    await rested(tmp_path, "api", "billing", backend="auto", **KEY)
    web, api = Scripted(draw), Scripted(draw)
    async with studio_with(tmp_path, web, api, backend="auto", **KEY) as studio:
        await studio.generate(asking("a fox", backend="api"))
        assert (await studio.generate(asking())).record.backend == "api"


@pytest.mark.parametrize("change", [{"api_key": "another-key"}, {"base_url": "https://example.org/v1"}, {"model": "m"}])
async def test_another_key_server_or_model_is_another_account(tmp_path: Path, change: dict[str, Any]) -> None:
    await rested(tmp_path, "api", backend="auto", **KEY)
    web, api = Scripted(draw), Scripted(draw)
    async with studio_with(tmp_path, web, api, **{"backend": "auto", **KEY, **change}) as studio:
        assert (await studio.generate(asking())).record.backend == "api"


async def test_another_profile_knows_nothing_of_the_first_ones_quota(tmp_path: Path) -> None:
    await rested(tmp_path, "chatgpt-web", "quota_reached")
    async with studio_with(tmp_path, Scripted(draw), profile_dir=tmp_path / "another") as studio:
        assert "resting" not in (await status_of(studio))["details"]
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        assert (await status_of(studio))["details"]["resting"]["code"] == "quota_reached"


async def status_of(studio: Studio) -> dict[str, Any]:
    (status,) = (await studio.status())["statuses"]
    return status


async def test_a_limit_that_ends_in_time_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = anyio.Event()

    async def draws(request: ImageRequest, report: Report) -> None:
        seen.set()
        await draw(request, report)

    async def listen(news: News) -> None:
        if "a limit that was stated earlier ends in" in news.message:
            seen.set()

    await rested(tmp_path, "api", "rate_limited", ago(seconds=-100), **KEY)
    api = Scripted(draws)
    async with studio_with(tmp_path, api=api, backend="api", **KEY) as studio, anyio.create_task_group() as group:
        identity = (await studio.generate(asking(wait_seconds=0))).record.generation_id
        group.start_soon(studio.wait, identity, 1000, listen)
        await seen.wait()
        assert api.started == []
        leap(monkeypatch, 100)
        assert (await studio.wait(identity)).record.state == "saved"


async def test_a_limit_that_leaves_no_time_for_a_picture_is_not_waited_for(tmp_path: Path) -> None:
    """The back end is asked, and says itself what holds it up: a time limit that runs out would not."""
    await rested(tmp_path, "api", "rate_limited", ago(seconds=-1000), **KEY)
    async with studio_with(tmp_path, api=Scripted(draw), backend="api", **KEY) as studio:
        record = (await studio.generate(asking(timeout_seconds=1050))).record
    assert record.state == "saved"


async def test_who_may_not_change_way_is_not_led_another_one(tmp_path: Path) -> None:
    await rested(tmp_path, "api", fallback="never", **KEY)
    api = Scripted(refuses("billing"))
    async with studio_with(tmp_path, Scripted(draw), api, backend="auto", fallback="never", **KEY) as studio:
        record = (await studio.generate(asking())).record
    assert (record.backend, len(api.started)) == ("api", 1)


# --- what makes two requests the same ---------------------------------------------------------------------------


async def test_a_call_that_names_the_way_joins_what_auto_began_there_and_the_other_way_round(tmp_path: Path) -> None:
    api = Scripted(draw)
    async with studio_with(tmp_path, Scripted(draw), api, backend="auto", **KEY) as studio:
        first = await studio.generate(asking())
        named = await studio.generate(asking(backend="api"))
        assert named.record.generation_id == first.record.generation_id
        second = await studio.generate(asking("a fox", backend="api"))
        auto = await studio.generate(asking("a fox"))
        assert auto.record.generation_id == second.record.generation_id
    assert len(api.started) == 2


async def test_what_auto_made_at_the_site_is_joined_when_the_api_may_be_asked_again(tmp_path: Path) -> None:
    await rested(tmp_path, "api", "billing", backend="auto", **KEY)
    api = Scripted(draw)
    async with studio_with(tmp_path, Scripted(draw), api, backend="auto", **KEY) as studio:
        first = await studio.generate(asking())
        assert first.record.backend == "chatgpt-web"
        await Ledger(tmp_path / "output").clear_rest(account_of(studio.settings, "api"))
        again = await studio.generate(asking())
    assert (again.record.generation_id, api.started) == (first.record.generation_id, [])


@pytest.mark.parametrize(
    "change",
    [
        {"model": "m"},
        {"base_url": "https://example.org/v1"},
        {"base_url": "https://api.openai.com/openai/deployments/two"},  # there the path names the model
        {"api_key": "another"},
        {"backend": "chatgpt-web"},
    ],
)
async def test_another_model_server_account_or_way_is_another_picture(tmp_path: Path, change: dict[str, Any]) -> None:
    api, web = Scripted(draw), Scripted(draw)
    async with studio_with(tmp_path, web, api, backend="api", **KEY) as studio:
        await studio.generate(asking())
    async with studio_with(tmp_path, web, api, **{"backend": "api", **KEY, **change}) as studio:
        again = await studio.generate(asking())
    assert not again.joined
    assert len(api.started) + len(web.started) == 2


async def test_a_folder_that_a_joined_picture_does_not_lie_in_is_told(tmp_path: Path) -> None:
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        await studio.generate(asking())
        elsewhere = str(studio.settings.output_dir / "elsewhere")
        assert (await studio.generate(asking(output_dir=elsewhere))).unmet == ("output_dir",)
        assert (await studio.generate(asking("a fox", output_dir=elsewhere))).unmet == ()


async def test_a_joined_call_that_names_the_folder_it_is_in_by_another_way_got_what_it_asked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "output").symlink_to(tmp_path / "real")
    async with studio_with(tmp_path, Scripted(draw)) as studio:
        await studio.generate(asking())
        joined = await studio.generate(asking(output_dir=str(tmp_path / "output")))
    assert (joined.joined, joined.unmet) == (True, ())


async def test_a_call_that_can_join_does_so_before_anything_else_is_asked(tmp_path: Path) -> None:
    web = Scripted(sent_then_hangs)
    async with studio_with(tmp_path, web, daily_limit=1) as studio:
        first = await studio.generate(asking(wait_seconds=0))
        joined = await studio.generate(asking(wait_seconds=0))
        with pytest.raises(ImageError) as caught:
            await studio.generate(asking("a fox", wait_seconds=0))
    assert joined.record.generation_id == first.record.generation_id
    assert (caught.value.code, caught.value.submitted) == ("quota_reached", False)
