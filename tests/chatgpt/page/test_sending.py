"""After a press that may have sent the prompt, nothing is pressed again."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.cdp.errors import ClickMissed, CommandTimeout, DocumentLeft, NodeError
from cdp_image_mcp.chatgpt import sending
from cdp_image_mcp.chatgpt.page import attaching, composer
from cdp_image_mcp.chatgpt.page.attaching import Attaching
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.sending import Sending, StartOver
from cdp_image_mcp.chatgpt.watching.turnwatch import TurnWatch
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import ImageRequest, Reference, Report
from cdp_image_mcp.studio.asked import GenerateImage
from tests.chatgpt.page.scripted import ScriptedPage, composing
from tests.chatgpt.talk import site_at
from tests.clock import leap
from tests.studio.scripted import Scripted, studio_with

pytestmark = pytest.mark.anyio

TEXT = "a bear"


def site_tab() -> SimpleNamespace:
    """A tab at the site that has asked for nothing yet."""
    page = SimpleNamespace(url="https://chatgpt.com/")
    bodies = SimpleNamespace(requests=())
    return SimpleNamespace(site=site_at("https://chatgpt.com/"), page=page, bodies=bodies, who="a hash")


class Page:
    """A page with a send control, and what stands in its editor."""

    def __init__(self, standing: str | None) -> None:
        self.standing = standing
        self.request = anyio.Event()

        self.fault: Exception | None = None

    @property
    def eye(self) -> "Page":
        return self

    async def node(self, _expression: str) -> object:
        if self.fault is not None:
            raise self.fault
        return object()

    async def ask(self, question: str, **_: Any) -> Any:
        if "composerText" not in question:
            return 0
        if self.standing is None:
            raise DocumentLeft("The page went to another document.")
        return self.standing


Again = Callable[[], Awaitable[bool]] | None


async def sent(page: Page, monkeypatch: pytest.MonkeyPatch, *, last: Exception | None = None) -> list[bool]:
    """Send with a control that never takes notice; what each question for another press was answered."""
    answers: list[bool] = []

    async def click(_node: object, *, again: Again = None, **_more: object) -> None:
        assert again is not None
        for _ in range(3):
            answers.append(await again())
            if not answers[-1]:
                return
        if last is not None:
            raise last

    monkeypatch.setattr(composer.human, "click", click)
    monkeypatch.setattr(composer, "MISSED_SECONDS", 0.01)
    with anyio.fail_after(10):
        await Composer(cast("Tab", page)).send(TEXT, page.request)
    return answers


async def test_while_the_text_stands_and_no_request_is_seen_it_is_pressed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await sent(Page(TEXT), monkeypatch) == [True, True, True]


@pytest.mark.parametrize("standing", ["", "a bear\n", "another draft", None])
async def test_an_editor_without_the_text_ends_it(standing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [True, True, True] if standing == "a bear\n" else [False]
    assert await sent(Page(standing), monkeypatch) == expected


async def test_the_request_of_the_page_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(TEXT)
    page.request.set()
    assert await sent(page, monkeypatch) == [False]


async def test_presses_that_were_never_noticed_leave_it_to_the_proofs_whether_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await sent(Page(TEXT), monkeypatch, last=ClickMissed("never")) == [True, True, True]


async def test_a_control_that_is_gone_before_any_press_is_told_as_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="Nothing was sent") as caught:
        await sent(Page(TEXT), monkeypatch, last=NodeError("no box"))
    assert caught.value.submitted is False


@pytest.mark.parametrize("fault", [DocumentLeft("gone"), CommandTimeout("Runtime.evaluate", 15)])
async def test_a_page_that_fails_while_the_control_is_looked_for_is_told_as_not_sent(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(TEXT)
    page.fault = fault
    with pytest.raises(ImageError, match="Nothing was sent") as caught:
        await sent(page, monkeypatch)
    assert caught.value.submitted is False


async def test_a_prompt_that_is_proven_unsent_is_told_so_although_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check in the way is found out seconds after the press."""
    tab = site_tab()

    async def kept_out(_request: ImageRequest, report: Report) -> None:
        sending = Sending(cast("TurnWatch", SimpleNamespace(tab=tab)), report)
        await sending._before_press(TEXT)  # pyright: ignore[reportPrivateUsage]
        leap(monkeypatch, 60)
        while not cast("Any", report).record.over_time:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        await sending.not_sent()
        raise ImageError("verification_required", "A check kept it out.", submitted=False)

    with anyio.fail_after(600):
        async with studio_with(tmp_path, Scripted(kept_out)) as studio:
            asked = GenerateImage(prompt=TEXT, backend="chatgpt-web", timeout_seconds=60, wait_seconds=0)
            record = (await studio.generate(asked)).record
            record = (await studio.wait(record.generation_id, 600)).record
    assert record.error is not None
    assert (record.error["code"], record.submitted, record.spent) == ("verification_required", False, False)


