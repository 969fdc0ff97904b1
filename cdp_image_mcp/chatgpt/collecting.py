"""Fetching later what the site finished for a prompt that went out in an earlier run. Never submits anything.

The conversation is known by the id in the record. When the process died before it was written, or it shows no message
of ours, the newest conversations of the history are looked into, and ours is the one that holds a message with the sent
text, written when send was pressed and claimed by no other generation. One that fits in every way but one is not ours.

``not_found`` is final: it is said only of what was read. What could not be read may be collected another time.
"""

import time
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

import anyio

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.drawing import Drawing, stopping
from cdp_image_mcp.chatgpt.network.conversations import Listed, Reading, read_conversations, read_history
from cdp_image_mcp.chatgpt.network.message import Message
from cdp_image_mcp.chatgpt.network.sent import same_words
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.wire import items, uuid_of
from cdp_image_mcp.chatgpt.sending import ChallengeMet
from cdp_image_mcp.chatgpt.watching.listening import watch_turn
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Report

HISTORY = 4
"""Conversations changed since the press that are looked into when ours is not known by id. Where the list tells when
each began, as the site's own does, only those that began about then: only a new chat's id is not known, and a busy
account has many others."""
ABOUT = 900.0
"""Seconds before the press, or after it, at which the site may say that its conversation began: a page that prepares
its prompt while references go up may have begun it then."""
WHOLE = 20
"""A list of fewer conversations is the whole history: the page asks for 20 to 28 at a time (2023-04 to 2026-09)."""
OLDER = 8
"""The history is sorted by age but for what is pinned above it, and nothing tells where that ends. So one conversation
older than the press says nothing of those further down; this many in a row are taken for the sorted part."""
CLOCK_SLACK = 120.0
"""Seconds by which the site's clock and ours may differ unnoticed."""
SENT_WITHIN = 15.0
"""Seconds after the press at which the site may date the message."""
RETRIES = (0.0, 5.0, 20.0)
"""Seconds before the history, or a conversation, is looked into: once more, and once more."""
LOOK_STEP = "Look into the site's history; if the picture is not there, call generate_image again."
LOOK_AGAIN = "Call wait_for_image with this generation_id: the conversations are looked into again."
ANOTHER = "Ask the user to sign in with the account and workspace that it was sent with, as 'login' lets them. "
READ_SECONDS = 10.0
"""How long a page may take to load its conversation."""


