"""What the person does with the site in a window, and how the program is started beside such a person."""

import anyio

from fixtures.site import Site
from tests.people.screen import Screen, insist
from tests.web.program import Program

__all__ = ["auto", "look", "pass_by_hand", "sign_in"]


def auto(screen: Screen, **variables: str) -> dict[str, str]:
    """The program's variables on this screen, with the window mode left to it."""
    return {**screen.variables, "CHATGPT_WINDOW_MODE": "auto", **variables}


async def look(program: Program, action: str = "status", **arguments: bool) -> dict[str, object]:
    """What ``browser_visibility`` answers, within the time that it promises."""
    with anyio.fail_after(45):
        return (await program.call("browser_visibility", action=action, **arguments)).data


async def sign_in(screen: Screen, site: Site) -> str:
    """Goes to the sign-in page and presses Continue there. Answers the window."""
    window = await screen.window()
    await insist(lambda: screen.go(window, f"{site.url}/auth/login"), lambda: screen.window("Log in"))
    await screen.press_button(window, lambda: bool(site.log.sign_ins), "Tab", "Return")
    return window


async def pass_by_hand(screen: Screen, site: Site) -> None:
    """Looks at the check and ticks its box."""
    window = await screen.window("Just a moment")
    await screen.press_button(window, lambda: site.state.challenge_passed, "Tab", "space")