async def test_before_a_press_the_record_knows_what_is_not_its_answer(tmp_path: Path) -> None:
    """The next run has nothing else to tell a reference, or an earlier turn's message, from what this turn brings."""
    on_disk: list[Record] = []

    async def second_turn(_request: ImageRequest, report: Report) -> None:
        earlier = {"user_message_id": "first", "used_message_ids": ["before it"]}
        await report.state("generating", submitted=True, **earlier)
        tab, references = site_tab(), [SimpleNamespace(sha256="a bear's"), SimpleNamespace(sha256="a fox's")]
        sending = Sending(cast("TurnWatch", SimpleNamespace(tab=tab)), report, cast("list[Reference]", references))
        await sending._before_press(TEXT)  # pyright: ignore[reportPrivateUsage]
        on_disk.append(read_record(cast("Any", report).folder.path)[0])
        raise ImageError("browser_failed", "The browser went.")

    with anyio.fail_after(60):
        async with studio_with(tmp_path, Scripted(second_turn)) as studio:
            await studio.generate(GenerateImage(prompt=TEXT))
    (record,) = on_disk
    assert (record.state, record.facts["turn_pressed"], record.facts["user_message_id"]) == ("submitting", True, None)
    assert record.facts["used_message_ids"] == ["before it", "first"]
    assert record.facts["reference_sha256"] == ["a bear's", "a fox's"]


Last = Callable[[], None]


async def unpressed(page: Page, monkeypatch: pytest.MonkeyPatch, gone: Exception | None, in_place: Last) -> None:
    """Sending ends without a press, and the record says so. ``gone``: what is met right before it."""

    async def click(_node: object, *, again: Again = None, last: Last) -> None:
        if gone is not None:
            raise gone
        last()
        pytest.fail("it was pressed")

    await never_sent(page, monkeypatch, click, in_place)


async def never_sent(
    page: Page, monkeypatch: pytest.MonkeyPatch, click: Callable[..., Awaitable[None]], in_place: Last = lambda: None
) -> None:
    """Sending ends without a press, and the record says so."""
    facts: dict[str, object] = {}
    try:
        await one_sending(page, monkeypatch, facts, click, in_place)
    finally:
        assert (facts["submitted"], facts["turn_pressed"]) == (False, False)


async def one_sending(
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, object],
    click: Callable[..., Awaitable[None]],
    in_place: Last = lambda: None,
) -> None:
    """``facts``: what the record says; ``click``: how the control is pressed."""

    async def state(_name: str, **news: object) -> None:
        await anyio.lowlevel.checkpoint()  # it waits for the disk
        facts.update(news)

    async def nothing(*_: object) -> None: ...

    async def stands(_composer: Composer, _text: str) -> bool:
        return True

    monkeypatch.setattr(composer.human, "click", click)
    monkeypatch.setattr(Composer, "stands", stands)
    monkeypatch.setattr(sending, "in_the_way", nothing)
    tab = site_tab()
    watch = SimpleNamespace(tab=tab, lost=None, expect=nothing, request_seen=anyio.Event())
    report = SimpleNamespace(facts=facts, state=state)
    one = Sending(cast("TurnWatch", watch), cast("Report", report), in_place=in_place)
    with anyio.fail_after(10):
        await one.send(Composer(cast("Tab", page)), TEXT)


