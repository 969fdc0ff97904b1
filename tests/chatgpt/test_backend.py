"""What the web back end does round its turns: starting again, and noting the account's quotas."""

import itertools
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp.cdp import keyboard_mouse
from cdp_image_mcp.cdp.errors import ClickBlocked, DocumentLeft, ProfileNotWritable, SessionClosed
from cdp_image_mcp.chatgpt import backend as backing
from cdp_image_mcp.chatgpt.drawing import Untraced
from cdp_image_mcp.chatgpt.network.quota import Quota
from cdp_image_mcp.chatgpt.page.composer import SEND_READY_SECONDS, Composer, StillAnswering
from cdp_image_mcp.chatgpt.problems import problem
from cdp_image_mcp.chatgpt.sending import StartOver
from cdp_image_mcp.chatgpt.window import person as asking
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import ImageRequest, Reference, Report
from cdp_image_mcp.studio.jobs.clock import Clock
from tests.chatgpt.page.scripted import ScriptedPage
from tests.chatgpt.talk import CONVERSATION, FOREIGN, site_at
from tests.chatgpt.window.making import backend
from tests.clock import leap

pytestmark = pytest.mark.anyio


class Silent:
    """A report that nobody reads."""

    def progress(self, message: str) -> None: ...


async def test_a_browser_that_does_not_start_again_for_a_prompt_that_is_out_is_told_with_what_finds_it(
    tmp_path: Path,
) -> None:
    """Another profile, or the API, would have the picture paid for again."""

    async def work() -> None:
        fault = ProfileNotWritable(tmp_path, "the disk is full")
        raise problem(fault, sent=False) from fault  # as the keeper tells it, which knows of no prompt

    report = cast("Report", SimpleNamespace(facts={"submitted": True}, progress=print))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web = backend(tmp_path, group)
            with pytest.raises(ImageError) as caught:
                await web._surviving(work, report)  # pyright: ignore[reportPrivateUsage]
            assert caught.value.code == "disk"
            assert "CHATGPT_WEB_PROFILE_DIR" not in caught.value.next_step
            group.cancel_scope.cancel()


@pytest.mark.parametrize(("retryable", "times"), [(False, 1), (True, 3)])
async def test_a_browser_that_cannot_run_here_is_not_started_again(retryable: bool, times: int, tmp_path: Path) -> None:
    started: list[bool] = []

    async def work() -> None:
        started.append(True)
        raise ImageError("browser_failed", "There is no display.", retryable=retryable)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web = backend(tmp_path, group)
            with pytest.raises(ImageError):
                await web._surviving(work, cast("Report", Silent()))  # pyright: ignore[reportPrivateUsage]
            group.cancel_scope.cancel()
    assert len(started) == times


async def test_who_closes_each_window_in_which_the_sign_in_is_asked_about_is_told_so_and_may_sign_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    async def gone(_tab: Any, address: str, **_: Any) -> None:
        looks.append(address)
        raise SessionClosed("the target was closed")

    async def nothing(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(asking, "arrive", gone)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            monkeypatch.setattr(web._person, "in_plain_window", nothing)
            monkeypatch.setattr(web._keeper, "borrow", nothing)
            with pytest.raises(ImageError) as caught:
                await web.sign_in()
            assert (caught.value.code, caught.value.submitted) == ("needs_sign_in", False)
            assert "closed before the site could be asked" in caught.value.message
            assert "login' again" in caught.value.next_step
            group.cancel_scope.cancel()
    assert len(looks) == 3


async def test_pictures_that_are_missing_are_asked_for_after_one_that_was_found_in_the_history(tmp_path: Path) -> None:
    done: list[str] = []
    report = SimpleNamespace(images=list[bytes](), facts={})

    async def turns(*_: Any) -> None:
        done.append("sent")
        if len(done) == 1:
            raise Untraced
        report.images.append(b"2")

    async def collect(*_: Any) -> None:
        done.append("collected")
        report.images.append(b"1")

    async def arrive(*_: Any, **__: Any) -> None:
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._turns, web._collect, web._arrive = turns, collect, arrive
            request = ImageRequest(prompt="x", backend="chatgpt-web", n=2)
            await web._generate(request, report)
            group.cancel_scope.cancel()
    assert done == ["sent", "collected", "sent"]


async def test_later_pictures_need_the_reference_no_more_that_the_first_was_made_from(tmp_path: Path) -> None:
    """Its file may be gone by then, as after a check that a person took an hour to pass."""
    gone = Reference(tmp_path / "moved.png", "image/png", 1, 1, 1, "0" * 64)
    report = SimpleNamespace(images=[b"1"], facts={})
    attached: list[list[Path]] = []

    async def one_turn(_tab: Any, _request: ImageRequest, _report: Any, files: list[Path]) -> None:
        attached.append(files)
        report.images.append(b"2")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._one_turn = one_turn
            await web._turns(
                None, ImageRequest(prompt="x", backend="chatgpt-web", n=2, reference_images=(gone,)), report
            )
            group.cancel_scope.cancel()
    assert attached == [[]]


async def test_a_check_that_meets_the_prompt_alone_is_tried_once_more_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str | float] = []
    report = SimpleNamespace(images=list[bytes](), facts={"submitted": False})

    async def turns(*_: Any) -> None:
        done.append("pressed")
        raise StartOver(ImageError("verification_required", "A check."), pause=10.0, once=True)

    async def arrive(*_: Any, **__: Any) -> None:
        pass

    async def sleep(seconds: float) -> None:
        done.append(seconds)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._turns, web._arrive = turns, arrive
            monkeypatch.setattr(backing.anyio, "sleep", sleep)
            with pytest.raises(ImageError) as caught:
                await web._generate(ImageRequest(prompt="x", backend="chatgpt-web", n=1), report)
            assert (caught.value.code, caught.value.submitted) == ("verification_required", False)
            group.cancel_scope.cancel()
    assert done == ["pressed", 10.0, "pressed"]


