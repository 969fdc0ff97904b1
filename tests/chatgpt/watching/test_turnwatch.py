"""Which of the tab's streams and signs count as our turn's."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import msgspec
import pytest

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import (
    CDPError,
    DocumentLeft,
    EventOverflow,
    PageCrashed,
    ProtocolError,
    SessionClosed,
    StreamFailed,
    SubscriptionClosed,
)
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import NetworkRequest, RequestWillBeSent
from cdp_image_mcp.cdp.streams import LiveStream
from cdp_image_mcp.chatgpt.landing import Landing
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.watching import listening, streams
from cdp_image_mcp.chatgpt.watching.listening import watch_turn
from cdp_image_mcp.chatgpt.watching.turnwatch import Refusal, TurnWatch
from cdp_image_mcp.chatgpt.window.tab import Tab
from tests.chatgpt.talk import (
    CONVERSATION,
    DONE,
    FOREIGN,
    USER,
    answer,
    call,
    card,
    conversation,
    file_id,
    message,
    meta,
    picture,
    pointer,
    prompt,
    request,
    site_at,
    sse,
    update,
)

BASE = "https://chatgpt.com/"
TURN = f"{BASE}backend-api/f/conversation"
RESUME = f"{TURN}/resume"


def nothing(*_: Any, **__: Any) -> Mailbox[Any]:
    return Mailbox("requests", 10)


async def answers(_seconds: float) -> bool:
    return True


class ScriptedEye:
    """Takes down what is asked of the page."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = False
        self.opened = 0

    async def open(self) -> None:
        self.opened += 1

    async def ask(self, expression: str, **_: Any) -> Any:
        self.asked.append(expression)
        if self.left:
            raise DocumentLeft("gone")
        return [] if expression in {"witness.known()", "witness.shown()"} else True

    def messages(self) -> Mailbox[Any]:
        return Mailbox("messages", 10)


class ScriptedTab:
    """A tab in which nothing happens but what the test puts into it."""

    def __init__(self) -> None:
        self.site = site_at(BASE)
        self.streams: Mailbox[LiveStream] = Mailbox("streams", 100)
        self.eye = ScriptedEye()
        self.watched = False
        self.loader_id = "l"
        self.closed: CDPError | None = None
        self.hearings: list[Mailbox[Any]] = []
        self.quotas = ()
        self.begun: list[LiveStream] = []
        self.arrivals: Mailbox[Any] = Mailbox("documents", 10)
        self.bodies = SimpleNamespace(requests=list[Any](), watch=nothing)
        self.page = SimpleNamespace(session=self, url=BASE, answers=answers)
        self.browser = SimpleNamespace(answers=answers)

    def documents(self) -> Mailbox[Any]:
        return self.arrivals

    async def settle(self) -> None:
        return

    def feed(self, mailbox: Mailbox[Any], *_: Any) -> None:
        """The page's websockets are heard by this."""
        self.hearings.append(mailbox)

    async def call(self, method: str, *_: Any, **__: Any) -> Any:
        raise ProtocolError(-32000, "no post data", method=method)

    async def forget_conversation_keys(self) -> None:
        return

    async def open(self, address: str) -> Landing:
        return Landing(address, 200, challenged=False, check=True)

    def arrive(self, status: int = 200) -> None:
        """A document comes by itself."""
        self.arrivals.put(Request("d", BASE, "GET", "Document", "f", "l", status=status))

    def begin(self, url: str = TURN, body: bytes | None = None, status: int = 200) -> LiveStream:
        """A request leaves the page and its answer begins."""
        asked = NetworkRequest(url=url, method="POST", post_data=body.decode() if body else None)
        stream = LiveStream(RequestWillBeSent(request_id=f"r{len(self.begun)}", request=asked, loader_id="l"))
        stream.status = status
        stream.begin(b"")
        self.begun.append(stream)
        self.streams.put(stream)
        return stream


@asynccontextmanager
async def watching(
    tab: ScriptedTab, transcript: Transcript | None = None, prompt: str | None = "a lighthouse"
) -> AsyncGenerator[TurnWatch]:
    async with AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(20))
        watch = await stack.enter_async_context(watch_turn(cast("Tab", tab), transcript or Transcript()))
        if prompt is not None:
            await watch.expect(prompt)
        yield watch