@pytest.mark.parametrize(("standing", "told"), [("", StartOver), (TEXT, ImageError)])
async def test_a_control_that_went_with_the_text_is_no_changed_site(
    standing: str, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = NodeError("Node is detached from document")
    with pytest.raises(told):
        await unpressed(Page(standing), monkeypatch, gone, lambda: None)


async def test_a_prompt_that_is_given_up_before_the_press_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies over the send control may take a minute to be closed."""
    given_up = anyio.CancelScope()

    async def click(_node: object, *, again: Again = None, last: Last) -> None:
        given_up.cancel()
        await anyio.sleep_forever()

    with given_up:
        await never_sent(Page(TEXT), monkeypatch, click)
    assert given_up.cancelled_caught


async def test_a_page_that_hangs_before_the_press_is_no_reason_to_look_for_what_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken for sent it would be collected only, and nobody would ever make the picture."""

    async def click(_node: object, *, again: Again = None, last: Last) -> None:
        raise CommandTimeout("DOM.scrollIntoViewIfNeeded", 15)

    with pytest.raises(CommandTimeout):
        await never_sent(Page(TEXT), monkeypatch, click)


async def test_what_hangs_in_the_press_itself_may_have_been_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, object] = {}

    async def click(_node: object, *, again: Again = None, last: Last) -> None:
        last()
        raise CommandTimeout("Input.dispatchMouseEvent", 10)

    with pytest.raises(CommandTimeout):
        await one_sending(Page(TEXT), monkeypatch, facts, click)
    assert (facts["submitted"], facts["turn_pressed"]) == ("unknown", True)


async def test_the_references_of_a_first_prompt_are_still_known_after_a_later_one_that_needed_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The picture that was gone on from is shown with the first alone, and may be shown again as an answer."""
    facts = dict[str, object](submitted=True, reference_sha256=["of the first"])

    async def click(_node: object, *, again: Again = None, last: Last) -> None:
        raise CommandTimeout("Input.dispatchMouseEvent", 10)

    with pytest.raises(CommandTimeout):
        await one_sending(Page(TEXT), monkeypatch, facts, click)
    assert facts["reference_sha256"] == ["of the first"]


@pytest.mark.parametrize(("before", "told"), [(False, "unknown"), ("unknown", "unknown"), (True, True)])
async def test_a_later_prompt_that_is_not_proven_takes_back_nothing_of_an_earlier_one(
    before: Fact, told: Fact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our turn on the page and an empty editor, and no request."""
    page, facts = Page(TEXT), dict[str, object](submitted=before)

    async def state(_name: str, **news: object) -> None:
        facts.update(news)

    async def nothing(*_: object) -> None: ...

    async def stands(_composer: Composer, _text: str) -> bool:
        return True

    async def click(_node: object, **_more: object) -> None:
        page.standing = ""

    async def until(condition: Callable[[], bool], _seconds: float) -> bool:
        return condition()

    monkeypatch.setattr(composer.human, "click", click)
    monkeypatch.setattr(Composer, "stands", stands)
    monkeypatch.setattr(sending, "in_the_way", nothing)
    watch = SimpleNamespace(
        tab=site_tab(), lost=None, expect=nothing, until=until, request_seen=anyio.Event(), tab_gone=False,
        challenged=False, kept_out=False, page=PageReport(found=True),
    )  # fmt: skip
    with anyio.fail_after(10):
        report = cast("Report", SimpleNamespace(facts=facts, state=state))
        await Sending(cast("TurnWatch", watch), report).send(Composer(cast("Tab", page)), TEXT)
    assert facts["submitted"] == told


