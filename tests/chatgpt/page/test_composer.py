"""What the composer takes for exactly its own attachments."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.cdp import keyboard_mouse
from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.errors import NodeError, SessionClosed
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.page import attaching, waiting
from cdp_image_mcp.chatgpt.page.attaching import Attaching
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.uploads import Uploads
from cdp_image_mcp.chatgpt.page.waiting import first_of
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.chatgpt.words import Rule, Words
from cdp_image_mcp.errors import ImageError
from tests import clock
from tests.chatgpt.page.scripted import ScriptedPage, Unseen, composing

pytestmark = pytest.mark.anyio

FILES = [Path("one.png"), Path("two.png")]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "BEGIN_SECONDS", 0.0)


async def attached(cards: int) -> tuple[Composer, ScriptedPage]:
    page = ScriptedPage(text="a bear", cards=cards)
    composer = composing(page)
    await composer.attaching.attach(FILES)
    return composer, page


@pytest.mark.parametrize(("cards", "stands"), [(2, True), (0, True), (3, False), (1, False)])
async def test_shown_cards_must_be_as_many_as_the_files_and_none_at_all_will_do(cards: int, stands: bool) -> None:
    with anyio.fail_after(10):
        composer, _ = await attached(cards)
        assert await composer.stands("a bear") is stands


async def test_cards_that_are_gone_only_while_the_page_draws_anew_stand() -> None:
    with anyio.fail_after(10):
        composer, page = await attached(2)
        page.cards, page.drawn_anew = 0, 2
        assert await composer.stands("a bear")


async def test_cards_that_were_shown_and_went_do_not_stand() -> None:
    with anyio.fail_after(10):
        composer, page = await attached(2)
        page.cards = 0
        assert not await composer.stands("a bear")
        composer, page = await attached(0)
        page.cards = 2
        assert await composer.stands("a bear")
        page.cards = 3
        assert not await composer.stands("a bear")


async def test_a_card_whose_upload_failed_afterwards_is_not_sent_with() -> None:
    with anyio.fail_after(10):
        page = ScriptedPage(text="a bear")
        composer = composing(page)
        await composer.attaching.attach(FILES)
        page.cards, page.failed = 2, True
        assert not await composer.stands("a bear")
        with pytest.raises(ImageError, match="could not take a reference picture") as told:
            await composer.attaching.refuse_failed()
    assert (told.value.code, told.value.submitted) == ("service_error", False)


async def test_a_page_that_ends_under_two_waits_is_told_as_one_end() -> None:
    """As a group it was a fault of the program, and no new page was opened."""
    ends = anyio.Event()

    async def waits() -> None:
        await ends.wait()
        raise SessionClosed("the tab was closed")

    async def end() -> None:
        await anyio.lowlevel.checkpoint()
        ends.set()

    async with anyio.create_task_group() as group:
        group.start_soon(end)
        with anyio.fail_after(10), pytest.raises(SessionClosed):
            await first_of(waits, waits)


class Ignoring(Attaching):
    """A page that takes the first file by its input and no other, and shows or announces the first one late."""

    def __init__(self, page: ScriptedPage, uploads: Uploads, *, late: str) -> None:
        super().__init__(cast("Tab", page))
        self.page, self.uploads, self.late = page, uploads, late
        self.chosen: list[str] = []

    async def _by_input(self, path: Path) -> bool:
        first = path == FILES[0]
        if first == (self.late != "card"):
            self.page.cards += 1
        if first == (self.late != "call"):
            self.uploads.begun += 1
        await anyio.lowlevel.checkpoint()
        return True

    async def _by_chooser(self, path: Path) -> bool:
        self.chosen.append(path.name)
        self.page.cards += 1
        await anyio.lowlevel.checkpoint()
        return True

    async def _shows_cards(self, count: int, seconds: float) -> bool:
        if self.page.cards < count:
            await anyio.sleep(seconds)
        return self.page.cards >= count


@pytest.mark.parametrize("late", ["card", "call"])
async def test_a_late_sign_of_one_reference_is_not_taken_for_the_next_ones(
    late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "TAKEN_SECONDS", 0.05)
    uploads = Uploads(ScriptedPage().site)
    page = Ignoring(ScriptedPage(), uploads, late=late)
    with anyio.fail_after(10):
        for number, path in enumerate(FILES, 1):
            await page._attach_one(path, number, uploads)  # pyright: ignore[reportPrivateUsage]
    assert page.chosen == ["two.png"]


class Late(Ignoring):
    """A page that takes what is put into its input only once somebody is at its chooser too."""

    def __init__(self, page: ScriptedPage, *, ignores: bool = False) -> None:
        super().__init__(page, Uploads(page.site), late="")
        self.ignores = ignores
        self.put: list[str] = []

    async def _by_input(self, path: Path) -> bool:
        self.put.append(path.name)
        self.page.cards += self._way == "input"
        await anyio.lowlevel.checkpoint()
        return True

    async def _by_chooser(self, path: Path) -> bool:
        self.page.cards += not self.ignores and not self.chosen
        return await super()._by_chooser(path)


async def test_a_file_that_came_by_both_ways_does_not_stand_and_is_given_by_one_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attaching, "TAKEN_SECONDS", 0.05)
    page = ScriptedPage()
    late = Late(page)
    with anyio.fail_after(30):
        await late.attach(FILES)
        assert not await late.stands()
        late.forget()
        page.cards = 0
        await late.attach(FILES)
        assert await late.stands()
    assert late.chosen == ["one.png", "two.png"]
    assert late.put == ["one.png", "one.png", "two.png"]


async def test_an_input_that_ignores_one_file_is_not_given_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "TAKEN_SECONDS", 0.05)
    late = Late(ScriptedPage(), ignores=True)
    with anyio.fail_after(30):
        await late.attach(FILES)
        assert await late.stands()
    assert (late.put, late.chosen) == (["one.png"], ["one.png", "two.png"])


class Refusing(ScriptedPage):
    """A page that says by an alert why it takes no file, in a language that only the user's file knows."""

    async def ask(self, question: str, **more: Any) -> Any:
        return ["Dim rhagor o luniau heddiw."] if "told(" in question else await super().ask(question, **more)


