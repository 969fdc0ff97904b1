"""What a page asked of the network: one record per request, kept inside the reader, bounded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cdp_image_mcp.cdp.errors import CDPError
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import FrameTree, LoadingEnded, RequestWillBeSent, ResponseReceived
from cdp_image_mcp.cdp.session import DEFAULT_QUEUE, Event, Session

log = logging.getLogger(__name__)

WORDS = 1000

State = Literal["sent", "responded", "finished", "failed"]
Stage = Literal["sent", "responded", "ended"]


@dataclass(eq=False, slots=True, weakref_slot=True)
class Request:
    """What is known of one request so far; changes as events come in.

    ``request_id`` is only unique within its session. ``headers`` are the response's, names in lower case. What the
    request itself carried is not kept: pages send much.
    """

    request_id: str
    url: str
    method: str
    type: str
    frame_id: str | None
    loader_id: str
    state: State = "sent"
    status: int | None = None
    mime_type: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    canceled: bool = False

    @property
    def ended(self) -> bool:
        """The response is complete, or failed. (A body that a page's reader consumed may fail with all bytes there.)"""
        return self.state in ("finished", "failed")


class Requests:
    """The requests of one session, whose page tells of its documents (``Page.enable``). At most ``remember`` are kept:
    the oldest ended ones go first, then the oldest. Words that many of them share are kept once."""

    def __init__(self, session: Session, remember: int) -> None:
        self._session = session
        self._remember = remember
        self._words: dict[str, str] = {}
        self._known: dict[str, Request] = {}
        self._queues: dict[Mailbox[Request], tuple[Callable[[Request], bool], Stage]] = {}
        handlers = {
            "Network.requestWillBeSent": self._on_sent,
            "Network.responseReceived": self._on_response,
            "Network.loadingFinished": self._on_ended,
            "Network.loadingFailed": self._on_ended,
            "Page.frameNavigated": self._on_document,
        }
        session.listen(lambda event: handlers[event.method](event), *handlers, failed=self._end)

    @property
    def requests(self) -> Sequence[Request]:
        """Those remembered, oldest first."""
        return tuple(self._known.values())

    def watch(self, accept: Callable[[Request], bool], *, stage: Stage = "ended") -> Mailbox[Request]:
        """Requests that ``accept`` takes, each once when it reaches ``stage``. ``accept`` runs in the reader; one that
        raises ends its own queue and no other."""
        queue: Mailbox[Request] = Mailbox(f"requests that have {stage}", DEFAULT_QUEUE)
        self._queues[queue] = (accept, stage)
        queue.on_end(lambda: self._queues.pop(queue, None))
        self._session.register(queue)
        return queue

    def _tell(self, request: Request, stage: Stage) -> None:
        for queue, (accept, wanted) in list(self._queues.items()):
            if wanted != stage:
                continue
            try:
                accepted = accept(request)
            except Exception as error:
                log.exception("what chooses requests failed")
                queue.finish(CDPError(f"what chooses requests failed: {error!r}"))
            else:
                if accepted:
                    queue.put(request)

    def _end(self, error: CDPError) -> None:
        for queue in list(self._queues):
            queue.finish(error)

    def _on_sent(self, event: Event) -> None:
        sent = event.decode(RequestWillBeSent)
        known = self._known.get(sent.request_id)
        if known is not None and sent.redirect_response is not None:
            known.url, known.method = sent.request.url, sent.request.method
            return
        request = Request(
            request_id=sent.request_id,
            url=sent.request.url,
            method=self._shared(sent.request.method),
            type=self._shared(sent.type),
            frame_id=None if sent.frame_id is None else self._shared(sent.frame_id),
            loader_id=self._shared(sent.loader_id),
        )
        self._known[sent.request_id] = request
        self._make_room()
        self._tell(request, "sent")

    def _on_response(self, event: Event) -> None:
        received = event.decode(ResponseReceived)
        request = self._known.get(received.request_id)
        if request is None:
            return
        response = received.response
        request.type = self._shared(received.type)
        request.status = response.status
        request.mime_type = self._shared(response.mime_type)
        request.headers = {self._shared(name.lower()): self._shared(value) for name, value in response.headers.items()}
        request.frame_id = self._shared(received.frame_id) if received.frame_id else request.frame_id
        if not request.ended:
            request.state = "responded"
        self._tell(request, "responded")

    def _on_ended(self, event: Event) -> None:
        ended = event.decode(LoadingEnded)
        request = self._known.get(ended.request_id)
        if request is not None:
            request.canceled = ended.canceled
            request.state = "failed" if event.method == "Network.loadingFailed" else "finished"
            self._tell(request, "ended")

    def _on_document(self, event: Event) -> None:
        """What the document before had not been given yet never ends for the browser, which says no word of it
        (Chromium 156, 2026-11): it is over with its document. One that is going to be the next is not of it."""
        frame = event.decode(FrameTree).frame
        for request in self._known.values():
            gone = frame.parent_id is None or request.frame_id == frame.id
            if gone and not request.ended and request.loader_id != frame.loader_id and request.type != "Document":
                request.state, request.canceled = "failed", True

    def _shared(self, word: str) -> str:
        # Not sys.intern: what it is given stays for ever in Python 3.12.0 to 3.12.6.
        if len(self._words) >= WORDS:
            self._words.clear()
        return self._words.setdefault(word, word)

    def _make_room(self) -> None:
        if len(self._known) <= self._remember:
            return
        oldest = next((key for key, request in self._known.items() if request.ended), next(iter(self._known)))
        del self._known[oldest]
