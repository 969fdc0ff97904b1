"""A browser or a page that hangs for good is replaced, and what the site made is collected; one in which the user may
have tabs of his own is left to him. In one process with the test, for the program's patience is too long for it."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path

import anyio
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.launching import holder
from cdp_image_mcp.cdp.protocol import TargetList
from cdp_image_mcp.chatgpt.watching import listening
from cdp_image_mcp.chatgpt.window import keeper
from cdp_image_mcp.cli.checks import machine
from cdp_image_mcp.studio.studio import Standing, Studio
from fixtures.site import Site
from tests.people.browsers import browsers, none_left
from tests.people.inside import draw, inside
from tests.people.person import auto
from tests.people.screen import Screen, until
from tests.stopped import stopped
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def working(
    folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch, **variables: str
) -> AsyncGenerator[Studio]:
    """A studio; it and its browser are gone afterwards."""
    # A pulse once a second: how long an answer may take is only shortened when something hangs.
    monkeypatch.setattr(listening, "PULSE_SECONDS", 1.0)
    with anyio.fail_after(120):
        async with inside(folder, site.url, monkeypatch, **variables) as studio:
            yield studio
        await none_left(folder)


async def ask(studio: Studio, prompt: str, **arguments: object) -> str:
    """How it ended."""
    return (await draw(studio, prompt, **arguments)).record.state


def saved(standing: Standing) -> list[str]:
    return [sha256(Path(image.path).read_bytes()).hexdigest() for image in standing.record.images]


def sent(site: Site) -> list[str]:
    return [prompt.text for prompt in site.log.prompts]


@contextmanager
def impatience(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with monkeypatch.context() as patch:
        for module, name in ((keeper, "BROWSER"), (keeper, "PAGE"), (listening, "HUNG")):
            patch.setattr(module, f"{name}_SECONDS", 4.0)
        yield


def stand_still(folder: Path) -> int:
    (process,) = browsers(folder)
    process.suspend()
    return process.pid


async def held(studio: Studio, site: Site) -> Standing:
    """A picture that the site has begun to draw, and goes on with when ``site.state.held`` is false."""
    site.state.held = True
    started = await draw(studio, "a lighthouse", wait_seconds=0)
    await until(lambda: bool(site.log.prompts))
    return started


def replaced(folder: Path, hung: int) -> bool:
    pids = [process.pid for process in browsers(folder)]
    return len(pids) == 1 and pids != [hung]


async def spin(folder: Path, site: Site) -> str:
    """A script of the site's page never ends. Answers the page's target."""
    async with cdp.attach(folder / "profile") as browser:
        root = browser.connection.browser
        targets = (await root.call("Target.getTargets", reply=TargetList)).target_infos
        (ours,) = [target.target_id for target in targets if target.url.startswith(site.url)]
        session = await browser.connection.attach(ours)
        with pytest.raises(cdp.errors.CommandTimeout):
            await session.call("Runtime.evaluate", {"expression": "for (;;) {}"}, timeout=0.5)
        return ours


async def open_pages(folder: Path) -> list[str]:
    async with cdp.attach(folder / "profile") as browser:
        targets = (await browser.connection.browser.call("Target.getTargets", reply=TargetList)).target_infos
    return [target.target_id for target in targets if target.type == "page"]


async def test_a_browser_that_hangs_between_two_prompts_is_replaced(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch) as studio:
        assert await ask(studio, "before") == "saved"
        hung = stand_still(tmp_path)
        with impatience(monkeypatch):
            assert await ask(studio, "after") == "saved"
        assert replaced(tmp_path, hung)
    assert sent(site) == ["before", "after"]


async def test_a_browser_that_hangs_for_good_while_it_draws_loses_no_picture(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch) as studio:
        started = await held(studio, site)
        hung = stand_still(tmp_path)
        site.state.held = False
        with impatience(monkeypatch):
            done = await studio.wait(started.record.generation_id, 90)
        assert done.record.state == "saved"
        assert saved(done) == [made.sha256 for made in site.log.pictures("final")]
        assert replaced(tmp_path, hung)
    assert sent(site) == ["a lighthouse"]


@pytest.mark.parametrize("mode", ["headless", "hidden"])
async def test_a_page_that_hangs_while_it_draws_is_left_for_a_new_tab(
    mode: str, screen: Screen, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch, **auto(screen, CHATGPT_WINDOW_MODE=mode)) as studio:
        started = await held(studio, site)
        (process,) = browsers(tmp_path)
        hung = await spin(tmp_path, site)
        site.state.held = False
        with monkeypatch.context() as patch:  # the browser itself keeps all its time
            patch.setattr(listening, "HUNG_SECONDS", 4.0)
            patch.setattr(keeper, "PAGE_SECONDS", 4.0)
            done = await studio.wait(started.record.generation_id, 90)
        assert done.record.state == "saved"
        assert saved(done) == [made.sha256 for made in site.log.pictures("final")]
        assert [each.pid for each in browsers(tmp_path)] == [process.pid]
        assert hung not in await open_pages(tmp_path)
    assert sent(site) == ["a lighthouse"]


async def test_a_page_that_hangs_between_two_prompts_is_left_for_a_new_tab(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch) as studio:
        assert await ask(studio, "before") == "saved"
        hung = await spin(tmp_path, site)
        assert await ask(studio, "after") == "saved"
        assert hung not in await open_pages(tmp_path)
    assert sent(site) == ["before", "after"]


async def test_a_hanging_browser_with_windows_is_told_and_left_to_the_person(
    screen: Screen, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch, **auto(screen, CHATGPT_WINDOW_MODE="hidden")) as studio:
        assert await ask(studio, "before") == "saved"
        hung = stand_still(tmp_path)
        with impatience(monkeypatch):
            standing = await draw(studio, "meanwhile")
        error = standing.record.error
        assert error is not None
        assert (error["code"], error["submitted"], error["retryable"]) == ("browser_failed", False, False)
        assert f"process {hung}" in error["message"]
        (process,) = browsers(tmp_path)
        assert process.pid == hung
        process.resume()
        assert await ask(studio, "after") == "saved"
    assert sent(site) == ["before", "after"]


async def test_whoever_has_doctor_look_why_it_is_slow_takes_the_browser_from_nobody(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch) as studio:
        started = await held(studio, site)
        (process,) = browsers(tmp_path)
        with stopped(process.pid):
            found = await machine.profile(studio.settings)
        assert found.level == "warning"
        assert f"process {process.pid}, which does not answer" in found.message
        found = await machine.profile(studio.settings)
        assert (found.level, f"open in process {process.pid} at" in found.message) == ("ok", True)
        site.state.held = False
        done = await studio.wait(started.record.generation_id, 90)
        assert done.record.state == "saved"
        assert [each.pid for each in browsers(tmp_path)] == [process.pid]
    assert sent(site) == ["a lighthouse"]


async def test_leaving_a_browser_that_hangs_ends_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(tmp_path, site, monkeypatch) as studio:
        assert await ask(studio, "before") == "saved"
        stand_still(tmp_path)


async def test_a_hanging_browser_of_another_server_is_replaced_for_both(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "HANGING_PATIENCE", 1.0)
    async with working(tmp_path, site, monkeypatch) as mine, running_program(tmp_path, site.url) as other:
        assert (await other.generate("theirs")).status == "saved"
        hung = stand_still(tmp_path)
        assert await ask(mine, "mine") == "saved"
        assert replaced(tmp_path, hung)
        assert (await other.generate("theirs again")).status == "saved"
    assert sent(site) == ["theirs", "mine", "theirs again"]
