"""Our own tab: the page, the eye in it, and everything the network shows of it."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import InitVar, dataclass
from functools import partial
from weakref import WeakSet

import anyio
import msgspec

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import NetworkRequest, TargetInfo, TargetList
from cdp_image_mcp.cdp.streams import LiveStreams
from cdp_image_mcp.cdp.window import Window, away_here
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.landing import TOO_LARGE, Landing, landing
from cdp_image_mcp.chatgpt.network.quota import Quota, read_quotas
from cdp_image_mcp.chatgpt.page.eye import Eye
from cdp_image_mcp.system.tasks import background

log = logging.getLogger(__name__)

QUOTAS_SECONDS = 2.0
"""How long a prompt waits for the page's own answer about quotas, which may say that no pictures are left."""
OPEN_SECONDS = 30.0
"""How long the site may take from our asking for a page to the end of its document."""
SETTLE_SECONDS = 30.0
"""How long a document may take from its request to its response."""
REQUESTS = 1000
"""Of the page's requests so many are remembered, at 2 kB each: what a server grows by in its first generations, of 25
requests each (measured 2026-11-27). A page of the site asks for a few hundred while it loads."""
TARGETS_SECONDS = 2.0
"""How long a browser may owe the list of its pages, which takes it a millisecond: one that hangs holds nothing up."""


class CookieName(msgspec.Struct):
    """Of a cookie only its name is read."""

    name: str


class Cookies(msgspec.Struct):
    cookies: list[CookieName]


