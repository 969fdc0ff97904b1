"""Our own tab in a real browser: what runs in which document, and what is heard between turns."""

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import msgspec
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions
from cdp_image_mcp.cdp.errors import DocumentLeft, SubscriptionClosed
from cdp_image_mcp.cdp.launching.options import Mode
from cdp_image_mcp.cdp.protocol import FrameTreeReply
from cdp_image_mcp.cdp.session import Session
from cdp_image_mcp.chatgpt.network.quota import Quota
from cdp_image_mcp.chatgpt.network.sent import same_text
from cdp_image_mcp.chatgpt.network.transcript import Transcript
from cdp_image_mcp.chatgpt.page.arrival import arrive
from cdp_image_mcp.chatgpt.page.composer import Composer
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.page.locators import load, witness_source
from cdp_image_mcp.chatgpt.sending import Sending
from cdp_image_mcp.chatgpt.watching.listening import watch_turn
from cdp_image_mcp.chatgpt.window.tab import Tab, open_tab
from cdp_image_mcp.chatgpt.window.visibility import Visibility
from cdp_image_mcp.chatgpt.window.windowmode import WindowMemory
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import Report
from fixtures.site import Site as StandIn
from fixtures.site import Switches, running_site
from fixtures.site.pictures import make_picture
from fixtures.site.turn.messages import picture, pointer
from tests.browser import SWITCHES, found_browser
from tests.chatgpt.talk import site_at
from tests.people.screen import open_screen, until

pytestmark = pytest.mark.anyio


CHAT = "6a9f6d2e-0000-4000-8000-000000000000"


@asynccontextmanager
async def opened(folder: Path, *unknown: str, mode: Mode = "headless") -> AsyncGenerator[tuple[Tab, StandIn]]:
    """A tab on the stand-in's home page, ready for a prompt. Of the roles ``unknown`` no locator is known."""
    options = LaunchOptions(browser=found_browser(), profile=folder / "profile", mode=mode, extra_args=SWITCHES)
    async with AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(90))
        site = stack.enter_context(running_site(Switches()))
        browser = await stack.enter_async_context(cdp.launch(options))
        known = load()
        script = witness_source(msgspec.structs.replace(known, roles=known.roles | dict.fromkeys(unknown, ())))
        tab = await stack.enter_async_context(open_tab(browser, site_at(site.url), script, hidden=False))
        assert (await arrive(tab, tab.site.home, fresh=True)).kind == "ready"
        yield tab, site


async def test_a_conversation_is_there_once_its_turns_show_whatever_ids_they_have(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, site):
        site.switches = Switches(generation="classic", message_ids=False, turn_keys=False)
        with anyio.fail_after(30):  # the composer of a page without any turn is waited for for longer
            arrival = await arrive(tab, tab.site.conversation(site.oldest_picture_chat().id), fresh=False)
        assert arrival.kind == "ready"


@pytest.mark.parametrize(("unknown", "kind"), [((), "ready"), (("ab_skip",), "blocked")], ids=["known", "unknown"])
async def test_a_choice_between_two_pictures_is_skipped_where_its_skip_is_known_and_asked_of_a_person_where_not(
    tmp_path: Path, unknown: tuple[str, ...], kind: str
) -> None:
    async with opened(tmp_path, *unknown) as (tab, site):
        site.switches = Switches(paragen=True)
        chat = site.oldest_picture_chat()
        made = site.keep_picture(make_picture("another", size=(512, 512)), "foreign", chat.id, 0)
        both = [*chat.nodes[chat.current]["message"]["content"]["parts"], pointer(made.id, 512, 512, 1)]
        chat.add(picture(both, "an exchange", "task_1", "Two", group="a group"))
        address = tab.site.conversation(chat.id)
        assert (await arrive(tab, address, fresh=False, reading=True)).kind == "ready"
        assert await tab.eye.has("ab_panel")
        assert (await arrive(tab, address, fresh=False)).kind == kind
        assert (await tab.eye.has("ab_panel")) == (kind == "blocked")
        assert site.log.wrong_presses == []


