"""What becomes of a prompt that is out: what is here is saved before anything else is said of it."""

from functools import partial
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp.bodies import Body, Request
from cdp_image_mcp.cdp.errors import BodyUnavailable, BrowserGone, CommandTimeout, DocumentLeft, EventTimeout
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt import capture, drawing
from cdp_image_mcp.chatgpt.drawing import Drawing, Untraced
from cdp_image_mcp.chatgpt.landing import Landing
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.accounts import Session
from cdp_image_mcp.chatgpt.page.pagereport import PageReport, SeenImage
from cdp_image_mcp.chatgpt.sending import ChallengeMet, StartOver
from cdp_image_mcp.chatgpt.watching.evidence import Verdict
from cdp_image_mcp.chatgpt.watching.turnwatch import Refusal, TurnWatch
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.request import ImageRequest, Reference, Report
from fixtures.site.pictures import make_picture
from tests.chatgpt.talk import (
    COMPLETE,
    CONVERSATION,
    DONE,
    answer,
    begun,
    call,
    conversation,
    file_id,
    message,
    meta,
    pointer,
    prompt,
    queued_turn,
    request,
    site_at,
    status,
)

pytestmark = pytest.mark.anyio

BASE = "https://chatgpt.com/"
FOX = make_picture("a fox", size=(320, 240)).content
OWL = make_picture("an owl", size=(320, 280)).content


def drawn(identity: str, file: str, data: bytes, **stated: int) -> dict[str, Any]:
    """A finished picture message whose file holds ``data``."""
    facts = inspect(data)
    asset = pointer(file, **{"width": facts.width, "height": facts.height, "size_bytes": len(data), **stated})
    flags = {"async_task_id": "imagegen_1", "async_task_type": "image_gen"}
    return message(identity, "tool", [asset], metadata=meta("call", **flags))


class Told:
    """A report, and the order in which it was told things."""

    generation_id = "0" * 32

    def __init__(self, wanted: int = 1, files: tuple[str, ...] = ()) -> None:
        self.wanted = wanted
        self.facts: dict[str, Any] = {}
        self.pictures: list[bytes] = []
        self.completed: dict[str, Any] | None = None
        self.saved_files = frozenset(files)

    @property
    def images(self) -> tuple[bytes, ...]:
        return tuple(self.pictures)

    async def state(self, _state: str, /, **facts: Any) -> None:
        self.facts |= facts

    def progress(self, _message: str) -> None:
        return

    async def save(self, data: bytes, /, *, source: Any = None, ends: Any = None) -> None:
        assert source is None or "blob:" not in str(source)
        self.pictures.append(data)
        if len(self.pictures) >= self.wanted and self.completed is None:
            self.completed = dict(ends)


