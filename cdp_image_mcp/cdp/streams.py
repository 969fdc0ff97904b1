"""Responses read while they arrive (SSE by fetch), and what the page's websockets receive.

By a second session to the same page with only Network enabled: where bodies are kept durable, a stream asked for on the
same session has no head (``bufferedData`` is empty). It stays as long as the page: when one is detached, the browser
forgets that the first one wanted durable bodies. Measured on Chromium 156, 2026-11.
"""

import base64
from collections.abc import Callable

from cdp_image_mcp.cdp.errors import (
    BrowserGone,
    CDPError,
    ProtocolError,
    SessionClosed,
    StreamFailed,
    SubscriptionClosed,
)
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.page import Page
from cdp_image_mcp.cdp.protocol import (
    DataReceived,
    FrameTree,
    LoadingEnded,
    NetworkRequest,
    RequestWillBeSent,
    ResponseBody,
    ResponseReceived,
    StreamResourceContentReply,
    WebSocketFrameReceived,
)
from cdp_image_mcp.cdp.session import DEFAULT_QUEUE, Event, Session
from cdp_image_mcp.cdp.wire import content

# Unread bytes of one stream, or of all websockets, at which it ends with EventOverflow.
STREAM_LIMIT = 64 * 1024 * 1024
TEXT, BINARY = 1, 2
SOCKET_OPENED, SOCKET_FRAME = "Network.webSocketHandshakeResponseReceived", "Network.webSocketFrameReceived"


class LiveStream(Mailbox[bytes]):
    """The bytes of one response, in order, nothing missing, split anywhere (within a character too).

    Iterate: the iteration ends with the response, or raises StreamFailed after the bytes that came. ``received`` counts
    them. ``status`` is known once the response began.
    """

    def __init__(self, sent: RequestWillBeSent) -> None:
        super().__init__(f"bytes of {sent.request.url}", STREAM_LIMIT)
        self.request = sent.request
        self.request_id = sent.request_id
        self.loader_id = sent.loader_id
        self.status: int | None = None
        self.received = 0
        self.sized = 0
        """How many bytes of the body the browser has told of, whether they were streamed or not."""
        self._early: list[bytes] | None = []
        """What came before the head was known; None from then on."""
        self._end: CDPError | None = None

    def begin(self, head: bytes) -> None:
        """What had come before the stream was open goes first (called by LiveStreams only)."""
        early, self._early = self._early or [], None
        for chunk in (head, *early):
            self.add(chunk)
        if self._end is not None:
            self.finish(self._end)

    def add(self, chunk: bytes) -> None:
        """The next bytes (called by LiveStreams only)."""
        if self._early is not None:
            self._early.append(chunk)
        elif chunk:
            self.received += len(chunk)
            self.put(chunk, len(chunk))

    def end(self, error: CDPError) -> None:
        """The response ended (called by LiveStreams only); SubscriptionClosed when it is complete."""
        if self._early is None:
            self.finish(error)
        elif self._end is None:
            self._end = error

    def lost(self, reason: CDPError) -> None:
        """What had come before the stream was open is not to be had (called by LiveStreams only): what came since gives
        no whole, so the response is cut, unless it was over and had no body."""
        whole = isinstance(self._end, SubscriptionClosed) and not self.sized
        self._early = []
        self.finish(SubscriptionClosed() if whole else StreamFailed(self.request.url, str(reason)))