async def until(watch: TurnWatch, test: Any) -> None:
    while True:
        mark = watch.mark()
        if test():
            return
        await watch.news_since(mark, None)


def over(stream: LiveStream) -> None:
    stream.end(SubscriptionClosed())


def has_ended(stream: LiveStream) -> bool:
    return stream._error is not None  # pyright: ignore[reportPrivateUsage]


@pytest.mark.anyio
async def test_a_request_from_before_the_watch_is_not_taken_for_ours() -> None:
    tab = ScriptedTab()
    older = tab.begin(body=request("another prompt", "11111111-3f52-4e19-8a66-5d0c9e1f2a34"))
    tab.streams.interrupt(ProtocolError(-1, "crashed"))
    async with watching(tab) as watch:
        assert has_ended(older)
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
        own = tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id == USER)
        # What the older one still says, even its end, says nothing of ours.
        first.add(sse(card()))
        over(first)
        own.add(sse({"type": "message_stream_complete", "conversation_id": CONVERSATION}))
        over(own)
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.turn.stream_ended == "whole"
        assert not watch.turn.tool_used


@pytest.mark.anyio
async def test_an_earlier_turn_that_is_resumed_before_ours_was_sent_is_not_heard() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        older = tab.begin(RESUME)
        tab.begin(body=request())
        await until(watch, lambda: watch.turn.user_message_id is not None)
        assert has_ended(older)
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
async def test_only_a_4xx_of_our_own_request_is_a_refusal(
    status: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 0)
    tab = ScriptedTab()
    async with watching(tab) as watch:
        stream = tab.begin(body=request(), status=status)
        stream.add(b"no")
        over(stream)
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.turn.stream_ended == "cut"
        await until(watch, lambda: not refused or watch.refused)
        assert watch.refused == (Refusal(status, b"no", False) if refused else None)
        assert (watch.moment.since_refused is not None) == (not refused)


@pytest.mark.anyio
async def test_a_refusal_says_how_long_the_site_wants_to_be_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 0)
    tab = ScriptedTab()
    async with watching(tab) as watch:
        stream = tab.begin(body=request(), status=429)
        headers = {"retry-after": "77"}
        tab.bodies.requests.append(SimpleNamespace(request_id=stream.request_id, url=TURN, headers=headers, status=429))
        over(stream)
        await until(watch, lambda: watch.refused)
        assert watch.refused == Refusal(429, b"", False, 77.0)


@pytest.mark.anyio
async def test_a_check_is_a_refusal_whatever_its_status() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        stream = tab.begin(body=request(), status=503)
        headers = {"cf-mitigated": "challenge"}
        tab.bodies.requests.append(SimpleNamespace(request_id=stream.request_id, url=TURN, headers=headers, status=503))
        over(stream)
        await until(watch, lambda: watch.refused)
        assert watch.refused == Refusal(503, b"", True)


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
        own.end(StreamFailed(TURN, "net::ERR_ABORTED"))
        await until(watch, lambda: watch.turn.stream_ended)
        resumed = tab.begin(RESUME)
        resumed.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.turn.stream_ended is None, "it goes on"
        assert watch.stream_open
        resumed.add(sse(DONE))
        over(resumed)
        await until(watch, lambda: watch.turn.stream_ended)
        assert watch.turn.stream_ended == "whole"


@pytest.mark.anyio
async def test_a_stream_has_ended_with_its_last_word_though_its_connection_stays_open() -> None:
    """Nothing was loaded anew while it was open: a refusal was told by nobody before the time limit (row 43b)."""
    tab = ScriptedTab()
    async with watching(tab) as watch:
        own = tab.begin(body=request())
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.stream_open
        own.add(sse(DONE))
        await until(watch, lambda: not watch.stream_open)
        assert watch.moment.since_end is not None
        assert not has_ended(own)
        over(own)


@pytest.mark.anyio
async def test_a_prompt_that_the_page_sends_again_after_a_failure_streams_as_ever() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        tab.begin(body=request()).end(StreamFailed(TURN, "net::ERR_NETWORK_CHANGED"))
        await until(watch, lambda: watch.turn.stream_ended)
        again = tab.begin(body=request())
        again.add(sse(call()))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.turn.stream_ended is None
        assert watch.stream_open