class Files:
    """Bodies by file."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.requests: list[Request] = []

    async def read(self, request: Request, *, accept: Any) -> Body:
        data = next((data for file, data in self.contents.items() if file in request.url), None)
        if data is None or not accept(data):
            raise BodyUnavailable(request.url, ("network: evicted",))
        return Body(data, "network")

    async def read_url(self, address: str, *, accept: Any) -> Body:
        data = self.contents.get(address)
        if data is None or not accept(data):
            raise BodyUnavailable(address, ("blob: revoked",))
        return Body(data, "blob")


class ScriptedTab:
    """A tab whose conversation can be loaded anew as the test wants."""

    def __init__(self) -> None:
        self.site = site_at(BASE)
        self.bodies = Files()
        self.quotas = ()
        self.eye = self
        self.page = SimpleNamespace(url=f"{BASE}c/{CONVERSATION}", session=SimpleNamespace(crashed=False))
        self.loader_id = "now"
        self.closed = None
        self.rests = False
        self.asked = 0
        self.session: Session | Exception = Session(200, user=True)
        self.loads: list[Any] = []
        """What each loading comes to: an exception, or what happens then."""

    def comes_to_rest(self, _generation_id: str) -> None:
        self.rests = True

    async def node(self, _expression: str) -> None:
        return

    async def ask(self, expression: str, **_: Any) -> Any:
        if "/api/auth/session" in expression:
            self.asked += 1
            if isinstance(self.session, Exception):
                raise self.session
            return self.session
        return [] if "known" in expression or "shown" in expression else True

    async def open(self, address: str = "") -> Landing:
        return await self.reload(address)

    async def settle(self) -> None:
        return

    async def forget_conversation_keys(self) -> bool:
        return False

    async def reload(self, address: str = BASE) -> Landing:
        comes = self.loads.pop(0) if self.loads else 200
        if isinstance(comes, Exception):
            raise comes
        if callable(comes):
            comes()
            comes = 200
        return Landing(address, cast("int", comes), challenged=False, check=comes == 403)

    def messages(self) -> Mailbox[str]:
        return Mailbox("messages", 10)


class Scene:
    """A turn that is out, and what becomes of it."""

    def __init__(self, heard: Transcript, told: Told | None = None, *references: bytes) -> None:
        self.tab = ScriptedTab()
        self.watch = TurnWatch(cast("Tab", self.tab), heard)
        self.told = told or Told()
        known = tuple(
            Reference(
                path=cast("Any", None),
                mime_type="image/png",
                width=1,
                height=1,
                bytes=1,
                sha256=sha256(one).hexdigest(),
            )
            for one in references
        )
        self.request = ImageRequest(prompt="x", backend="chatgpt-web", n=self.told.wanted, reference_images=known)
        self.watch.stream_over()
        if heard.turn().conversation_read:
            self.watch._at["since_read"] = anyio.current_time()  # pyright: ignore[reportPrivateUsage]

    def have(self, file: str, data: bytes | None) -> None:
        """The page has loaded a file; None for one whose bytes are not to be had."""
        request = SimpleNamespace(
            url=f"https://files.example/{file}/raw", ended=True, status=200, mime_type="image/png", loader_id="now"
        )
        self.watch.pictures.note(cast("Request", request))
        if data is not None:
            self.tab.bodies.contents[file] = data

    async def drawn(self) -> Told:
        with anyio.fail_after(20):
            await Drawing(self.watch, self.request, cast("Report", self.told)).pictures()
        return self.told


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "BYTES_SECONDS", 0.05)
    monkeypatch.setattr(capture, "GRACE", 0.05)


def at_rest(*said: dict[str, Any]) -> Transcript:
    heard = begun(call(), COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt(), call(), *said))
    return heard


async def test_the_answer_is_given_when_the_asked_picture_is_saved_and_the_rest_is_saved_behind_it() -> None:
    heard = begun(call(), COMPLETE, DONE)
    heard.feed_socket(status(3))
    scene = Scene(heard)
    scene.have(file_id(1), FOX)
    scene.have(file_id(2), OWL)
    heard.feed_conversation(conversation(prompt(), call(), drawn("a", file_id(1), FOX), async_status=3))
    async with anyio.create_task_group() as group:
        group.start_soon(scene.drawn)
        with anyio.fail_after(30):
            while scene.told.completed is None:
                await anyio.lowlevel.checkpoint()
        assert scene.told.pictures == [FOX]
        assert scene.told.completed == {"capture": "network"}
        both = conversation(prompt(), call(), drawn("a", file_id(1), FOX), drawn("b", file_id(2), OWL))
        scene.watch.heard(heard.feed_conversation(both))
    assert scene.told.pictures == [FOX, OWL]
    assert (scene.told.facts["turn_pressed"], scene.tab.rests) == (False, True)


async def test_once_the_asked_picture_is_saved_no_trouble_is_told() -> None:
    heard = begun(call(), COMPLETE, DONE)
    scene = Scene(heard)
    scene.have(file_id(1), FOX)
    heard.feed_conversation(conversation(prompt(), call(), drawn("a", file_id(1), FOX), async_status=3))
    scene.watch.challenged = True
    assert (await scene.drawn()).pictures == [FOX]
    assert not scene.tab.rests  # the next prompt finds the check by loading the page


@pytest.mark.parametrize("fault", [CommandTimeout("Runtime.evaluate", 15), BrowserGone("gone"), DocumentLeft("gone")])
async def test_a_question_that_cannot_be_closed_takes_nothing_from_what_is_saved(fault: Exception) -> None:
    """The panel that asks which of two is better, in a page that is closed or hangs."""
    scene = Scene(at_rest(drawn("a", file_id(1), FOX), drawn("b", file_id(2), OWL)))
    scene.have(file_id(1), FOX)
    scene.have(file_id(2), OWL)
    scene.watch.reported(PageReport(found=True, panel=True))

    async def node(_expression: str) -> None:
        raise fault

    scene.tab.node = node  # type: ignore[method-assign]
    assert (await scene.drawn()).pictures == [FOX, OWL]
    assert scene.told.facts["turn_pressed"] is False


@pytest.mark.parametrize("had", [True, False], ids=["both are saved", "one is still to be fetched"])
async def test_a_choice_between_two_is_left_open_while_one_of_them_is_not_saved(had: bool) -> None:
    """What becomes of them at the site once it is closed is not known, and 'wait_for_image' fetches what is missing."""
    scene = Scene(at_rest(drawn("a", file_id(1), FOX), drawn("b", file_id(2), OWL)))
    scene.have(file_id(1), FOX)
    scene.have(file_id(2), OWL if had else None)
    shown = partial(scene.watch.reported, PageReport(found=True, panel=True))
    shown()
    scene.tab.loads = [shown]
    pressed: list[str] = []

    async def node(expression: str) -> None:
        pressed.append(expression)

    scene.tab.node = node  # type: ignore[method-assign]
    assert (await scene.drawn()).pictures == ([FOX, OWL] if had else [FOX])
    assert pressed == (["witness.panelSkip()"] if had else [])


@pytest.mark.parametrize("trouble", ["check", "lost", "session"])
async def test_what_the_network_has_is_taken_before_trouble_is_told(trouble: str) -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX)), Told(wanted=2))
    scene.have(file_id(1), FOX)
    if trouble == "check":
        scene.watch.challenged = True
    elif trouble == "lost":
        scene.watch.lost = BrowserGone("gone")
    else:
        scene.watch.reported(PageReport(expired=True))
    with pytest.raises((ImageError, ChallengeMet)):
        await scene.drawn()
    assert scene.told.pictures == [FOX]


async def test_the_first_unreadable_picture_does_not_keep_the_others() -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX), drawn("b", file_id(2), OWL)), Told(wanted=2))
    scene.have(file_id(1), None)
    scene.have(file_id(2), OWL)
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert scene.told.pictures == [OWL]
    assert (caught.value.code, caught.value.spent) == ("network", True)


async def test_a_page_that_was_refused_the_conversation_says_nothing_of_its_picture() -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX)))
    scene.tab.loads = [429, lambda: scene.have(file_id(1), FOX)]
    assert (await scene.drawn()).pictures == [FOX]


async def test_what_was_saved_in_an_earlier_run_is_not_fetched_again() -> None:
    told = Told(wanted=2, files=(file_id(1),))
    told.pictures.append(FOX)
    scene = Scene(at_rest(drawn("a", file_id(1), FOX), drawn("b", file_id(2), OWL)), told)
    scene.have(file_id(1), None)
    scene.have(file_id(2), OWL)
    assert (await scene.drawn()).pictures == [FOX, OWL]


async def test_a_later_turn_that_makes_no_picture_says_why_although_earlier_ones_did() -> None:
    told = Told(wanted=2, files=(file_id(9),))
    told.pictures.append(FOX)
    scene = Scene(at_rest(answer("I can't help with that.", parent="call")), told)
    with pytest.raises(ImageError, match="can't help") as caught:
        await scene.drawn()
    assert caught.value.code == "refused"


@pytest.mark.parametrize(
    ("alert", "code"),
    [
        ("Resume stream unavailable", "text_only"),
        ("Connection interrupted. Waiting for the complete answer", "text_only"),
        ("You're sending messages too quickly.", "rate_limited"),
    ],
)
async def test_what_the_site_asks_is_told_although_an_alert_of_a_failure_still_stands(alert: str, code: str) -> None:
    """A refused look at the stream is told in one (live 2026-10-07), and nothing takes it away when the answer came."""
    asks = answer("Which city should the skyline show?")
    heard = begun(asks, COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt(), asks))
    scene = Scene(heard)
    scene.watch.reported(PageReport(found=True, alerts=(alert,)))
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert caught.value.code == code
    assert ("Which city" in str(caught.value.details)) is (code == "text_only")


@pytest.mark.parametrize("alert", ["Something went wrong.", "You're sending messages too quickly."])
async def test_an_alert_says_nothing_of_a_prompt_that_may_have_been_taken(alert: str) -> None:
    """The prompt's own request was answered with a fault; the alert may be older."""
    heard = Transcript()
    heard.feed_request(request())
    scene = Scene(heard)
    scene.watch.unanswered = True
    scene.watch.reported(PageReport(found=True, alerts=(alert,)))
    scene.watch._at["since_refused"] = anyio.current_time() - 60  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert (caught.value.submitted, caught.value.spent) == ("unknown", "unknown")
    assert caught.value.code == "service_error"


