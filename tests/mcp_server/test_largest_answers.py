"""The largest answer of each of the five tools is one that every client takes, counted in its longest spelling."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import msgspec
import pytest
from mcp import Client

from cdp_image_mcp.config import Problem, Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Failure
from cdp_image_mcp.mcp_server.answer import LIMIT
from cdp_image_mcp.mcp_server.app import App
from cdp_image_mcp.mcp_server.server import make_server
from cdp_image_mcp.studio.studio import News, Standing
from tests.browser import left_out_if_quick
from tests.mcp_server.lengths import NASTY, wire
from tests.mcp_server.painted import Painter, app
from tests.mcp_server.scripted import IDENTITY, ScriptedStudio, app_of, png, saved, standing, text_of

WORST = ["emoji", "control characters"]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("filler", [NASTY[name] for name in WORST], ids=WORST)]

RUNNING = 60
"""Generations that are under way at once, far more than anybody waits for, beside the ten newest."""


def an_error(filler: str) -> ImageError:
    details: dict[str, Any] = {f"detail {number}": [filler] * 2 for number in range(12)}
    return ImageError("service_error", filler * 3, submitted="unknown", details=details | {filler[:500]: filler})


def endings(folder: Path, filler: str) -> list[Standing]:
    """A generation as large as it can be in each kind of answer: partly saved, running, failed."""
    data = png(2048, 2048, size=1_500_000)
    everything: dict[str, Any] = {
        "prompt": filler,
        "sent_prompt": filler,
        "facts": {f"fact {number}": filler for number in range(20)},
        "request": {"n": 10, "reference_images": ["/" + filler[:4000]] * 16, "output_dir": "/" + filler[:4000]},
        "fallback_from": "api",
        "fallback_reason": filler,
    }
    images = [saved(folder, number, data, width=2048, height=2048) for number in range(1, 11)]
    failures = [Failure(number, "service_error", filler) for number in range(1, 40)]
    partial = standing(folder, "partial", images=images, failures=failures, **everything)
    running = standing(folder, "generating", images=images[:9], failures=failures, **everything)
    running = msgspec.structs.replace(running, news=News(filler, 3.0, 60.0), folder=f"/{filler[:4000]}", position=7)
    failed = standing(folder, "failed", failures=failures, error=an_error(filler).as_dict(), **everything)
    return [partial, running, failed]


def assert_fits(result: types.CallToolResult) -> None:
    assert len(wire(result)) < LIMIT
    assert text_of(result)


@pytest.mark.parametrize("tool", ["generate_image", "wait_for_image", "cancel_image"])
async def test_answers_about_a_generation(settings: Settings, tmp_path: Path, filler: str, tool: str) -> None:
    left_out_if_quick("a while")
    studio = ScriptedStudio(settings)
    arguments: dict[str, Any] = {
        "generate_image": {"prompt": "a fox", "n": 10, "images": "preview"},
        "wait_for_image": {"generation_id": IDENTITY, "images": "full"},
        "cancel_image": {"generation_id": IDENTITY},
    }[tool]
    with anyio.fail_after(60):
        async with Client(make_server(app_of(studio)), mode="legacy") as client:
            for made in endings(tmp_path, filler):
                studio.generated = studio.waited = [made]
                assert_fits(await client.call_tool(tool, arguments))
            studio.generated = studio.waited = [an_error(filler)]
            assert_fits(await client.call_tool(tool, arguments))


class Talkative(Painter):
    """A back end that never finishes and has very much to say about itself."""

    def __init__(self, filler: str) -> None:
        super().__init__()
        self.person = anyio.Event()
        self._filler = filler

    async def status(self) -> dict[str, Any]:
        details = {f"detail {number}": self._filler for number in range(30)}
        return {"configured": True, "ready": True, "message": self._filler, "details": details}


async def test_the_status_of_very_many_generations(settings: Settings, filler: str) -> None:
    left_out_if_quick("a while")
    deep = settings.output_dir.joinpath(*["ü" * 120] * 10)
    settings = msgspec.structs.replace(settings, backend="chatgpt-web")
    problems = tuple(Problem(f"GPT_IMAGE_{number}", filler) for number in range(5))

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        async with app(settings, Talkative(filler))() as made:
            (await made.studio()).settings = msgspec.structs.replace(settings, problems=problems)
            yield made

    with anyio.fail_after(120):
        async with Client(make_server(opened), mode="legacy") as client:
            for number in range(RUNNING):
                prompt = f"{number} {filler}"[:32_000]
                arguments = {"prompt": prompt, "output_dir": str(deep), "wait_seconds": 0}
                made = await client.call_tool("generate_image", arguments)
                assert_fits(made)
                assert text_of(made)["status"] in {"working", "needs_sign_in"}, text_of(made)
            result = await client.call_tool("backend_status", {"backend": "auto"})
    assert_fits(result)
    told = text_of(result)
    assert result.structured_content == told
    assert (len(told["running"]), len(told["newest"])) == (RUNNING, 10)


async def test_the_window_of_a_back_end_that_says_very_much(settings: Settings, filler: str) -> None:
    left_out_if_quick("a while")

    class Wordy(ScriptedStudio):
        async def visibility(self, action: str, *, start_browser: bool = False) -> dict[str, Any]:
            if action == "show":
                raise an_error(filler)
            told = await super().visibility("status", start_browser=start_browser)
            return told | {"message": filler, "windows": [filler] * 200, "details": {filler[:200]: [filler] * 50}}

    with anyio.fail_after(30):
        async with Client(make_server(app_of(Wordy(settings))), mode="legacy") as client:
            shown = await client.call_tool("browser_visibility", {"action": "status"})
            refused = await client.call_tool("browser_visibility", {"action": "show"})
    assert_fits(shown)
    assert_fits(refused)
    assert refused.is_error
    assert shown.structured_content == text_of(shown)
