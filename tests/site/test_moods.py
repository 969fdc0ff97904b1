"""What may stand in the way, come late or be lost: each mood shows on the page, and can be lived with by a person."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from fixtures.site import make_picture

from .chromium import Browser, open_browser
from .persons import WIDE, Person, visiting

pytestmark = pytest.mark.anyio

INPUTS = {
    "classic": "#upload-files",
    "rebuilt": "form:not([hidden]) input[aria-label='Attach files']",
    "october": "form:not([hidden]) input[aria-label='Attach files']",
}


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with open_browser() as browser:
        yield browser


async def asked(person: Person, words: str = "A fox") -> None:
    await person.arrive()
    await person.write(words)
    await person.send()


async def attach(person: Person, folder: Path) -> None:
    path = folder / "ref.png"
    path.write_bytes(make_picture("reference", size=(320, 200)).content)
    await person.tab.files(INPUTS[person.generation], path)


async def shows(person: Person, words: str) -> None:
    await person.tab.until(f"document.body.innerText.includes({words!r})")


async def presses(person: Person, label: str, within: str = "body") -> None:
    """The button of this name in the part of the page."""
    marked = f"[...document.querySelectorAll({within + ' button'!r})].find((one) => one.innerText.trim() === {label!r})"
    await person.tab.until(f"({marked}).id = 'wanted'")
    await person.tab.click("#wanted")


@pytest.mark.parametrize("generation", WIDE)
@pytest.mark.parametrize(
    ("form", "banner"),
    [("dialog", "dialog[data-cookie-consent][open]"), ("div", "div[role=dialog]:has(a[href*=cookie-policy])")],
)
async def test_the_cookie_banner_stays_until_it_is_rejected(
    browser: Browser, generation: str, form: str, banner: str
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, cookie_banner=form) as person:
            await person.arrive()
            for _ in range(3):
                await person.tab.key("Escape", 27)
            assert await person.tab.run(f"!!document.querySelector({banner!r})")
            await person.tab.click(f"{banner} button.btn-secondary")
            await person.tab.until(f"!document.querySelector({banner!r})")
            await person.arrive()
            assert await person.tab.run(f"!document.querySelector({banner!r})")
            assert person.site.log.wrong_presses == []


@pytest.mark.parametrize("generation", WIDE)
async def test_a_list_of_models_keeps_the_focus_until_escape(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, dialogs=("model_picker",)) as person:
            await person.arrive()
            await person.tab.until("document.activeElement.matches('[role=dialog]')")
            await person.tab.type("goes nowhere")
            await person.tab.key("Escape", 27)
            await person.tab.until("!document.querySelector('[role=dialog]')")
            await person.write("A fox")
            await person.send()
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == ["A fox"]


@pytest.mark.parametrize("generation", WIDE)
async def test_a_full_library_says_so_and_the_file_goes_along(
    browser: Browser, generation: str, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, dialogs=("storage",)) as person:
            await person.arrive()
            await attach(person, tmp_path)
            await presses(person, "Got it", "[data-testid=modal-storage]")
            await person.write("Like this")
            await person.send()
            await person.sees_picture()
            assert len(person.site.log.prompts[0].references) == 1
            assert person.site.log.wrong_presses == []


@pytest.mark.parametrize("generation", WIDE)
async def test_a_card_may_come_long_after_its_file_was_received(
    browser: Browser, generation: str, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        async with visiting(
            browser, generation=generation, upload_card="after_receipt", upload_card_s=1.5, upload_s=0.01
        ) as person:
            await person.arrive()
            await attach(person, tmp_path)
            while not person.site.log.uploads:
                await anyio.lowlevel.checkpoint()
            assert await person.tab.run("!document.querySelector('form [aria-label=\"ref.png\"]')")
            await person.tab.until("document.querySelector('form [aria-label=\"ref.png\"]')")


@pytest.mark.parametrize("generation", ["classic", "october"])
async def test_a_spinner_that_comes_back_stops_nothing(browser: Browser, generation: str, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with visiting(
            browser, generation=generation, upload_spinner="stays", upload_spinner_s=0.5, upload_s=0.1
        ) as person:
            await person.arrive()
            await attach(person, tmp_path)
            await person.tab.until(
                "!document.querySelector('[role=progressbar]') && document.querySelector('form img')"
            )
            await person.tab.until("document.querySelector('form [role=progressbar]')")
            await person.write("Like this")
            await person.send()
            await person.sees_picture()
            assert len(person.site.log.prompts[0].references) == 1


@pytest.mark.parametrize("generation", WIDE)
async def test_an_upload_that_fails_says_so_on_its_card_and_is_not_sent(
    browser: Browser, generation: str, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, upload_fails=True) as person:
            await person.arrive()
            await attach(person, tmp_path)
            await person.tab.until("document.querySelector('form [role=alert][data-upload-error]')")
            await person.write("Like this")
            await person.send()
            await person.sees_picture()
            assert person.site.log.prompts[0].references == []


@pytest.mark.parametrize("generation", WIDE)
async def test_a_script_that_comes_late_leaves_no_editor_meanwhile(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, composer_late=True, composer_late_s=1.5) as person:
            await person.tab.go(person.site.url)
            assert await person.tab.run("!document.querySelector('[contenteditable=true], textarea')")
            await asked(person)
            await person.sees_picture()


@pytest.mark.parametrize("generation", WIDE)
async def test_a_page_whose_script_failed_says_so_and_is_whole_when_loaded_again(
    browser: Browser, generation: str
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, module_fails_once=True) as person:
            await person.tab.go(person.site.url)
            await shows(person, "Failed to fetch dynamically imported module")
            await asked(person)
            await person.sees_picture()


@pytest.mark.parametrize("generation", WIDE)
@pytest.mark.parametrize("channel", ["interrupted", "reconnect", "error"])
async def test_a_broken_line_is_told_in_the_turn_until_the_picture_is_there(
    browser: Browser, generation: str, channel: str
) -> None:
    words = "A network error occurred" if channel == "error" else "Connection interrupted"
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, live_channel=channel, picture_delay_s=2.0) as person:
            await asked(person)
            await shows(person, words)
            while not person.site.log.pictures():
                await anyio.lowlevel.checkpoint()
            if channel == "reconnect":
                await presses(person, "Reconnect")
            elif channel == "interrupted":
                await person.arrive(f"/c/{person.site.log.prompts[0].conversation_id}")
            await person.sees_picture()
            assert words not in await person.tab.run("document.body.innerText")
            assert person.site.log.wrong_presses == []


@pytest.mark.parametrize("generation", WIDE)
@pytest.mark.parametrize("arrival", ["websocket", "poll"])
async def test_words_stand_there_before_their_picture(browser: Browser, generation: str, arrival: str) -> None:
    with anyio.fail_after(60):
        async with visiting(
            browser, generation=generation, arrival=arrival, words_first=True, words_first_s=1.5
        ) as person:
            await asked(person)
            await shows(person, "Here is the picture you asked for.")
            assert person.site.log.pictures() == []
            await person.sees_picture()


@pytest.mark.parametrize("generation", WIDE)
async def test_a_nameless_stream_leaves_the_page_where_it_is(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, stream="nameless", picture_delay_s=0.1) as person:
            await asked(person)
            while not person.site.log.pictures():
                await anyio.lowlevel.checkpoint()
            assert await person.tab.run("location.pathname") == "/"
            await person.arrive(f"/c/{person.site.log.prompts[0].conversation_id}")
            await person.sees_picture()


@pytest.mark.parametrize("generation", WIDE)
async def test_a_turns_own_topic_brings_the_picture(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, stream="handoff", websocket_form="topic") as person:
            await asked(person)
            await person.sees_picture()
            read = [request for request in person.site.log.requests if "/conversations/" in request.path]
            assert read == []


@pytest.mark.parametrize("generation", WIDE)
async def test_the_person_may_write_while_a_picture_is_drawn(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, person_prompts_s=0.2, picture_delay_s=1.0) as person:
            await asked(person)
            await person.sees_pictures(2)
            assert [prompt.person for prompt in person.site.log.prompts] == [False, True]
            # Both are drawn at the same time; which is done first nobody promises.
            assert {made.turn for made in person.site.log.pictures()} == {1, 2}
            assert len(person.site.log.pictures()) == 2


@pytest.mark.parametrize("generation", WIDE)
async def test_half_an_emoji_reaches_title_console_and_page(browser: Browser, generation: str) -> None:
    halves = ("title", "console", "json", "list", "stream", "page")
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, surrogates=halves, answers=("text",)) as person:
            await asked(person)
            await shows(person, "Here is a description")
            lonely = "!({}).isWellFormed()"
            for place in ("document.title", "document.body.innerText", "document.querySelector('nav').innerText"):
                await person.tab.until(lonely.format(place))
            said = [event for event in person.tab.events if event["method"] == "Runtime.consoleAPICalled"]
            assert said


@pytest.mark.parametrize("generation", WIDE)
async def test_a_window_that_the_page_opened_is_known_until_it_is_closed(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, popup=True) as person:
            await asked(person)
            await person.sees_picture()
            opened = await person.tab.event("Page.windowOpen")
            assert opened["params"]["url"].endswith("/popup")
            assert not person.site.state.popups.gone.is_set()


@pytest.mark.parametrize("generation", WIDE)
async def test_a_page_without_ids_names_no_message(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, message_ids=False, words_after=True) as person:
            await asked(person)
            await person.sees_picture()
            chat = person.site.state.conversations[person.site.log.prompts[0].conversation_id]
            page = await person.tab.run("document.querySelector('main').outerHTML")
            assert [key for key in chat.nodes if key in page] == []


@pytest.mark.parametrize("generation", WIDE)
async def test_a_refused_prompt_says_why(browser: Browser, generation: str) -> None:
    words = "We're experiencing high demand. Please try again in a few minutes."
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, post_status=503, post_words=words) as person:
            await asked(person)
            await shows(person, words)


@pytest.mark.parametrize("generation", WIDE)
async def test_the_rate_dialog_may_come_after_a_prompt_that_was_taken(browser: Browser, generation: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation=generation, rate_after_send_s=0.2, picture_delay_s=1.0) as person:
            await asked(person)
            await presses(person, "Got it", "#modal-conversation-history-rate-limit")
            await person.sees_picture()
            assert len(person.site.log.prompts) == 1