async def test_why_a_reference_is_refused_is_read_by_the_users_wordings_too() -> None:
    page = Refusing(cards=1)
    page.failed = True
    rule = Rule(meaning="upload_quota", language="cy", all=(("dim rhagor",),))
    page.site = Site(page.site.home, {}, Words(rules=(rule,)))
    with pytest.raises(ImageError) as caught:
        await composing(page, Attaching).attaching.refuse_failed()
    assert caught.value.code == "quota_reached"


@pytest.mark.parametrize(("gone", "told"), [(1, False), (2, False), (3, True)])
async def test_a_send_control_that_is_made_anew_before_the_press_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, gone: int, told: bool
) -> None:
    presses = 0

    async def click(*_: Any, **__: Any) -> None:
        nonlocal presses
        presses += 1
        await anyio.lowlevel.checkpoint()
        if presses <= gone:
            raise NodeError("the element cannot be clicked: Node is detached from document")

    class Sendable(ScriptedPage):
        async def node(self, expression: str) -> object | None:
            return object() if "one('send')" in expression else await super().node(expression)

    monkeypatch.setattr(keyboard_mouse, "click", click)
    composer = composing(Sendable(text="a bear"))
    if told:
        with pytest.raises(ImageError, match="Nothing was sent") as caught:
            await composer.send("a bear", anyio.Event())
        assert caught.value.code == "site_changed"
    else:
        await composer.send("a bear", anyio.Event())
        assert presses == gone + 1


async def test_a_page_that_has_no_time_to_begin_the_next_upload_is_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that goes out meanwhile goes without that picture."""
    monkeypatch.setattr(attaching, "BEGIN_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "PROMPT_SECONDS", 0.05)
    call = Request("r", "https://chatgpt.com/backend-api/files", "POST", "Fetch", "f", "l")
    looks: list[str] = []

    class Starved(ScriptedPage):
        async def until(self, condition: str, *seconds: Any, **_: Any) -> bool:
            if str(attaching.NEVER) not in condition:
                return True
            looks.append(condition)
            await anyio.sleep(2 * seconds[0])
            if len(looks) == 1:
                sent.put(call)
            return False

    page = Starved(cards=2)
    uploads = Uploads(page.site)
    uploads.count_sent(call)
    with Mailbox[Request]("sent", 9) as sent, anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(uploads.hear, sent, uploads.count_sent)
            await composing(page, Attaching).attaching._another_begins(uploads)  # pyright: ignore[reportPrivateUsage]
            group.cancel_scope.cancel()
    assert uploads.begun == 2


class Hasty(ScriptedPage):
    """A page whose calls are over, and whose cards change, before it is asked for either."""

    def __init__(self) -> None:
        super().__init__(text="a bear")
        self.calls = {stage: Mailbox[Request](stage, 9) for stage in ("sent", "responded", "ended")}
        self.waiting: list[tuple[str, anyio.Event]] = []

    def watch(self, *_: Any, stage: str = "ended", **__: Any) -> Mailbox[Any]:
        return self.calls[stage]

    def holds(self, condition: str) -> bool:
        least = re.search(r"attachments\(\)\.length >= (\d)", condition)
        return least is not None and (self.cards >= int(least[1])) != condition.startswith("!")

    async def until(self, condition: str, *seconds: Any, **_: Any) -> bool:
        found = anyio.Event()
        self.waiting.append((condition, found))
        if self.holds(condition):
            return True
        with anyio.move_on_after(seconds[0]):
            await found.wait()
        return found.is_set()

    def show(self, cards: int) -> None:
        self.cards = cards
        for condition, found in self.waiting:
            if self.holds(condition):
                found.set()

    def calls_up(self, stage: str, path: str, method: str, status: int | None = None) -> None:
        call = Request("r", f"https://chatgpt.com/{path}", method, "Fetch", "f", "l")
        call.status, call.state = status, "finished" if stage == "ended" else "sent"
        self.calls[stage].put(call)


async def given_to(page: Hasty, give: Callable[[], None]) -> Attaching:
    """The attachments after one file was given, with what the page makes of that."""

    class Given(Attaching):
        async def _by_input(self, path: Path) -> bool:
            give()
            await anyio.lowlevel.checkpoint()
            return bool(path)

    composer = composing(page, Given)
    with anyio.fail_after(10):
        await composer.attaching.attach(FILES[:1])
    return composer.attaching


async def test_a_card_that_was_there_for_a_moment_alone_tells_that_its_file_can_be_given_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A site that refuses the bytes at once, and takes the card away, before the page is asked for it."""
    monkeypatch.setattr(attaching, "REDRAWN_SECONDS", 0.05)
    page = Hasty()

    def refused() -> None:
        page.show(1)
        page.calls_up("sent", "backend-api/files", "POST")
        page.calls_up("responded", "upload/1", "PUT", 500)
        page.show(0)

    given = await given_to(page, refused)
    assert not await given.stands()
    page.show(1)  # of an old draft
    assert not await given.stands()


