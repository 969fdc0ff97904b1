"""Everything a turn's watch listens to, each in a task of its own that ends with it."""

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.streams import LiveStream, StreamRequest
from cdp_image_mcp.cdp.wire import decode
from cdp_image_mcp.chatgpt.address import Call, Site, file_id
from cdp_image_mcp.chatgpt.landing import TOO_LARGE, landing, mitigated
from cdp_image_mcp.chatgpt.network.sent import like_text, read_request
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.wire import decode as read_body
from cdp_image_mcp.chatgpt.network.wire import obj, text, uuid_of
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.watching.turnwatch import Refusal, TurnWatch
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.system.sleep import slept_since
from cdp_image_mcp.system.tasks import background

log = logging.getLogger(__name__)

PULSE_SECONDS = 30.0
"""How often browser and page are asked whether they still answer: what hangs sends no event."""
HUNG_SECONDS = 30.0
"""How long the browser may owe that answer. Its page gets twice that: it decodes pictures, and answers nothing while it
waits for another document (seen in Chromium's sources)."""
ADDRESS_SECONDS = 5.0
"""How long the browser may owe the answer that tells where a picture lies; most addresses name its file themselves."""
AGAIN_SECONDS = 3.0
"""How long after a refusal the page may send the prompt once more, with a renewed token: told as refused meanwhile, it
would be asked for and paid twice. Not seen at the site."""
OWN_CALLS: tuple[Call, ...] = (
    *("turn", "sending", "resume", "conversation", "batch", "stream_status"),
    *("upload_begun", "upload_done"),
)
"""Calls without which no turn can begin or go on: a check that answers one of these keeps us out."""

Start = Callable[[Callable[[], Any]], object]


class PostData(msgspec.Struct, rename="camel"):
    post_data: str