@pytest.mark.anyio
async def test_a_websocket_that_closed_is_lost_until_another_opens() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        for opened in (False, True):
            tab.hearings[-1].put(opened)
            await until(watch, lambda opened=opened: watch.moment.line_lost is not opened)


@pytest.mark.anyio
async def test_a_reading_that_is_refused_after_a_load_is_a_load_that_failed() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        watch.unreadable()
        assert not watch.moment.load_failed, "the page reads by itself, and reads again"
        await watch.load("late")
        watch.unreadable()
        assert watch.moment.load_failed
        watch.heard(watch.transcript.feed_conversation(conversation(prompt())))
        assert not watch.moment.load_failed


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("came", "failed", "unread"),
    [
        ({"status": 429, "state": "finished"}, True, False),
        ({"state": "failed"}, True, False),  # the network broke before it was answered
        ({"state": "failed", "canceled": True}, False, False),
        ({"status": 200, "state": "failed"}, False, True),
        ({"status": 200, "state": "failed", "canceled": True}, False, False),
    ],
)
async def test_a_reading_that_the_page_itself_gives_up_says_nothing_and_one_that_breaks_off_does(
    came: dict[str, Any], failed: bool, unread: bool
) -> None:
    reading = Request("r", f"{BASE}backend-api/conversation/{CONVERSATION}", "GET", "Fetch", "f", "l", **came)
    ended: Mailbox[Any] = Mailbox("requests", 10)

    async def evicted(_request: Request) -> None:
        return

    def requests(accept: Callable[[Request], bool], *, stage: str = "ended") -> Mailbox[Any]:
        return ended if stage == "ended" and accept(reading) else nothing()

    tab = ScriptedTab()
    tab.bodies.watch = requests
    cast("Any", tab).answer = evicted
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        await watch.load("late")
        ended.put(reading)
        while len(ended):
            await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert (watch.moment.load_failed, watch.unread) == (failed, unread)


@pytest.mark.anyio
async def test_what_was_missed_of_the_websocket_is_read_in_the_conversation() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        assert not watch.turn.stale
        news = watch.mark()
        assert tab.watched
        watch.missed()
        assert news.is_set()
        assert watch.turn.stale
        watch.heard(watch.transcript.feed_conversation(conversation(prompt())))
        assert not watch.turn.stale
    assert not tab.watched


@pytest.mark.anyio
async def test_after_a_sleep_the_conversation_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the page's websocket said meanwhile was said to nobody."""
    tab = ScriptedTab()
    clock = [1_000_000.0, 1_000_000.0 + 8 * 3600]
    monkeypatch.setattr(listening, "PULSE_SECONDS", 0.01)
    monkeypatch.setattr("time.time", lambda: clock.pop(0) if len(clock) > 1 else clock[0])
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        with anyio.fail_after(10):
            while not watch.turn.stale:
                await watch.news_since(watch.mark(), None)


@pytest.mark.anyio
async def test_after_an_overflow_or_a_crash_the_websockets_are_heard_on_and_what_was_missed_is_read() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        breaks = (
            lambda: tab.hearings[-1].finish(EventOverflow("too many frames")),
            lambda: tab.hearings[-1].interrupt(PageCrashed()),
            lambda: tab.hearings[-1].put(update("refetch-conversation")),
        )
        for happens in (*breaks, breaks[2]):
            happens()
            await until(watch, lambda: watch.turn.stale)
            watch.heard(watch.transcript.feed_conversation(conversation(prompt())))
            assert not watch.turn.stale
        assert watch.lost is None


@pytest.mark.anyio
async def test_a_tab_that_hears_its_websockets_no_more_is_lost_with_its_cause() -> None:
    tab = ScriptedTab()
    problem = SessionClosed("the page was closed")
    async with watching(tab) as watch:
        assert watch.lost is None
        tab.closed = problem
        tab.hearings[-1].finish(problem)
        await until(watch, lambda: watch.lost)
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
        tab.eye.left = left
        own = tab.begin(body=request())
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        while len(tab.eye.asked) < 4:
            await anyio.lowlevel.checkpoint()
        assert f'"user":"{USER}"' in tab.eye.asked[-1]
        assert watch.lost is None


