"""A client that can ask its user does so by itself, and the one call that was made ends with the picture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult

from fixtures.site import Site
from tests.people.browsers import none_left
from tests.people.person import auto, pass_by_hand, sign_in
from tests.people.screen import Screen, until
from tests.web.program import running_program

Era = Literal["auto", "legacy"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("era", ["legacy", pytest.param("auto", marks=pytest.mark.nightly)]),
]


@dataclass
class Client:
    """Shows the question to the person, who does ``what`` is needed at the screen or says no."""

    screen: Screen
    site: Site
    what: Literal["sign in", "pass the check", "say no"]
    questions: list[ElicitRequestFormParams] = field(default_factory=list[ElicitRequestFormParams])

    async def ask(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG002 - a name of the SDK
        assert isinstance(params, ElicitRequestFormParams)
        self.questions.append(params)
        # What the question speaks of is there before it is asked.
        window = await self.screen.window()
        if self.what == "sign in":
            await sign_in(self.screen, self.site)
        elif self.what == "pass the check":
            await pass_by_hand(self.screen, self.site)
        if self.what != "say no":
            await self.screen.close(window)
        return ElicitResult(action="decline" if self.what == "say no" else "accept")


async def test_signing_in_when_asked_ends_the_same_call_with_the_picture(
    era: Era, screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    client = Client(screen, site, "sign in")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, mode=era, variables=auto(screen), ask=client.ask) as program:
            assert (program.client.protocol_version >= "2026") is (era == "auto")
            answer = await program.generate("a lighthouse at dusk", wait_seconds=120)
            assert answer.status == "saved", answer.data
            assert len(client.questions) == 1
            assert "Sign in" in client.questions[0].message
            await until(lambda: screen.windows() == [])
        await none_left(tmp_path)
    assert [prompt.guest for prompt in site.log.prompts] == [False]


async def test_passing_a_check_when_asked_ends_the_same_call_with_the_picture(
    era: Era, screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(challenge="until_passed")
    client = Client(screen, site, "pass the check")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, mode=era, variables=auto(screen), ask=client.ask) as program:
            answer = await program.generate("a lighthouse at dusk", wait_seconds=120)
            assert answer.status == "saved", answer.data
            assert len(client.questions) == 1
            assert "check" in client.questions[0].message
            await until(lambda: screen.windows() == [])
    assert len(site.log.prompts) == 1


async def test_a_no_is_answered_at_once_and_the_window_stays_for_whoever_changes_their_mind(
    era: Era, screen: Screen, site: Site, tmp_path: Path
) -> None:
    site.set(account="guest")
    client = Client(screen, site, "say no")
    with anyio.fail_after(150):
        async with running_program(tmp_path, site.url, mode=era, variables=auto(screen), ask=client.ask) as program:
            # Longer than this test may last: the answer comes because of the no.
            answer = await program.generate("a lighthouse at dusk", wait_seconds=600)
            assert answer.status == "needs_sign_in", answer.data
            assert not answer.is_error
            await screen.close(await sign_in(screen, site))
            done = await program.call("wait_for_image", generation_id=answer.data["generation_id"])
            assert done.status == "saved", done.data
            assert len(client.questions) == 1, "asked once, not at every call"
    assert len(site.log.prompts) == 1
