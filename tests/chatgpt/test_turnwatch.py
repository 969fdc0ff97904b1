"""Which of the tab's streams and signs count as our turn's."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.errors import CDPError, EventOverflow, ProtocolError, StreamFailed, SubscriptionClosed
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.streams import LiveStream, StreamRequest
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.turnwatch import TurnWatch, watch_turn
from cdp_image_mcp.chatgpt.window.tab import Tab
from tests.chatgpt.talk import CONVERSATION, USER, card, conversation, file_id, prompt, request, sse

BASE = "https://chatgpt.com/"
TURN = f"{BASE}backend-api/f/conversation"
RESUME = f"{TURN}/resume"


def nothing(*_: Any, **__: Any) -> Mailbox[Any]:
    return Mailbox("requests", 10)


class ScriptedEye:
    """Takes down what is asked of the page."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = False

    async def ask(self, expression: str, **_: Any) -> Any:
        self.asked.append(expression)
        if self.left:
            raise DocumentLeft("gone")
        return True

    def messages(self) -> Mailbox[Any]:
        return Mailbox("messages", 10)


class ScriptedTab:
    """A tab in which nothing happens but what the test puts into it."""

    def __init__(self) -> None:
        self.site = Site(BASE)
        self.streams: Mailbox[LiveStream] = Mailbox("streams", 100)
        self.eye = ScriptedEye()
        self.listener: Any = None
        self.deaf: CDPError | None = None
        self.quotas = ()
        self.begun: list[LiveStream] = []
        self.bodies = SimpleNamespace(requests=list[Any](), watch=nothing)
        self.page = SimpleNamespace(session=self, url=BASE)

    def documents(self) -> Mailbox[Any]:
        return Mailbox("documents", 10)

    async def call(self, method: str, *_: Any, **__: Any) -> Any:
        raise ProtocolError(-32000, "no post data", method=method)

    def begin(self, url: str = TURN, body: bytes | None = None, status: int = 200) -> LiveStream:
        """A request leaves the page and its answer begins."""
        stream = LiveStream(StreamRequest(f"r{len(self.begun)}", url, "POST", body.decode() if body else None))
        stream.status = status
        stream.begin(b"")
        self.begun.append(stream)
        self.streams.put(stream)
        return stream


@asynccontextmanager
async def watching(tab: ScriptedTab, transcript: Transcript | None = None) -> AsyncGenerator[TurnWatch]:
    async with AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(20))
        yield await stack.enter_async_context(watch_turn(cast("Tab", tab), transcript or Transcript()))


async def until(watch: TurnWatch, test: Any) -> None:
    while True:
        mark = watch.mark()
        if test():
            return
        await watch.news_since(mark, None)


def over(stream: LiveStream) -> None:
    stream.end(SubscriptionClosed())


@pytest.mark.anyio
async def test_a_request_from_before_the_watch_is_not_taken_for_ours() -> None:
    tab = ScriptedTab()
    older = tab.begin(body=request("another prompt", "11111111-3f52-4e19-8a66-5d0c9e1f2a34"))
    tab.streams.interrupt(ProtocolError(-1, "crashed"))
    async with watching(tab) as watch:
        assert older.ended
        assert not watch.request_seen.is_set()
        tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id is not None)
        assert watch.turn.user_message_id == USER
        assert watch.lost is None


@pytest.mark.anyio
async def test_a_stream_that_stays_open_does_not_hide_our_own_request() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        first = tab.begin(body=request("another", "11111111-3f52-4e19-8a66-5d0c9e1f2a34"))
        tab.begin(RESUME)
        await until(watch, watch.request_seen.is_set)
        own = tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id == USER)
        # What the older one still says, even its end, says nothing of ours.
        first.add(sse(card()))
        over(first)
        own.add(sse({"type": "message_stream_complete", "conversation_id": CONVERSATION}))
        over(own)
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.turn.stream_ended == "complete"
        assert not watch.turn.tool_used


@pytest.mark.anyio
async def test_an_earlier_turn_that_is_resumed_before_ours_was_sent_is_not_heard() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        older = tab.begin(RESUME)
        tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id is not None)
        assert older.ended
        assert watch.turn.stream_ended is None