@pytest.mark.anyio
async def test_a_reference_and_what_stood_there_before_are_no_results() -> None:
    transcript = Transcript()
    transcript.feed_request(request(references=[file_id(7)]))
    watch = TurnWatch(cast("Tab", ScriptedTab()), transcript)
    watch.disregard("blob:before")
    shown = (SeenImage(file=file_id(7)), SeenImage(file=file_id(1)), SeenImage(blob="blob:before"))
    watch.reported(PageReport(images=shown))
    assert [image.file for image in watch.page.images] == [file_id(1)]


@pytest.mark.anyio
async def test_a_picture_of_an_earlier_turn_that_the_page_shows_in_ours_is_none_of_ours() -> None:
    """Of a turn that was not mounted when the prompt went out: only the conversation knows it."""
    transcript = Transcript(conversation_id=CONVERSATION, user_message_id=USER)
    old = picture("old", file_id(40), parent="first", metadata={"parent_id": "first", "image_gen_title": "x"})
    said = prompt(metadata={"parent_id": "old"})
    again = picture("again", file_id(40), parent=USER)
    transcript.feed_conversation(conversation(prompt("one", "first"), old, said, again))
    watch = TurnWatch(cast("Tab", ScriptedTab()), transcript)
    watch.reported(PageReport(images=(SeenImage(file=file_id(40), width=1024, height=1024, complete=True),)))
    assert watch.page.images == ()


# Our turn stays ours


LATER = "11111111-3f52-4e19-8a66-5d0c9e1f2a34"


@pytest.mark.anyio
async def test_a_persons_own_later_prompt_in_that_tab_changes_nothing() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        own = tab.begin(body=request())
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        theirs = tab.begin(body=request("make it brighter", LATER, conversation=CONVERSATION))
        theirs.add(sse(answer("Sure.", "theirs", parent=LATER)))
        own.add(sse(picture(parent=USER)))
        await until(watch, lambda: watch.turn.final_pictures)
        assert has_ended(theirs)
        assert watch.turn.user_message_id == USER
        assert watch.turn.answered_text is None


@pytest.mark.anyio
@pytest.mark.parametrize("where", [FOREIGN, CONVERSATION])
@pytest.mark.parametrize("collecting", [False, True])
async def test_the_answer_to_a_persons_own_prompt_is_not_ours_when_the_page_resumes_it(
    where: str, collecting: bool
) -> None:
    tab = ScriptedTab()
    heard = Transcript(conversation_id=CONVERSATION, user_message_id=USER) if collecting else None
    async with watching(tab, heard, None if collecting else "a lighthouse") as watch:
        if not collecting:
            own = tab.begin(body=request())
            handed = {"type": "stream_handoff", "conversation_id": CONVERSATION, "turn_exchange_id": "ours"}
            own.add(sse(handed, DONE))
            over(own)
            await until(watch, lambda: watch.turn.stream_ended)
        tab.begin(body=request("a dog, please", LATER, conversation=where))
        resumed = tab.begin(RESUME, json.dumps({"conversation_id": where, "offset": 0}).encode())
        resumed.add(sse({"message": picture("dog", file_id(9), parent=LATER), "conversation_id": where}))
        while not has_ended(resumed):
            await anyio.lowlevel.checkpoint()
        assert watch.turn.conversation_id == CONVERSATION
        assert watch.turn.pictures == ()


@pytest.mark.anyio
async def test_a_persons_prompt_in_our_very_words_is_theirs_unless_it_draws_ours_anew() -> None:
    tab = ScriptedTab()
    async with watching(tab, prompt="a lighthouse at night by the sea") as watch:
        tab.begin(body=request("a lighthouse at night by the sea"))
        await until(watch, lambda: watch.turn.user_message_id is not None)
        for identity, theirs in ((USER, False), (LATER, True)):
            stream = tab.begin(body=request("a lighthouse at night by the sea", identity, conversation=CONVERSATION))
            while not has_ended(stream):
                await anyio.lowlevel.checkpoint()
            assert watch.others is theirs


@pytest.mark.anyio
async def test_our_prompt_sent_again_under_the_pages_id_is_ours_though_the_site_keeps_it_under_another() -> None:
    tab = ScriptedTab()
    async with watching(tab, prompt="a lighthouse") as watch:
        own = tab.begin(body=request())
        kept = message("theirs", "user", ["a lighthouse"], metadata={"turn_exchange_id": "ours"})
        own.add(sse({"type": "input_message", "input_message": kept, "conversation_id": CONVERSATION}))
        await until(watch, lambda: watch.turn.user_message_id == "theirs")
        for identity, theirs in ((USER, False), ("theirs", False), (LATER, True)):
            again = tab.begin(body=request("a lighthouse", identity, conversation=CONVERSATION))
            while not has_ended(again):
                await anyio.lowlevel.checkpoint()
            assert watch.others is theirs


