"""Previews by a real browser: sizes, alpha, limits, and nothing left behind."""

import io
import json
import math
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from PIL import Image

from cdp_image_mcp.cdp import Browser, LaunchOptions, launch
from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.answer import Showing, compose
from cdp_image_mcp.previews import canvas as canvas_module
from cdp_image_mcp.previews.canvas import PROFILE_PREFIX, canvases
from cdp_image_mcp.previews.preview import PREVIEW_BYTES, PREVIEW_EDGE, Canvas, Picture, PreviewError, PreviewMaker
from cdp_image_mcp.previews.scratch import scratch_folder
from fixtures.images_api import running_api
from tests.browser import SWITCHES, found_browser, left_out_if_quick
from tests.clock import leap
from tests.mcp_server.scripted import saved
from tests.mcp_server.scripted import standing as standing_of
from tests.stopped import stopped

pytestmark = pytest.mark.anyio


def browsers() -> dict[int, str]:
    return {child.pid: child.name() for child in psutil.Process().children(recursive=True) if "chrom" in child.name()}


@pytest.fixture(autouse=True)
def standing() -> dict[int, str]:
    """Browsers of this process that were there before: other tests may keep one for the whole run."""
    return browsers()


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throw-away folders of this test alone: others run at the same time."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))


@pytest.fixture
def browsing(settings: Settings) -> Settings:
    left_out_if_quick()
    return Settings(output_dir=settings.output_dir, profile_dir=settings.profile_dir, chrome_args=SWITCHES)


@asynccontextmanager
async def one_canvas(settings: Settings, browser: Browser | None = None) -> AsyncGenerator[Canvas]:
    """A canvas, and everything of it gone afterwards."""
    async with canvases(settings, lambda: browser) as opening, opening(math.inf) as canvas:
        yield canvas


def noise(width: int, height: int, *, mode: str = "RGB") -> bytes:
    """A PNG that does not compress: the hardest picture to make small."""
    image = Image.frombytes(mode, (width, height), os.urandom(width * height * len(mode)))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=0)
    return out.getvalue()


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


def left_behind(standing: dict[int, str]) -> list[str]:
    folders = [path.name for path in Path(tempfile.gettempdir()).glob(f"{PROFILE_PREFIX}*")]
    return folders + [name for pid, name in browsers().items() if pid not in standing]


def kept(folder: Path, data: bytes) -> Path:
    """A file with these bytes, as the library keeps pictures."""
    path = folder / "image-01.png"
    path.write_bytes(data)
    return path


async def test_a_large_picture_becomes_a_small_jpeg_that_shows_the_same(
    browsing: Settings, tmp_path: Path, standing: dict[int, str]
) -> None:
    source = Image.new("RGB", (3136, 1000), (200, 30, 30))
    source.paste((20, 60, 220), (1568, 0, 3136, 1000))
    out = io.BytesIO()
    source.save(out, "PNG")
    with anyio.fail_after(60):
        async with one_canvas(browsing) as canvas:
            made = await canvas.shrink(
                kept(tmp_path, out.getvalue()), "image/png", alpha=False, edge=PREVIEW_EDGE, most_bytes=PREVIEW_BYTES
            )
    image = opened(made)
    assert (made.mime_type, image.format, image.size) == ("image/jpeg", "JPEG", (1568, 500))
    left, right = image.getpixel((300, 250)), image.getpixel((1300, 250))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 150 > right[0]
    assert left_behind(standing) == []


async def test_transparency_stays_transparent(browsing: Settings, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (2000, 2000), (0, 255, 0, 0)).save(out, "PNG")
    with anyio.fail_after(60):
        async with one_canvas(browsing) as canvas:
            made = await canvas.shrink(
                kept(tmp_path, out.getvalue()), "image/png", alpha=True, edge=1568, most_bytes=PREVIEW_BYTES
            )
    image = opened(made)
    assert (made.mime_type, image.mode) == ("image/webp", "RGBA")
    assert image.getchannel("A").getextrema() == (0, 0)


