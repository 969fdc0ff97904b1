"""When the browser is started anew, and when it is closed for want of windows."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.cdp.errors import CommandTimeout
from cdp_image_mcp.cdp.mailbox import Mailbox
from cdp_image_mcp.cdp.protocol import TargetList
from cdp_image_mcp.chatgpt.page.arrival import Arrival
from cdp_image_mcp.chatgpt.window import keeper as keeping
from cdp_image_mcp.chatgpt.window import person as asking
from cdp_image_mcp.chatgpt.window.keeper import Keeper
from cdp_image_mcp.chatgpt.window.person import Person
from cdp_image_mcp.chatgpt.window.windowmode import Choice, WindowMemory
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from tests.chatgpt.window.making import backend
from tests.clock import leap

pytestmark = pytest.mark.anyio


class Windows:
    """A browser that is without windows whatever was asked for, or whose windows are looked for."""

    def __init__(self) -> None:
        self.headless, self.owned, self.shared = True, True, False
        self.connection, self.browser, self.gone = self, self, None
        self.closed: Mailbox[Any] = Mailbox("closed targets", 10)
        self.looks: list[Any] = []
        self.ended = anyio.Event()

    async def answers(self, _seconds: float) -> bool:
        return True

    async def wait_gone(self) -> str:
        await self.ended.wait()
        return "ended"

    async def quit(self) -> None:
        self.ended.set()

    async def leave(self) -> None: ...

    def subscribe(self, *_: str) -> Mailbox[Any]:
        return self.closed

    async def call(self, method: str, *_: Any, **__: Any) -> Any:
        if method != "Target.getTargets":
            return None
        comes = self.looks.pop(0)
        if isinstance(comes, Exception):
            raise comes
        return comes


@asynccontextmanager
async def kept(folder: Path) -> AsyncGenerator[Keeper]:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            yield backend(folder, group)._keeper  # pyright: ignore[reportPrivateUsage]
            group.cancel_scope.cancel()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Windows]:
    """The browsers that were started."""
    started: list[Windows] = []

    @asynccontextmanager
    async def launched(_options: Any) -> AsyncGenerator[Windows]:
        started.append(Windows())
        yield started[-1]

    @asynccontextmanager
    async def opened(*_: Any, **__: Any) -> AsyncGenerator[Any]:
        session = SimpleNamespace(crashed=False, closed=None)
        page = SimpleNamespace(session=session, answers=started[0].answers)
        yield SimpleNamespace(page=page, closed=None, deaf=None, eye=None)

    monkeypatch.setattr(keeping, "_launched", launched)
    monkeypatch.setattr(keeping, "open_tab", opened)
    return started


async def test_a_browser_that_is_headless_by_its_switches_is_not_started_again_for_each_prompt(
    tmp_path: Path, started: list[Windows]
) -> None:
    async with kept(tmp_path) as keeper:
        tab = await keeper.borrow("hidden")
        assert await keeper.borrow("hidden") is tab
    assert len(started) == 1


async def test_a_fault_in_looking_after_the_browser_ends_nothing_else(
    tmp_path: Path, started: list[Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks after it is a task beside the requests that are out and paid for."""

    async def faulty(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Keeper, "_until_unused", faulty)
    async with kept(tmp_path) as keeper:
        tab = await keeper.borrow("hidden")
        await anyio.wait_all_tasks_blocked()
        assert await keeper.borrow("hidden") is tab
    assert len(started) == 1


async def test_a_check_that_meets_a_browser_without_windows_is_looked_at_twice_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    async def arrives(*_: Any, **__: Any) -> Arrival:
        looks.append("look")
        assert len(looks) < 5
        return Arrival("challenge", "HTTP 403")

    async def borrow(_mode: str) -> None: ...

    async def choose() -> Choice:
        return Choice("hidden", "a test")

    async def met_check() -> None: ...

    monkeypatch.setattr(asking, "arrive", arrives)
    memory: Any = SimpleNamespace(choose=choose, met_check=met_check)
    keeper = cast("Keeper", SimpleNamespace(borrow=borrow, mode="headless"))
    person = Person(Settings(output_dir=tmp_path, profile_dir=tmp_path), keeper, cast("WindowMemory", memory))
    with anyio.fail_after(20):
        _, arrival = await person.look("https://chatgpt.com/", fresh=True)
    assert arrival.kind == "challenge"
    assert looks == ["look", "look"]


