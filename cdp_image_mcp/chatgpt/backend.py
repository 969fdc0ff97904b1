"""The web back end: arrives, lets the person act where needed, draws turn by turn, collects what was left."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp.errors import BrowserGone, ClickBlocked, DocumentLeft, SessionClosed
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.collecting import Collecting
from cdp_image_mcp.chatgpt.drawing import Drawing, Untraced, stopping
from cdp_image_mcp.chatgpt.goingon import at_site, with_picture
from cdp_image_mcp.chatgpt.network.quota import Quota, no_pictures_left
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.arrival import Arrival
from cdp_image_mcp.chatgpt.page.composer import Composer, StillAnswering
from cdp_image_mcp.chatgpt.page.locators import load, witness_source
from cdp_image_mcp.chatgpt.page.sitereport import probe_roles
from cdp_image_mcp.chatgpt.page.uploads import upload_copies
from cdp_image_mcp.chatgpt.page.wish import fill_in
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.sending import ChallengeMet, NotReady, Sending, StartOver
from cdp_image_mcp.chatgpt.watching.listening import kept_out, watch_turn
from cdp_image_mcp.chatgpt.window.keeper import Keeper
from cdp_image_mcp.chatgpt.window.person import Person
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.window.visibility import Visibility
from cdp_image_mcp.chatgpt.window.windowmode import WindowMemory
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.system.day import local_now
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)

LOST_ROUNDS = 3
"""How often one generation may lose its browser before it gives up; a picture that went out stays collectable."""
PERSON_ROUNDS = 3
"""Sign-ins, checks and detours of the page that one picture may meet before its generation gives up."""
TIDY_SECONDS = 5.0
ASKED_THERE = (
    "Run 'cdp-image-mcp login' again, and leave the second window alone: the site is asked in it, and it closes itself."
)

T = TypeVar("T")


def _told(fault: cdp.CDPError, report: Report | None) -> ImageError:
    error = problem(fault, report.facts.get("submitted", False) if report is not None else False)
    error.__cause__ = fault
    return error


class WebBackend:
    """One per process. The studio calls it for one generation at a time, holding the account's turn."""

    def __init__(self, settings: Settings, ledger: Ledger, group: anyio.abc.TaskGroup) -> None:
        found = load(settings.site_file)
        self._settings = settings
        self._ledger = ledger
        self._site = Site(settings.web_url, found.endpoints, found.words)
        self._keeper = Keeper(settings, self._site, witness_source(found), group)
        self._memory = WindowMemory(settings.profile_dir, settings.window_mode)
        self._person = Person(settings, self._keeper, self._memory)
        self._noted: tuple[Quota, ...] = ()
        window = Visibility(settings, self._keeper, self._memory)
        self.status, self.visibility = window.backend_status, window.act

    # --- generating --------------------------------------------------------------------------------------------

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        """Submit the prompt in a turn of its own, once per picture still missing; see ``Drawing``.

        A browser that is lost on the way is started again: before the prompt went out to try once more, afterwards
        only to collect.
        """
        await report.state(
            "starting",
            mode="direct-cdp",
            profile_dir=str(self._settings.profile_dir),
            session_reused=self._keeper.tab is not None,
        )
        with self._keeper.in_use():
            await self._surviving(lambda: self._remaining(request, report), report)

    async def _remaining(self, request: ImageRequest, report: Report) -> None:
        """What is still to be done: first the turn that went out, then turns for the pictures still missing."""
        if report.facts.get("turn_pressed"):
            await self._collect(request, report)
        if len(report.images) < request.n:
            await self._generate(request, report)

    async def _surviving(self, work: Callable[[], Awaitable[T]], report: Report | None = None) -> T:
        """Do ``work``, and again with a new browser when one is lost; it must go on from what ``report`` knows. Raises
        ImageError for faults of the driver too."""
        attempt = 1
        while True:
            try:
                return await work()
            except cdp.CDPError as fault:
                error = _told(fault, report)
            except ImageError as told:
                # That no browser starts is told where one is opened, which knows of no prompt that is out.
                fault = told.__cause__
                error = _told(fault, report) if isinstance(fault, cdp.LaunchError) else told
            if error.code != "browser_failed" or not error.retryable or attempt == LOST_ROUNDS:
                raise error
            log.info("the browser was lost, starting again: %s", error)
            if report is not None:
                report.progress("the browser was lost and is started again")
            attempt += 1

    async def _generate(self, request: ImageRequest, report: Report) -> None:
        request = at_site(self._site, request)
        last = ImageError("verification_required", "The site asked for a person again and again.")
        rounds = Counter[int]()  # by the pictures that were there: one that has come shows that the site goes on
        begun_anew = -1
        while rounds[len(report.images)] < PERSON_ROUNDS:
            # Later pictures belong into the conversation of the first one.
            begun = report.facts.get("conversation_url") if report.images else None
            address = begun or request.continue_url or self._site.home
            after = report.generation_id if begun else request.continue_from
            tab = await self._arrive(address, report, after=after)
            try:
                await self._turns(tab, request, report)
            except (ChallengeMet, Untraced):
                await self._collect(request, report)
                if len(report.images) >= request.n:
                    return
            except NotReady as late:
                await self._person.ask(late.arrival, report)
            except StartOver as again:
                last = again.error
                if again.once:
                    if begun_anew == len(report.images):
                        break
                    begun_anew = len(report.images)
                await anyio.sleep(again.pause)
            else:
                return
            rounds[len(report.images)] += 1
        last.submitted = report.facts.get("submitted", False)
        raise last

    async def _arrive(self, address: str, report: Report, *, after: str | None = None, reading: bool = False) -> Tab:
        fresh = address == self._site.home and not reading
        tab, arrival = await self._person.arrive(address, report, fresh=fresh, after=after, reading=reading)
        plan = arrival.account.plan if arrival.account else None
        await report.state("starting", browser_mode=self._keeper.mode, plan=plan)
        await self._note_quota(tab)
        return tab

    async def _turns(self, tab: Tab, request: ImageRequest, report: Report) -> None:
        """Successive turns in one conversation until all pictures are there or the site stops."""
        # The conversation of later pictures has them.
        if not report.images:
            request = await with_picture(tab, request)
        references = () if report.images else request.reference_images
        async with upload_copies(references, self._settings.profile_dir) as files:
            while len(report.images) < request.n:
                before = len(report.images)
                await self._one_turn(tab, request, report, files if before == 0 else [])
                if len(report.images) == before:
                    raise ImageError("internal", "A turn ended well without a picture.", submitted=True)

    async def _one_turn(self, tab: Tab, request: ImageRequest, report: Report, files: list[Path]) -> None:
        first = not report.images
        composer = Composer(tab, lambda: report.time_left)
        begun = request.continue_url if first else report.facts.get("conversation_url") or tab.page.url
        in_place = partial(_in_place, tab, begun, later=not first)
        if files:
            report.progress("attaching the reference pictures")
        try:
            with _staying(in_place, report):
                text = await self._filled_in(composer, request, files, first=first)
            # Heard while the page was loaded: after a turn of minutes its time would be wrong.
            await tab.quotas_told()
            await self._note_quota(tab)
            _refuse_used_up(tab.quotas, report)
            in_place()
            known = self._site.conversation_id(tab.page.url)
            async with watch_turn(tab, Transcript(conversation_id=known, fails=self._site.words.fails)) as watch:
                sending = Sending(watch, report, request.reference_images, in_place=in_place)
                try:
                    async with stopping(watch, report):
                        with _staying(in_place, report):
                            await sending.send(composer, text)
                        await Drawing(watch, request, report).pictures()
                except StartOver:
                    await sending.not_sent()
                    raise
        except (ClickBlocked, DocumentLeft) as error:
            if report.facts.get("turn_pressed"):
                raise
            # A late dialog, new scripts of the site, or a check: what it is shows when the page is arrived at anew.
            told = ImageError("site_changed", "The page keeps going to other documents. Nothing was sent.")
            if isinstance(error, ClickBlocked):
                told = problem(error, report.facts.get("submitted", False))
            raise StartOver(told) from None
        finally:
            await self._tidy(tab)

    async def _filled_in(self, composer: Composer, request: ImageRequest, files: list[Path], *, first: bool) -> str:
        tab = composer.tab
        document = tab.loader_id
        try:
            return await fill_in(composer, request, files, first=first)
        except ImageError as error:
            if isinstance(error, StillAnswering) or any(kept_out(self._site, asked) for asked in tab.here):
                # The page looks fine: loaded anew it shows the check, or works.
                raise StartOver(error, once=isinstance(error, StillAnswering)) from None
            if error.code == "site_changed" and tab.loader_id != document:
                raise DocumentLeft(error.message) from None
            raise

    async def _tidy(self, tab: Tab) -> None:
        """After a turn, cancelled or not; whoever cancels waits for it, but not for a browser that hangs."""
        try:
            with shielded(TIDY_SECONDS):
                await self._note_quota(tab)
                if self._keeper.mode != "visible":
                    await tab.close_popups()
        except TimeoutError:
            log.info("pages that ours opened were not looked for: the browser is slow to answer")

    async def _note_quota(self, tab: Tab) -> None:
        """What the site said of its quotas since they were noted last."""
        told = tab.quotas
        if told is self._noted:
            return
        try:
            for quota in told:
                await self._ledger.set_quota(quota.feature, quota.remaining, quota.reset_at)
        except ImageError as error:
            log.warning("the quota was not noted: %s", error)
        else:
            self._noted = told

    # --- collecting --------------------------------------------------------------------------------------------

    async def collect(self, request: ImageRequest, report: Report, /) -> None:
        """Open the conversation of a generation that was submitted earlier and save what the site finished."""
        with self._keeper.in_use():
            await self._surviving(lambda: self._collect(request, report), report)

    async def _collect(self, request: ImageRequest, report: Report) -> None:
        await report.state("starting")
        for _ in range(PERSON_ROUNDS):
            collecting = Collecting(self._site, request, report, taken=await report.taken_ids())
            tab = await self._arrive(collecting.address, report, reading=True)
            try:
                await collecting.run(tab)
            except ChallengeMet:
                continue
            finally:
                await self._tidy(tab)
            return
        raise ImageError("verification_required", "The site asked for a check again and again.", submitted=True)

    # --- the rest ----------------------------------------------------------------------------------------------

    async def sign_in(self, opened: Callable[[], None] | None = None) -> tuple[str, Arrival]:
        """``login``: the person signs in, then the session endpoint is asked whether it worked. ``opened`` is called
        when the window is there. Answers also how that window ended, in words. Raises ImageError ``needs_sign_in``
        where every window in which it is asked is closed: they look like one that was left over."""
        with self._keeper.in_use():
            ended = await self._person.in_plain_window(
                None, state="needs_sign_in", why="sign-in was asked for", opened=opened
            )
            try:
                _, arrival = await self._surviving(self._look_home)
                if arrival.kind == "challenge":
                    ended = await self._person.ask(arrival, None)
                    _, arrival = await self._surviving(self._look_home)
            except ImageError as error:
                if not isinstance(error.__cause__, BrowserGone | SessionClosed):
                    raise
                told = "The browser was closed before the site could be asked whether you are signed in."
                raise ImageError("needs_sign_in", told, next_step=ASKED_THERE) from error
            return ended, arrival

    async def _look_home(self) -> tuple[Tab, Arrival]:
        return await self._person.look(self._site.home, fresh=False)

    @property
    def browser(self) -> cdp.Browser | None:
        """The browser that is open at this moment; previews are drawn in a context of their own in it."""
        return self._keeper.browser

    async def probe(self) -> list[tuple[str, bool, str]]:
        """``doctor --probe``: what of the page is found; sends nothing. Raises ImageError when nobody is signed in."""
        with self._keeper.in_use():
            return await self._surviving(self._probe)

    async def _probe(self) -> list[tuple[str, bool, str]]:
        tab, arrival = await self._look_home()
        if arrival.kind != "ready":
            code = "needs_sign_in" if arrival.kind == "signed_out" else "verification_required"
            raise ImageError(code, f"The site is not ready for prompts: {arrival.detail}.")
        return await probe_roles(tab)

    async def aclose(self) -> None:
        await self._keeper.close()