@pytest.mark.parametrize(
    "text", ["one\ntwo", "one\n\ntwo\n\n\nthree", "- a list\n- of  two\n\tand a tab", "שלום\n🦊\n\n<b>x</b> & y"]
)
async def test_what_was_typed_is_read_back_whole_from_a_field_without_an_editor_of_its_own(
    tmp_path: Path, text: str
) -> None:
    """The browser itself leaves the first line bare and puts each other one into an element."""
    async with opened(tmp_path) as (tab, _):
        # A copy of all that is there: the page's own script draws what it likes in what it holds.
        copied = "document.documentElement.replaceWith(document.documentElement.cloneNode(true));"
        plain = f"{copied} const field = witness.one('composer'); field.replaceWith(field.cloneNode(false));"
        assert await tab.eye.ask(f"(() => {{ {plain} return witness.focusComposer(); }})()", reply=bool)
        await tab.page.session.call("Input.insertText", {"text": text})
        assert same_text(await tab.eye.ask("witness.composerText()", reply=str), text)


@pytest.mark.parametrize("ends", [True, False], ids=["it ends", "it goes on"])
async def test_a_prompt_waits_for_the_end_of_what_its_conversation_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """A page that answers shows Stop in the place of Send: that it has no Send is no change of the site."""
    monkeypatch.setattr("cdp_image_mcp.chatgpt.page.composer.SEND_READY_SECONDS", 0.5)
    monkeypatch.setattr("cdp_image_mcp.chatgpt.page.composer.ANSWERING_SECONDS", 60.0 if ends else 0.5)
    async with opened(tmp_path) as (tab, _):
        style = "<style>form button[type=submit] { display: none !important }</style>"
        stop = f"<div id=answers>{style}<button data-testid=stop-button>Stop</button></div>"
        await tab.eye.ask(f"document.body.insertAdjacentHTML('beforeend', {quoted(stop)})")
        if ends:
            await tab.eye.ask("void setTimeout(() => document.querySelector('#answers').remove(), 2000)")
            await Composer(tab).write("a fox")
            assert await tab.eye.ask("witness.composerText()", reply=str) == "a fox"
        else:
            with pytest.raises(ImageError, match="still answering") as caught:
                await Composer(tab).write("a fox")
            told = caught.value
            assert (told.code, told.submitted, told.retryable) == ("service_error", False, True)