@dataclass(eq=False)
class Tab:
    """Lives as long as :func:`open_tab`'s block. Never touches another tab."""

    browser: cdp.Browser
    window: Window
    page: cdp.Page
    bodies: cdp.Bodies
    streams: LiveStreams
    site: Site
    script: InitVar[str]

    def __post_init__(self, script: str) -> None:
        self.page.may_look = self._may_look
        self.eye = Eye(self.page, script)
        self.arrived = False
        """Whether the last arrival at the site found it ready for a prompt, or for what was to be read there."""
        self.who: str | None = None
        """As whom that was, see :class:`Account`; None where it is not known."""
        self._stood_in = ""
        self._rests = ("", "")
        """The document in which a turn of ours came to its end, and its generation, until the next arrival."""
        self._led_to = ""
        """Where the site led from the address that was opened last."""
        self.goes_back = False
        """Whether the site went to an old conversation by itself where a new chat was wanted; it may again."""
        self.watched = False
        """Whether somebody watches a turn in it."""
        self.quotas: tuple[Quota, ...] = ()
        """What the site said last of the account's quotas, in this tab."""
        self._quotas_read: WeakSet[Request] = WeakSet()
        """Answers about quotas that were read, or told nothing."""
        self._quotas_news = anyio.Event()

    @property
    def closed(self) -> cdp.CDPError | None:
        """Why the tab is gone, None while it is there."""
        return self.page.session.closed

    @property
    def ready(self) -> bool:
        """Whether it is ready for a prompt still: the site may go on by itself to a check, a sign-in or an error."""
        document = self._document(self.loader_id)
        if not self.arrived or document is None:
            return self.arrived
        landed = landing(document, self.site)
        return landed.status < 400 and not landed.check and not self.site.leads_out(landed.address)

    @property
    def loader_id(self) -> str:
        """Which document the tab's requests come from now; empty before the first."""
        documents = [request for request in self.bodies.requests if self._is_document(request) and request.status]
        return documents[-1].loader_id if documents else ""

    @property
    def here(self) -> list[Request]:
        """What the present document has asked for."""
        loader = self.loader_id
        return [request for request in self.bodies.requests if request.loader_id == loader]

    def comes_to_rest(self, generation_id: str) -> None:
        """Our turn for that generation is over, and the page shows it."""
        self._rests = (self.loader_id, generation_id)

    def may_stay(self, address: str, after: str | None) -> bool:
        """Whether the page stands at that conversation since our own turn there, for the generation ``after``: it need
        not load it anew to go on from it. Another server's turn there would not be shown, and the end of a quota that
        was heard when it was loaded may be over. Once: what goes wrong in it is met by loading."""
        rests, self._rests = self._rests, ("", "")
        conversation = self.site.conversation_id(address)
        here = conversation is not None and self.site.conversation_id(self.page.url) == conversation
        used_up = any(quota.remaining == 0 for quota in self.quotas)
        stays = here and not used_up and rests[0] != "" and rests == (self.loader_id, after)
        self._stood_in = self.loader_id if stays else ""
        return stays

    @property
    def stood(self) -> bool:
        """Whether the page was found like that at the last arrival, and not loaded since."""
        return self._stood_in != "" and self._stood_in == self.loader_id

    def stands_at(self, address: str) -> bool:
        """Whether the page is still where ``address`` led: at that conversation, or where a new chat begins. The site
        and a person go to other places (a GPT, a project, the library) without another document."""
        site, here = self.site, self.page.url
        wanted = site.conversation_id(address)
        if wanted is not None or site.conversation_id(here) is not None:
            return site.conversation_id(here) == wanted
        begins = site.beginning(here)
        return begins != "" and begins in map(site.beginning, (address, self._led_to))

    def failed_scripts(self) -> bool:
        """Whether a script of the present document did not load."""
        scripts = [one for one in self.here if one.type == "Script"]
        return any((one.status or 0) >= 400 or (one.state == "failed" and not one.canceled) for one in scripts)

    def loading(self) -> bool:
        """Whether a script of the present document is still being loaded."""
        return any(not one.ended for one in self.here if one.type == "Script")

    async def quotas_told(self) -> None:
        """Until what the page has asked about quotas is answered; not for long, and not when it has asked nothing."""
        with anyio.move_on_after(QUOTAS_SECONDS):
            while any(one not in self._quotas_read for one in self.here if self.site.asks("quota", one)):
                await self._quotas_news.wait()

    async def hear_quotas(self, answers: Mailbox[Request]) -> None:
        """The page asks for its quotas when it is loaded, whether or not a turn is watched."""
        try:
            async for request in answers:
                told = await self.answer(request) if request.status == 200 else None
                self.quotas = read_quotas(told or b"") or self.quotas
                self._quotas_read.add(request)
                self._quotas_news.set()
                self._quotas_news = anyio.Event()
        except cdp.CDPError as error:
            log.info("quotas are heard no more: %s", error)

    async def answer(self, request: Request, seconds: float = 60.0) -> bytes | None:
        """What the site answered to a call of its page; None when the browser does not give it within ``seconds``."""
        try:
            return (await self.bodies.read(request, again=False, timeout=seconds)).data
        except (cdp.errors.BodyUnavailable, cdp.errors.ProtocolError) as error:
            log.warning("an answer of the site could not be read: %s", error)
            return None

    def documents(self) -> Mailbox[Request]:
        """Documents of the main frame from now on, each when its response's head is there."""
        return self.bodies.watch(self._is_document, stage="responded")

    async def settle(self) -> Landing | None:
        """After the page went on by itself: wait until its document's response is there, and judge that document; None
        when nothing is known of it. Runs nothing in it: it may be a check. Raises EventTimeout, CDPError."""
        self.eye.leave()
        with self.documents() as documents:
            while True:
                document = self._document(await self.page.loader_id())
                if document is None:
                    return None
                if document.status is not None:
                    return landing(document, self.site)
                await documents.next(SETTLE_SECONDS)

    def _may_look(self, loader_id: str) -> bool:
        document = self._document(loader_id)
        return document is None or (document.status is not None and not landing(document, self.site).check)

    def _document(self, loader_id: str) -> Request | None:
        for request in reversed(self.bodies.requests):
            if request.loader_id == loader_id and self._is_document(request):
                return request
        return None

    async def forget_conversation_keys(self) -> bool:
        """Delete the site's leftover ``conv_key_*`` cookies by name; whether there were any."""
        answer = await self.page.session.call("Network.getCookies", {"urls": [self.site.home]}, reply=Cookies)
        names = [cookie.name for cookie in answer.cookies if cookie.name.startswith("conv_key_")]
        for name in names:
            await self.page.session.call("Network.deleteCookies", {"name": name, "url": self.site.home})
        return bool(names)

    async def close_popups(self) -> None:
        """Close the pages that ours has opened: nobody else would."""
        try:
            for page in await pages(self.browser):
                if page.opener_id == self.page.target_id:
                    log.info("a page that ours opened is closed")
                    await self.browser.connection.browser.call("Target.closeTarget", {"targetId": page.target_id})
        except cdp.CDPError as error:
            log.info("pages that ours opened were not looked for: %s", error)

    async def open(self, address: str) -> Landing:
        """Go to an address of the site and judge the response; once more without its leftover cookies where they had
        grown too large. No script of ours runs in the new document yet.

        Raises NavigationError, EventTimeout, CDPError; ValueError for an address we may not open.
        """
        if not self.site.ours(address):
            raise ValueError(f"{address} is not on the site.")
        landed = await self._landing(partial(self.page.navigate, address))
        if landed.status == TOO_LARGE and await self.forget_conversation_keys():
            landed = await self._landing(partial(self.page.navigate, address))
        self._led_to = landed.address
        return landed

    async def reload(self) -> Landing:
        """The same address again, judged as with :meth:`open`."""
        return await self._landing(self.page.reload)

    async def _landing(self, going: Callable[..., Awaitable[None]]) -> Landing:
        # Another document comes. It asks for its quotas itself: what the one before was told may hold no more.
        self.eye.leave()
        self.quotas = ()
        with self.documents() as documents:
            try:
                await going(until="DOMContentLoaded", timeout=OPEN_SECONDS)
            except cdp.errors.NavigationError:
                # An error status without a body is a failed navigation to the browser; its status says more.
                with anyio.move_on_after(0.5):
                    landed = landing(await documents.next(), self.site)
                    if landed.status >= 400:
                        return landed
                raise
            # Redirects and the site's own forwarding may bring several documents; the last one is where we are.
            request = await documents.next(timeout=10)
            while (later := documents.poll()) is not None:
                request = later
            return landing(request, self.site)

    def _is_document(self, request: Request) -> bool:
        return request.type == "Document" and request.frame_id == self.page.frame_id


