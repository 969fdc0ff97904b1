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
from cdp_image_mcp.cdp.wire import decode
from cdp_image_mcp.chatgpt.address import Call, Site, file_id
from cdp_image_mcp.chatgpt.landing import TOO_LARGE, landing, mitigated
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.wire import obj, read_json, text
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.watching.streams import Start, Streams
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
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
OWN_CALLS: tuple[Call, ...] = (
    *("turn", "sending", "resume", "conversation", "batch", "stream_status"),
    *("upload_begun", "upload_done"),
)
"""Calls without which no turn can begin or go on: a check that answers one of these keeps us out."""


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
                if watch.strayed:
                    await watch.look_closer()


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
                told = obj(read_json(await watch.tab.answer(request, ADDRESS_SECONDS) or b""))
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