class Streams:
    """The answers to prompts. The first request after the press that carries our text is pinned: a person's own later
    prompt in this tab is another turn. Another may take its place only when the pinned one failed before its first
    byte: then the page sends ours once more."""

    def __init__(self, watch: TurnWatch, start: Start) -> None:
        self._watch = watch
        self._start = start
        self._pinned: StreamRequest | None = None
        self._failed = False
        self._stream: LiveStream | None = None
        """What is being read: the answer, or the same one resumed."""

    async def listen(self) -> None:
        """Answers that begin from now on, each read in a task of its own: none that stays open must hide the next."""
        watch = self._watch
        async for stream in watch.tab.streams:
            if watch.tab.site.asks("resume", stream.request):
                if watch.request_seen.is_set() or watch.turn.user_message_id is not None:
                    self._start(partial(self._take_resumed, stream))
                else:
                    stream.close()  # an earlier turn's answer goes on: ours has not been sent
            elif watch.prompt is None or (self._pinned is not None and not self._failed):
                stream.close()  # a person's own prompt
                sent = read_request((stream.request.post_data or "").encode("utf-8", "replace"))
                if sent is not None:  # by its id: another wish may have our words but for one
                    ours = sent.message_ids[-1] in (watch.transcript.users or sent.message_ids)
                    watch.others |= not ours or not like_text(sent.text, watch.prompt or sent.text)
                else:
                    watch.others |= watch.tab.site.asks("turn", stream.request)
            elif stream.request.post_data is not None:
                self._take(stream, stream.request.post_data)
            else:
                self._start(partial(self._take_unread, stream))

    async def _body(self, request: StreamRequest) -> str:
        """What was sent; the event leaves long bodies out. Empty when it could not be had."""
        if request.post_data is not None:
            return request.post_data
        try:
            answer = await self._watch.tab.page.session.call(
                "Network.getRequestPostData", {"requestId": request.request_id}, reply=PostData
            )
        except (cdp.errors.ProtocolError, cdp.errors.CommandTimeout) as error:
            log.info("a request's body could not be read: %s", error)
            return ""
        return answer.post_data

    async def _take_resumed(self, stream: LiveStream) -> None:
        """Hear it unless its body names another conversation (it holds ``conversation_id`` and ``offset``, 2026-10), or
        a person asked for something since. What is left out here, the conversation tells when it is read."""
        body = obj(read_body(await self._body(stream.request)))
        named, ours = uuid_of(body.get("conversation_id")), self._watch.turn.conversation_id
        if self._watch.others or (named and ours and named != ours):
            log.info("an answer that is resumed is not ours")
            stream.close()
        else:
            await self._hear_resumed(stream)

    async def _take_unread(self, stream: LiveStream) -> None:
        body = await self._body(stream.request)
        if not body and self._watch.tab.site.asks("turn", stream.request):
            log.warning("the page's own request could not be read")
        self._take(stream, body)

    def _take(self, stream: LiveStream, body: str) -> None:
        """Hear it if it is ours. One that could not be read at the address of prompts is taken for ours."""
        watch = self._watch
        sent = read_request(body.encode("utf-8", "replace"))
        known = watch.tab.site.asks("turn", stream.request)
        if not known and sent is None:
            stream.close()
            return
        if sent is not None and not like_text(sent.text, watch.prompt or ""):
            log.warning("a prompt that is not ours was sent in this tab; it is left alone")
            watch.others = True
            stream.close()
            return
        if not known:
            log.warning("the prompt went out by another address than is known: %s", urlsplit(stream.request.url).path)
        self._pinned, self._failed, self._stream = stream.request, False, stream
        watch.stream_began()
        self._start(partial(self._hear_answer, stream, body.encode("utf-8", "replace")))

    async def _hear_answer(self, stream: LiveStream, body: bytes) -> None:
        watch = self._watch
        watch.heard(watch.transcript.feed_request(body))
        self._start(watch.look_closer)
        ok, head = await self._read(stream)
        status = stream.status or 0
        told = (one for one in watch.tab.bodies.requests if one.request_id == stream.request.request_id)
        checked = status >= 400 and any(mitigated(request.headers) for request in told)
        # After a 5xx the site may have taken the prompt all the same.
        if status >= 500 and not checked:
            log.warning("the site answered the prompt's request with status %d; watching on", status)
            watch.seen("since_refused")
        self._failed = status >= 400 or (not ok and stream.received == 0)
        if 400 <= status < 500 and not checked:
            await anyio.sleep(AGAIN_SECONDS)  # not over yet: what the page shows meanwhile decides nothing
        if (400 <= status < 500 or checked) and self._pinned is stream.request:
            watch.refused = Refusal(status, head, checked)
        self._over(stream, ok=ok and status < 400)

    async def _hear_resumed(self, stream: LiveStream) -> None:
        """The same answer, asked for again; the site refuses that when there is nothing left to tell, or when it has
        lost the thread (404 ``tokenless_resume_unavailable``, live 2026-10-07) and goes on by itself."""
        ok, head = await self._read(stream, resumed=True)
        if (stream.status or 0) < 400:
            self._over(stream, ok=ok)
            return
        log.info("the answer was not resumed: status %d", stream.status)
        if b"persisted_final_available" in head:
            self._watch.missed()  # it is stored: the conversation tells (410, live 2026-10-07)

    async def _read(self, stream: LiveStream, *, resumed: bool = False) -> tuple[bool, bytes]:
        """Feed a stream until another takes its place; whether it came to its end, and the head of an error's body."""
        watch, head, begun = self._watch, b"", False
        try:
            async for chunk in stream:
                if (stream.status or 0) >= 400:
                    head += chunk[: 65536 - len(head)]
                    continue
                if resumed and not begun:
                    # Not before it brings something: one that is refused takes no place.
                    self._stream, watch.stream_open = stream, True
                if self._stream is stream and not begun:
                    watch.heard(watch.transcript.stream_begins())
                begun = True
                if self._stream is stream:
                    known = watch.transcript.quotas
                    watch.heard(watch.transcript.feed_stream(chunk))
                    if watch.transcript.quotas is not known:  # else the page may have asked since
                        watch.tab.quotas = watch.transcript.quotas
                    if watch.stream_open and watch.turn.stream_ended is not None:
                        watch.stream_over()  # its last word; the connection may stay open
        except cdp.errors.StreamFailed as error:
            log.info("the answer's stream broke: %s", error)
            return False, head
        return True, head

    def _over(self, stream: LiveStream, *, ok: bool) -> None:
        if self._stream is not stream:
            return  # another took its place: its end says nothing
        self._stream = None
        self._watch.stream_over()
        self._watch.heard(self._watch.transcript.stream_ended(ok))
        self._watch.tell()


async def _answers(watch: TurnWatch) -> None:
    """Conversations and what is said of their streams, read as soon as they are complete."""
    tab, transcript = watch.tab, watch.transcript

    def told(request: Request) -> bool:
        return tab.site.reads_conversation(request) or tab.site.asks("stream_status", request)

    with tab.bodies.watch(told) as answers:
        async for request in answers:
            if request.status != 200:
                broke = request.state == "failed" and not request.canceled
                if (broke or (request.status or 0) >= 400) and tab.site.asks("conversation", request):
                    watch.unreadable()
                continue
            body = await tab.answer(request)
            if body is None:
                if not request.canceled:  # what the page itself gave up says nothing
                    watch.unread = True
                    watch.tell()
                continue
            conversation = tab.site.asked_about(request)
            before = parse_qs(urlsplit(request.url).query).get("before", [""])[0]
            if tab.site.asks("stream_status", request):
                watch.heard(transcript.feed_stream_status(body, conversation))
            else:
                watch.heard(transcript.feed_conversation(body, conversation=conversation, before=before))