class Ran:
    """Script that ran, with the address of the document it ran in."""

    def __init__(self, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: list[tuple[str, str]] = []
        session, call = tab.page.session, Session.call

        async def called(to: Session, method: str, params: Any = None, **more: Any) -> Any:
            answer = await call(to, method, params, **more)
            if to is session and method in {"Runtime.evaluate", "Runtime.callFunctionOn"}:
                tree = await call(to, "Page.getFrameTree", reply=FrameTreeReply)
                document = tab._document(tree.frame_tree.frame.loader_id)  # pyright: ignore[reportPrivateUsage]
                assert document is not None
                self.places.append((str(document.status), method))
            return answer

        monkeypatch.setattr(Session, "call", called)


async def goes_to_a_check(tab: Tab, site: StandIn) -> None:
    """The site's own reload, which nobody here has judged."""
    site.switches = Switches(challenge="always")
    with tab.documents() as documents, tab.page.session.subscribe("Page.frameNavigated") as shown:
        await tab.page.session.call("Page.reload")
        assert (await documents.next(20)).status == 403
        await shown.next(20)


async def test_settling_on_a_check_runs_nothing_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as (tab, site):
        ran = Ran(tab, monkeypatch)
        await goes_to_a_check(tab, site)
        landed = await tab.settle()
        assert landed is not None
        assert landed.challenged
        with pytest.raises(DocumentLeft):
            await tab.eye.open()
        with pytest.raises(DocumentLeft):
            await tab.eye.ask("1")
        assert ran.places == []


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_check_that_comes_while_we_arrive_is_found_without_running_anything_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    async with opened(tmp_path) as (tab, site):
        ran = Ran(tab, monkeypatch)
        steps = 0
        call = type(tab.page.session).call

        async def stepped(self: Any, method: str, *given: Any, **more: Any) -> Any:
            nonlocal steps
            if method in {"Page.createIsolatedWorld", "Runtime.evaluate"}:
                steps += 1
                if steps == after:
                    await goes_to_a_check(tab, site)
            return await call(self, method, *given, **more)

        monkeypatch.setattr(type(tab.page.session), "call", stepped)
        arrival = await arrive(tab, tab.site.home, fresh=True)
        assert arrival.kind == "challenge"
        assert {status for status, _ in ran.places} <= {"200"}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A display of our own for this process and its browsers."""
    with open_screen() as screen:
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setenv("DISPLAY", screen.name)
        yield


@pytest.mark.usefixtures("screen")
async def test_a_window_whose_page_went_to_a_check_by_itself_is_hidden_without_running_anything_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(output_dir=tmp_path / "pictures", profile_dir=tmp_path / "profile")
    async with opened(tmp_path, mode="visible") as (tab, site):
        running = SimpleNamespace(browser=tab.browser, tab=tab, mode="visible", starting=False, problem=None, unread=())
        keeper = cast("Any", running)
        sight = Visibility(settings, keeper, WindowMemory(settings.profile_dir, "auto"))
        assert (await sight.act("status", start_browser=False))["chat_ready"]
        ran = Ran(tab, monkeypatch)
        await goes_to_a_check(tab, site)
        told = await sight.backend_status()
        assert (told["ready"], told["details"]["session"]["hide_ready"]) == (False, False)
        assert told["message"] != "Session ready."
        facts = await sight.act("hide", start_browser=False)
        assert (facts["hidden"], facts["chat_ready"], facts["message"]) == (True, False, "The window is hidden.")
        assert ran.places == []


@pytest.mark.usefixtures("screen")
async def test_a_check_that_comes_while_a_window_is_hidden_has_nothing_run_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, mode="visible") as (tab, site):
        ran = Ran(tab, monkeypatch)
        await goes_to_a_check(tab, site)
        assert (await tab.window.hide(probe=True)).hidden
        assert ran.places == []


@pytest.mark.parametrize(
    ("after", "quotas", "stays"),
    [
        pytest.param("ours", (), True, id="the turn that it stands after"),
        pytest.param("another's", (), False, id="a later turn of another server"),
        pytest.param(None, (), False, id="no turn: the conversation is to be read"),
        pytest.param("ours", (Quota("image_gen", 5),), True, id="pictures are left"),
        pytest.param("ours", (Quota("image_gen", 0),), False, id="no pictures were left when it was loaded"),
    ],
)
def test_a_page_stays_where_only_the_turn_is_gone_on_from_that_it_stands_after(
    after: str | None, quotas: tuple[Quota, ...], stays: bool
) -> None:
    site = site_at("https://chatgpt.com/")
    address = f"{site.home}c/6a9f6d2e-0000-4000-8000-000000000000"
    document = SimpleNamespace(type="Document", frame_id="F", loader_id="L", status=200)
    page: Any = SimpleNamespace(url=address, frame_id="F")
    nothing: Any = SimpleNamespace(requests=[document])
    tab = Tab(nothing, nothing, page, nothing, nothing, site, "")
    tab.quotas = quotas
    tab.comes_to_rest("ours")
    assert tab.may_stay(address, after) is stays
    assert not tab.may_stay(address, "ours")


def standing(here: str, *, home: str = "https://chatgpt.com/") -> Tab:
    """A tab whose page shows the address ``here``."""
    unused: Any = SimpleNamespace(requests=())
    return Tab(unused, unused, cast("Any", SimpleNamespace(url=here)), unused, unused, site_at(home), "")


HOME = "https://chatgpt.com/"
GPT, PROJECT = f"{HOME}g/g-2fkFE8rbu/", f"{HOME}g/g-p-0123456789abcdef0123456789abcdef/"


@pytest.mark.parametrize(
    ("home", "here", "stands"),
    [
        (HOME, HOME, True),
        (HOME, f"{HOME}?model=auto", True),
        (HOME, f"{HOME}new", True),
        (HOME, f"{HOME}new/", True),
        (f"{HOME}new/", HOME, True),
        (HOME, f"{HOME}library", False),
        (HOME, f"{HOME}codex", False),
        (HOME, f"{HOME}newsroom", False),
        (HOME, GPT, False),
        (HOME, f"{HOME}c/{CHAT}", False),
        (HOME, "https://elsewhere.example/", False),
        (GPT, f"{HOME}g/g-2fkFE8rbu", True),
        (GPT, f"{HOME}g/g-2fkFE8rbu-dall-e", True),
        (f"{HOME}g/g-2fkFE8rbu-dall-e/", f"{HOME}g/g-2fkFE8rbu", True),
        (GPT, f"{HOME}g/g-2fkFE8rbv-dall-e", False),
        (GPT, f"{HOME}g/g-2fkFE8rbu-dall-e/c/{CHAT}", False),
        (GPT, HOME, False),
        (GPT, f"{HOME}new", False),
        (f"{PROJECT}project/", f"{PROJECT.rstrip('/')}-foxes/project", True),
        (PROJECT, f"{HOME}g/g-p-00000000000000000000000000000000/project", False),
    ],
)
def test_a_new_chat_begins_at_its_own_address_however_the_site_writes_it_and_nowhere_else(
    home: str, here: str, stands: bool
) -> None:
    assert standing(here, home=home).stands_at(home) is stands


def test_a_chat_that_a_person_has_just_begun_is_neither_a_new_one_nor_the_one_to_go_on_with() -> None:
    tab = standing(f"{HOME}c/WEB:7")
    assert not tab.stands_at(HOME)
    assert not tab.stands_at(f"{HOME}c/{CHAT}")


async def test_after_a_document_of_the_site_the_eye_opens_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, _):
        await tab.page.reload()
        with pytest.raises(DocumentLeft):
            await tab.eye.ask("1")
        landed = await tab.settle()
        assert landed is not None
        assert landed.status == 200
        await tab.eye.open()
        assert await tab.eye.ask("witness.one('composer') !== undefined")


async def test_the_quotas_that_a_page_asks_for_when_it_is_loaded_are_heard(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, _):
        with tab.bodies.watch(lambda request: tab.site.asks("quota", request)) as answers:
            await tab.reload()
            await answers.next(20)
        await until(lambda: bool(tab.quotas))
        assert [(quota.feature, quota.remaining) for quota in tab.quotas if quota.feature == "image_gen"] == [
            ("image_gen", 118)
        ]
        assert all(isinstance(quota, Quota) for quota in tab.quotas)


async def test_what_an_earlier_document_was_told_of_quotas_is_not_said_of_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, site):
        await until(lambda: bool(tab.quotas))
        site.set(quota_delay_s=60.0)
        await tab.open(tab.site.home)
        assert tab.quotas == ()


async def test_a_prompt_waits_for_quotas_only_while_the_page_itself_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.chatgpt.window.tab.QUOTAS_SECONDS", 60.0)
    async with opened(tmp_path) as (tab, site):
        with anyio.fail_after(20):
            await tab.quotas_told()
        site.set(quota_delay_s=2.0)
        with tab.bodies.watch(lambda request: tab.site.asks("quota", request), stage="sent") as asked:
            ask = "void fetch('/backend-anon/conversation/init', {method: 'POST', body: '{}'})"
            await tab.page.session.call("Runtime.evaluate", {"expression": ask})
            request = await asked.next(20)
            assert not request.ended
            with anyio.fail_after(20):
                await tab.quotas_told()
            assert request.ended


async def test_answers_are_kept_only_while_somebody_watches_a_turn(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, _):
        ask = "void fetch('/backend-anon/f/conversation', {method: 'POST', body: '{\"messages\": []}'})"
        with tab.bodies.watch(lambda request: tab.site.asks("turn", request)) as ended:
            await tab.page.session.call("Runtime.evaluate", {"expression": ask})
            await ended.next(20)
            assert tab.streams.poll() is None
            tab.watched = True
            await tab.page.session.call("Runtime.evaluate", {"expression": ask})
            await tab.streams.next(20)


class Untold:
    """A report that nobody reads."""

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}

    async def state(self, _state: str, /, **facts: object) -> None:
        self.facts.update(facts)

    def progress(self, message: str) -> None: ...


async def test_a_turn_that_could_not_be_watched_is_not_begun(tmp_path: Path) -> None:
    async with opened(tmp_path) as (tab, site):
        composer, report = Composer(tab), Untold()
        await composer.fill([], "a fox")
        async with watch_turn(tab, Transcript()) as watch:
            watch.deaf(SubscriptionClosed())
            with pytest.raises(ImageError, match="not sent") as caught:
                await Sending(watch, cast("Report", report)).send(composer, "a fox")
        assert (caught.value.code, caught.value.submitted, caught.value.retryable) == ("browser_failed", False, True)
        assert "turn_pressed" not in report.facts
        assert site.log.prompts == []