async def test_what_moves_or_is_drawn_in_lines_is_shown_as_a_picture_of_it(browsing: Settings, tmp_path: Path) -> None:
    """No client is given the file itself: some models and hosts refuse the whole call for one."""
    red, blue = (Image.new("RGB", (2000, 1000), color) for color in ("red", "blue"))
    moving, lines = io.BytesIO(), b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 10'>"
    red.save(moving, "GIF", save_all=True, append_images=[blue], duration=100)
    lines += b"<rect width='20' height='10' fill='red'/></svg>"
    with anyio.fail_after(60):
        async with one_canvas(browsing) as canvas:
            for data, kind, size in ((moving.getvalue(), "gif", (1568, 784)), (lines, "svg+xml", (768, 384))):
                made = await canvas.shrink(
                    kept(tmp_path, data), f"image/{kind}", alpha=False, edge=PREVIEW_EDGE, most_bytes=PREVIEW_BYTES
                )
                image = opened(made)
                assert (made.mime_type, image.size) == ("image/jpeg", size)
                pixel = image.getpixel((5, 5))
                assert isinstance(pixel, tuple)
                assert pixel[0] > 200 > 60 > pixel[2]


async def test_an_svg_runs_nothing_and_loads_nothing(browsing: Settings, tmp_path: Path) -> None:
    with running_api() as api:
        outside = api.url.removesuffix("/v1") + "/outside"
        text = (
            "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20'><rect width='40' height='20' fill='lime'/>"
            f"<image href='{outside}.png' x='30' width='5' height='5'/><style>@import '{outside}.css';</style>"
            f"<script href='{outside}.js'/><script>fetch('{outside}'); document.documentElement.innerHTML = ''</script>"
            "</svg>"
        )
        with anyio.fail_after(60):
            async with one_canvas(browsing) as canvas:
                made = await canvas.shrink(
                    kept(tmp_path, text.encode()), "image/svg+xml", alpha=True, edge=100, most_bytes=PREVIEW_BYTES
                )
        assert api.log == []
    pixel = opened(made).convert("RGB").getpixel((12, 25))
    assert isinstance(pixel, tuple)
    assert pixel[1] > 250 > 10 > max(pixel[0], pixel[2])


async def test_incompressible_pictures_get_smaller_until_they_fit(browsing: Settings, tmp_path: Path) -> None:
    data = noise(2400, 1800)
    assert len(data) > 12_000_000
    with anyio.fail_after(60):
        async with one_canvas(browsing) as canvas:
            sizes: list[int] = []
            for most in (500_000, 70_000, 5_000):
                made = await canvas.shrink(kept(tmp_path, data), "image/png", alpha=False, edge=1568, most_bytes=most)
                opened(made)
                sizes.append(len(made.data))
            with pytest.raises(PreviewError, match="small enough"):
                await canvas.shrink(kept(tmp_path, data), "image/png", alpha=False, edge=1568, most_bytes=100)
    assert sizes[0] <= 500_000
    assert sizes[1] <= 70_000
    assert sizes[2] <= 5_000