async def test_the_time_for_an_upload_is_over_with_its_receipt_and_its_card_has_a_time_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attaching, "UPLOAD_SECONDS", 5)
    page = Hasty()

    def received() -> None:
        page.calls_up("sent", "backend-api/files", "POST")
        page.calls_up("responded", "upload/1", "PUT", 201)
        page.calls_up("ended", "backend-api/files/process_upload_stream", "POST", 200)

    async def shown_late() -> None:
        await anyio.wait_all_tasks_blocked()
        clock.leap(monkeypatch, 6)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        page.show(1)

    async with anyio.create_task_group() as group:
        group.start_soon(shown_late)
        given = await given_to(page, received)
        assert await given.stands()


async def test_bytes_that_the_page_itself_sends_once_more_have_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its card comes later than the site's receipt."""
    monkeypatch.setattr(attaching, "REDRAWN_SECONDS", 0.05)
    monkeypatch.setattr(attaching, "CARD_SECONDS", 0.05)
    page = Hasty()

    def twice() -> None:
        page.calls_up("sent", "backend-api/files", "POST")
        page.calls_up("responded", "upload/1", "PUT", 503)
        page.calls_up("responded", "upload/1", "PUT", 201)
        page.calls_up("ended", "backend-api/files/process_upload_stream", "POST", 200)

    given = await given_to(page, twice)
    page.show(1)
    assert await given.stands()


@pytest.mark.parametrize("removable", [True, False])
async def test_cards_that_come_back_while_the_composer_is_emptied_are_removed_or_nothing_is_given_beside_them(
    removable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "REDRAWN_SECONDS", 0.01)

    class Redrawn(ScriptedPage):
        async def until(self, condition: str, *seconds: Any, **how: Any) -> bool:
            return "attachments().length ===" not in condition and await super().until(condition, *seconds, **how)

    class Shown(Unseen):
        async def _attach_one(self, path: Path, number: int, uploads: Uploads) -> None:
            await super()._attach_one(path, number, uploads)
            page.cards += 1

    page = Redrawn(text="a bear")
    composer = composing(page, Shown)
    late = [2]

    async def remove(_role: str, _expression: str) -> None:
        await anyio.lowlevel.checkpoint()
        page.cards = 0 if removable else page.cards

    async def clear() -> None:
        await anyio.lowlevel.checkpoint()
        page.cards += late.pop() if late else 0

    monkeypatch.setattr(composer, "_remove", remove)
    monkeypatch.setattr(composer, "_clear_text", clear)
    with anyio.fail_after(10):
        await composer.attaching.attach(FILES)
        composer.attaching._cards_shown = True  # pyright: ignore[reportPrivateUsage]
        composer._files, page.cards = FILES, 0  # pyright: ignore[reportPrivateUsage]
        if removable:
            await composer.settle("a bear")
        else:
            with pytest.raises(ImageError, match="old draft"):
                await composer.settle("a bear")
    assert (page.cards, cast("Unseen", composer.attaching).given) == ((2, 4) if removable else (2, 2))


async def test_why_a_reference_is_refused_is_waited_for_where_its_card_shows_it_first() -> None:
    """The page has the answer a moment before the browser tells of the call's end."""

    class Answering(ScriptedPage):
        async def answer(self, *_: object) -> bytes:
            await anyio.lowlevel.checkpoint()
            return b'{"detail": "You have reached your limit of file uploads."}'

    page = Answering(cards=1)
    page.failed = True
    uploads = Uploads(page.site)
    call = Request("r", "https://chatgpt.com/backend-api/files", "POST", "Fetch", "f", "l", "finished", 429)
    uploads.count_sent(call)
    with Mailbox[Request]("answers", 9) as answers:
        async with anyio.create_task_group() as group:
            group.start_soon(uploads.hear, answers, uploads.count_ended)
            group.start_soon(told_late, answers, call)
            with pytest.raises(ImageError) as caught:
                await composing(page, Attaching).attaching.refuse_failed(uploads)
            assert caught.value.code == "quota_reached"
            group.cancel_scope.cancel()


async def told_late(answers: Mailbox[Request], call: Request) -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    answers.put(call)