@pytest.mark.parametrize("once", [False, True], ids=["the page goes elsewhere", "a check meets the prompt"])
async def test_a_page_that_is_begun_anew_after_each_picture_brings_all_of_them(once: bool, tmp_path: Path) -> None:
    report = SimpleNamespace(images=list[bytes](), facts={})

    async def turns(_tab: Any, request: ImageRequest, _report: Any) -> None:
        report.images.append(b"one more")
        if len(report.images) < request.n:
            raise StartOver(ImageError("site_changed", "The page went elsewhere."), once=once)

    async def arrive(*_: Any, **__: Any) -> None:
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._turns, web._arrive = turns, arrive
            await web._generate(ImageRequest(prompt="x", backend="chatgpt-web", n=10), report)
            group.cancel_scope.cancel()
    assert len(report.images) == 10


async def test_a_page_that_brings_no_further_picture_is_begun_anew_three_times(tmp_path: Path) -> None:
    report = SimpleNamespace(images=list[bytes](), facts={"submitted": True})
    arrived: list[int] = []

    async def turns(*_: Any) -> None:
        if not report.images:
            report.images.append(b"1")
        raise StartOver(ImageError("site_changed", "The page went elsewhere."))

    async def arrive(*_: Any, **__: Any) -> None:
        arrived.append(len(report.images))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._turns, web._arrive = turns, arrive
            with pytest.raises(ImageError, match="went elsewhere"):
                await web._generate(ImageRequest(prompt="x", backend="chatgpt-web", n=2), report)
            group.cancel_scope.cancel()
    assert arrived == [0, 1, 1]


async def test_a_quota_is_noted_once_for_each_time_that_it_was_heard(tmp_path: Path) -> None:
    noted: list[tuple[str, Any]] = []

    class Page:
        quotas = (Quota("image_gen", 3),)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web = backend(tmp_path, group)

            async def note(feature: str, remaining: int | None, _reset_at: str | None = None) -> None:
                noted.append((feature, remaining))

            web._ledger.set_quota = note  # type: ignore[method-assign] # pyright: ignore[reportPrivateUsage]
            page = cast("Tab", Page())
            for _ in range(2):
                await web._note_quota(page)  # pyright: ignore[reportPrivateUsage]
            page.quotas = (Quota("image_gen", 2),)
            await web._note_quota(page)  # pyright: ignore[reportPrivateUsage]
            group.cancel_scope.cancel()
    assert noted == [("image_gen", 3), ("image_gen", 2)]


async def test_a_page_that_answers_nothing_does_not_hold_up_a_cancelled_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing, "TIDY_SECONDS", 0.05)
    asked: list[str] = []

    class Hanging:
        eye, quotas = None, ()

        async def close_popups(self) -> None:
            asked.append("popups")
            await anyio.sleep_forever()

    given_up = anyio.CancelScope()

    async def filled_in(*_: Any, **__: Any) -> str:
        given_up.cancel()
        await anyio.sleep_forever()
        return ""

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._filled_in = filled_in
            report = SimpleNamespace(images=list[bytes](), facts={})
            with given_up:
                await web._one_turn(Hanging(), ImageRequest(prompt="x", backend="chatgpt-web"), report, [])
            group.cancel_scope.cancel()
    assert given_up.cancelled_caught
    assert asked == ["popups"]


def composer(tab: object, *_: object) -> object:
    return SimpleNamespace(tab=tab)