@pytest.mark.parametrize("later", [False, True])
async def test_the_persons_reference_is_never_saved_although_the_conversation_calls_it_a_picture(later: bool) -> None:
    """``later``: in another run, which has the record alone."""
    said = (drawn("a", file_id(7), OWL), answer("I can't help with that.", parent="a"))
    scene = Scene(at_rest(*said), None, *(() if later else (OWL,)))
    scene.told.facts["reference_sha256"] = [sha256(OWL).hexdigest()]
    scene.have(file_id(7), OWL)
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert caught.value.code == "refused"
    assert scene.told.pictures == []


async def test_the_persons_reference_is_never_saved_although_the_page_shows_it_as_a_picture() -> None:
    heard = at_rest()
    scene = Scene(heard, None, OWL)
    scene.tab.bodies.contents["blob:1"] = OWL
    shown = SeenImage(blob="blob:1", width=320, height=280, complete=True)
    scene.watch.reported(PageReport(found=True, images=(shown,)))

    def refuse() -> None:
        words = answer("I can't help with that.", parent="call")
        scene.watch.heard(heard.feed_conversation(conversation(prompt(), call(), words)))

    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(ImageError, match="can't help"):
                await scene.drawn()

        group.start_soon(wait)
        assert await scene.watch.until(lambda: not scene.watch.page.images, 10)
        refuse()
    assert scene.told.pictures == []


