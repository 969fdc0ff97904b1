"""The pages in a real Chromium: they load cleanly, follow a person and not a script, and show the picture."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from fixtures.site import Switches, make_picture, serve
from fixtures.site.variants import variant

from .chromium import Browser, Tab, open_browser
from .persons import EDITORS, WIDE, visiting

pytestmark = pytest.mark.anyio

PROMPT = (
    'A "red" fox\u2019s \u201cden\u201d\n\n\nafter  two blank lines \u72d0 \U0001f469\u200d\U0001f469\u200d\U0001f467'
)
PAGES = ("classic", "rebuilt", "october", "mobile")


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest.mark.parametrize("generation", PAGES)
async def test_a_prompt_is_typed_sent_once_and_answered_with_the_picture(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.arrive()
            await person.write(PROMPT)
            await person.send()
            await person.sees_picture()
            (prompt,) = person.site.log.prompts
            assert prompt.text == PROMPT
            assert person.tab.complaints == []
            assert person.site.log.untrusted == []
            (made,) = person.site.log.pictures()
            assert {download.sent for download in person.site.log.downloads} == {made.bytes}
            address = await person.tab.run("location.pathname")
            assert address == f"/c/{prompt.conversation_id}"
            folder = os.environ.get("SITE_SCREENSHOTS")
            if folder:
                await person.tab.shot(Path(folder) / f"{generation}.png")


@pytest.mark.parametrize("generation", ["classic", "rebuilt"])
async def test_news_that_comes_before_the_stream_has_named_the_conversation_is_kept(
    browser: Browser, generation: str
) -> None:
    """As on a busy machine: the websocket is heard at once, the stream of the prompt's own request late."""
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.arrive()
            await person.write(PROMPT)
            late = {"urlPattern": "*/f/conversation", "requestStage": "Response"}
            await person.tab.send("Fetch.enable", patterns=[late])
            await person.send()
            paused = await person.tab.event("Fetch.requestPaused")
            await person.tab.heard("set-conversation-async-status")
            await person.tab.send("Fetch.continueResponse", requestId=paused["params"]["requestId"])
            await person.sees_picture()