class LiveStreams(Mailbox[LiveStream]):
    """Streams that begin while the page lives, in the order of their requests. Made by ``live_streams``."""

    def __init__(self, page: Page, session: Session, accept: Callable[[NetworkRequest], bool]) -> None:
        super().__init__("live streams", DEFAULT_QUEUE)
        self._page = page
        self._session = session
        self._accept = accept
        self._open: dict[str, LiveStream] = {}
        handlers = {
            "Network.requestWillBeSent": self._on_sent,
            "Network.responseReceived": self._on_response,
            "Network.dataReceived": self._on_data,
            "Network.loadingFinished": self._on_ended,
            "Network.loadingFailed": self._on_ended,
        }
        session.feed(self, lambda event: handlers[event.method](event), *handlers)
        self.on_end(page.session.listen(self._on_document, "Page.frameNavigated"))

    def _on_sent(self, event: Event) -> None:
        sent = event.decode(RequestWillBeSent)
        if sent.redirect_response is not None:
            return  # the same request goes on at another address
        if not self._accept(sent.request):
            return
        stream = LiveStream(sent)
        self._open[sent.request_id] = stream
        self._session.register(stream)
        self.put(stream)
        # At once: everything that arrives before the browser has seen this comes back as the head.
        self._page.connection.start(self._tap, stream)

    async def _tap(self, stream: LiveStream) -> None:
        identity = {"requestId": stream.request_id}
        try:
            try:
                head = await self._session.call(
                    "Network.streamResourceContent", identity, reply=StreamResourceContentReply
                )
                stream.begin(head.buffered_data)
            except ProtocolError:
                # The response was over before it could be streamed: its whole body is there, or it never had one.
                whole = await self._session.call("Network.getResponseBody", identity, reply=ResponseBody)
                stream.begin(content(whole.body, whole.base64_encoded))
                stream.finish(SubscriptionClosed())
        except (SessionClosed, BrowserGone):
            return  # the session told the stream itself
        except CDPError as error:
            stream.lost(error)

    def _on_response(self, event: Event) -> None:
        received = event.decode(ResponseReceived)
        stream = self._open.get(received.request_id)
        if stream is not None:
            stream.status = received.response.status

    def _on_data(self, event: Event) -> None:
        if not self._open:
            return
        received = event.decode(DataReceived)
        stream = self._open.get(received.request_id)
        if stream is not None:
            stream.sized += received.data_length
            stream.add(received.data or b"")

    def _on_ended(self, event: Event) -> None:
        ended = event.decode(LoadingEnded)
        stream = self._open.pop(ended.request_id, None)
        if stream is not None and event.method == "Network.loadingFailed":
            stream.end(StreamFailed(stream.request.url, ended.error_text))
        elif stream is not None:
            stream.end(SubscriptionClosed())

    def _on_document(self, event: Event) -> None:
        """What the document before was still being given goes with it; the browser tells of no end (Chromium 156)."""
        frame = event.decode(FrameTree).frame
        gone = [one for one in self._open.values() if frame.parent_id is None and one.loader_id != frame.loader_id]
        for stream in gone:
            del self._open[stream.request_id]
            stream.end(StreamFailed(stream.request.url, "the page went to another document"))


async def live_streams(page: Page, accept: Callable[[NetworkRequest], bool]) -> LiveStreams:
    """Watch the page from now on and stream each response whose request ``accept`` takes.

    ``accept`` runs in the reader and must not raise. Survives navigations; streams still open end with the page, by
    SessionClosed. The page notices nothing and reads its response as ever.
    """
    session = await page.connection.attach(page.target_id)
    streams = LiveStreams(page, session, accept)
    await session.call("Network.enable")
    return streams


def socket_messages(page: Page) -> Mailbox[str | bytes | bool]:
    """Messages that the page's websockets receive from now on, in order; True when one of them opens, False when one
    closes. For a page whose requests are recorded already (``Bodies``), by the same session: each further one is told
    of every request anew."""
    messages: Mailbox[str | bytes | bool] = Mailbox("bytes of websocket messages", STREAM_LIMIT)

    def push(event: Event) -> None:
        if event.method != SOCKET_FRAME:
            messages.put(event.method == SOCKET_OPENED)
            return
        frame = event.decode(WebSocketFrameReceived).response
        if frame.opcode in (TEXT, BINARY):
            said = frame.payload_data
            messages.put(said if frame.opcode == TEXT else base64.b64decode(said), 1 + len(said))

    page.session.feed(messages, push, SOCKET_OPENED, SOCKET_FRAME, "Network.webSocketClosed")
    return messages