@pytest.mark.anyio
async def test_another_conversation_that_the_page_resumes_is_not_ours() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER), None) as watch:
        theirs = tab.begin(RESUME, json.dumps({"conversation_id": FOREIGN}).encode())
        ours = tab.begin(RESUME, json.dumps({"conversation_id": CONVERSATION}).encode())
        theirs.add(sse(picture("dog", file_id(9), parent=LATER)))
        ours.add(sse(picture("ours", file_id(1), parent=USER)))
        await until(watch, lambda: watch.turn.pictures)
        assert [one.file_id for one in watch.turn.pictures] == [file_id(1)]
        assert has_ended(theirs)


@pytest.mark.anyio
async def test_a_report_of_the_page_that_cannot_be_read_ends_nothing() -> None:
    tab = ScriptedTab()
    told: Mailbox[str] = Mailbox("messages", 10)
    tab.eye.messages = lambda: told  # type: ignore[method-assign]
    async with watching(tab) as watch:
        for report in ('{"images":7}', "{", "[" * 100_000, '{"found":true}'):
            told.put(report)
        await until(watch, lambda: watch.page.found)
        assert watch.lost is None


@pytest.mark.anyio
async def test_while_nothing_of_ours_goes_out_every_prompt_is_a_persons() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER), None) as watch:
        theirs = tab.begin(body=request("make it brighter", LATER, conversation=CONVERSATION))
        with anyio.fail_after(30):
            while not has_ended(theirs):
                await anyio.lowlevel.checkpoint()
        assert watch.turn.user_message_id == USER
        assert not watch.request_seen.is_set()


@pytest.mark.anyio
async def test_our_request_is_known_by_its_words_at_any_address() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        tab.begin(f"{BASE}backend-api/f/v2/conversation", body=b'{"messages":[]}')
        own = tab.begin(f"{BASE}backend-api/f/v2/conversation", body=request("a  lighthouse\n"))
        own.add(sse(card()))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.turn.user_message_id == USER


@pytest.mark.anyio
async def test_a_text_that_the_page_made_a_link_of_is_still_ours() -> None:
    tab = ScriptedTab()
    wanted = "a poster for https://example.com/lighthouse, in blue and white"
    async with watching(tab, prompt=wanted) as watch:
        tab.begin(
            body=request("a poster for [example.com/lighthouse](https://example.com/lighthouse), in blue and white")
        )
        await until(watch, lambda: watch.turn.user_message_id == USER)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["refused", "broken", "failed"])
async def test_when_ours_failed_before_its_first_byte_the_pages_next_try_is_ours(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 0)
    tab = ScriptedTab()
    async with watching(tab) as watch:
        first = tab.begin(body=request(), status={"refused": 429, "failed": 502}.get(how, 200))
        if how == "broken":
            first.end(StreamFailed(TURN, "net::ERR_CONNECTION_RESET"))
        else:
            over(first)
        await until(watch, lambda: watch.moment.since_end is not None)
        again = tab.begin(body=request(identity=LATER))
        again.add(sse(card(parent=LATER)))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.turn.user_message_id == LATER
        assert (watch.refused, watch.moment.since_refused) == (None, None)


@pytest.mark.anyio
async def test_a_resume_that_says_that_the_answer_is_stored_has_the_conversation_read() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        over(tab.begin(body=request()))
        await until(watch, lambda: watch.turn.stream_ended)
        gone = tab.begin(RESUME, status=404)
        gone.add(b'{"detail":{"code":"tokenless_resume_unavailable"}}')
        over(gone)
        stored = tab.begin(RESUME, status=410)
        stored.add(b'{"detail":{"errorCode":"persisted_final_available"}}')
        over(stored)
        await until(watch, lambda: watch.turn.stale)


