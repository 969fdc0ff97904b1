"""Watches one turn from before its prompt is sent: both witnesses, brought together.

The network's witness is the transcript (stream, websocket, conversation JSON); the page's is the eye's report of our
own turn. Each piece of news wakes whoever waits. Nothing is asked of the page while it is still.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.streams import LiveStream, StreamRequest
from cdp_image_mcp.cdp.wire import decode
from cdp_image_mcp.chatgpt.address import file_id
from cdp_image_mcp.chatgpt.landing import TOO_LARGE, Landing, landing, mitigated
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft, quoted
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.verdict import PageSigns, Verdict, verdict
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.system.tasks import background

__all__ = ["TurnWatch", "watch_turn"]

log = logging.getLogger(__name__)

PULSE_SECONDS = 30.0
"""How often browser and page are asked whether they still answer: what hangs sends no event."""
HUNG_SECONDS = 30.0
"""How long the browser may owe that answer. Its page gets twice that: it decodes pictures, and answers nothing while it
waits for another document (seen in Chromium's sources)."""


class PostData(msgspec.Struct, rename="camel"):
    post_data: str


class TurnWatch:
    """What both witnesses know of our turn so far."""

    def __init__(self, tab: Tab, transcript: Transcript) -> None:
        self.tab = tab
        self.transcript = transcript
        self.known: list[str] = []
        """Ids of turns that were there before ours."""
        self.request_seen = anyio.Event()
        """The page sent its own request: the prompt is out."""
        self.refused: tuple[int, bytes, bool] | None = None
        """Status and body when the site refused that request, and whether a check was the reason."""
        self.unread = False
        """The page read the conversation and we could not: loading it anew tells what it said."""
        self.challenge: Landing | None = None
        self.mitigated = False
        """Something before the site answered one of the page's own requests while the page looks fine."""
        self.lost: cdp.CDPError | None = None
        """Why watching ended, when it ended by itself."""
        self.reloads = 0
        self._page = PageReport()
        self._looking: tuple[str | None] | None = None
        """The message the eye goes by, once it looks at all."""
        self._stream: LiveStream | None = None
        """The answer to our turn's request that is being read."""
        self._stream_ended_at: float | None = None
        self._changed_at = anyio.current_time()
        self._news = anyio.Event()

    # --- for whoever waits -------------------------------------------------------------------------------------

    @property
    def turn(self) -> Turn:
        return self.transcript.turn()

    @property
    def page(self) -> PageReport:
        """What the page shows of our turn; a reference picture that is shown once more is nothing of ours."""
        return self._page.without(self.turn.reference_ids)

    @property
    def tab_gone(self) -> bool:
        """The page cannot send anything any more. One that hangs, or is no longer heard, still may."""
        return self.lost is not None and (self.tab.closed is not None or self.tab.page.session.crashed)

    @property
    def stream_open(self) -> bool:
        """The site is answering our turn's own request at this moment."""
        return self._stream is not None

    @property
    def kept_out(self) -> bool:
        """A check answers the page's requests, and nothing is coming in that a reload would cut off."""
        return self.mitigated and not self.stream_open

    @property
    def signs(self) -> PageSigns:
        return self.page.signs(anyio.current_time() - self._changed_at)

    def judge(self) -> Verdict:
        since = None if self._stream_ended_at is None else anyio.current_time() - self._stream_ended_at
        return verdict(self.turn, self.signs, since_stream_end=since, reloads=self.reloads)

    def mark(self) -> anyio.Event:
        """The present moment, for :meth:`news_since`."""
        return self._news

    async def news_since(self, mark: anyio.Event, seconds: float | None) -> None:
        """Until something has changed since ``mark``, at most ``seconds``."""
        with anyio.move_on_after(seconds if seconds is not None else float("inf")):
            await mark.wait()

    def tell(self) -> None:
        """Something changed: wake everyone who waits."""
        self._changed_at = anyio.current_time()
        self._news.set()
        self._news = anyio.Event()

    # --- the page ----------------------------------------------------------------------------------------------

    async def look(self, user_message_id: str | None) -> None:
        """Let the eye report on our turn from now on; again after every new document."""
        self._looking = (user_message_id,)
        what = {"user": user_message_id, "known": self.known, "strict": user_message_id is not None}
        await self.tab.eye.ask(f"witness.watch({quoted(what)})")

    async def remember_turns(self) -> None:
        """Note what is on the page before the prompt goes out."""
        self.known = await self.tab.eye.ask("witness.known()", reply=list[str])

    async def reload(self) -> Landing:
        """Load the conversation anew and look again, unless a check came instead."""
        self.reloads += 1
        self._page = PageReport()
        self.mitigated = self.unread = False
        await self.tab.forget_conversation_keys()
        address = self.tab.page.url
        turn = self.turn
        if turn.conversation_id is not None and self.tab.site.conversation_id(address) != turn.conversation_id:
            landed = await self.tab.open(self.tab.site.conversation(turn.conversation_id))
        else:
            landed = await self.tab.reload()
        if not landed.challenged:
            await self.look_again()
        self.tell()
        return landed

    async def look_again(self) -> None:
        """Open the eye in the present document and go on watching."""
        for _ in range(3):
            try:
                await self.tab.eye.open()
                await self.look(self.turn.user_message_id)
            except DocumentLeft:
                await self.tab.settle()
            else:
                return

    # --- listeners ---------------------------------------------------------------------------------------------

    async def listen_streams(self, start: Callable[[Callable[[], Any]], object]) -> None:
        """Answers that begin from now on, each read in a task of its own made by ``start``: one that stays open must
        not hide the next."""
        async for stream in self.tab.streams:
            request = stream.request
            if self.tab.site.asks("turn", request):
                # At once: the prompt is out, whatever becomes of reading the request.
                self.request_seen.set()
                self._stream = stream
                self._stream_ended_at = None
                self.tell()
                start(partial(self._hear_answer, stream, start))
            elif self.request_seen.is_set() or self.turn.user_message_id is not None:
                start(partial(self._hear_resumed, stream))
            else:
                stream.close()  # an earlier turn's answer goes on: ours has not been sent

    async def _hear_answer(self, stream: LiveStream, start: Callable[[Callable[[], Any]], object]) -> None:
        """The answer to the page's own request."""
        await self._read_request(stream.request)
        start(self._look_closer)
        ok, head = await self._read_stream(stream)
        status = stream.status
        if status is not None and status >= 400:
            ok = False
            mitigated = self._mitigated(stream.request.request_id)
            # After a 5xx the site may have taken the prompt all the same.
            if status < 500 or mitigated:
                self.refused = (status, head, mitigated)
            else:
                log.warning("the site answered the prompt's request with status %d; watching on", status)
        self._ended(stream, ok=ok)

    async def _hear_resumed(self, stream: LiveStream) -> None:
        """The same answer, asked for again; the site refuses that when there is nothing left to tell."""
        ok, _ = await self._read_stream(stream, resumed=True)
        if stream.status is not None and stream.status >= 400:
            log.info("the answer was not resumed: status %d", stream.status)
        else:
            self._ended(stream, ok=ok)

    async def _read_stream(self, stream: LiveStream, *, resumed: bool = False) -> tuple[bool, bytes]:
        """Feed a stream until another takes its place; whether it came to its end, and the head of an error's body."""
        head = b""
        try:
            async for chunk in stream:
                if stream.status is not None and stream.status >= 400:
                    head += chunk[: 65536 - len(head)]
                    continue
                if resumed:
                    # Not before it brings something: one that is refused takes no place.
                    resumed = False
                    if self._stream is not None:
                        self.transcript.stream_ended(ok=False)
                    self._stream = stream
                if self._stream is stream and self.transcript.feed_stream(chunk):
                    self.tab.quotas = self.transcript.quotas or self.tab.quotas
                    self.tell()
        except cdp.errors.StreamFailed as error:
            log.info("the answer's stream broke: %s", error)
            return False, head
        return True, head

    def _ended(self, stream: LiveStream, *, ok: bool) -> None:
        if self._stream is not stream:
            return  # another took its place: its end says nothing
        self._stream = None
        self.transcript.stream_ended(ok)
        self._stream_ended_at = anyio.current_time()
        self.tell()

    async def _read_request(self, request: StreamRequest) -> None:
        """The page's own request names our message; its body is asked for when the event left it out (long ones)."""
        body = request.post_data
        if body is None:
            try:
                answer = await self.tab.page.session.call(
                    "Network.getRequestPostData", {"requestId": request.request_id}, reply=PostData
                )
            except (cdp.errors.ProtocolError, cdp.errors.CommandTimeout) as error:
                log.warning("the page's own request could not be read: %s", error)
                return
            body = answer.post_data
        self.transcript.feed_request(body.encode())
        self.tell()

    async def _look_closer(self) -> None:
        """Our message has its id: the eye need not guess any longer which turn is ours."""
        ours = self.turn.user_message_id
        if ours is None or self._looking is None or self._looking == (ours,):
            return
        try:
            await self.look(ours)
        except (DocumentLeft, cdp.errors.CommandTimeout, cdp.errors.ScriptError) as error:
            log.info("the page is looked at again when its next document is there: %s", error)

    def _mitigated(self, request_id: str) -> bool:
        for request in self.tab.bodies.requests:
            if request.request_id == request_id:
                return mitigated(request.headers)
        return False

    def hear(self, message: str | bytes) -> None:
        """One message of the page's websocket."""
        if self.transcript.feed_socket(message):
            self.tell()

    def missed(self) -> None:
        """What the page's websocket said meanwhile stands in the conversation: reading that is advised now."""
        self.transcript.missed()
        # A verdict advises one loading only, and that is behind us: what was missed since needs another.
        self.unread = self.unread or self.reloads > 0
        self.tell()

    def deaf(self, error: cdp.CDPError) -> None:
        """One of the two witnesses is gone for good."""
        self.lost = self.lost or error
        self.tell()

    async def listen_answers(self) -> None:
        """Conversation JSON, read as soon as it is complete."""
        with self.tab.bodies.watch(self.tab.site.reads_conversation) as answers:
            async for request in answers:
                if request.status != 200:
                    continue
                try:
                    body = await self.tab.bodies.read(request, again=False)
                except (cdp.errors.BodyUnavailable, cdp.errors.ProtocolError) as error:
                    log.warning("an answer of the site could not be read: %s", error)
                    self.unread = True
                    self.tell()
                    continue
                if self.transcript.feed_conversation(body.data):
                    self.tell()

    async def listen_page(self) -> None:
        with self.tab.eye.messages() as messages:
            async for told in messages:
                report = decode(told, PageReport)
                if report.kind == "fault":
                    log.warning("the page script failed: %s", report.message)
                    continue
                self._page = report
                self.tell()

    async def listen_documents(self) -> None:
        """New documents by themselves: a check, or a reload by the site or the person."""
        with self.tab.documents() as documents:
            async for request in documents:
                landed = landing(request, self.tab.site)
                if landed.challenged:
                    self.challenge = landed
                self.tell()

    async def listen_checks(self) -> None:
        """Requests of the page that something before the site answered: a check (403 with ``cf-mitigated``; two
        sources, 2026) or the limit of the cookies' size."""

        def kept_out(request: Request) -> bool:
            return request.type != "Document" and (mitigated(request.headers) or request.status == TOO_LARGE)

        with self.tab.bodies.watch(kept_out, stage="responded") as checks:
            async for _ in checks:
                self.mitigated = True
                self.tell()

    async def listen_pulse(self) -> None:
        """Ends the watch when the page hangs, or a browser that nobody sees: both are replaced, and what the site has
        made meanwhile is collected. A hanging browser with windows is the user's: it is waited for."""
        while True:
            await anyio.sleep(PULSE_SECONDS)
            page, browser = self.tab.page, self.tab.browser
            if not await browser.answers(HUNG_SECONDS):
                if browser.headless:
                    raise cdp.errors.Hanging("the browser", HUNG_SECONDS)
                log.warning("the browser does not answer; it is waited for")
            elif not await page.answers(2 * HUNG_SECONDS):
                raise cdp.errors.Hanging("our page", 2 * HUNG_SECONDS)

    async def listen_pictures(self) -> None:
        """A picture's own request ended: somebody may wait for its bytes."""
        with self.tab.bodies.watch(lambda request: file_id(request.url) is not None) as pictures:
            async for _ in pictures:
                self.tell()


@asynccontextmanager
async def watch_turn(tab: Tab, transcript: Transcript) -> AsyncGenerator[TurnWatch]:
    """Listen to everything from now on. A lost browser or page is told by ``lost``, never swallowed."""
    watch = TurnWatch(tab, transcript)
    async with background() as group:

        async def owned(listener: Any) -> None:
            try:
                await listener()
            except cdp.CDPError as error:
                if watch.lost is None:
                    watch.lost = error
                watch.tell()

        def start(task: Callable[[], Any]) -> None:
            group.start_soon(owned, task)

        _drop_unwatched(tab)
        listeners = (
            *(partial(watch.listen_streams, start), watch.listen_answers),
            *(watch.listen_page, watch.listen_documents, watch.listen_pictures, watch.listen_checks),
            watch.listen_pulse,
        )
        for listener in listeners:
            group.start_soon(owned, listener)
        # All subscriptions must stand before anything is typed.
        await anyio.lowlevel.checkpoint()
        tab.listener = watch
        if tab.deaf is not None:
            watch.deaf(tab.deaf)
        try:
            yield watch
        finally:
            tab.listener = None


def _drop_unwatched(tab: Tab) -> None:
    """Answers that began while no turn was watched belong to an earlier one, or to a person's own prompt."""
    while len(tab.streams):
        try:
            stream = tab.streams.poll()
        except cdp.CDPError as error:
            log.info("while no turn was watched: %s", error)
            continue
        if stream is not None:
            stream.close()