async def test_a_reference_that_is_shown_as_a_blob_does_not_take_the_finished_picture_with_it() -> None:
    """Of the same size, and before the page has asked for the file."""
    scene = Scene(at_rest(drawn("a", file_id(1), OWL)), None, other := make_picture("a hare", size=(320, 280)).content)
    scene.tab.bodies.contents["blob:1"] = other
    shown = SeenImage(blob="blob:1", width=320, height=280, complete=True)
    scene.watch.reported(PageReport(found=True, images=(shown,)))

    async def asked_for() -> None:
        assert await scene.watch.until(lambda: not scene.watch.page.images, 10)
        scene.have(file_id(1), OWL)
        scene.watch.tell()

    async with anyio.create_task_group() as group:
        group.start_soon(asked_for)
        assert (await scene.drawn()).pictures == [OWL]


async def test_where_no_drawing_is_known_of_only_what_names_a_file_is_taken_off_the_page() -> None:
    """What names none may be the person's own, drawn anew for a preview: its bytes are not those that were sent."""
    heard = begun(COMPLETE, DONE)
    heard.feed_conversation(conversation(prompt()))
    scene = Scene(heard)
    scene.have(file_id(1), ours := make_picture("a hare", size=(320, 280)).content)
    scene.tab.bodies.contents["blob:1"] = OWL
    named = SeenImage(file=file_id(1), width=320, height=280, complete=True)
    nameless = SeenImage(blob="blob:1", width=320, height=280, complete=True)
    scene.watch.reported(PageReport(found=True, images=(named, nameless)))
    assert (await scene.drawn()).pictures == [ours]


