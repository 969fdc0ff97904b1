"""Fetching later what the site finished for a prompt that went out in an earlier run. Never submits anything.

The conversation is known by the id in the record. When the process died before it was written, the newest
conversations of the history are looked into, and ours is the one that holds a message with the sent text, written when
send was pressed and claimed by no other generation. A conversation that fits in every way but one is not ours.

``not_found`` is final: it is said only of what was read. What could not be read may be collected another time.
"""

import logging
from datetime import datetime, timedelta
from typing import Any, NoReturn

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.drawing import ChallengeMet, Drawing
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.wire import items, obj
from cdp_image_mcp.chatgpt.page.composer import same_text
from cdp_image_mcp.chatgpt.turnwatch import watch_turn
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.words import Words
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import Report

__all__ = ["Collecting", "SentMessage", "SentMessages", "read_sent"]

log = logging.getLogger(__name__)

HISTORY = 4
"""Conversations changed since the press that are looked into when ours is not known by id: one prompt at a time, so it
is among the newest."""
OLDER = 8
"""The history is sorted by age but for what is pinned above it, and nothing tells where that ends. So one conversation
older than the press says nothing of those further down; this many in a row are taken for the sorted part."""
CLOCK_SLACK = timedelta(minutes=2)
"""The site's clock and ours may differ by this much."""
SENT_WITHIN = timedelta(seconds=15)
"""How long after the press the site may date the message."""
READ_SECONDS = 10.0
"""How long a page may take to load its conversation."""


class SentMessage(msgspec.Struct, frozen=True):
    """A person's message in a conversation's JSON."""

    id: str
    text: str
    at: float | None


class SentMessages(msgspec.Struct, frozen=True):
    """A conversation's messages of the person, in its own order, and when it last changed (seconds since 1970)."""

    messages: tuple[SentMessage, ...]
    changed: float | None