async def test_the_last_question_that_a_person_answers_is_looked_after_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sign-in, workspace and check, one after the other; a fourth is asked for by nobody."""
    questions = [Arrival("signed_out", "signs in"), Arrival("blocked", "workspace"), Arrival("challenge", "HTTP 403")]
    answered: list[str] = []

    async def look(*_: Any, **__: Any) -> tuple[Any, Arrival]:
        left = questions[len(answered) :]
        return None, left[0] if left else Arrival("ready")

    async def ask(arrival: Arrival, _report: Any) -> str:
        answered.append(arrival.detail)
        return "the window was closed"

    settings = Settings(output_dir=tmp_path, profile_dir=tmp_path)
    person: Any = Person(settings, cast("Keeper", None), cast("WindowMemory", None))
    monkeypatch.setattr(person, "look", look)
    monkeypatch.setattr(person, "ask", ask)
    report = SimpleNamespace(facts={})
    with anyio.fail_after(20):
        _, arrival = await person.arrive("https://chatgpt.com/", report, fresh=True)
        assert (arrival.kind, answered) == ("ready", ["signs in", "workspace", "HTTP 403"])
        answered.clear()
        questions.append(Arrival("blocked", "security page"))
        with pytest.raises(ImageError) as caught:
            await person.arrive("https://chatgpt.com/", report, fresh=True)
    assert (caught.value.code, answered) == ("verification_required", ["signs in", "workspace", "HTTP 403"])


async def test_a_sleep_takes_nothing_of_the_time_in_which_a_person_may_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows the clock counts it, and a stopped process everywhere."""
    closed, ended = anyio.Event(), list[str]()

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncGenerator[Any]:
        yield SimpleNamespace(wait=closed.wait, crashed=False)

    async def nothing(*_: Any, **__: Any) -> None: ...

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(asking.cdp, "open_plain", opened)
    settings = Settings(output_dir=tmp_path, profile_dir=tmp_path)
    keeper: Any = SimpleNamespace(clear_profile=nothing, options=str)
    person = Person(settings, keeper, cast("WindowMemory", None))

    async def ask() -> None:
        ended.append(await person.in_plain_window(None, state="needs_sign_in", why="a test"))

    with anyio.fail_after(10 * 3600):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            leap(monkeypatch, 8 * 3600)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert ended == []
            closed.set()
    assert ended == ["the window was closed"]


async def test_a_slow_answer_about_windows_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, closed = Windows(), anyio.Event()
    browser.looks = [CommandTimeout("Target.getTargets", 2), TargetList([])]
    held: Any = SimpleNamespace(value=browser, open=True)
    monkeypatch.setattr(keeping, "PAGE_SECONDS", 0)

    async def close(*, end: bool) -> None:
        assert not end, "another server may just change its tab"
        closed.set()

    async with kept(tmp_path) as keeper:
        watched = cast("Any", keeper)
        monkeypatch.setattr(watched, "_browser", held)
        monkeypatch.setattr(watched, "_close", close)
        async with anyio.create_task_group() as group:
            group.start_soon(watched._until_windowless, held)
            browser.closed.put("the last window")
            await closed.wait()
            group.cancel_scope.cancel()


async def test_a_browser_that_would_end_under_others_is_kept_while_it_is_slow_to_say_who_works_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a leash has no name, as on Windows, a browser ends with whoever started it."""
    browser, closed = Windows(), anyio.Event()
    browser.looks = [CommandTimeout("Target.getTargets", 2), TargetList([])]
    held: Any = SimpleNamespace(value=browser, open=True)
    monkeypatch.setattr(keeping, "IDLE_SECONDS", 0)

    async def close(*, end: bool) -> None:
        assert (end, browser.looks) == (False, [])
        monkeypatch.setattr(watched, "_browser", None)
        closed.set()

    async with kept(tmp_path) as keeper:
        watched = cast("Any", keeper)
        monkeypatch.setattr(watched, "_browser", held)
        monkeypatch.setattr(watched, "_close", close)
        await watched._until_unused(held)
        assert closed.is_set()


async def test_between_two_looks_for_windows_the_browser_is_free_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, unasked = Windows(), TargetList([])
    browser.looks = [CommandTimeout("Target.getTargets", 2), unasked]
    held: Any = SimpleNamespace(value=browser, open=True)
    monkeypatch.setattr(keeping, "PAGE_SECONDS", 600)
    async with kept(tmp_path) as keeper:
        watched = cast("Any", keeper)
        monkeypatch.setattr(watched, "_browser", held)
        async with anyio.create_task_group() as group:
            group.start_soon(watched._until_windowless, held)
            browser.closed.put("the last window")
            await anyio.wait_all_tasks_blocked()
            assert browser.looks == [unasked]
            assert not watched._lock.locked()
            group.cancel_scope.cancel()
        monkeypatch.setattr(watched, "_browser", None)