def _may_prompt(site: Site, request: NetworkRequest) -> bool:
    """Whether a request may send a prompt, at whatever address: its body tells, and the event leaves long ones out."""
    if request.method != "POST" or not site.ours(request.url) or site.asks("sending", request):
        return False
    body = request.post_data
    return request.long if body is None else '"messages"' in body


async def pages(browser: cdp.Browser) -> list[TargetInfo]:
    """All of its tabs and windows. Raises CDPError, CommandTimeout for a browser that hangs."""
    targets = await browser.connection.browser.call("Target.getTargets", timeout=TARGETS_SECONDS, reply=TargetList)
    return [target for target in targets.target_infos if target.type == "page"]


@asynccontextmanager
async def open_tab(browser: cdp.Browser, site: Site, script: str, *, hidden: bool) -> AsyncGenerator[Tab]:
    tab: Tab | None = None

    def is_turn(request: NetworkRequest) -> bool:
        # Between turns only a person prompts here, and nobody would read the answer.
        if tab is None or not tab.watched:
            return False
        return site.asks("turn", request) or site.asks("resume", request) or _may_prompt(site, request)

    # A window of its own, also without a screen: only a new one may be given a size (Chromium 156), and another
    # server's tab may be there already. Never with the focus: whoever sits there is typing somewhere else.
    away = away_here() if hidden else None
    wanted = {"width": 1280, "height": 900, **(away or {})}
    page = await cdp.Page.create(browser.connection, newWindow=True, background=not browser.headless, **wanted)
    page.quiet = not browser.headless
    window = Window(page, headless=browser.headless, made_away=away is not None)
    async with page:
        if hidden:
            await window.hide()
        bodies = await cdp.Bodies.start(page, remember=REQUESTS)
        tab = Tab(browser, window, page, bodies, await cdp.live_streams(page, is_turn), site, script)
        async with background() as group:
            with bodies.watch(lambda request: site.asks("quota", request)) as quotas:
                group.start_soon(tab.hear_quotas, quotas)
                yield tab