@pytest.mark.anyio
async def test_a_reading_that_says_nothing_new_is_news_and_the_turn_stays_as_quiet_as_it_was() -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=CONVERSATION, user_message_id=USER)) as watch:
        body = conversation(prompt())
        watch.heard(watch.transcript.feed_conversation(body))
        mark, before = watch.mark(), watch.moment
        watch.heard(watch.transcript.feed_conversation(body))
        assert mark.is_set()
        after = watch.moment
        assert after.quiet >= before.quiet
        assert after.since_heard >= before.since_heard
        assert after.since_read is not None
        assert after.since_read <= after.since_heard


@pytest.mark.anyio
async def test_the_pages_address_names_the_conversation_when_nothing_else_does() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        watch.reported(PageReport(address=f"{BASE}c/{CONVERSATION}"))
        assert watch.turn.conversation_id is None
        tab.begin(body=request())
        await until(watch, watch.request_seen.is_set)
        watch.reported(PageReport(address=f"{BASE}c/WEB:7"))
        assert watch.turn.conversation_id is None
        watch.reported(PageReport(address=f"{BASE}c/{CONVERSATION}"))
        assert watch.turn.conversation_id == CONVERSATION


@pytest.mark.anyio
@pytest.mark.parametrize(("address", "known"), [(f"{BASE}c/{FOREIGN}", "null"), (BASE, "[]")])
async def test_in_a_conversation_that_a_person_opened_no_turn_is_taken_for_ours_without_its_id(
    address: str, known: str
) -> None:
    """The page may not have sent the prompt yet: every turn of theirs would be new to us."""
    tab = ScriptedTab()
    async with watching(tab) as watch:
        tab.eye.asked.clear()
        await watch.landed(Landing(address, 200, challenged=False, check=False))
        (asked,) = tab.eye.asked
        assert f'"known":{known}' in asked.replace(" ", "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pressed_in", "address"),
    [(None, f"c/{FOREIGN}"), (CONVERSATION, f"c/{FOREIGN}"), (CONVERSATION, ""), (None, f"g/g-1a2b3c4d/c/{FOREIGN}")],
)
async def test_a_turn_of_a_chat_opened_in_the_same_document_before_the_prompt_went_out_is_not_ours(
    pressed_in: str | None, address: str
) -> None:
    tab = ScriptedTab()
    said: Mailbox[Any] = Mailbox("messages", 10)
    tab.eye.messages = lambda: said  # type: ignore[method-assign]
    async with watching(tab, Transcript(conversation_id=pressed_in)) as watch:
        await watch.expect("a lighthouse")
        said.put(msgspec.json.encode(PageReport(address=BASE + address, found=True, text="So it is.")).decode())
        await anyio.wait_all_tasks_blocked()
        assert not watch.page.found
        assert watch.turn.conversation_id == pressed_in
        assert '"known":null' in tab.eye.asked[-1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pressed_in", "address"),
    [
        *((None, address) for address in ("", "new", "c/WEB:7", "g/g-1a2b3c4d-a-name")),
        *((CONVERSATION, address + CONVERSATION) for address in ("c/", "g/g-p-1a2b3c4d/c/")),
    ],
)
async def test_a_turn_where_the_prompt_was_pressed_is_ours_before_the_page_is_seen_to_send_it(
    pressed_in: str | None, address: str
) -> None:
    tab = ScriptedTab()
    async with watching(tab, Transcript(conversation_id=pressed_in)) as watch:
        await watch.expect("a lighthouse")
        watch.reported(PageReport(address=BASE + address, found=True))
        assert watch.page.found
        assert not watch.strayed


@pytest.mark.anyio
async def test_a_new_chat_that_is_named_before_its_request_is_noticed_is_found_by_our_message() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        await watch.expect("a lighthouse")
        watch.reported(PageReport(address=f"{BASE}c/{CONVERSATION}", found=True))
        tab.begin(body=request())
        await anyio.wait_all_tasks_blocked()
        assert f'"user":"{USER}"' in tab.eye.asked[-1]
        watch.reported(PageReport(address=f"{BASE}c/{CONVERSATION}", found=True))
        assert watch.page.found
        assert watch.turn.conversation_id == CONVERSATION