@pytest.mark.parametrize("generation", WIDE)
async def test_a_prompt_that_is_sent_before_the_page_has_its_websocket_stays_on_the_page(
    browser: Browser, generation: str
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.tab.hold("/celsius/ws/user", "/f/conversation")
            await person.arrive()
            await person.write(PROMPT)
            await person.send()
            prompt = await person.tab.held("/f/conversation")
            await person.tab.let_go(await person.tab.held("/celsius/ws/user"))
            await person.tab.heard('"reply"')
            await person.tab.let_go(prompt)
            await person.sees_picture()


@pytest.mark.parametrize(
    ("generation", "editor"),
    [
        ("october", "prosemirror"),
        ("october", "lexical"),
        ("classic", "textarea"),
        *(
            pytest.param(generation, editor, marks=pytest.mark.nightly)
            for generation in ("classic", "rebuilt")
            for editor in ("prosemirror", "lexical")
        ),
    ],
)
async def test_what_a_script_writes_never_reaches_the_editor(browser: Browser, generation: str, editor: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, editor=editor) as person:
            await person.arrive()
            box = f"document.querySelector({EDITORS[generation]!r})"
            write = "value" if editor == "textarea" else "textContent"
            await person.tab.run(f"{box}.{write} = 'by script'; {box}.dispatchEvent(new Event('input'))")
            await person.write(PROMPT)
            await person.send()
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == [PROMPT]
            assert person.site.log.untrusted


@pytest.mark.parametrize("generation", PAGES)
async def test_enter_submits_and_an_empty_composer_does_not(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.arrive()
            await person.enter_editor()
            await person.tab.key("Enter", 13, text="\r")
            await person.tab.type("A fox")
            await person.tab.key("Enter", 13, text="\r")
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == ["A fox"]


async def test_long_text_is_taken_whole_and_select_all_clears_it(browser: Browser) -> None:
    long = "\n".join(f"Line {number} of a very long prompt" for number in range(700))
    assert len(long) > 20_000
    with anyio.fail_after(60):
        async with visiting(browser, generation="classic") as person:
            await person.arrive()
            await person.write("to be cleared")
            await person.tab.key("a", 65, commands=("selectAll",))
            await person.tab.key("Backspace", 8)
            await person.tab.until("document.querySelector('[data-testid=composer-speech-button]')")
            await person.tab.type(long)
            await person.send()
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == [long]


@pytest.mark.parametrize("generation", WIDE)
async def test_text_typed_before_the_page_is_alive_is_lost(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, hydrate_s=1.5) as person:
            too_late = True
            while too_late:
                await person.tab.go(person.site.url)
                await person.write("too early")
                too_late = await person.tab.run("performance.now() >= 1500")
            await person.tab.until("document.querySelector('nav a[href^=\"/c/\"]')")
            await person.write("A fox")
            await person.send()
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == ["A fox"]


@pytest.mark.parametrize("generation", WIDE)
async def test_a_reference_goes_up_before_the_prompt_and_is_echoed(
    browser: Browser, generation: str, tmp_path: Path
) -> None:
    reference = tmp_path / "ref.png"
    reference.write_bytes(make_picture("reference", size=(320, 200)).content)
    chosen = "#upload-files" if generation == "classic" else "form:not([hidden]) input[aria-label='Attach files']"
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.arrive()
            await person.tab.files(chosen, reference)
            await person.write("Like this")
            await person.send()
            await person.sees_picture()
            (upload,) = person.site.log.uploads
            (prompt,) = person.site.log.prompts
            assert prompt.references == [upload.file_id]
            assert upload.size == reference.stat().st_size
            alt = "User attachment" if generation == "october" else "ref.png"
            await person.tab.until(f"document.querySelector('main img[alt=\"{alt}\"]').naturalWidth === 320")


@pytest.mark.parametrize("generation", WIDE)
@pytest.mark.parametrize("key", ["36d", "40", "52d", "53c", "53e", "54", "57", "59b"])
async def test_some_ways_to_the_picture_lead_to_it(browser: Browser, generation: str, key: str) -> None:
    row = variant(key)
    with anyio.fail_after(60):
        async with visiting(browser, **{**row.changes, "generation": generation}) as person:
            await person.arrive()
            if key == "57":
                await person.tab.until("location.pathname.startsWith('/c/')")
                await person.tab.click("nav a[href='/']")
            await person.write(row.prompt)
            await person.send()
            await person.sees_picture()
            (prompt,) = person.site.log.prompts
            assert prompt.parent_id == ("" if generation == "october" else "client-created-root")
            assert person.tab.complaints == []


async def test_who_leaves_an_old_chat_while_it_is_being_read_meets_no_fault(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", restored_chat=True) as person:
            await person.tab.hold("/stream_status")
            await person.arrive()
            status = await person.tab.held("/stream_status")
            await person.tab.click("nav a[href='/']")
            await person.tab.until("location.pathname === '/'")
            await person.tab.let_go(status)
            await person.write("A fox")
            await person.send()
            await person.sees_picture()
            assert [prompt.parent_id for prompt in person.site.log.prompts] == [""]
            assert person.tab.complaints == []


@pytest.mark.parametrize("generation", WIDE)
async def test_a_second_prompt_goes_on_where_the_first_ended_and_a_reload_shows_both(
    browser: Browser, generation: str
) -> None:
    both = "[...document.querySelectorAll('main img')].filter((img) => img.naturalWidth >= 900 && img.alt).length === 2"
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation) as person:
            await person.arrive()
            for number, words in enumerate(("A fox", "Now at night"), start=1):
                await person.write(words)
                await person.send()
                await person.sees_pictures(number)
            first, second = person.site.log.prompts
            assert second.conversation_id == first.conversation_id
            chat = person.site.state.conversations[first.conversation_id]
            above = chat.nodes[second.parent_id]["message"]
            assert above["content"]["content_type"] == "multimodal_text"
            await person.arrive(f"/c/{first.conversation_id}")
            await person.tab.until(both)


@pytest.mark.parametrize("generation", WIDE)
async def test_stop_is_told_to_the_site_and_ends_the_drawing(browser: Browser, generation: str) -> None:
    stop = "[data-testid=stop-button]" if generation == "classic" else "form:not([hidden]) button[aria-label=Stop]"
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, stop_button="drawing", picture_delay_s=600) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            await person.tab.until("document.querySelector('main').innerText.includes('Many people')")
            await person.tab.click(stop)
            while not person.site.log.stops:
                await anyio.lowlevel.checkpoint()
            assert person.site.log.stops[0].conversation_id == person.site.log.prompts[0].conversation_id
            assert person.site.log.pictures() == []


async def test_a_sign_in_window_closes_itself_when_the_switch_says_so(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with serve(Switches(account="guest", login_closes_window=True)) as site:
            # As the only entry of its history: other windows may not be closed by their pages.
            async with browser.tab(f"{site.url}/auth/login") as tab:
                await tab.click("form button")
                await browser.closed(tab)
            assert [sign_in.how for sign_in in site.log.sign_ins] == ["login page"]


async def test_what_is_asked_of_a_page_that_has_gone_is_answered_and_the_browser_goes_on(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with browser.tab() as tab:
            pass
        await browser.closed(tab)
        with pytest.raises(RuntimeError, match="Session with given id not found"):
            await tab.run("1")
        async with browser.tab() as tab:
            assert await tab.run("1") == 1


@pytest.mark.parametrize("generation", WIDE)
async def test_the_choice_between_two_pictures_locks_the_composer_until_skipped(
    browser: Browser, generation: str
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, paragen=True) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            panel = "[data-testid=image-paragen-multigen]"
            locked = f"document.querySelector({EDITORS[generation]!r}).contentEditable"
            await person.tab.until(f"document.querySelector('{panel}') && {locked} === 'false'")
            await person.tab.click(f"{panel} .text-token-text-tertiary")
            await person.tab.until(f"{locked} === 'true'")
            assert person.site.log.wrong_presses == []
            assert len(person.site.log.pictures()) == 2


async def test_a_primary_button_of_an_announcement_is_a_fault_and_its_close_is_not(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="classic", dialogs=("beacon",)) as person:
            await person.arrive()
            await person.tab.click("[data-testid=modal-beacon] .btn-primary")
            await person.tab.click("[data-testid=modal-beacon] [data-testid=close-button]")
            await person.tab.until("!document.querySelector('[data-testid=modal-beacon]')")
            await person.arrive()
            assert await person.tab.run("!document.querySelector('[data-testid=modal-beacon]')")
            assert [press.button for press in person.site.log.wrong_presses] == ["Get started"]


async def test_guests_have_a_composer_and_signing_in_by_hand_brings_them_back(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="classic", account="guest") as person:
            await person.tab.go(person.site.url)
            await person.tab.until("document.querySelector('[data-testid=login-button]')")
            assert await person.tab.run("!!document.querySelector('#prompt-textarea')")
            await person.tab.click("[data-testid=login-button]")
            await person.tab.until("location.pathname === '/auth/login'")
            await person.tab.click("form button")
            await person.tab.until("document.querySelector('[data-testid=accounts-profile-button]')")
            assert [sign_in.how for sign_in in person.site.log.sign_ins] == ["login page"]


async def test_the_check_page_notices_script_and_goes_on_when_passed(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="classic", challenge="until_passed") as person:
            await person.tab.go(person.site.url)
            while "Just a moment" not in (await title(person.tab)):
                await anyio.lowlevel.checkpoint()
            assert person.site.log.evaluations == []
            await person.tab.run("document.querySelector('form')")
            while not person.site.log.evaluations:
                await anyio.lowlevel.checkpoint()
            person.site.state.challenge_passed = True
            await person.tab.until("document.querySelector('[data-testid=accounts-profile-button]')")


async def title(tab: Tab) -> str:
    """From outside the page."""
    return (await tab.send("Target.getTargetInfo"))["targetInfo"]["title"]


async def test_a_redirected_sign_in_host_leads_back_with_a_cookie(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="classic", account="guest", login_host="localhost") as person:
            await person.tab.go(f"{person.site.url}/auth/login")
            assert await person.tab.run("location.hostname") == "localhost"
            await person.tab.click("form button")
            await person.tab.until("document.querySelector('[data-testid=accounts-profile-button]')")
            assert await person.tab.run("location.hostname") == "127.0.0.1"
