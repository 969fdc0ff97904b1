"""One turn from before its prompt is sent: both witnesses, brought together.

The network's witness is the transcript (stream, websocket, conversation JSON); the page's is the eye's report of our
own turn. Each piece of news wakes whoever waits. Nothing is asked of the page while it is still. Who listens stands in
``listening.py``.
"""

import logging
from collections import Counter
from collections.abc import Callable

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.address import file_id
from cdp_image_mcp.chatgpt.landing import Landing
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.watching.evidence import Cause, Moment, Sign, Verdict
from cdp_image_mcp.chatgpt.watching.picturerequests import PictureRequests
from cdp_image_mcp.chatgpt.watching.verdict import verdict
from cdp_image_mcp.chatgpt.window.tab import Tab

log = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """The site refused the prompt's own request, or a check before the site did."""

    status: int
    body: bytes
    mitigated: bool
    wait: float | None = None
    """Seconds that it asks to be left alone for."""


class TurnWatch:
    def __init__(self, tab: Tab, transcript: Transcript) -> None:
        self.tab = tab
        self.transcript = transcript
        self.pictures = PictureRequests()
        self.prompt: str | None = None
        """What goes out in this watch; None when nothing does."""
        self.request_seen = anyio.Event()
        """The page sent its own request: the prompt is out."""
        self._sent_in: str | None = None
        """The document that sent it."""
        self.others = False
        """A prompt that is not ours went out here: what the page resumes or can stop from then on may be its answer."""
        self.refused: Refusal | None = None
        self.unanswered = False
        """The prompt's request broke off without a byte."""
        self.unread = False
        self.mitigated = False
        """A check answered one of the site's own calls while the page looks fine."""
        self.challenged = False
        """The site shows a check instead of its page."""
        self.signed_out = False
        """The page went to the sign-in."""
        self.lost: cdp.CDPError | None = None
        """Why watching ended, when it ended by itself."""
        self.stream_open = False
        self.line_lost = False
        self._loads: Counter[Cause] = Counter()
        self._load_failed = False
        self._loading = False
        self._known: list[str] | None = []
        """Messages that were there before ours; None where the page has gone to another conversation than was pressed
        in: without an id no turn there is taken for ours."""
        self._standing: frozenset[str] = frozenset()
        """Pictures that were on the page, or asked for by it, before ours were asked for."""
        self._page = PageReport()
        self._looking: str | None = None
        """What the eye goes by, once it looks at all."""
        now = anyio.current_time()
        self._at: dict[Sign, float] = {"quiet": now, "since_heard": now}
        """When what was seen; what was not is not in it."""
        self._loaded: float | None = None
        self._content = transcript.turn().content
        self._reads, self._lacks, self._runs = transcript.reads, transcript.lacks, transcript.runs
        self._news = anyio.Event()

    # --- for whoever waits -------------------------------------------------------------------------------------

    @property
    def turn(self) -> Turn:
        return self.transcript.turn()

    @property
    def page(self) -> PageReport:
        """What the page shows of our turn; a reference or an earlier picture that is shown once more, and what stood
        there before, is nothing of ours."""
        return self._page.without(self.turn.known_files | self._standing)

    @property
    def strayed(self) -> bool:
        """Whether the page has gone to another conversation than was pressed in, before it sent anything."""
        return self._known is None

    @property
    def tab_gone(self) -> bool:
        """The page cannot send anything any more. One that hangs, or is no longer heard, still may."""
        return self.lost is not None and (self.tab.closed is not None or self.tab.page.session.crashed)

    @property
    def kept_out(self) -> bool:
        return self.mitigated and not self.stream_open

    @property
    def troubled(self) -> bool:
        """Nothing more is heard of the conversation until somebody does something about the page."""
        return self.challenged or self.signed_out or self._load_failed or self.lost is not None

    @property
    def moment(self) -> Moment:
        now = anyio.current_time()
        return Moment(
            **{sign: now - at for sign, at in self._at.items()},
            stream_open=self.stream_open,
            unread=self.unread,
            line_lost=self.line_lost,
            kept_out=self.kept_out,
            loads=dict(self._loads),
            since_load=None if self._loaded is None else now - self._loaded,
            load_failed=self._load_failed,
        )

    def judge(self) -> Verdict:
        return verdict(self.turn, self.page, self.moment)

    def mark(self) -> anyio.Event:
        """The present moment, for :meth:`news_since`."""
        return self._news

    async def news_since(self, mark: anyio.Event, seconds: float | None) -> None:
        """Until something has changed since ``mark``, at most ``seconds``."""
        with anyio.move_on_after(seconds if seconds is not None else float("inf")):
            await mark.wait()

    async def until(self, test: Callable[[], bool], seconds: float) -> bool:
        """Until ``test`` holds, at most ``seconds``; whether it does."""
        with anyio.move_on_after(seconds):
            while not test():
                await self._news.wait()
        return test()

    def disregard(self, picture: str) -> None:
        """A file or a ``blob:`` address that is the person's own, whoever says that it is a result."""
        self._standing |= {picture}
        self.transcript.disregard(picture)
        self._content = self.turn.content  # the site said nothing new
        self._wake()

    # --- for whoever listens -----------------------------------------------------------------------------------

    def tell(self) -> None:
        """Something changed: wake everyone who waits."""
        self.seen("quiet")
        self._wake()

    def seen(self, sign: Sign) -> None:
        self._at[sign] = anyio.current_time()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def heard(self, changed: bool) -> None:
        """The transcript was fed. A reading that says nothing new, or does not hold our message, is news too; the turn
        stays as quiet as it was."""
        turn = self.turn
        self.pictures.told(turn)
        if turn.content != self._content:
            self._content = turn.content
            self.seen("since_heard")
        read = self.transcript.reads != self._reads
        if read:
            self._reads, self._load_failed = self.transcript.reads, False
            self.seen("since_read")
        lacks, self._lacks = self.transcript.lacks > self._lacks, self.transcript.lacks
        if lacks and self.unanswered and "since_refused" not in self._at:
            self.seen("since_refused")
        if self.transcript.runs != self._runs:
            self._runs = self.transcript.runs
            self.seen("since_running")
        if not turn.turn_complete:
            self._at.pop("since_complete", None)
        elif "since_complete" not in self._at:
            self.seen("since_complete")
        if changed:
            self.tell()
        elif read or lacks:
            self._wake()

    def reported(self, report: PageReport) -> None:
        conversation = self.tab.site.conversation_id(report.address)
        if self._strays_to(conversation):
            self._known = None
            if report.found:
                report = PageReport()  # a turn of theirs, which the eye took for ours
        self._page = report
        if report.failed and "since_error" not in self._at:
            self.seen("since_error")
        # Where our turn is not seen its own document may have gone to its address; another one is where a person went.
        if conversation is not None and (report.found or self._sent_in == self.tab.loader_id):
            self.heard(self.transcript.feed_address(conversation))
        self.tell()

    def _strays_to(self, conversation: str | None) -> bool:
        """Whether a person opened another conversation before the page sent our prompt, which the site does without
        another document. A new chat gets its address by the answer to its prompt."""
        sent = self.prompt is None or self.request_seen.is_set() or self.turn.user_message_id is not None
        return not sent and conversation != self.turn.conversation_id

    def stream_began(self, loader_id: str) -> None:
        """The page sent our prompt, from that document; what an earlier try came to no longer counts."""
        self.request_seen.set()
        self._sent_in = loader_id
        self.stream_open = True
        self.refused, self.unanswered = None, False
        self._at.pop("since_end", None)
        self._at.pop("since_refused", None)
        self.tell()

    def stream_over(self) -> None:
        self.stream_open = False
        self.seen("since_end")

    async def landed(self, landing: Landing) -> None:
        """A new document came: by our own loading, as a check, or by a reload of the site's or the person's."""
        if landing.challenged:
            self.challenged = True
        elif landing.status >= 400:
            self._load_failed, self._loaded = True, anyio.current_time()
        own = self._loading
        if not own:
            self._page = PageReport()
            self.signed_out = self.tab.site.is_login(landing.address)
            if self.tab.site.conversation_id(landing.address) != self.turn.conversation_id:
                self._known = None  # a person opened it, perhaps before the page sent anything
        self.tell()
        if own or landing.check or landing.status >= 400 or self.signed_out or self._looking is None:
            return
        try:
            await self.look_again()
        except cdp.CDPError as error:
            log.info("the page's new document is not looked at: %s", error)

    def line(self, opened: bool) -> None:
        self.line_lost = not opened
        self._wake()

    def unreadable(self) -> None:
        """The conversation was not given. A page that was loaded for it does not always ask again."""
        if self._loads:
            self._load_failed, self._loaded = True, anyio.current_time()
            self._wake()

    def missed(self) -> None:
        """What the page's websocket said meanwhile stands in the conversation: that is read again."""
        self.heard(self.transcript.missed())
        self.tell()

    def deaf(self, error: cdp.CDPError) -> None:
        """One of the two witnesses is gone for good."""
        self.lost = self.lost or error
        self.tell()

    # --- the page ----------------------------------------------------------------------------------------------

    async def expect(self, prompt: str) -> None:
        """The prompt goes out now: note what is on the page before it does, and look at what comes."""
        known = self._known = await self.tab.eye.ask("witness.known()", reply=list[str])
        asked = filter(None, (file_id(request.url) for request in self.tab.bodies.requests))
        self._standing = frozenset((*await self.tab.eye.ask("witness.shown()", reply=list[str]), *asked))
        self.prompt = prompt
        self.transcript.expect(prompt, frozenset(known), self._standing)
        await self.look()

    async def look(self) -> None:
        """Let the eye report on our turn from now on; again after every new document."""
        self._looking = self._told_to_eye
        await self.tab.eye.ask(f"witness.watch({self._looking})")

    @property
    def _told_to_eye(self) -> str:
        return quoted({"user": self.turn.user_message_id, "known": self._known})

    async def look_closer(self) -> None:
        """Our message has its id, or the page strayed: the eye is to guess no longer which turn is ours."""
        if self._looking in (None, self._told_to_eye):
            return
        try:
            await self.look()
        except (DocumentLeft, cdp.errors.CommandTimeout, cdp.errors.ScriptError) as error:
            log.info("the page is looked at again when its next document is there: %s", error)

    async def load(self, cause: Cause) -> Landing:
        """Load the conversation anew and look again, unless a check or an error came instead. Raises CDPError."""
        log.info("the conversation is loaded anew: %s", cause)
        self._loads[cause] += 1
        self._page = PageReport()
        self.mitigated = self.unread = self.line_lost = False
        # Whatever comes of it: until it is there, nothing is.
        self._load_failed = self._loading = True
        try:
            await self.tab.forget_conversation_keys()
            address = self.tab.page.url
            turn = self.turn
            if turn.conversation_id is not None and self.tab.site.conversation_id(address) != turn.conversation_id:
                landed = await self.tab.open(self.tab.site.conversation(turn.conversation_id))
            else:
                landed = await self.tab.reload()
            self._load_failed = landed.status >= 400 and not landed.challenged
            self.signed_out = any(map(self.tab.site.leads_out, (landed.address, self.tab.page.url)))
            if not landed.check and not self._load_failed and not self.signed_out:
                await self.look_again()
            return landed
        finally:
            self._loading = False
            self._loaded = anyio.current_time()
            self.tell()

    async def look_again(self) -> None:
        """Open the eye in the present document and go on watching."""
        for _ in range(3):
            try:
                await self.tab.eye.open()
                await self.look()
            except DocumentLeft:
                await self.tab.settle()
            else:
                return