async def _sockets(watch: TurnWatch) -> None:
    """What the page's websockets say, and when one opens or closes. After an overflow, or a crash of the page, they are
    heard on: what was missed stands in the conversation."""
    while True:
        with cdp.socket_messages(watch.tab.page) as messages:
            try:
                async for said in messages:
                    if isinstance(said, bool):
                        watch.line(said)
                    else:
                        watch.heard(watch.transcript.feed_socket(said))
            except cdp.CDPError as error:
                if watch.tab.closed is not None:
                    raise
                log.warning("messages of the page's websockets were missed: %s", error)
        watch.missed()


async def _page(watch: TurnWatch) -> None:
    with watch.tab.eye.messages() as messages:
        async for told in messages:
            try:
                report = decode(told, PageReport)
            except (msgspec.DecodeError, RecursionError) as error:
                log.warning("what the page script told could not be read: %s", error)
                continue
            if report.kind == "fault":
                log.warning("the page script failed: %s", report.message)
            else:
                watch.reported(report)


async def _documents(watch: TurnWatch, start: Start) -> None:
    with watch.tab.documents() as documents:
        async for request in documents:
            # In a task of its own: a check may come while this one is looked at.
            start(partial(watch.landed, landing(request, watch.tab.site)))


def kept_out(site: Site, request: Request) -> bool:
    """Whether something before the site answered a call of its own: a check (403 with ``cf-mitigated``; two sources,
    2026), where calls of measurements and offers may be kept out as they like, or the limit of the cookies' size, which
    all of its calls meet alike."""
    if request.status == TOO_LARGE:
        return site.ours(request.url)
    return mitigated(request.headers) and any(site.asks(call, request) for call in OWN_CALLS)


async def _checks(watch: TurnWatch) -> None:
    with watch.tab.bodies.watch(partial(kept_out, watch.tab.site), stage="responded") as checks:
        async for _ in checks:
            watch.mitigated = True
            watch.tell()


async def _pulse(watch: TurnWatch) -> None:
    """Ends the watch when the page hangs, or a browser that nobody sees: both are replaced, and what the site has made
    meanwhile is collected. A hanging browser with windows is the user's: it is waited for."""
    while True:
        then = time.time()
        await anyio.sleep(PULSE_SECONDS)
        if slept_since(then, PULSE_SECONDS):
            log.info("the machine slept: what the site said meanwhile was not heard")
            watch.missed()
        page, browser = watch.tab.page, watch.tab.browser
        if not await browser.answers(HUNG_SECONDS):
            if browser.headless:
                raise cdp.errors.Hanging("the browser", HUNG_SECONDS)
            log.warning("the browser does not answer; it is waited for")
        elif not await page.answers(2 * HUNG_SECONDS):
            raise cdp.errors.Hanging("our page", 2 * HUNG_SECONDS)


async def _pictures(watch: TurnWatch, stage: Literal["sent", "ended"]) -> None:
    """Requests for pictures; when one has ended, somebody may wait for its bytes. An address that names no file is
    known by the answer that tells it, whose own address does (2025)."""
    with watch.tab.bodies.watch(watch.pictures.names, stage=stage) as pictures:
        async for request in pictures:
            if stage == "sent":
                watch.pictures.note(request)
                continue
            file = file_id(request.url)
            if file is not None and request.status == 200 and request.mime_type == "application/json":
                told = obj(read_body(await watch.tab.answer(request, ADDRESS_SECONDS) or b""))
                watch.pictures.lies(file, text(told.get("download_url")), watch.tab.bodies.requests)
            watch.tell()


@asynccontextmanager
async def watch_turn(tab: Tab, transcript: Transcript) -> AsyncGenerator[TurnWatch]:
    """Listen to everything from now on. A lost browser or page is told by ``lost``, never swallowed."""
    watch = TurnWatch(tab, transcript)
    async with background() as group:

        async def owned(listener: Any) -> None:
            try:
                await listener()
            except cdp.CDPError as error:
                watch.deaf(error)

        def start(task: Callable[[], Any]) -> None:
            group.start_soon(owned, task)

        _drop_unwatched(tab)
        start(Streams(watch, start).listen)
        for listener in (_answers, _sockets, _page, _checks, _pulse):
            start(partial(listener, watch))
        start(partial(_documents, watch, start))
        for stage in ("sent", "ended"):
            start(partial(_pictures, watch, stage))
        # All subscriptions must stand before anything is typed.
        await anyio.lowlevel.checkpoint()
        tab.watched = True
        try:
            yield watch
        finally:
            tab.watched = False


def _drop_unwatched(tab: Tab) -> None:
    """What came in the last moment of an earlier watch, and what ended the page between turns."""
    while len(tab.streams):
        try:
            stream = tab.streams.poll()
        except cdp.CDPError as error:
            log.info("while no turn was watched: %s", error)
            continue
        if stream is not None:
            stream.close()
