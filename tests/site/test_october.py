"""The page of October in a real Chromium, held against the recordings of 2026-09-29 to 2026-10-10 (notes F1 to F11)."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from fixtures.site import make_picture

from .chromium import Browser, open_browser
from .persons import Person, visiting

pytestmark = pytest.mark.anyio

TURN = "document.querySelector('main [data-app-action-timeline-scroll] [data-turn-key]')"
DONE = "document.querySelector('main span.sr-only[role=status]').textContent === 'Response complete'"


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with open_browser() as browser:
        yield browser


async def has(person: Person, *selectors: str) -> list[str]:
    """The selectors that find nothing on the page."""
    return [each for each in selectors if not await person.tab.run(f"!!document.querySelector({each!r})")]


async def test_the_composer_has_the_recorded_parts_and_send_only_with_text(browser: Browser) -> None:
    form = "form[data-chatgpt-composer][data-composer-placement=home][data-thread-find-composer]:not([hidden])"
    voice = f"{form} button[type=button].bg-composer-primary[aria-label='Start Voice']"
    send = f"{form} button[type=submit][aria-label=Send]"
    with anyio.fail_after(60):
        async with visiting(browser, generation="october") as person:
            await person.arrive()
            assert not await has(
                person,
                f"{form} input[type=file][multiple][accept='image/*,video/*'][aria-label='Attach photos or videos']",
                f"{form} input[type=file][multiple][accept='image/*'][aria-label='Attach photos']",
                f"{form} input[type=file][multiple][aria-label='Attach files']:not([accept])",
                f"{form} [data-composer-attachments]",
                f"{form} [contenteditable=true][role=textbox].ProseMirror[data-composer-markdown]",
                f"{form} [data-composer-markdown][aria-label='Ask ChatGPT'][aria-multiline=true]",
                f"{form} [data-composer-markdown] > p[data-empty-paragraph] > br.ProseMirror-trailingBreak",
                f"{form} button[data-composer-navigation-target=add-context][aria-label='Add files and more']",
                f"{form} button[data-codex-intelligence-trigger][aria-label='Select ChatGPT model']",
                f"{form} button[aria-label=Dictate][aria-busy=false]",
                voice,
            )
            assert await has(person, send) == [send]
            await person.write("A fox")
            await person.tab.until(f"document.querySelector({send!r})")
            assert await has(person, voice) == [voice]
            await person.tab.click(f"{form} button[data-composer-navigation-target]")
            rows = (
                "[data-composer-overlay-floating-ui] [data-mention-list-scroll-area] button[data-list-navigation-item]"
            )
            texts = await person.tab.run(f"[...document.querySelectorAll({rows!r})].map((row) => row.innerText)")
            assert texts[:2] == ["Add photos & files\nUpload from computer", "Create image\nVisualize anything"]


async def test_while_it_streams_the_answer_has_no_unit_and_the_conversation_a_name_of_the_pages_own(
    browser: Browser,
) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", answers=("silence",), sentinel_s=2.0) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            await person.tab.until(f"{TURN}.innerText.includes('Thinking')")
            named = (
                "document.querySelector('[data-above-composer-conversation-id]').dataset.aboveComposerConversationId"
            )
            assert (await person.tab.run(named)).startswith("chatgpt:local-chatgpt:")
            await person.tab.until("location.pathname.startsWith('/c/')")
            assert await person.tab.run(f"{named} === 'chatgpt:' + location.pathname.slice(3)")
            absent = [
                ":scope [data-conversation-role=assistant]",
                ":scope [data-chatgpt-search-unit-key$=':assistant']",
            ]
            for selector in absent:
                assert await person.tab.run(f"{TURN}.querySelector({selector!r}) === null")
            assert not await has(
                person,
                "[data-turn-key] span[hidden][data-chatgpt-agent-turn-start]",
                "form:not([hidden]) button[type=button].bg-composer-primary[aria-label=Stop]",
                "[data-turn-key] > [data-content-search-turn-key=fallback-turn-0]",
            )
            assert await person.tab.run("document.querySelectorAll('[data-testid]').length") == 0


async def test_an_answer_in_words_stands_as_recorded(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", answers=("text",)) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            await person.tab.until(DONE)
            (prompt,) = person.site.log.prompts
            unit = "[data-content-search-unit-key='fallback-turn-0:1:assistant'][data-chatgpt-search-message-ids]"
            chat = f"[data-chatgpt-selection-conversation-id='{prompt.conversation_id}']"
            assert not await has(
                person,
                f"[data-turn-key='{prompt.message_id}'] [data-chatgpt-search-unit-key='fallback-turn-0:0:user']"
                f"[data-chatgpt-search-message-ids='{prompt.message_id}'] [data-user-message-bubble=true]",
                "h4.sr-only[data-conversation-role=assistant]",
                f"{unit} {chat}[data-chatgpt-selection-message-id] [data-markdown-text-style=assistant-message] p",
                *(
                    f".turn-action-controls button[aria-label='{name}']"
                    for name in ("Copy", "Rate response", "Share", "Regenerate response", "More actions")
                ),
            )
            assert (await person.tab.run(f"{TURN}.innerText")).count("Worked for 12s") == 1


async def test_the_persons_pictures_stand_beside_the_bubble_as_whole_blobs(browser: Browser, tmp_path: Path) -> None:
    reference = tmp_path / "ref.png"
    reference.write_bytes(make_picture("reference", size=(1254, 1254)).content)
    beside = (
        "[data-chatgpt-search-unit-key$=':user'] > .attachments > div[role=button][aria-label='User attachment'] > "
        "img[alt='User attachment'][aria-expanded=false][data-state=closed][src^='blob:']"
    )
    with anyio.fail_after(60):
        async with visiting(browser, generation="october") as person:
            await person.arrive()
            await person.tab.files("form:not([hidden]) input[aria-label='Attach files']", reference)
            await person.write("Like this")
            await person.send()
            await person.tab.until(f"document.querySelector({beside!r}).naturalWidth === 1254")
            assert await person.tab.run(f"!document.querySelector({beside!r}).closest('[data-user-message-bubble]')")
            await person.tab.until(DONE)
            image = "[data-testid=generated-image-gallery]:not([aria-busy]) button[data-testid=generated-image-preview]"
            shown = f"{image}[aria-label='Generated image 1'] > img[alt='Generated image 1'][src^='blob:']"
            await person.tab.until(f"document.querySelector({shown!r})")
            assert not await has(
                person,
                "button[aria-label='Edit generated image 1']",
                "button[aria-label='Share generated image 1']",
                "button[aria-label='Like this image']",
                "button[aria-label='Dislike this image']",
            )
            # Loaded anew the originals come from the site, and stand there as blobs again.
            await person.arrive(f"/c/{person.site.log.prompts[0].conversation_id}")
            await person.tab.until(f"document.querySelector({beside!r}).naturalWidth === 1254")
            assert person.tab.complaints == []


async def test_a_tile_rings_while_it_uploads_and_shows_its_remove_when_hovered(
    browser: Browser, tmp_path: Path
) -> None:
    reference = tmp_path / "source.png"
    reference.write_bytes(make_picture("reference", size=(320, 200)).content)
    tile = (
        "[data-composer-attachments][data-visible-attachments] > div.flex-wrap > "
        "[class~='group/composer-attachment'][role=button][aria-label='source.png'][aria-haspopup=dialog]"
    )
    remove = f"{tile} > button[aria-label='Remove source.png']"
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", upload_s=2.0) as person:
            await person.arrive()
            await person.tab.files("form:not([hidden]) input[aria-label='Attach files']", reference)
            await person.tab.until(f"document.querySelector({tile!r})")
            ring = f"{tile} > span[role=progressbar][aria-label='Uploading source.png']"
            thumbnail = f"{tile} > img[alt='source.png'][src^='blob:']"
            await person.tab.until(f"document.querySelector({ring!r})")
            assert not await has(person, remove)
            style = f"getComputedStyle(document.querySelector({remove!r}))"
            assert await person.tab.run(f"[{style}.pointerEvents, {style}.opacity]") == ["none", "0"]
            await person.tab.until(f"!document.querySelector({ring!r})")
            assert not await has(person, thumbnail)
            await person.tab.click(tile)
            await person.tab.until(f"{style}.pointerEvents === 'auto'")
            await person.tab.click(remove)
            await person.tab.until(f"!document.querySelector({tile!r})")
            assert person.site.log.wrong_presses == []


async def test_a_document_has_its_class_three_times_and_a_control_without_a_name(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", stale_attachment=True, stale_card="document") as person:
            await person.arrive()
            card = "[class~='group/composer-attachment']"
            await person.tab.until(f"document.querySelector({card!r})")
            assert await person.tab.run("document.querySelectorAll('.composer-attachment-surface').length") == 3
            buttons = f"[...document.querySelectorAll({card!r} + ' button')].map((button) => button.ariaLabel)"
            assert await person.tab.run(buttons) == [None, None]


@pytest.mark.parametrize("form", ["chip", "pill"])
async def test_left_over_tools_stand_beside_the_editor_or_inside_it(browser: Browser, form: str) -> None:
    tools = {"draft_tools": ("image", "app"), "draft_tool_form": form}
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", **tools) as person:
            await person.arrive()
            if form == "chip":
                shown = ("form button[aria-label='Remove Create image']", "form button[aria-label='Remove GitHub']")
            else:
                pill = "[data-composer-markdown] p > span[contenteditable=false][data-inline-selection-pill]"
                shown = (
                    f"{pill}[data-symbol=ecosystemMention][data-system-hint-type=picture_v2]",
                    f"{pill}[data-id^='plugin:connector_']",
                )
            assert not await has(person, *shown)
            await person.write("A fox")
            await person.send()
            await person.sees_picture()
            (prompt,) = person.site.log.prompts
            assert prompt.text == "A fox"
            assert prompt.system_hints == ["picture_v2", "plugin:connector_github"]


async def test_an_address_becomes_a_pill_and_is_sent_whole(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", url_pill=True) as person:
            await person.arrive()
            await person.write("see https://example.org/a/b and draw")
            pill = "document.querySelector('[data-composer-markdown] span[data-inline-selection-pill]')"
            assert await person.tab.run(f"[{pill}.dataset.id, {pill}.innerText]") == ["https://example.org/a/b", "/a/b"]
            await person.send()
            await person.sees_picture()
            assert [prompt.text for prompt in person.site.log.prompts] == ["see https://example.org/a/b and draw"]


@pytest.mark.parametrize(
    ("switch", "chat"),
    [
        (
            "radios",
            "[role=radiogroup][aria-label='Select chat surface'] > [role=radio][data-tpp-toggle-value=chatgpt]",
        ),
        ("group", "form [role=group][aria-label='Composer mode'] > button[aria-pressed=false]"),
        ("outside", ":not(form) > [role=group][aria-label='Composer mode'] > button[aria-pressed=false]"),
    ],
)
async def test_chat_is_chosen_in_the_forms_that_were_met(browser: Browser, switch: str, chat: str) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", work_mode=True, work_switch=switch) as person:
            await person.arrive()
            assert not await has(person, "[data-composer-markdown][aria-label='Ask ChatGPT Work']")
            await person.tab.click(chat)
            await person.tab.until("document.querySelector('[data-composer-markdown][aria-label=\"Ask ChatGPT\"]')")
            await person.write("A fox")
            await person.send()
            await person.sees_picture()


async def test_when_resume_is_refused_the_turn_shows_an_error_and_a_reload_the_picture(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(
            browser, generation="october", live_channel="resume_404", picture_delay_s=3.0, poll_s=0.1
        ) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            await person.tab.until(
                "document.querySelector('aside[role=alert]').innerText === 'Resume stream unavailable'"
            )
            await person.tab.until(f"{TURN}.innerText.includes('A network error occurred')")
            assert await person.tab.run(
                f"[...{TURN}.querySelectorAll('button')].some((one) => one.innerText === 'Retry')"
            )
            assert await has(person, "form button[aria-label=Stop]")
            paths = [request.path.rpartition("/")[2] for request in person.site.log.requests]
            assert {"resume", "stream_status"} <= set(paths)
            while not person.site.log.pictures():
                await anyio.lowlevel.checkpoint()
            await person.arrive(f"/c/{person.site.log.prompts[0].conversation_id}")
            await person.sees_picture()


async def test_each_prompt_is_announced_and_read_in_the_new_way(browser: Browser) -> None:
    with anyio.fail_after(60):
        async with visiting(browser, generation="october", plural_turns=4) as person:
            await person.arrive()
            await person.write("A fox")
            await person.send()
            await person.sees_picture()
            (prompt,) = person.site.log.prompts
            assert prompt.parent_id == ""
            asked = [f"{request.method} {request.path}" for request in person.site.log.requests]
            assert asked.count("POST /backend-api/conversation/init") == 2
            assert f"GET /backend-api/conversations/{prompt.conversation_id}" in asked
            assert f"GET /backend-api/conversation/{prompt.conversation_id}" not in asked