async def test_a_shown_picture_that_was_saved_in_an_earlier_run_is_the_end_of_its_turn() -> None:
    told = Told(wanted=2, files=(file_id(1),))
    scene = Scene(at_rest(), told)
    shown = SeenImage(file=file_id(1), width=320, height=280, complete=True)
    scene.watch.reported(PageReport(found=True, images=(shown,)))
    judge, rounds = scene.watch.judge, iter(range(100))

    def counted() -> Verdict:
        assert next(rounds, None) is not None, "it is judged again and again, and nothing else can run meanwhile"
        return judge()

    scene.watch.judge = counted  # type: ignore[method-assign]
    assert (await scene.drawn()).pictures == []
    assert told.facts["turn_pressed"] is False


async def test_a_picture_of_the_page_whose_bytes_are_gone_is_told_and_may_be_collected_later() -> None:
    scene = Scene(at_rest())
    shown = SeenImage(file=file_id(1), width=320, height=280, complete=True)
    scene.watch.reported(PageReport(found=True, images=(shown,)))
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert (caught.value.code, caught.value.spent) == ("network", True)
    assert "wait_for_image" in caught.value.next_step


async def test_a_picture_of_the_page_whose_bytes_are_gone_keeps_no_other_from_being_saved() -> None:
    scene = Scene(at_rest())
    shown = [SeenImage(file=file_id(number), width=320, height=280, complete=True) for number in (1, 2)]
    scene.have(file_id(2), OWL)
    scene.watch.reported(PageReport(found=True, images=tuple(shown)))
    with anyio.fail_after(30):
        assert (await scene.drawn()).pictures == [OWL]


async def test_how_sure_the_bytes_are_stands_in_the_record() -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX, size_bytes=7)))
    scene.have(file_id(1), FOX)
    assert (await scene.drawn()).completed == {"capture": "network", "confidence": "dimensions"}


async def test_a_network_that_is_away_when_the_conversation_is_loaded_anew_is_waited_for() -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX)))
    scene.tab.loads = [EventTimeout("the load event", 30)]

    async def later() -> None:
        while scene.tab.loads:
            await anyio.lowlevel.checkpoint()
        scene.have(file_id(1), FOX)
        scene.watch.tell()

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        assert (await scene.drawn()).pictures == [FOX]


@pytest.mark.parametrize("session", [Session(200, user=False), Session(401)])
async def test_a_session_that_ended_without_a_word_is_told_once_the_conversation_was_loaded_anew(
    session: Session,
) -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX)))
    scene.tab.session = session
    with pytest.raises(ImageError) as caught:
        await scene.drawn()
    assert (caught.value.code, caught.value.submitted) == ("needs_sign_in", True)
    assert "turn_pressed" not in scene.told.facts  # it can be collected when somebody has signed in


@pytest.mark.parametrize(
    ("session", "status"),
    [
        (Session(0), 200),
        (Session(500), 200),
        (Session(403, mitigated="challenge"), 200),
        (CommandTimeout("Runtime.evaluate", 5), 200),
        (DocumentLeft("gone"), 200),
        (Session(200, user=False), 502),
        (Session(200, user=False), 403),
    ],
)
async def test_a_session_that_cannot_be_asked_for_ends_nothing(session: Session | Exception, status: int) -> None:
    scene = Scene(at_rest(drawn("a", file_id(1), FOX)))
    scene.tab.session, scene.tab.loads = session, [status]
    await Drawing(scene.watch, scene.request, cast("Report", scene.told))._load("late")  # pyright: ignore[reportPrivateUsage]
    assert scene.tab.asked == (status == 200)