async def test_bytes_that_are_no_picture_are_told_and_the_page_goes_on(browsing: Settings, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with one_canvas(browsing) as canvas:
            with pytest.raises(PreviewError, match="could not decode"):
                await canvas.shrink(
                    kept(tmp_path, b"nonsense" * 1000), "image/png", alpha=False, edge=1568, most_bytes=1000
                )
            made = await canvas.shrink(
                kept(tmp_path, noise(100, 100)), "image/png", alpha=False, edge=50, most_bytes=100_000
            )
    assert opened(made).size == (50, 50)


async def test_without_any_browser_the_reason_is_told(tmp_path: Path, standing: dict[int, str]) -> None:
    nothing = Settings(output_dir=tmp_path, profile_dir=tmp_path, chrome_path=tmp_path / "no-browser")
    image = saved(tmp_path, 1, noise(2000, 100), width=2000, height=100)
    with anyio.fail_after(60):
        async with canvases(nothing) as opening, PreviewMaker(opening) as maker:
            with pytest.raises(PreviewError, match="no-browser"):
                await maker.preview(image, 1000)
    assert left_behind(standing) == []


async def test_a_driver_that_cannot_be_loaded_costs_a_preview_and_not_the_server(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the package was removed under a server that had made pictures through the API alone."""
    for name in [each for each in sys.modules if each.startswith("cdp_image_mcp.cdp")]:
        monkeypatch.setitem(sys.modules, name, None)
    image = saved(tmp_path, 1, noise(2000, 100), width=2000, height=100)
    with anyio.fail_after(60):
        async with canvases(settings) as opening:
            for _ in range(2):
                async with PreviewMaker(opening) as maker:
                    with pytest.raises(PreviewError, match="No preview: "):
                        await maker.preview(image, 1000)


async def test_an_open_browser_without_windows_is_used_and_kept_clean(
    browsing: Settings, tmp_path: Path, standing: dict[int, str]
) -> None:
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    with anyio.fail_after(60):
        async with launch(options) as browser:
            async with one_canvas(browsing, browser) as canvas:
                await canvas.shrink(
                    kept(tmp_path, noise(200, 200)), "image/png", alpha=False, edge=100, most_bytes=100_000
                )
                own = [
                    child
                    for child in psutil.Process().children()
                    if child.pid in browsers() and child.pid not in standing
                ]
            await contexts_when(browser, 0)
    assert len(own) == 1


async def contexts_of(browser: Browser) -> list[str]:
    reply = await browser.connection.browser.call("Target.getBrowserContexts", reply=dict[str, Any])
    return reply["browserContextIds"]


async def contexts_when(browser: Browser, count: int) -> list[str]:
    """The browser contexts besides the default one, as soon as there are so many: no event tells of them."""
    while len(found := await contexts_of(browser)) != count:  # noqa: ASYNC110
        await anyio.sleep(0.02)
    return found


def open_browser_of(tmp_path: Path) -> AbstractAsyncContextManager[Browser]:
    return launch(LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES))


async def test_two_answers_draw_in_contexts_of_their_own(browsing: Settings, tmp_path: Path) -> None:
    picture = kept(tmp_path, noise(200, 200))
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser, canvases(browsing, lambda: browser) as opening:
            async with opening(math.inf) as first, opening(math.inf) as second:
                assert len(await contexts_of(browser)) == 2
                for canvas in (first, second):
                    await canvas.shrink(picture, "image/png", alpha=False, edge=100, most_bytes=100_000)
            await contexts_when(browser, 1)


async def test_one_page_stays_a_while_for_the_next_answer(
    browsing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = kept(tmp_path, noise(200, 200))
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser, canvases(browsing, lambda: browser) as opening:
            seen: list[list[str]] = []
            for _ in range(3):
                async with opening(math.inf) as canvas:
                    seen.append(await contexts_of(browser))
                    await canvas.shrink(picture, "image/png", alpha=False, edge=100, most_bytes=100_000)
            leap(monkeypatch, canvas_module.RESTING_SECONDS)
            await contexts_when(browser, 0)
    assert len(seen[0]) == 1
    assert seen == [seen[0]] * 3


async def test_a_page_that_was_closed_while_it_rested_is_not_lent_again(browsing: Settings, tmp_path: Path) -> None:
    picture = kept(tmp_path, noise(200, 200))
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser, canvases(browsing, lambda: browser) as opening:
            async with opening(math.inf):
                context = (await contexts_of(browser))[0]
            with browser.connection.browser.subscribe("Target.detachedFromTarget") as gone:
                await browser.connection.browser.call("Target.disposeBrowserContext", {"browserContextId": context})
                await gone.next()
            async with opening(math.inf) as canvas:
                made = await canvas.shrink(picture, "image/png", alpha=False, edge=100, most_bytes=100_000)
    assert opened(made).size == (100, 100)


async def test_a_browser_that_hangs_costs_the_answer_its_preview_and_no_time(
    browsing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas_module, "READY_SECONDS", 0.3)
    image = saved(tmp_path, 1, noise(1700, 100), width=1700, height=100)
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser, canvases(browsing, lambda: browser) as opening:
            # Well below the 30 s that one command may take: nothing is waited for or tried twice.
            with stopped(browser.pid), anyio.fail_after(20):
                answer = await compose(standing_of(tmp_path, images=[image]), Showing("preview"), opening)
    assert json.loads(answer.text)["status"] == "saved"
    assert (answer.pictures, [note["index"] for note in json.loads(answer.text)["not_inline"]]) == ([], [1])
    assert "in time" in json.loads(answer.text)["not_inline"][0]["reason"]


async def test_a_browser_that_begins_to_hang_while_it_draws_is_left_at_once(browsing: Settings, tmp_path: Path) -> None:
    picture = kept(tmp_path, noise(200, 200))
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser, canvases(browsing, lambda: browser) as opening:
            async with AsyncExitStack() as stack:
                canvas = await stack.enter_async_context(opening(math.inf))
                with stopped(browser.pid):
                    with anyio.move_on_after(0.3) as limit:
                        await canvas.shrink(picture, "image/png", alpha=False, edge=100, most_bytes=100_000)
                    await stack.aclose()
            await contexts_when(browser, 0)
    assert limit.cancelled_caught


async def test_an_answer_does_not_wait_for_the_end_of_the_browser_that_drew_for_it(
    browsing: Settings, tmp_path: Path, standing: dict[int, str]
) -> None:
    """One that hangs at its end may take ten seconds, in which the client gives up."""
    image = saved(tmp_path, 1, noise(1700, 100), width=1700, height=100)
    hung: list[psutil.Process] = []
    with anyio.fail_after(60):
        async with canvases(browsing) as opening:
            async with PreviewMaker(opening) as maker:
                await maker.preview(image, 100_000)
                hung += [psutil.Process(pid) for pid in browsers() if pid not in standing]
                for process in hung:
                    process.suspend()
            still = browsers().keys()
            for process in hung:
                process.resume()
    assert hung
    assert {process.pid for process in hung} <= still
    assert left_behind(standing) == []


async def test_a_browser_that_was_closed_is_followed_by_one_of_its_own(
    browsing: Settings, tmp_path: Path, standing: dict[int, str]
) -> None:
    with anyio.fail_after(60):
        async with open_browser_of(tmp_path) as browser:
            await browser.quit()
            async with one_canvas(browsing, browser) as canvas:
                await canvas.shrink(
                    kept(tmp_path, noise(200, 200)), "image/png", alpha=False, edge=100, most_bytes=100_000
                )
    assert left_behind(standing) == []


async def test_no_browser_is_started_when_it_would_not_be_ready_in_time(
    browsing: Settings, standing: dict[int, str], tmp_path: Path
) -> None:
    image = saved(tmp_path, 1, noise(2000, 100), width=2000, height=100)
    with anyio.fail_after(60):
        async with canvases(browsing) as opening, PreviewMaker(opening, anyio.current_time() + 4) as maker:
            with pytest.raises(PreviewError, match="no time was left"):
                await maker.preview(image, 1000)
    assert browsers() == standing


async def test_a_browser_that_hangs_at_its_start_holds_no_answer_beyond_its_time(tmp_path: Path) -> None:
    """A policy, a scanner, a broken installation: the program runs and opens no port."""
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    settings = Settings(output_dir=tmp_path, profile_dir=tmp_path / "profile", chrome_path=hangs)
    image = saved(tmp_path, 1, noise(2000, 100), width=2000, height=100)
    made = standing_of(tmp_path, images=[image])
    with anyio.fail_after(25):  # such a start may take 30 s otherwise
        async with canvases(settings) as opening:
            deadline = anyio.current_time() + 6
            answer = await compose(made, Showing("preview", deadline), opening)
    assert (json.loads(answer.text)["status"], answer.pictures) == ("saved", [])
    assert "No preview" in json.loads(answer.text)["not_inline"][0]["reason"]


async def test_a_profile_that_a_killed_process_left_is_swept_away(browsing: Settings, standing: dict[int, str]) -> None:
    Path(tempfile.mkdtemp(prefix=PROFILE_PREFIX))
    with anyio.fail_after(60):
        async with one_canvas(browsing):
            pass
    assert left_behind(standing) == []


async def test_of_a_throw_away_folder_whose_process_was_killed_nothing_stays() -> None:
    place = Path(tempfile.gettempdir())
    (place / "scratch-0123456789abcdef").mkdir()
    (place / "scratch-0123456789abcdef.lock").touch()
    with anyio.fail_after(30):
        async with scratch_folder("scratch-") as own:
            assert sorted(place.glob("scratch-*")) == [own, own.with_name(f"{own.name}.lock")]


async def test_what_another_user_lays_among_throw_away_folders_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root could delete it, and what the links in it lead to."""
    place = Path(tempfile.gettempdir())
    (place / "scratch-0123456789abcdef").mkdir()
    (place / "scratch-0123456789abcdef.lock").touch()
    (place / "scratch-link").symlink_to(place / "scratch-0123456789abcdef")
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    with anyio.fail_after(30):
        async with scratch_folder("scratch-"):
            pass
    assert len(list(place.glob("scratch-*"))) == 3


async def test_a_throw_away_folder_in_use_stays_however_old_it_is() -> None:
    """A demo may wait for a person for a quarter of an hour."""
    with anyio.fail_after(30):
        async with scratch_folder("scratch-") as waiting:
            os.utime(waiting, (0, 0))
            async with scratch_folder("scratch-"):
                assert waiting.is_dir()
    assert list(Path(tempfile.gettempdir()).glob("scratch-*")) == []


async def test_a_cancelled_preview_leaves_no_browser(browsing: Settings, standing: dict[int, str]) -> None:
    with anyio.fail_after(60):
        with anyio.CancelScope() as scope:
            async with one_canvas(browsing):
                scope.cancel()
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert left_behind(standing) == []
