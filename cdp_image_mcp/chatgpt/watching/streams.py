"""The answers to the prompts that go out in a watched tab: which one is ours, read as it comes."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.streams import LiveStream
from cdp_image_mcp.chatgpt.landing import mitigated
from cdp_image_mcp.chatgpt.network.sent import like_text, read_request
from cdp_image_mcp.chatgpt.network.wire import obj, read_json, uuid_of
from cdp_image_mcp.chatgpt.watching.turnwatch import Refusal, TurnWatch
from cdp_image_mcp.system.waits import stated_wait

log = logging.getLogger(__name__)

AGAIN_SECONDS = 3.0
"""How long after a refusal the page may send the prompt once more, with a renewed token: told as refused meanwhile, it
would be asked for and paid twice. Not seen at the site."""

Start = Callable[[Callable[[], Any]], object]
"""Runs a listener in a task of its own that ends with the watch."""


class PostData(msgspec.Struct, rename="camel"):
    post_data: str


class Streams:
    """The answers to prompts. The first request after the press that carries our text is pinned: a person's own later
    prompt in this tab is another turn. Another may take its place only when the pinned one failed before its first
    byte: then the page sends ours once more."""

    def __init__(self, watch: TurnWatch, start: Start) -> None:
        self._watch = watch
        self._start = start
        self._pinned: LiveStream | None = None
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

    async def _body(self, stream: LiveStream) -> str:
        """What was sent; the event leaves long bodies out. Empty when it could not be had."""
        if stream.request.post_data is not None:
            return stream.request.post_data
        try:
            answer = await self._watch.tab.page.session.call(
                "Network.getRequestPostData", {"requestId": stream.request_id}, reply=PostData
            )
        except (cdp.errors.ProtocolError, cdp.errors.CommandTimeout) as error:
            log.info("a request's body could not be read: %s", error)
            return ""
        return answer.post_data

    async def _take_resumed(self, stream: LiveStream) -> None:
        """Hear it unless its body names another conversation (it holds ``conversation_id`` and ``offset``, 2026-10), or
        a person asked for something since. What is left out here, the conversation tells when it is read."""
        body = obj(read_json(await self._body(stream)))
        named, ours = uuid_of(body.get("conversation_id")), self._watch.turn.conversation_id
        if self._watch.others or (named and ours and named != ours):
            log.info("an answer that is resumed is not ours")
            stream.close()
        else:
            await self._hear_resumed(stream)

    async def _take_unread(self, stream: LiveStream) -> None:
        body = await self._body(stream)
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
        self._pinned, self._failed, self._stream = stream, False, stream
        watch.stream_began(stream.loader_id)
        self._start(partial(self._hear_answer, stream, body.encode("utf-8", "replace")))

    async def _hear_answer(self, stream: LiveStream, body: bytes) -> None:
        watch = self._watch
        watch.heard(watch.transcript.feed_request(body))
        self._start(watch.look_closer)
        ok, head = await self._read(stream)
        status = stream.status or 0
        told = [one for one in watch.tab.bodies.requests if one.request_id == stream.request_id]
        checked = status >= 400 and any(mitigated(request.headers) for request in told)
        # After a 5xx the site may have taken the prompt all the same.
        if status >= 500 and not checked:
            log.warning("the site answered the prompt's request with status %d; watching on", status)
            watch.seen("since_refused")
        self._failed = status >= 400 or (not ok and stream.received == 0)
        watch.unanswered = self._failed and status < 400
        if 400 <= status < 500 and not checked:
            await anyio.sleep(AGAIN_SECONDS)  # not over yet: what the page shows meanwhile decides nothing
        if (400 <= status < 500 or checked) and self._pinned is stream:
            waits = (stated_wait(request.headers) for request in told)
            watch.refused = Refusal(status, head, checked, next((wait for wait in waits if wait is not None), None))
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