async def test_a_page_that_takes_the_text_away_right_before_the_press_gets_it_once_more_without_being_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would take it away again a while after every loading."""
    page, written, request_seen = Page(TEXT), list[str](), anyio.Event()

    async def state(_name: str, **news: object) -> None:
        if news.get("turn_pressed") and not written:
            page.standing = ""

    async def nothing(*_: object) -> None: ...

    async def stands(_composer: Composer, text: str) -> bool:
        return page.standing == text

    async def settle(_composer: Composer, text: str) -> None:
        written.append(text)
        page.standing = text

    async def click(_node: object, **_more: object) -> None:
        if not page.standing:
            raise NodeError("Node is detached from document")
        request_seen.set()

    async def until(condition: Callable[[], bool], _seconds: float) -> bool:
        return condition()

    monkeypatch.setattr(composer.human, "click", click)
    monkeypatch.setattr(Composer, "stands", stands)
    monkeypatch.setattr(Composer, "settle", settle)
    monkeypatch.setattr(sending, "in_the_way", nothing)
    watch = SimpleNamespace(
        tab=site_tab(), lost=None, expect=nothing, until=until, request_seen=request_seen, tab_gone=False,
        challenged=False, kept_out=False, page=PageReport(),
    )  # fmt: skip
    report = SimpleNamespace(facts={}, state=state)
    with anyio.fail_after(10):
        await Sending(cast("TurnWatch", watch), cast("Report", report)).send(Composer(cast("Tab", page)), TEXT)
    assert written == [TEXT]


async def test_a_page_that_goes_to_an_old_chat_right_before_the_press_is_not_pressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[bool] = []

    def in_place() -> None:
        looks.append(True)
        if len(looks) == 2:
            raise StartOver(ImageError("site_changed", "It went to an earlier conversation. Nothing was sent."))

    with pytest.raises(StartOver):
        await unpressed(Page(TEXT), monkeypatch, None, in_place)


async def test_an_attachment_that_was_seen_and_went_again_is_not_sent_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look for a new card finds one, and none is there at the next."""

    class Chosen(Attaching):
        async def _by_input(self, path: Path) -> bool:
            await anyio.lowlevel.checkpoint()
            return bool(path)

    class Glimpsed(ScriptedPage):
        async def until(self, *_: Any, **__: Any) -> bool:
            await anyio.lowlevel.checkpoint()
            return True

    with anyio.fail_after(10):
        monkeypatch.setattr(attaching, "BEGIN_SECONDS", 0.0)
        composer = composing(Glimpsed(text=TEXT), Chosen)
        await composer.attaching.attach([Path("one.png")])
        assert not await composer.stands(TEXT)


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ([("sentinel/chat-requirements/prepare", 500)], 500),
        ([("f/conversation/prepare", 200), ("sentinel/chat-requirements/prepare", 503)], 503),
        ([("sentinel/chat-requirements/prepare", 500), ("sentinel/chat-requirements/prepare", 200)], None),
        ([("sentinel/chat-requirements/prepare", 429)], 429),
        ([("sentinel/chat-requirements/prepare", 403)], None),
        ([("conversation/init", 500)], None),
        ([], None),
    ],
)
async def test_a_prompt_was_kept_back_by_what_the_page_asked_before_it_as_that_was_answered_last(
    answers: list[tuple[str, int]], refused: int | None
) -> None:
    def asked(path: str, status: int) -> SimpleNamespace:
        return SimpleNamespace(url=f"https://chatgpt.com/backend-api/{path}", method="POST", status=status)

    await anyio.lowlevel.checkpoint()
    tab = site_tab()
    page = PageReport(found=True, text="Something went wrong.")
    watch = SimpleNamespace(tab=tab, lost=None, page=page)
    sending = Sending(cast("TurnWatch", watch), cast("Report", SimpleNamespace(facts={})))
    earlier = asked("f/conversation/prepare", 500)
    sending._asked_before = tab.bodies.requests = (cast("Any", earlier),)  # pyright: ignore[reportPrivateUsage]
    tab.bodies.requests += tuple(asked(*one) for one in answers)
    assert sending._refused_beforehand() == refused  # pyright: ignore[reportPrivateUsage]
    watch.page = PageReport(found=True, stop=True)  # it goes on: it may be out by a way that was not heard
    assert sending._refused_beforehand() is None  # pyright: ignore[reportPrivateUsage]
    watch.page, watch.lost = page, DocumentLeft("a gap")
    assert sending._refused_beforehand() is None  # pyright: ignore[reportPrivateUsage]
