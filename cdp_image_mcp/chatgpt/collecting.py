"""Fetching later what the site finished for a prompt that went out in an earlier run. Never submits anything.

The conversation is known by the id in the record. When the process died before it was written, the newest
conversations of the history are looked into, and ours is the one that holds a message with exactly the sent text, not
older than the press of send. A conversation that fits in every way but one is not ours.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

import anyio
import msgspec

from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.drawing import ChallengeMet, Drawing
from cdp_image_mcp.chatgpt.tab import Tab
from cdp_image_mcp.chatgpt.transcript import Transcript
from cdp_image_mcp.chatgpt.turnwatch import watch_turn
from cdp_image_mcp.chatgpt.words import Words
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import Report

__all__ = ["Collecting", "SentMessage", "sent_messages"]

log = logging.getLogger(__name__)

HISTORY = 4
"""Conversations looked into when ours is not known by id: one prompt at a time, so it is among the newest."""
CLOCK_SLACK = timedelta(minutes=2)
"""The site's clock and ours may differ by this much."""


class SentMessage(msgspec.Struct, frozen=True):
    """A person's message in a conversation's JSON."""

    id: str
    text: str
    at: float | None


class Collecting:
    """Collects for one generation."""

    def __init__(self, site: Site, report: Report, words: Words) -> None:
        self._site = site
        self._report = report
        self._words = words

    @property
    def address(self) -> str:
        """Where to start: the conversation, or the home page when it is not known."""
        known = self._report.facts.get("conversation_id")
        return self._site.conversation(known) if isinstance(known, str) else self._site.home

    async def run(self, tab: Tab) -> None:
        """Save what is finished, wait for what is still being drawn.

        Raises ImageError ``not_found`` when nothing of ours is at the site, the site's own answer when there will be
        no picture, ChallengeMet.
        """
        facts = self._report.facts
        conversation, message = facts.get("conversation_id"), facts.get("user_message_id")
        if not isinstance(conversation, str):
            conversation, message = await self._search(tab)
            await self._report.state(
                "generating",
                submitted=True,
                conversation_id=conversation,
                conversation_url=self._site.conversation(conversation),
                user_message_id=message,
            )
        if not isinstance(message, str):
            message = await self._find_message(tab, conversation)
        transcript = Transcript(conversation_id=conversation, user_message_id=message)
        async with watch_turn(tab, transcript) as watch:
            landed = await watch.reload()
            watch.reloads = 0
            if landed.challenged:
                raise ChallengeMet(submitted=True)
            await self._report.state("generating", submitted=True)
            await Drawing(watch, self._report, self._words).pictures()

    async def _search(self, tab: Tab) -> tuple[str, str]:
        """Our conversation among the newest of the history."""
        await tab.eye.ask("witness.until(() => witness.has('history_link'), 4000).then(Boolean)")
        links: list[str] = await tab.eye.ask("witness.every('history_link').map((link) => link.href)", reply=list[str])
        seen: list[str] = []
        for link in links:
            conversation = self._site.conversation_id(link)
            if conversation is None or conversation in seen:
                continue
            seen.append(conversation)
            if len(seen) > HISTORY:
                break
            for message in await self._messages(tab, conversation):
                if self._is_ours(message):
                    return conversation, message.id
        raise ImageError(
            "not_found",
            "It is not known whether the prompt reached the site: none of its newest conversations holds it.",
            submitted="unknown",
            next_step="Look into the site's history; if the picture is not there, call generate_image again.",
        )

    async def _find_message(self, tab: Tab, conversation: str) -> str:
        for message in reversed(await self._messages(tab, conversation)):
            if self._is_ours(message):
                return message.id
        raise ImageError(
            "not_found",
            f"The conversation {self._site.conversation(conversation)} does not hold this generation's prompt.",
            submitted="unknown",
        )

    def _is_ours(self, message: SentMessage) -> bool:
        facts = self._report.facts
        if message.text.strip() != str(facts.get("sent_prompt") or "").strip():
            return False
        at = facts.get("submitted_at")
        if not isinstance(at, str) or message.at is None:
            return True
        return message.at >= (datetime.fromisoformat(at) - CLOCK_SLACK).timestamp()

    async def _messages(self, tab: Tab, conversation: str) -> list[SentMessage]:
        """The person's messages of a conversation, from the JSON the page loads for itself."""
        with tab.bodies.watch(lambda request: self._site.is_conversation_answer(request.url)) as answers:
            landed = await tab.open(self._site.conversation(conversation))
            if landed.challenged:
                raise ChallengeMet(submitted=True)
            found: list[SentMessage] = []
            with anyio.move_on_after(10):
                while not found:
                    request = await answers.next()
                    if request.status == 200:
                        body = await tab.bodies.read(request, again=False)
                        found = sent_messages(body.data, conversation)
        await tab.eye.open()
        return found


def sent_messages(body: bytes, conversation: str) -> list[SentMessage]:
    """The person's messages in a conversation's JSON, in its own order; empty for anything else."""
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return []
    found: list[SentMessage] = []
    for one in answer if isinstance(answer, list) else [answer]:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(one, dict) or one.get("conversation_id", one.get("id", conversation)) != conversation:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            continue
        mapping: Any = one.get("mapping")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(mapping, dict):
            found.extend(filter(None, map(_sent, mapping.values())))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return found


def _sent(node: Any) -> SentMessage | None:
    try:
        message = node["message"]
        if message["author"]["role"] != "user":
            return None
        parts = message["content"]["parts"]
        text = "\n".join(part for part in parts if isinstance(part, str))
        at = message.get("create_time")
        return SentMessage(id=str(message["id"]), text=text, at=float(at) if isinstance(at, int | float) else None)
    except (KeyError, TypeError, IndexError):
        return None