class Collecting:
    def __init__(
        self, site: Site, request: ImageRequest, report: Report, *, taken: frozenset[str] = frozenset()
    ) -> None:
        """``taken``: ids of conversations and of messages that other generations have in their records."""
        self._site = site
        self._request = request
        self._report = report
        self._taken = taken
        self._known = uuid_of(report.facts.get("conversation_id"))  # others may have written the record
        self._site_ahead: float | None = None
        """Seconds by which the site's clock is ahead of ours, where that is much: ours is wrong, perhaps since before
        the press."""
        self._seen: dict[Listed, Reading] = {}
        """What was read of others, as the list told of them: one that has not changed is not opened again."""

    @property
    def address(self) -> str:
        """Where to start: the conversation, or the home page when it is not known."""
        return self._site.conversation(self._known) if self._known else self._site.home

    async def run(self, tab: Tab) -> None:
        """Save what is finished, wait for what is still being drawn.

        Raises ImageError ``not_found`` when nothing of ours is at the site, ``network`` when that could not be read,
        the site's own answer when there will be no picture, ChallengeMet.
        """
        conversation, message = self._known, self._report.facts.get("user_message_id")
        if not conversation:
            conversation, message = await self._searched(tab)
        for _ in range(2):
            if not isinstance(message, str) or message in self._used:
                conversation, message = await self._found(tab, conversation)
            if await self._taken_from(tab, conversation, message):
                return
            message = None  # the site never had it, or keeps it under an id of its own, or in another conversation
        raise _not_read("the generation's own was not the same twice")

    async def _found(self, tab: Tab, conversation: str) -> tuple[str, str]:
        """Ours in the conversation of the record. That of a new chat may have been told by the page's address alone,
        which a person changes too: where it does not show ours, ours is looked for in the history. It counts as lost
        only where both were read."""
        try:
            return conversation, await self._find_message(tab, conversation)
        except ImageError as lacks:
            if self._went_there:
                raise
            try:
                return await self._searched(tab)
            except ImageError as lost:
                raise (lost if lacks.code == "not_found" else lacks) from None

    async def _searched(self, tab: Tab) -> tuple[str, str]:
        """Ours as the history has it, and the record told so."""
        found, message = await self._search(tab)
        await self._report.state("generating", submitted=True, user_message_id=message, **self._site.facts(found))
        return found, message

    async def _taken_from(self, tab: Tab, conversation: str, message: str) -> bool:
        """Save what came of that message. False where the conversation shows nothing of it. Raises as ``run``."""
        transcript = Transcript(conversation_id=conversation, user_message_id=message, fails=self._site.words.fails)
        async with watch_turn(tab, transcript) as watch:
            if (await watch.load("late")).challenged:
                raise ChallengeMet
            async with stopping(watch, self._report):
                await watch.until(lambda: transcript.lacks + transcript.reads > 0 or watch.troubled, READ_SECONDS)
                ours = transcript.reads or transcript.turn().pictures
                if transcript.lacks or (transcript.parts and not (ours or self._went_there)):
                    return False
                await self._report.state("generating", submitted=True)
                await Drawing(watch, self._request, self._report).pictures()
            return True

    async def _search(self, tab: Tab) -> tuple[str, str]:
        """Our conversation among the newest of the history: of the page's own list, else of the side bar. One that was
        just begun may not be listed yet, and one may not load: both are tried again."""
        unread: ImageError | None = None
        for pause in RETRIES:
            await anyio.sleep(pause)
            listed = await self._listed(tab)
            found, unread = await self._looked_into(tab, listed)
            if found is not None:
                return found[0], found[1].id
            if unread is None and not self._just_pressed:
                break
        sent_by = self._report.facts.get("account")
        if sent_by and tab.who and tab.who != sent_by:
            raise _not_read("they are another account's or workspace's", f"{ANOTHER}{LOOK_AGAIN}")
        if unread is not None or self._just_pressed:
            raise unread or _not_read("one that was just begun may not be listed yet")
        raise ImageError(
            "not_found",
            "It is not known whether the prompt reached the site: none of its newest conversations holds it.",
            submitted="unknown",
            next_step=LOOK_STEP,
        )

    async def _listed(self, tab: Tab) -> list[Listed]:
        """The history as the page asks for it now: what an earlier document was told may be from before the press. What
        the side bar shows where that was not heard."""
        before = tab.loader_id
        with tab.bodies.watch(self._site.lists_newest) as answers:
            if (await tab.open(self._site.home)).challenged:
                raise ChallengeMet
            with anyio.move_on_after(READ_SECONDS):
                while True:
                    request = await answers.next()
                    listed = None if request.loader_id == before else read_history(await self._body(tab, request))
                    if listed is not None:
                        return listed
        links: list[str] = []
        with suppress(DocumentLeft):  # it is loaded again
            await tab.eye.open()
            await tab.eye.until("witness.has('history_link')", 4)
            links = await tab.eye.ask("witness.every('history_link').map((link) => link.href)", reply=list[str])
        return [Listed(known) for known in dict.fromkeys(filter(None, map(self._site.conversation_id, links)))]

    async def _looked_into(
        self, tab: Tab, listed: list[Listed]
    ) -> tuple[tuple[str, Message] | None, ImageError | None]:
        """Ours among ``listed``, newest first; when it is not found, why not all of them could be read."""
        candidates: list[tuple[str, Message]] = []
        found: tuple[str, Message] | None = None
        hidden: list[str] = []
        unread = newer = older = looked = 0
        free = [one for one in listed if one.conversation_id not in self._taken]
        open_to_us = [one for one in free if self._may_be_ours(one)]
        for looked, one in enumerate(open_to_us, 1):
            reading = self._seen.get(one)
            if reading is None and not self._is_older(one.changed):
                reading = await self._reading(tab, one.conversation_id)
            is_older = self._is_older(one.changed if reading is None else reading.changed)
            older = older + 1 if is_older else 0
            if reading is None:
                unread += not is_older
            else:
                newer += not is_older
                if _asked(reading):
                    self._seen[one] = reading
                candidates += [(one.conversation_id, said) for said in _asked(reading)]
                if not is_older and self._beginning_hidden(reading):
                    hidden.append(one.conversation_id)
            found = self._ours(candidates)
            if newer + unread >= HISTORY or older >= OLDER or (found is not None and looked >= HISTORY):
                break
        left = len(open_to_us) - looked
        if found is not None:
            return found, None
        if not listed:
            return None, _not_read("the site's history was not loaded")
        if unread:
            return None, _not_read(f"{unread} of them did not load")
        if hidden:
            return None, self._not_shown(hidden)
        reaches = len(listed) < WHOLE or open_to_us == free or self._is_older(listed[-1].changed)
        complete = reaches and (not left or older >= OLDER)
        return None, None if complete else _not_read("there are newer ones than could be looked into")

    async def _find_message(self, tab: Tab, conversation: str) -> str:
        for pause in RETRIES:
            await anyio.sleep(pause)
            reading = await self._reading(tab, conversation)
            if reading is None:
                raise _not_read("the generation's own did not load")
            found = self._ours([(conversation, said) for said in _asked(reading)])
            if found is not None:
                return found[1].id
            if not reading.from_start or self._branches(reading, _asked(reading)):
                raise self._not_shown([conversation])
            if not self._just_pressed:
                break
        else:
            raise _not_read("the generation's own may not hold it yet")
        raise ImageError(
            "not_found",
            f"The conversation {self._site.conversation(conversation)} does not hold this generation's prompt.",
            submitted="unknown",
            next_step=LOOK_STEP,
        )

    def _not_shown(self, conversations: list[str]) -> ImageError:
        """Ours may stand where only a person can look: asked again without them, the page shows the same."""
        where = " or ".join(map(self._site.conversation, conversations))
        return _not_read(
            "it may stand in a part or on a branch that is not shown",
            f"Ask the user to look for the prompt in {where}, at its beginning too and under the arrows of an edited "
            "message, and to leave the version with it shown; then call wait_for_image with this generation_id. If the "
            "prompt is not there, call cancel_image with this generation_id, then generate_image again.",
        )

    # --- which message is ours ---------------------------------------------------------------------------------

    @property
    def _went_there(self) -> bool:
        """Whether the conversation of the record was known before the press."""
        return self._request.conversation_mode == "continue" or bool(self._report.images)

    @property
    def _used(self) -> frozenset[str]:
        """Messages of this generation's earlier turns."""
        return frozenset(map(str, items(self._report.facts.get("used_message_ids"))))

    @property
    def _presses(self) -> tuple[float, ...]:
        """When send was pressed, seconds since 1970: by this machine's clock, and by the site's where that is another.
        Empty when it is not known."""
        at = self._report.facts.get("submitted_at")
        if not isinstance(at, str):
            return ()
        pressed = datetime.fromisoformat(at).timestamp()
        return (pressed,) if self._site_ahead is None else (pressed, pressed + self._site_ahead)

    @property
    def _just_pressed(self) -> bool:
        return any(abs(time.time() - pressed) < CLOCK_SLACK for pressed in self._presses[:1])

    def _ours(self, candidates: list[tuple[str, Message]]) -> tuple[str, Message] | None:
        """The one written nearest to the press of send. One whose time nobody knows only if there is no other."""
        wanted = str(self._report.facts.get("sent_prompt") or "")
        claimed = self._taken | self._used
        same = [one for one in candidates if one[1].id not in claimed and same_words(one[1].words, wanted)]
        presses = self._presses
        if not wanted.strip() or not same:
            return None
        if len(same) == 1 and (not presses or same[0][1].created is None):
            return same[0]
        for pressed in presses:
            earliest, latest = pressed - CLOCK_SLACK, pressed + SENT_WITHIN + CLOCK_SLACK
            timely = [
                (abs(one[1].created - pressed), one)
                for one in same
                if one[1].created is not None and earliest <= one[1].created <= latest
            ]
            if timely:
                return min(timely, key=lambda pair: pair[0])[1]
        return None

    def _may_be_ours(self, one: Listed) -> bool:
        presses = self._presses
        return not presses or one.begun is None or any(abs(one.begun - pressed) <= ABOUT for pressed in presses)

    def _beginning_hidden(self, reading: Reading) -> bool:
        """Whether it may have begun with ours, as each has whose id was not learnt, and not show it."""
        return not reading.from_start or self._branches(reading, _asked(reading)[:1])

    def _branches(self, reading: Reading, asked: list[Message]) -> bool:
        """Whether ours may stand on another branch than the current one, which is all that a window holds: a person has
        asked for something since the press, and may have edited what stood there."""
        others = (said for said in asked if said.id not in self._taken | self._used)
        return not reading.whole and any(not self._is_older(said.created) for said in others)

    def _is_older(self, changed: float | None) -> bool:
        """Whether what last changed then did so before the press of send: ours is another."""
        presses = self._presses
        return changed is not None and bool(presses) and changed < min(presses) - CLOCK_SLACK

    async def _reading(self, tab: Tab, conversation: str) -> Reading | None:
        """A conversation from the JSON the page loads for itself; None when it could not be read."""
        found: Reading | None = None
        with tab.bodies.watch(self._site.reads_conversation) as answers:
            landed = await tab.open(self._site.conversation(conversation))
            if landed.challenged:
                raise ChallengeMet
            with anyio.move_on_after(READ_SECONDS):
                while found is None:
                    request = await answers.next()
                    named = self._site.asked_about(request)
                    readings = read_conversations(await self._body(tab, request), conversation=named)
                    found = next((one for one in readings if one.conversation_id == conversation), None)
        return found

    async def _body(self, tab: Tab, request: Request) -> bytes:
        """Empty when it could not be had. Beside it stands what time it is for the site."""
        with suppress(TypeError, ValueError):
            ahead = parsedate_to_datetime(request.headers.get("date", "")).timestamp() - time.time()
            if abs(ahead) > CLOCK_SLACK:  # an answer that was kept is dated back, so ours counts too
                self._site_ahead = ahead
        return (await tab.answer(request) if request.status == 200 else None) or b""


def _not_read(why: str, next_step: str = LOOK_AGAIN) -> ImageError:
    return ImageError(
        "network",
        f"The site's conversations could not all be read ({why}), so it is not known what became of the prompt.",
        submitted="unknown",
        next_step=next_step,
    )


def _asked(reading: Reading) -> list[Message]:
    return [message for message in reading.messages if message.role == "user"]