async def test_a_prompt_whose_conversation_was_never_named_is_looked_for_in_the_history() -> None:
    heard = Transcript()
    scene = Scene(heard)
    scene.tab.page.url = BASE
    heard.missed()
    scene.watch._at["quiet"] -= 60  # pyright: ignore[reportPrivateUsage]
    with anyio.fail_after(30), pytest.raises(Untraced):
        await scene.drawn()


async def test_a_conversation_that_was_noted_by_its_address_and_is_another_is_taken_out_of_the_record() -> None:
    heard = Transcript()
    heard.feed_request(request())
    scene = Scene(heard)
    heard.feed_address(CONVERSATION)
    drawing = Drawing(scene.watch, scene.request, cast("Report", scene.told))
    await drawing._note()  # pyright: ignore[reportPrivateUsage]
    assert scene.told.facts["conversation_id"] == CONVERSATION
    heard.feed_conversation(conversation(prompt("theirs", "u0")))
    heard.missed()
    scene.watch._at["quiet"] -= 60  # pyright: ignore[reportPrivateUsage]
    with anyio.fail_after(30), pytest.raises(Untraced):
        await drawing.pictures()
    assert (scene.told.facts["conversation_id"], scene.told.facts["conversation_url"]) == (None, None)


async def test_a_check_that_kept_the_prompt_back_and_then_takes_the_pages_place_left_it_unsent() -> None:
    scene = Scene(queued_turn())
    scene.watch.refused, scene.watch.challenged = Refusal(403, b"", mitigated=True), True
    with pytest.raises(StartOver):
        await scene.drawn()


async def test_a_refusal_by_a_check_says_that_nothing_was_sent() -> None:
    scene = Scene(queued_turn())
    scene.watch.refused = Refusal(403, b"", mitigated=True)
    with pytest.raises(StartOver) as caught:
        await scene.drawn()
    assert (caught.value.error.code, caught.value.error.submitted) == ("verification_required", False)
    assert caught.value.pause > 0


class LateStop:
    """A page whose stop control comes when it is told to, at the earliest."""

    def __init__(self) -> None:
        self.eye, self.waited, self.shown = self, anyio.Event(), anyio.Event()

    async def node(self, expression: str) -> object | None:
        self.waited.set()
        if "until" in expression:
            await self.shown.wait()
        return self if self.shown.is_set() else None


@pytest.mark.parametrize(
    ("stop_wanted", "pressed_send", "theirs", "stops"),
    [(True, True, "", 1), (False, True, "", 0), (True, False, "", 0), (True, True, "seen", 0), (True, True, "read", 0)],
)
async def test_what_the_person_gave_up_is_stopped_at_the_site_as_soon_as_its_control_is_there(
    monkeypatch: pytest.MonkeyPatch, stop_wanted: bool, pressed_send: bool, theirs: str, stops: int
) -> None:
    """``theirs``: how it is known that the person asked for something else since, whose answer must go on."""
    clicks: list[object] = []
    page = LateStop()

    async def click(node: object) -> None:
        clicks.append(node)

    async def shows() -> None:
        await page.waited.wait()
        page.shown.set()

    monkeypatch.setattr("cdp_image_mcp.cdp.keyboard_mouse.click", click)
    given_up = anyio.CancelScope()
    later = [prompt("brighter", "later", metadata={"parent_id": "call"})] if theirs == "read" else []
    watch = TurnWatch(cast("Tab", page), at_rest(*later))
    watch.others = theirs == "seen"
    report = cast("Report", SimpleNamespace(stop_wanted=stop_wanted, facts={"turn_pressed": pressed_send}))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(shows)
            with given_up:
                async with drawing.stopping(watch, report):
                    given_up.cancel()
                    await anyio.sleep_forever()
            group.cancel_scope.cancel()
    assert given_up.cancelled_caught
    assert len(clicks) == stops
