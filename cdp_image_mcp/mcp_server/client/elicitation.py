"""Asking the person at the client to sign in or to pass a check, where the client can ask (elicitation)."""

import contextlib
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata

from cdp_image_mcp.mcp_server.client.table import known
from cdp_image_mcp.request import PERSON_STATES
from cdp_image_mcp.system.tasks import background

if TYPE_CHECKING:
    from cdp_image_mcp.studio.studio import Standing

logger = logging.getLogger(__name__)

ANSWER_KEY = "person"
MODERN = "2026"
"""First protocol year without requests from server to client: there the question is an interim result."""

CLOSE = "quit that browser (Cmd-Q)" if sys.platform == "darwin" else "close it"
FORM_MESSAGES = {
    "needs_sign_in": f"Sign in to ChatGPT in the window cdp-image-mcp opened (only there), then {CLOSE}.",
    "needs_verification": f"Pass ChatGPT's check in the window cdp-image-mcp opened (only there), then {CLOSE}.",
}
"""What to do comes first, in at most 110 characters: Claude Code 2.1.332 shows one line (seen 2026-11-26)."""
# The window is ours: signing in at the same address in the person's everyday browser would not help, but there is
# where clients open the address of such a question, and they offer it first.
URL_MESSAGES = {
    "needs_sign_in": f"Sign in in the window cdp-image-mcp opened, NOT via this link; then {CLOSE}.",
    "needs_verification": f"Pass the check in the window cdp-image-mcp opened, NOT via this link; then {CLOSE}.",
}
NOTHING_ASKED: dict[str, Any] = {"type": "object", "properties": {}}
"""The form: a sentence, and yes or no."""


class Elicitation:
    """Asks at most once for each state of a generation: a model that polls must not make a client nag."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._asked: set[tuple[str, str]] = set()

    def may_ask(self, ctx: ServerRequestContext[Any, Any], standing: "Standing") -> bool:
        """Whether this standing needs a person and this client can ask one who was not asked yet."""
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.elicitation is None or standing.record.state not in PERSON_STATES:
            return False
        client = known(ctx.session)
        if is_modern(ctx) and client is not None and not client.takes_interim:
            return False
        return (standing.record.generation_id, standing.record.state) not in self._asked

    def interim(self, ctx: ServerRequestContext[Any, Any], standing: "Standing") -> types.InputRequiredResult:
        """The question as 2026-07-28 has it. The client repeats its call with the answer; the generation's id, and
        behind it that the call joined, travel in the sealed state: the repeated call never makes a second picture."""
        joined = ("joined", *standing.unmet) if standing.joined else ()
        return types.InputRequiredResult(
            input_requests={ANSWER_KEY: self.question(ctx, standing)},
            request_state=" ".join((standing.record.generation_id, *joined)),
        )

    def question(
        self, ctx: ServerRequestContext[Any, Any], standing: "Standing", identity: str | None = None
    ) -> types.ElicitRequest:
        """The question as a request; from now on it counts as put. ``identity`` names an address."""
        state = standing.record.state
        self._asked.add((standing.record.generation_id, state))
        if _takes_forms(ctx):
            params = types.ElicitRequestFormParams(message=FORM_MESSAGES[state], requested_schema=NOTHING_ASKED)
            return types.ElicitRequest(params=params)
        address = types.ElicitRequestURLParams(message=URL_MESSAGES[state], url=self._site, elicitation_id=identity)
        return types.ElicitRequest(params=address)

    async def ask_and_wait(
        self,
        ctx: ServerRequestContext[Any, Any],
        standing: "Standing",
        seconds: float,
        wait: Callable[[float], Awaitable["Standing"]],
    ) -> "Standing":
        """Ask as the handshake era does and wait meanwhile, so long at most; the question ends with the wait, and the
        wait with a "no". "Yes" only says that the person went there: what counts is where the generation stands."""
        identity = uuid.uuid4().hex
        question = self.question(ctx, standing, identity)
        waiting = anyio.CancelScope()

        async def ask() -> None:
            of_the_call = ServerMessageMetadata(related_request_id=ctx.request_id)
            try:
                answer = await ctx.session.send_request(question, types.ElicitResult, metadata=of_the_call)
            except (MCPError, NoBackChannelError, ValueError) as error:
                logger.warning("the client declared elicitation and did not do it: %s", error)
                waiting.cancel()  # nobody was asked: the answer tells it
                return
            if answer.action != "accept":
                waiting.cancel()

        async with background() as group:
            group.start_soon(ask)
            with waiting:
                standing = await wait(seconds)
        if waiting.cancelled_caught:
            standing = await wait(0)  # the question may have been past when it was answered
        if standing.record.state not in PERSON_STATES and not _takes_forms(ctx):
            with anyio.move_on_after(1), contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                await ctx.session.send_elicit_complete(identity, ctx.request_id)
        return standing


def _takes_forms(ctx: ServerRequestContext[Any, Any]) -> bool:
    """A form opens nothing; an empty declaration means forms alone."""
    capabilities = ctx.session.client_capabilities
    asking = None if capabilities is None else capabilities.elicitation
    return asking is not None and (asking.form is not None or asking.url is None)


def is_modern(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether this request speaks 2026-07-28 or later."""
    return ctx.protocol_version >= MODERN
