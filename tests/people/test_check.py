"""The site wants to see a person: the window is shown, nothing runs in that page, and it goes away again."""

from datetime import datetime, timedelta
from pathlib import Path

import anyio
import msgspec
import pytest

from fixtures.site import Site
from tests.people.browsers import is_headless, none_left
from tests.people.person import auto, pass_by_hand
from tests.people.screen import Screen, until
from tests.web.program import Program, running_program

pytestmark = pytest.mark.anyio


def remembered(folder: Path) -> datetime:
    memory = msgspec.json.decode((folder / "profile.window.json").read_bytes(), type=dict[str, str])
    return datetime.fromisoformat(memory["hidden_until"])


async def passed_in_a_window(program: Program, screen: Screen, site: Site, folder: Path) -> None:
    asked = await program.generate("a lighthouse at dusk")
    assert asked.status == "needs_verification", asked.data
    assert not asked.is_error
    await screen.window("Just a moment")
    screen.picture(folder / "check.png")
    assert site.log.evaluations == []
    await pass_by_hand(screen, site)
    answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
    assert answer.status == "saved", answer.data
    assert site.log.evaluations == []
    assert site.log.untrusted == []
    assert len(site.log.prompts) == 1
    status = (await program.call("browser_visibility", action="status")).data
    assert (status["hidden"], status["browser_mode"]) == (True, "hidden"), (status, screen.windows())
    await until(lambda: screen.windows() == [])


async def test_a_check_met_by_headless_is_passed_in_a_window_that_is_hidden_from_then_on(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(challenge="until_passed")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            await passed_in_a_window(program, screen, site, tmp_path)
            left = remembered(tmp_path) - datetime.now().astimezone()
            assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
        await none_left(tmp_path)
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            assert (await program.generate("another one")).status == "saved"
            assert not is_headless(tmp_path)
            assert screen.windows() == []


async def test_a_check_met_in_a_hidden_window_shows_it_and_hides_it_again(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(challenge="until_passed")
    variables = auto(screen, CHATGPT_WINDOW_MODE="hidden")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            await passed_in_a_window(program, screen, site, tmp_path)


async def test_a_check_for_headless_alone_needs_a_window_and_no_hand(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(challenge="headless")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            answer = await program.generate("a lighthouse at dusk")
            assert answer.status in {"needs_verification", "saved"}, answer.data
            answer = await program.call("wait_for_image", generation_id=answer.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert not is_headless(tmp_path)
            assert site.log.evaluations == []
            remembered(tmp_path)


async def test_a_check_window_that_is_closed_is_an_answer(screen: Screen, site: Site, tmp_path: Path) -> None:
    site.set(challenge="until_passed")
    with anyio.fail_after(90):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_verification", asked.data
            await screen.close(await screen.window("Just a moment"))
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.code == "verification_required", answer.data
            assert answer.data["submitted"] is False
        await none_left(tmp_path)
    assert site.log.prompts == []


async def test_hiding_before_a_check_runs_nothing_in_its_page(screen: Screen, site: Site, tmp_path: Path) -> None:
    site.set(challenge="until_passed")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            asked = await program.generate("a lighthouse at dusk")
            await screen.window("Just a moment")
            hidden = (await program.call("browser_visibility", action="hide")).data
            assert hidden["hidden"], hidden
            shown = (await program.call("browser_visibility", action="show")).data
            assert shown["visible"], shown
            await pass_by_hand(screen, site)
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert site.log.evaluations == []
            # It was asked to be shown, so it stays.
            assert (await program.call("browser_visibility", action="status")).data["visible"]