class Collecting:
    """Collects for one generation."""

    def __init__(self, site: Site, report: Report, words: Words, *, taken: frozenset[str] = frozenset()) -> None:
        """``taken``: ids of conversations and of messages that other generations have in their records."""
        self._site = site
        self._report = report
        self._words = words
        self._taken = taken

    @property
    def address(self) -> str:
        """Where to start: the conversation, or the home page when it is not known."""
        known = self._report.facts.get("conversation_id")
        return self._site.conversation(known) if isinstance(known, str) else self._site.home

    async def run(self, tab: Tab) -> None:
        """Save what is finished, wait for what is still being drawn.

        Raises ImageError ``not_found`` when nothing of ours is at the site, ``network`` when that could not be read,
        the site's own answer when there will be no picture, ChallengeMet.
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
        if not isinstance(message, str) or message in self._used:
            message = await self._find_message(tab, conversation)
        transcript = Transcript(conversation_id=conversation, user_message_id=message)
        async with watch_turn(tab, transcript) as watch:
            landed = await watch.reload()
            if landed.challenged:
                raise ChallengeMet(submitted=True)
            await self._report.state("generating", submitted=True)
            await Drawing(watch, self._report, self._words).pictures()

    async def _search(self, tab: Tab) -> tuple[str, str]:
        """Our conversation among the newest of the history."""
        await tab.eye.ask("witness.until(() => witness.has('history_link'), 4000).then(Boolean)")
        links: list[str] = await tab.eye.ask("witness.every('history_link').map((link) => link.href)", reply=list[str])
        listed = dict.fromkeys(filter(None, map(self._site.conversation_id, links)))
        open_to_us = [conversation for conversation in listed if conversation not in self._taken]
        candidates: list[tuple[str, SentMessage]] = []
        found: tuple[str, SentMessage] | None = None
        looked = unread = newer = older = 0
        for looked, conversation in enumerate(open_to_us, 1):
            messages = await self._messages(tab, conversation)
            if messages is None:
                unread += 1
            else:
                candidates += [(conversation, message) for message in messages.messages]
                found = self._ours(candidates)
                older = older + 1 if self._is_older(messages) else 0
                newer += older == 0
            if newer + unread >= HISTORY or older >= OLDER or (found is not None and looked >= HISTORY):
                break
        if found is not None:
            return found[0], found[1].id
        if unread or not listed:
            self._not_read("the site's history was not loaded" if not listed else f"{unread} of them did not load")
        if looked < len(open_to_us) and older < OLDER:
            self._not_read("there are newer ones than could be looked into")
        raise ImageError(
            "not_found",
            "It is not known whether the prompt reached the site: none of its newest conversations holds it.",
            submitted="unknown",
            next_step="Look into the site's history; if the picture is not there, call generate_image again.",
        )

    async def _find_message(self, tab: Tab, conversation: str) -> str:
        messages = await self._messages(tab, conversation)
        if messages is None:
            self._not_read("the generation's own did not load")
        found = self._ours([(conversation, message) for message in messages.messages])
        if found is not None:
            return found[1].id
        raise ImageError(
            "not_found",
            f"The conversation {self._site.conversation(conversation)} does not hold this generation's prompt.",
            submitted="unknown",
        )

    def _not_read(self, why: str) -> NoReturn:
        raise ImageError(
            "network",
            f"The site's conversations could not all be read ({why}), so it is not known what became of the prompt.",
            submitted="unknown",
            next_step="Call wait_for_image with this generation_id: the conversations are looked into again.",
        )

    # --- which message is ours ---------------------------------------------------------------------------------

    @property
    def _used(self) -> frozenset[str]:
        """Messages of this generation's earlier turns."""
        used = self._report.facts.get("used_message_ids")
        return frozenset(map(str, used)) if isinstance(used, list) else frozenset()  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    @property
    def _pressed(self) -> datetime | None:
        at = self._report.facts.get("submitted_at")
        return datetime.fromisoformat(at) if isinstance(at, str) else None

    def _ours(self, candidates: list[tuple[str, SentMessage]]) -> tuple[str, SentMessage] | None:
        """The one written nearest to the press of send. One whose time nobody knows only if there is no other."""
        wanted = str(self._report.facts.get("sent_prompt") or "")
        claimed = self._taken | self._used
        same = [one for one in candidates if one[1].id not in claimed and same_text(one[1].text, wanted)]
        pressed = self._pressed
        if not wanted.strip() or not same:
            return None
        if len(same) == 1 and (pressed is None or same[0][1].at is None):
            return same[0]
        if pressed is None:
            return None
        earliest, latest = pressed - CLOCK_SLACK, pressed + SENT_WITHIN + CLOCK_SLACK
        timely = [
            (abs(one[1].at - pressed.timestamp()), one)
            for one in same
            if one[1].at is not None and earliest.timestamp() <= one[1].at <= latest.timestamp()
        ]
        return min(timely, key=lambda pair: pair[0])[1] if timely else None

    def _is_older(self, read: SentMessages) -> bool:
        """Whether a conversation last changed before the press of send: ours is another."""
        pressed, changed = self._pressed, read.changed
        return pressed is not None and changed is not None and changed < (pressed - CLOCK_SLACK).timestamp()

    async def _messages(self, tab: Tab, conversation: str) -> SentMessages | None:
        """The person's messages of a conversation, from the JSON the page loads for itself; None when it could not be
        read."""
        found: SentMessages | None = None
        with tab.bodies.watch(self._site.reads_conversation) as answers:
            landed = await tab.open(self._site.conversation(conversation))
            if landed.challenged:
                raise ChallengeMet(submitted=True)
            with anyio.move_on_after(READ_SECONDS):
                while found is None:
                    request = await answers.next()
                    if request.status != 200:
                        continue
                    try:
                        body = await tab.bodies.read(request, again=False)
                    except (cdp.errors.BodyUnavailable, cdp.errors.ProtocolError) as error:
                        log.info("a conversation could not be read: %s", error)
                        continue
                    found = read_sent(body.data, conversation)
        await tab.eye.open()
        return found


def read_sent(body: bytes, conversation: str) -> SentMessages | None:
    """What a conversation's JSON holds of the person's; None when it is not that conversation's."""
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    for one in map(obj, answer if isinstance(answer, list) else [answer]):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if one.get("conversation_id", one.get("id", conversation)) != conversation or "mapping" not in one:
            continue
        messages = [obj(obj(node).get("message")) for node in obj(one["mapping"]).values()]
        times = [_time(one.get("update_time")), *(_time(message.get("create_time")) for message in messages)]
        return SentMessages(
            messages=tuple(filter(None, map(_sent, messages))), changed=max(filter(None, times), default=None)
        )
    return None


def _sent(message: dict[str, Any]) -> SentMessage | None:
    identity = message.get("id")
    if obj(message.get("author")).get("role") != "user" or not isinstance(identity, str):
        return None
    parts = items(obj(message.get("content")).get("parts"))
    said = "\n".join(part for part in parts if isinstance(part, str))
    return SentMessage(id=identity, text=said, at=_time(message.get("create_time")))


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