def _in_place(tab: Tab, begun: str | None, *, later: bool) -> None:
    """The site brings an old conversation back, also some time after its home address was loaded (seen 2026-08): a
    prompt for a new chat would go on with that one. One for the conversation at ``begun`` would go into a chat that a
    person has opened here since, or into a new one: the site goes back to its home address (2026-05). Either would go
    to a GPT or into a project that a person has gone to. An address without the site's own name for the chat is ours
    only for a ``later`` picture; before the first it is that of a chat which a person has begun. Raises StartOver."""
    if tab.stands_at(begun or tab.site.home) or (later and tab.site.is_interim(tab.page.url)):
        return
    told = "The page leaves the conversation it is to go on."
    if begun is None:
        tab.goes_back = tab.goes_back or tab.site.conversation_id(tab.page.url) is not None
        told = "The page keeps going to an earlier conversation, or to another place than a new chat."
    raise StartOver(ImageError("site_changed", f"{told} Nothing was sent."))


@contextmanager
def _staying(in_place: Callable[[], None], report: Report) -> Generator[None]:
    """What is not found where the page has gone elsewhere meanwhile is no change of the site. Raises StartOver."""
    try:
        yield
    except ImageError as error:
        if error.code == "site_changed" and not report.facts.get("turn_pressed"):
            in_place()
        raise


def _refuse_used_up(quotas: tuple[Quota, ...], report: Report) -> None:
    """Raises ImageError ``quota_reached`` instead of sending what the site has just said it will not draw."""
    used_up = no_pictures_left(quotas, now=local_now())
    if used_up is not None:
        raise ImageError(
            "quota_reached",
            f"The site says that no pictures are left until {used_up.reset_at}. Nothing was sent.",
            submitted=report.facts.get("submitted", False),
            reset_at=used_up.reset_at,
        )