@pytest.mark.anyio
async def test_the_request_is_seen_although_its_body_cannot_be_read() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        over(tab.begin())
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.request_seen.is_set()
        assert watch.lost is None


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "refused"), [(429, True), (403, True), (500, False), (502, False)])
async def test_only_a_4xx_of_our_own_request_is_a_refusal(status: int, refused: bool) -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        stream = tab.begin(body=request(), status=status)
        stream.add(b"no")
        over(stream)
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.turn.stream_ended == "cut"
        assert watch.refused == ((status, b"no", False) if refused else None)


@pytest.mark.anyio
async def test_a_check_is_a_refusal_whatever_its_status() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        stream = tab.begin(body=request(), status=503)
        headers = {"cf-mitigated": "challenge"}
        tab.bodies.requests.append(
            SimpleNamespace(request_id=stream.request.request_id, url=TURN, headers=headers, status=503)
        )
        over(stream)
        await until(watch, lambda: watch.refused)
        assert watch.refused == (503, b"", True)


@pytest.mark.anyio
async def test_a_resume_that_is_refused_is_no_refusal_of_the_prompt_and_leaves_our_stream_alone() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        own = tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id is not None)
        resumed = tab.begin(RESUME, status=404)
        resumed.add(b"{}")
        over(resumed)
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.refused is None
        assert watch.stream_open


@pytest.mark.anyio
async def test_a_resumed_answer_is_heard_after_ours_broke() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        own = tab.begin(body=request())
        own.end(StreamFailed(TURN, "net::ERR_ABORTED", canceled=True))
        await until(watch, lambda: watch.turn.stream_ended)
        resumed = tab.begin(RESUME)
        resumed.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)


@pytest.mark.anyio
@pytest.mark.parametrize("reloads", [0, 1])
async def test_what_was_missed_of_the_websocket_is_read_in_the_conversation(reloads: int) -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        assert not watch.turn.stale
        watch.reloads = reloads
        news = watch.mark()
        assert tab.listener is watch
        watch.missed()
        assert news.is_set()
        assert watch.turn.stale
        assert watch.unread == (reloads > 0)
        watch.transcript.feed_conversation(conversation(prompt()))
        assert not watch.turn.stale
    assert tab.listener is None


@pytest.mark.anyio
async def test_a_tab_that_hears_its_websockets_no_more_is_lost_with_its_cause() -> None:
    tab = ScriptedTab()
    problem = EventOverflow("frames", 1)
    async with watching(tab) as watch:
        assert watch.lost is None
        watch.deaf(problem)
        assert watch.lost is problem
    tab.deaf = problem
    async with watching(tab) as watch:
        assert watch.lost is problem


@pytest.mark.anyio
async def test_a_check_elsewhere_keeps_us_out_only_when_our_stream_is_over() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        own = tab.begin(body=request())
        await until(watch, lambda: watch.stream_open)
        watch.mitigated = True
        assert not watch.kept_out
        over(own)
        await until(watch, lambda: not watch.stream_open)
        assert watch.kept_out


@pytest.mark.anyio
@pytest.mark.parametrize("left", [False, True])
async def test_the_eye_is_told_our_messages_id_as_soon_as_it_is_known(left: bool) -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        await watch.look(None)
        assert '"strict":false' in tab.eye.asked[-1]
        tab.eye.left = left
        own = tab.begin(body=request())
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        while len(tab.eye.asked) < 2:
            await anyio.lowlevel.checkpoint()
        assert f'"user":"{USER}"' in tab.eye.asked[-1]
        assert '"strict":true' in tab.eye.asked[-1]
        assert watch.lost is None


@pytest.mark.anyio
async def test_a_reference_picture_that_is_shown_in_our_turn_is_no_result() -> None:
    transcript = Transcript()
    transcript.feed_request(request(references=[file_id(7)]))
    watch = TurnWatch(cast("Tab", ScriptedTab()), transcript)
    watch._page = PageReport(images=(SeenImage(file=file_id(7)), SeenImage(file=file_id(1))))  # pyright: ignore[reportPrivateUsage]
    assert [image.file_id for image in watch.signs.images] == [file_id(1)]
    assert [image.file for image in watch.page.images] == [file_id(1)]
