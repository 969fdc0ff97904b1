"""The person signs in in an ordinary window; the generation waits for that and goes on by itself."""

from pathlib import Path

import anyio
import pytest

from fixtures.site import Site
from tests.people.browsers import command_line, none_left, session_cookie
from tests.people.screen import Screen, until
from tests.web.program import running_program

pytestmark = pytest.mark.anyio


async def sign_in(screen: Screen, site: Site, *, close: bool = True) -> None:
    """What a person does: goes to the sign-in page, presses Continue there, closes the window."""
    window = await screen.window()
    await screen.go(window, f"{site.url}/auth/login")
    await screen.window("Log in")
    await screen.click(window)
    await screen.press(window, "Tab", "Return")
    await until(lambda: bool(site.log.sign_ins))
    if close:
        await screen.close(window)


async def test_a_generation_asks_for_the_sign_in_and_goes_on_by_itself(
    screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    with anyio.fail_after(120):
        async with running_program(tmp_path, site.url, variables=auto(screen)) as program:
            asked = await program.generate("a lighthouse at dusk")
            assert asked.status == "needs_sign_in", asked.data
            assert not asked.is_error
            assert "close" in asked.data["next"]
            words = command_line(tmp_path)
            assert not any("remote-debugging" in word or "headless" in word or "automation" in word for word in words)
            await sign_in(screen, site)
            answer = await program.call("wait_for_image", generation_id=asked.data["generation_id"])
            assert answer.status == "saved", answer.data
            assert "--headless=new" in command_line(tmp_path)
            assert screen.windows() == []
            cookie = await session_cookie(tmp_path, site.url)
            assert cookie in site.state.sessions
            assert [how.how for how in site.log.sign_ins] == ["login page"]
            assert len(site.log.prompts) == 1
            assert not site.log.prompts[0].guest
            assert site.log.wrong_presses == []
        await none_left(tmp_path)


def auto(screen: Screen, **variables: str) -> dict[str, str]:
    return {**screen.variables, "CHATGPT_WINDOW_MODE": "auto", **variables}
