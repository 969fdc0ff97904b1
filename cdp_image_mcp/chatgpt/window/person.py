"""Getting to a page that is ready for a prompt, and calling the person for what only a person may do.

The person always gets an ordinary window without any debugging switch: account providers refuse driven browsers, and
checks go round in circles in them (openchrome #251, 10x-chat #3). What the person did there is kept in the profile.
"""

import logging
import sys
from collections.abc import Callable
from typing import Literal, TypeAlias

import anyio

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import NoDisplay
from cdp_image_mcp.chatgpt.page.arrival import Arrival, arrive
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.window.keeper import Keeper
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.window.windowmode import NO_DISPLAY, WindowMemory, has_display
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, Fact, ImageError
from cdp_image_mcp.request import Report
from cdp_image_mcp.system.sleep import awake_for
from cdp_image_mcp.system.tasks import background

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often one arrival may ask the person before it gives up."""
PLAIN_ROUNDS = 2
"""How often one window is opened for the person where the browser crashes."""

PersonState: TypeAlias = Literal["needs_sign_in", "needs_verification"]
ERROR_OF: dict[PersonState, Code] = {
    "needs_sign_in": "needs_sign_in",
    "needs_verification": "verification_required",
}
"""The error when nobody can be asked."""
AT_DISPLAY = "in a terminal of its desktop or over 'ssh -X'"
UNFORCED = "with CHATGPT_WINDOW_MODE left out"


def _nobody(state: PersonState, told: str, submitted: Fact, how: str | None) -> ImageError:
    """``how``: in what way a window comes, for whoever has just run the command that shows one too. What was sent is
    to be waited for first, as the generation's end tells."""
    step = None
    if how is not None and submitted is False:
        step = f"Ask the user to run 'cdp-image-mcp login' on this machine {how}, then call again; or use backend api."
    return ImageError(ERROR_OF[state], told, submitted=submitted, next_step=step)


def state_of(arrival: Arrival) -> PersonState:
    return "needs_sign_in" if arrival.kind == "signed_out" else "needs_verification"


def to_do(state: PersonState, why: str = "", platform: str = sys.platform) -> str:
    """What the person has to do. On macOS closing a window does not end the program, which holds the profile."""
    end = "quit the browser (Cmd-Q)" if platform == "darwin" else "close that browser window"
    what = ". Sign in to ChatGPT there" if state == "needs_sign_in" else f" because {why}. Answer it there"
    return f"A browser window has been opened{what}, then {end}; the rest goes on by itself."


