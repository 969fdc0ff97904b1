"""The site wants to see a person: first a window that nobody sees is tried, then the person gets an ordinary one."""

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from cdp_image_mcp.cdp.session import Session
from fixtures.site import Site
from tests.people.browsers import command_line, is_headless, is_ordinary, none_left
from tests.people.inside import draw, inside
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
    assert "close" in asked.data["next"]
    window = await screen.window("Just a moment")
    assert is_ordinary(command_line(folder))
    screen.picture(folder / "check.png")
    await pass_by_hand(screen, site)
    await screen.close(window)
    answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
    assert answer.status == "saved", answer.data
    assert site.log.untrusted == []
    assert len(site.log.prompts) == 1
    status = (await program.call("browser_visibility", action="status")).data
    assert (status["hidden"], status["browser_mode"]) == (True, "hidden"), (status, screen.windows())
    await until(lambda: screen.windows() == [])


async def test_a_check_that_needs_a_hand_is_passed_in_an_ordinary_window_and_is_not_met_again(
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


async def test_a_check_met_in_a_hidden_window_is_passed_the_same_way(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(challenge="until_passed")
    variables = auto(screen, CHATGPT_WINDOW_MODE="hidden")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            await passed_in_a_window(program, screen, site, tmp_path)


async def test_a_check_for_headless_alone_alarms_nobody(screen: Screen, site: Site, tmp_path: Path) -> None:
    site.set(challenge="headless")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            answer = await program.generate("a lighthouse at dusk")
            assert answer.status == "saved", answer.data
            assert not is_headless(tmp_path)
            assert screen.windows() == []
            assert program.messages, "nothing was told at all"
            assert not any("window" in message for message in program.messages), program.messages
            remembered(tmp_path)


@pytest.mark.parametrize("kind", ["in_page", "session"])
async def test_a_check_inside_a_page_that_seems_fine_is_passed_the_same_way(
    screen: Screen, site: Site, tmp_path: Path, kind: str
) -> None:
    """A document of status 200 with the check in it, or a page of which only the session's address is kept back: there
    is a window, and whether it helped is for the site to say."""
    site.set(challenge=kind)
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_verification", asked.data
            window = await screen.window()
            assert is_ordinary(command_line(tmp_path))
            site.state.challenge_passed = True
            await screen.close(window)
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert len(site.log.prompts) == 1


async def test_a_check_window_that_is_closed_is_an_answer(screen: Screen, site: Site, tmp_path: Path) -> None:
    site.set(challenge="until_passed")
    with anyio.fail_after(90):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_verification", asked.data
            await screen.close(await screen.window("Just a moment"))
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.code == "verification_required", answer.data
            assert "A person was asked" in answer.data["message"]
            assert answer.data["submitted"] is False
            assert screen.windows() == []
        await none_left(tmp_path)
    assert site.log.prompts == []


async def test_where_a_check_is_all_that_the_site_shows_no_script_of_ours_runs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no world of the page: the check itself could see no more than its own."""
    ran: list[str] = []
    call = Session.call

    async def called(to: Session, method: str, *given: Any, **more: Any) -> Any:
        if method in {"Runtime.evaluate", "Runtime.callFunctionOn"}:
            ran.append(method)
        return await call(to, method, *given, **more)

    monkeypatch.setattr(Session, "call", called)
    site.set(challenge="always")
    with anyio.fail_after(90):
        async with inside(tmp_path, site.url, monkeypatch) as studio:
            told = (await draw(studio, "a lighthouse at dusk", wait_seconds=60)).record.error
    assert ran == []
    assert told is not None
    assert (told["code"], told["submitted"]) == ("verification_required", False)


async def test_a_check_that_nobody_can_be_asked_to_pass_claims_no_person(site: Site, tmp_path: Path) -> None:
    site.set(challenge="in_page")
    with anyio.fail_after(90):
        async with running_program(tmp_path, site.url) as program:
            answer = await program.generate("a lighthouse at dusk")
    assert answer.code == "verification_required", answer.data
    assert "was asked" not in answer.data["message"]
    assert answer.data["submitted"] is False


async def test_a_check_where_the_display_named_is_dead_needs_a_person_and_breaks_nothing_for_later(
    site: Site, tmp_path: Path
) -> None:
    """As in a terminal that outlived its desktop: a window was wanted for a week, and each picture failed by it."""
    site.set(challenge="headless")
    variables = {"CHATGPT_WINDOW_MODE": "auto", "DISPLAY": ":987"}
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            for _ in range(2):
                answer = await program.generate("a lighthouse at dusk")
                assert answer.code == "verification_required", answer.data
                assert "no display" in answer.data["message"], answer.data
                assert answer.data["submitted"] is False
            site.set(challenge="")
            assert (await program.generate("a lighthouse at dusk")).status == "saved"
        async with running_program(tmp_path, site.url, variables=variables) as program:
            assert (await program.generate("a harbour")).status == "saved"


@pytest.fixture
def gone_display(screen: Screen) -> Generator[tuple[str, Callable[[], None]]]:
    """The name of a display that is not there, and what brings it back."""
    sockets = Path("/tmp/.X11-unix")  # noqa: S108 - where X has them
    number = int(screen.name.removeprefix(":"))
    place = sockets / f"X{5000 + number}"
    yield f":{5000 + number}", lambda: place.symlink_to(sockets / f"X{number}")
    place.unlink(missing_ok=True)


async def test_a_display_that_has_come_back_is_tried_again_when_the_site_next_wants_a_window(
    gone_display: tuple[str, Callable[[], None]], site: Site, tmp_path: Path
) -> None:
    """As where the user logged in to the desktop again, and the server of the terminal lived on."""
    display, comes_back = gone_display
    site.set(challenge="headless")
    variables = {"CHATGPT_WINDOW_MODE": "auto", "DISPLAY": display}
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, variables=variables) as program:
            answer = await program.generate("a lighthouse at dusk")
            assert answer.code == "verification_required", answer.data
            assert "no display" in answer.data["message"], answer.data
            comes_back()
            answer = await program.generate("a lighthouse at dusk")
            assert answer.status == "saved", answer.data
            assert not is_headless(tmp_path)
    assert len(site.log.prompts) == 1