@pytest.mark.parametrize("how", ["looked at", "control gone", "covered", "answering"])
async def test_a_page_that_goes_to_another_document_or_takes_no_prompt_while_the_prompt_is_typed_is_begun_anew(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that has new scripts loads its pages anew, and a check takes a page's place."""

    class Page:
        loader_id, here, quotas = "first", (), ()

        async def close_popups(self) -> None: ...

    page = Page()

    async def fill_in(*_: Any, **__: Any) -> str:
        if how == "covered":
            raise ClickBlocked("the click would land on div.modal")  # a dialog that came late
        if how == "answering":
            raise StillAnswering
        page.loader_id = "second"
        if how == "looked at":
            raise DocumentLeft("the page went to another document")
        raise ImageError("site_changed", "The send control cannot be pressed: the element's document is gone.")

    monkeypatch.setattr(backing, "fill_in", fill_in)
    monkeypatch.setattr(backing, "Composer", composer)
    report = SimpleNamespace(images=list[bytes](), facts={})
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            with pytest.raises(StartOver):
                await web._one_turn(page, ImageRequest(prompt="x", backend="chatgpt-web"), report, [])
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("later", "where"),
    [
        *itertools.product([False, True], ["", f"c/{FOREIGN}", "library", "g/g-0123456789-fox"]),
        (False, "c/WEB:7d3e4b8a"),  # a person's new chat, which the site has not named yet
    ],
)
async def test_a_prompt_for_a_conversation_is_not_sent_where_the_page_has_left_it(
    later: bool, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may open another chat in our window, and the site was seen to go back to its home address."""
    site = site_at(home := "https://chatgpt.com/")
    shown: Any = SimpleNamespace(url=home + where)
    unused: Any = SimpleNamespace(requests=())
    page = Tab(unused, unused, shown, unused, unused, site, "")

    async def nothing(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(page, "close_popups", nothing)
    monkeypatch.setattr(backing, "fill_in", nothing)
    monkeypatch.setattr(backing, "Composer", composer)
    begun = site.conversation(CONVERSATION)
    request = ImageRequest(prompt="x", backend="chatgpt-web", n=2, continue_url=None if later else begun)
    report = SimpleNamespace(images=[b"1"] if later else [], facts=site.facts(CONVERSATION) if later else {})
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            with pytest.raises(StartOver):
                await web._one_turn(page, request, report, [])
            group.cancel_scope.cancel()


class StillDrawing(ScriptedPage):
    """A page that draws what its conversation was asked for before, in a time that passes at once."""

    loader_id, here, quotas = "first", (), ()

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.pass_by = partial(leap, monkeypatch)

    async def ask(self, question: str, **named: Any) -> Any:
        if "'ready'" not in question:
            return await super().ask(question, **named)
        self.pass_by(SEND_READY_SECONDS)
        return "answering"

    async def until(self, _condition: str, seconds: float, **_: Any) -> bool:
        self.pass_by(seconds)
        await anyio.lowlevel.checkpoint()
        return False

    async def close_popups(self) -> None: ...


class Limited:
    """The report of a generation with a time limit that runs."""

    images = ()
    generation_id = "0" * 32

    def __init__(self, limit: float) -> None:
        self.facts = dict[str, Any]()
        self._clock = Clock(limit)
        self._clock.run()

    @property
    def time_left(self) -> float:
        return self._clock.left


@pytest.mark.parametrize("limit", [420.0, 120.0])
async def test_that_a_conversation_still_answers_is_told_before_the_time_for_it_is_over(
    limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the end of the time limit it would be told with advice that helps nobody."""
    there = site_at("https://chatgpt.com/").conversation(CONVERSATION)
    page, report = StillDrawing(monkeypatch), Limited(limit)
    arrived: list[str] = []

    async def arrive(address: str, *_: Any, **__: Any) -> StillDrawing:
        await anyio.lowlevel.checkpoint()
        arrived.append(address)
        page.pass_by(5.0)
        return page

    async def fill_in(composer: Composer, request: ImageRequest, *_: Any, **__: Any) -> None:
        await composer.write(request.prompt)

    async def insert_text(*_: Any) -> None: ...

    monkeypatch.setattr(backing, "fill_in", fill_in)
    monkeypatch.setattr(keyboard_mouse, "insert_text", insert_text)
    with anyio.fail_after(10_000):  # of which most passes at once
        async with anyio.create_task_group() as group:
            web: Any = backend(tmp_path, group)
            web._arrive = arrive
            with pytest.raises(ImageError, match="still answering") as caught:
                await web._generate(ImageRequest(prompt="a fox", backend="chatgpt-web", continue_url=there), report)
            assert (caught.value.code, caught.value.submitted) == ("service_error", False)
            group.cancel_scope.cancel()
    assert arrived == [there, there]
    assert report.time_left > 0


def test_a_later_picture_goes_on_in_our_own_chat_although_its_page_does_not_show_its_name_yet() -> None:
    site = site_at(home := "https://chatgpt.com/")
    shown: Any = SimpleNamespace(url=f"{home}c/WEB:7d3e4b8a")
    unused: Any = SimpleNamespace(requests=())
    page = Tab(unused, unused, shown, unused, unused, site, "")
    backing._in_place(page, site.conversation(CONVERSATION), later=True)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StartOver):
        backing._in_place(page, None, later=False)  # pyright: ignore[reportPrivateUsage]