class Person:
    """Asks the person and waits, within the login time. Raises ImageError when nobody can be asked."""

    def __init__(self, settings: Settings, keeper: Keeper, memory: WindowMemory) -> None:
        self._settings = settings
        self._keeper = keeper
        self._memory = memory

    async def arrive(
        self, address: str, report: Report, *, fresh: bool, after: str | None = None, reading: bool = False
    ) -> tuple[Tab, Arrival]:
        """A tab that is ready for a prompt, or only for ``reading``, with the person's help where needed. Raises
        ImageError, CDPError."""
        sent = report.facts.get("submitted", False)
        seen: list[tuple[str, str]] = []
        ended = ""
        while True:
            tab, arrival = await self.look(address, fresh=fresh, after=after, reading=reading)
            if arrival.kind == "ready":
                return tab, arrival
            question = (arrival.kind, arrival.detail)
            if seen[-1:] == [question] or len(seen) == ROUNDS:
                break  # a person who has seen this very question and gone, or so many, would only be nagged
            seen.append(question)
            ended = await self.ask(arrival, report)
        raise ImageError(
            ERROR_OF[state_of(arrival)],
            f"A person was asked, and the site is still not ready ({arrival.detail}; {ended}). Nothing was sent.",
            submitted=sent,
        )

    async def look(
        self, address: str, *, fresh: bool, after: str | None = None, reading: bool = False
    ) -> tuple[Tab, Arrival]:
        """Open ``address``, and say how things are there. A check that meets a browser without windows is not alarmed
        about: most are satisfied with a window that nobody needs to see, and that is used from then on."""
        for hidden in (False, True):
            tab = await self._borrow()
            arrival = await arrive(tab, address, fresh=fresh, after=after, reading=reading)
            # One that was to be hidden may be headless all the same, by CHATGPT_CHROME_ARGS.
            if hidden or arrival.kind != "challenge" or self._keeper.mode != "headless":
                break
            await self._memory.met_check()
            if (await self._memory.choose()).mode == "headless":
                break
            log.info("a check met a browser without windows (%s); one with a hidden window is tried", arrival.detail)
        return tab, arrival

    async def _borrow(self) -> Tab:
        mode = (await self._memory.choose()).mode
        try:
            return await self._keeper.borrow(mode)
        except ImageError as error:
            if mode == "headless" or error.code != "browser_failed" or not self._memory.takes_back(error):
                raise
            log.info("no window can be opened, so it goes on without: %s", error)
        return await self._keeper.borrow((await self._memory.choose()).mode)

    async def ask(self, arrival: Arrival, report: Report | None) -> str:
        """Let the person do what only a person may. Answers how it ended, in words."""
        log.info("the site is not ready: %s (%s)", arrival.kind, arrival.detail)
        return await self.in_plain_window(report, state=state_of(arrival), why=arrival.detail)

    async def in_plain_window(
        self,
        report: Report | None,
        *,
        state: PersonState,
        why: str,
        opened: Callable[[], None] | None = None,
    ) -> str:
        """Open an ordinary window and wait until the person has closed it; once more where the browser crashed, which
        is no answer of the person's.

        The person's state is told, and ``opened`` called, once the window is there. Answers how it ended, in words;
        whether it helped, only the site can tell: also somebody who never closed the window may have signed in.
        """
        submitted = report.facts.get("submitted", False) if report is not None else False
        self._require_display(state, why, submitted, report)
        await self._keeper.clear_profile()
        ended = ""
        try:
            for _ in range(PLAIN_ROUNDS):
                async with cdp.open_plain(self._keeper.options("visible"), self._settings.web_url) as window:
                    if report is not None:
                        await report.waiting_for_person()
                        await report.state(state)
                        report.progress(to_do(state, why))
                    if opened is not None:
                        opened()
                    ended = await self._ended(window)
                    if not window.crashed:
                        break
                log.warning("the person's window is lost: %s", ended)
        except NoDisplay as error:
            told = f"A person is needed ({why}), and there is {error}."
            raise _nobody(state, told, submitted, AT_DISPLAY) from None
        except cdp.LaunchError as error:
            raise problem(error, submitted) from None
        if report is not None:
            # Until the site has been looked at nobody is to be sent to a window that is there no more.
            report.progress("")
            await report.state("starting")
        return ended

    async def _ended(self, window: cdp.PlainWindow) -> str:
        """Waits until the person has closed it, or the login time is over, of which nothing passes while the machine
        sleeps. Answers which of them, in words."""
        async with background() as tasks:
            tasks.start_soon(self._end_in_time, tasks.cancel_scope)
            code = await window.wait()
            return f"the browser crashed each time (exit code {code})" if window.crashed else "the window was closed"
        return f"nobody closed the window within {self._settings.login_timeout:g} s, so it was closed"

    async def _end_in_time(self, limit: anyio.CancelScope) -> None:
        await awake_for(self._settings.login_timeout)
        limit.cancel()

    def _require_display(self, state: PersonState, what: str, submitted: Fact, report: Report | None) -> None:
        """Raises ImageError when no window may or can be shown, or nobody is there who waits."""
        if report is not None and report.background:
            reason, how = "nobody waits for this picture at the moment", None
        elif self._settings.window_mode == "headless":
            reason, how = "CHATGPT_WINDOW_MODE is headless, so no window may be shown", UNFORCED
        elif not has_display():
            reason, how = NO_DISPLAY, AT_DISPLAY
        else:
            return
        raise _nobody(state, f"A person is needed ({what}), and {reason}.", submitted, how)