@pytest.mark.anyio
@pytest.mark.parametrize(("found", "named"), [(False, None), (True, CONVERSATION)])
async def test_another_document_than_the_one_that_sent_the_prompt_names_no_conversation_but_with_our_turn(
    found: bool, named: str | None
) -> None:
    """A person may have opened an old one there before the first byte of the answer."""
    tab = ScriptedTab()
    async with watching(tab) as watch:
        tab.begin(body=request())
        await until(watch, watch.request_seen.is_set)
        tab.loader_id = "another"
        watch.reported(PageReport(address=f"{BASE}c/{CONVERSATION}", found=found))
        assert watch.turn.conversation_id == named


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "kept_out"),
    [
        ("backend-api/f/conversation", True),
        ("backend-api/sentinel/chat-requirements/finalize", True),
        (f"backend-api/conversations/{CONVERSATION}?num_turns=10", True),
        ("ces/v1/t", False),
        ("backend-api/accounts/check", False),
    ],
)
async def test_only_a_check_before_the_sites_own_calls_keeps_us_out(path: str, kept_out: bool) -> None:
    tab = ScriptedTab()
    watched: list[Any] = []

    def watch_requests(accept: Any, stage: str = "ended") -> Mailbox[Any]:
        if stage == "responded":
            watched.append(accept)
        return nothing()

    tab.bodies.watch = watch_requests
    method = "GET" if "num_turns" in path else "POST"
    async with watching(tab):
        (accept,) = watched
        headers = {"cf-mitigated": "challenge"}
        asked = SimpleNamespace(url=f"{BASE}{path}", method=method, headers=headers, status=403, type="Fetch")
        assert bool(accept(asked)) == kept_out


@pytest.mark.anyio
async def test_half_a_character_in_what_the_page_tells_ends_no_watch() -> None:
    tab = ScriptedTab()
    told: Mailbox[str] = Mailbox("messages", 10)
    tab.eye.messages = lambda: told  # type: ignore[method-assign]
    async with watching(tab) as watch:
        told.put(r'{"kind":"turn","found":true,"text":"cut \ud83d"}')
        await until(watch, lambda: watch.page.found)
        assert watch.page.text == "cut \ufffd"
        assert watch.lost is None


@pytest.mark.anyio
async def test_a_document_that_came_by_itself_is_looked_at_and_the_report_of_the_one_before_is_forgotten() -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        watch.reported(PageReport(address=BASE, found=True, stop=True))
        looks = len(tab.eye.asked)
        tab.arrive()
        await until(watch, lambda: not watch.page.stop)
        while len(tab.eye.asked) == looks:
            await anyio.lowlevel.checkpoint()
        assert tab.eye.opened == 1
        assert tab.eye.asked[-1].startswith("witness.watch(")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [403, 502])
async def test_nothing_is_run_in_a_document_that_may_be_a_check_or_is_an_error(status: int) -> None:
    tab = ScriptedTab()
    async with watching(tab) as watch:
        tab.arrive(status)
        await until(watch, lambda: watch.moment.load_failed)
        await anyio.wait_all_tasks_blocked()
        assert tab.eye.opened == 0


@pytest.mark.anyio
async def test_a_prompt_that_was_refused_is_not_told_so_while_the_page_may_send_it_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 600)
    tab = ScriptedTab()
    async with watching(tab) as watch:
        over(tab.begin(body=request(), status=401))
        await anyio.wait_all_tasks_blocked()
        watch.reported(PageReport(address=BASE, found=True, error="Something went wrong"))
        assert (watch.refused, watch.judge().action, watch.judge().load) == (None, "wait", None)
        again = tab.begin(body=request(identity=LATER))
        again.add(sse(card(parent=LATER)))
        await until(watch, lambda: watch.turn.tool_used)
        assert watch.refused is None


@pytest.mark.anyio
async def test_no_file_that_the_page_asked_for_before_the_prompt_is_a_picture_of_its_turn() -> None:
    tab = ScriptedTab()
    address = f"{BASE}backend-api/estuary/content?id={file_id(7)}&sig=1"
    tab.bodies.requests.append(Request("p", address, "GET", "Image", "f", "l", status=200))
    async with watching(tab) as watch:
        tab.begin(body=request())
        await watch.until(watch.request_seen.is_set, 5)
        edit = message("leaf", "tool", [pointer(file_id(7)), pointer(file_id(1))], metadata=meta(USER))
        watch.heard(watch.transcript.feed_stream(sse({"message": edit, "conversation_id": CONVERSATION})))
        assert [one.file_id for one in watch.turn.final_pictures] == [file_id(1)]
