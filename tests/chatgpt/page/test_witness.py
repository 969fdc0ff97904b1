"""The page script in a real browser: which turn of the page is ours."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions, Page
from cdp_image_mcp.chatgpt.page.eye import Eye, quoted
from cdp_image_mcp.chatgpt.page.locators import load, witness_source
from cdp_image_mcp.chatgpt.page.pagereport import PageReport
from cdp_image_mcp.chatgpt.page.sitereport import role_not_found
from cdp_image_mcp.chatgpt.watching.evidence import Moment
from cdp_image_mcp.chatgpt.watching.verdict import verdict
from fixtures.site.wordings import LOCALES, labels
from tests.browser import SWITCHES, found_browser
from tests.chatgpt.page.real import eye_of
from tests.chatgpt.talk import call, card, conversation, prompt, queued_turn


def turn(identity: str, answer: str) -> str:
    said = f'<div data-message-author-role="user" data-message-id="{identity}">a lighthouse</div>'
    return f'<div data-turn-key="{identity}">{said}<p>{answer}</p></div>'


@pytest.mark.anyio
async def test_with_our_messages_id_no_other_new_turn_is_taken_for_ours(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:

            async def text(markup: str, watched: dict[str, Any]) -> str:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                seen = await eye.ask(f"witness.snapshot({quoted({'known': ['old'], **watched})})")
                assert seen["found"] == bool(seen["text"])
                return seen["text"]

            old, theirs, ours = turn("old", "before"), turn("theirs", "not ours"), turn("ours", "it is ours")
            assert "not ours" in await text(old + theirs, {"user": None})
            assert await text(old + theirs, {"user": None, "known": None}) == ""
            assert await text(old + theirs, {"user": "ours"}) == ""
            found = await text(old + theirs + ours, {"user": "ours"})
            assert "it is ours" in found
            assert "not ours" not in found


@pytest.mark.anyio
async def test_a_selector_that_no_browser_can_read_is_told_and_those_behind_it_are_tried(tmp_path: Path) -> None:
    users = {
        "send": [{"css": 'button:contains("Send")'}],
        "user_part": [{"css": "[data-mine", "hidden": True}, {"css": "[data-theirs]"}],
        "alert": [{"css": "[role=alert]", "outside": "main["}],
        "composer": [{"css": ""}],
    }
    file = tmp_path / "site.json"
    file.write_text(json.dumps({"roles": users}))
    page = (
        '<main><div data-message-author-role="user">a fox</div><div role="alert">Slow down.</div></main>'
        '<div id="prompt-textarea" contenteditable="true">x</div><button data-testid="send-button">Send</button>'
    )
    with anyio.fail_after(60):
        async with eye_of(tmp_path, file) as eye:
            await eye.ask(f"document.body.innerHTML = {quoted(page)}")
            assert await eye.ask("witness.one('send') !== null && witness.one('composer') !== null", reply=bool)
            assert await eye.ask("witness.present()", reply=set[str]) >= {"send", "composer", "user_part", "alert"}
            tried = await eye.ask("witness.explain('send')", reply=list[dict[str, Any]])
            error = await role_not_found(cast("Any", SimpleNamespace(eye=eye)), "send")
    assert {(one.role, one.css) for one in eye.unread} == {
        ("send", 'button:contains("Send")'),
        ("user_part", "[data-mine"),
        ("alert", "main["),
        ("composer", ""),
    }
    assert {"css": 'button:contains("Send")', "found": 0, "unread": True} in tried
    told = 'button:contains("Send") is no selector that this browser can read (is it in CHATGPT_SITE_FILE?)'
    assert told in error.message


@pytest.mark.anyio
async def test_a_picture_stands_last_where_nobody_asked_since_and_no_other_is_seen_to_have_come_of_its_prompt(
    tmp_path: Path,
) -> None:
    def drawn(identity: str, *sources: str) -> str:
        pictures = [f'<img src="{source}" width="400" height="400">' for source in sources]
        shown = "".join(pictures)
        gallery = (
            f'<div data-testid="generated-image-gallery"><div data-testid="generated-image-preview">{shown}</div></div>'
        )
        return turn(identity, gallery)

    file, other, unnamed = "file_00000000000000000000000a", "file_00000000000000000000000b", "blob:null/1"
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:

            async def last(*turns: str) -> bool:
                await eye.ask(f"document.body.innerHTML = {quoted('<main>' + ''.join(turns) + '</main>')}")
                return await eye.ask(f"witness.standsLast({quoted({'user': 'ours', 'file': file})})", reply=bool)

            named, others = f"/estuary?id={file}", f"/estuary?id={other}"
            for sources in ((), (named,), (unnamed,), (others, named)):
                assert await last(turn("old", "before"), drawn("ours", *sources))
            assert not await last(drawn("ours", others))
            assert not await last(drawn("ours", named), turn("theirs", "since"))
            assert not await last(turn("theirs", "alone"))


@pytest.mark.anyio
async def test_only_our_own_turns_next_picture_is_pressed_once_what_is_mounted_has_an_address(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            await eye.ask("witness.watch({user: 'ours', known: ['old']})")

            async def pressed(markup: str) -> bool:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                return await eye.node("witness.pictureNext()") is not None

            def button(name: str, more: str = "") -> str:
                return f'<button type="button" aria-label="{name}" {more}>.</button>'

            def gallery(inside: str, address: str = 'src="blob:null/1"') -> str:
                return f'<div data-testid="generated-image-preview"><img {address}></div>{inside}'

            shown = '<div data-testid="generated-image-gallery">'
            following = button("Next image")
            assert await pressed(turn("old", following) + turn("ours", shown + gallery(following)))
            assert await pressed(turn("ours", f'<div aria-roledescription="carousel">{button("Next slide")}</div>'))
            assert not await pressed(turn("old", gallery(following)) + turn("ours", gallery("")))
            assert not await pressed(turn("ours", gallery("")) + turn("later", gallery(following)))
            assert not await pressed(following + turn("ours", gallery("")))
            assert not await pressed(turn("ours", gallery(following + following)))
            assert not await pressed(turn("ours", gallery(button("Next image", "disabled"))))
            assert not await pressed(turn("ours", shown + gallery(following, "")))
            for name in ("Next", "Download next image", "Edit image", "Try again", "Share this image"):
                assert not await pressed(turn("ours", gallery(button(name))))
            for holder in (
                '<div data-testid="image-paragen-multigen">',
                "<form>",
                '<a href="/x">',
                '<div role="dialog">',
            ):
                assert not await pressed(turn("ours", f"{holder}{following}"))


@pytest.mark.anyio
async def test_a_panel_that_another_turn_left_open_is_not_ours(tmp_path: Path) -> None:
    """Ours would wait for a second picture, and close what a person may want to answer."""
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:

            def panel(name: str) -> str:
                skip = f'<button type="button" id="{name}">Skip</button>'
                return f'<div data-testid="image-paragen-multigen">Which image do you like more?{skip}</div>'

            async def ours(markup: str) -> tuple[bool, str]:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                await eye.ask("witness.watch({user: 'ours', known: []})")
                seen = await eye.ask("witness.snapshot({user: 'ours', known: []})", reply=PageReport)
                return seen.panel, await eye.ask("witness.panelSkip()?.id || ''", reply=str)

            earlier = turn("old", panel("theirs"))
            assert await ours(earlier + turn("ours", "a picture")) == (False, "")
            assert await ours(earlier + turn("ours", panel("own"))) == (True, "own")
            assert await ours(earlier + turn("ours", "a picture") + panel("loose")) == (True, "loose")
            assert await ours(earlier + panel("loose")) == (False, "")


@pytest.mark.anyio
async def test_what_waits_for_the_page_is_woken_by_a_state_that_it_shows_later(tmp_path: Path) -> None:
    with anyio.fail_after(90):
        async with eye_of(tmp_path) as eye:
            await eye.ask("document.body.innerHTML = '<dialog></dialog>'")
            for name in ("aria-checked", "aria-selected", "aria-expanded", "data-state", "open"):
                shown = f"document.querySelector('dialog').getAttribute('{name}') === 'on'"
                later = f"setTimeout(() => document.querySelector('dialog').setAttribute('{name}', 'on'), 200)"
                assert await eye.ask(f"{later} && witness.until(() => {shown}, 600000)", timeout=15), name
            # What no change of the page tells is seen by a last look.
            late = "((began) => witness.until(() => performance.now() > began + 50, 100))(performance.now())"
            assert await eye.ask(late)


def drawn(width: int, height: int) -> str:
    """An image of that many pixels, made in the page."""
    return (
        "(() => { const canvas = document.createElement('canvas');"
        f" canvas.width = {width}; canvas.height = {height};"
        " return new Promise((resolve) => canvas.toBlob((blob) => resolve(URL.createObjectURL(blob)))); })()"
    )


@pytest.mark.anyio
async def test_of_a_new_turns_images_the_persons_own_are_told_apart_wherever_they_stand(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            one: str = await eye.ask(drawn(300, 280), reply=str)
            two: str = await eye.ask(drawn(300, 280), reply=str)

            async def images(markup: str, ours: str = "ours") -> list[str]:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                await eye.ask("Promise.all([...document.images].map((img) => img.decode()))")
                watched: dict[str, Any] = {"user": ours, "known": []}
                seen = await eye.ask(f"witness.snapshot({quoted(watched)})")
                assert all(image["complete"] and image["width"] == 300 for image in seen["images"])
                return [image["blob"] for image in seen["images"]]

            bubble = "<div data-user-message-bubble>make it blue</div>"
            unit = '<div data-chatgpt-search-unit-key="u:user" data-chatgpt-search-message-ids="ours">'
            attachment = (
                f'<div role="button" aria-label="User attachment"><img alt="User attachment" src="{one}"></div>'
            )
            gallery = f'<div data-testid="generated-image-gallery"><img src="{two}"></div>'
            inside = f'<div data-turn-key="ours">{unit}{attachment}{bubble}</div>{gallery}</div>'
            assert await images(inside) == [two]
            # No name that we know: what stands above the person's words is the person's.
            above = f'<div data-turn-key="ours"><figure><img src="{one}"></figure>{bubble}{gallery}</div>'
            assert await images(above) == [two]
            assert await images(f'<div data-turn-key="ours">{unit}{attachment}{bubble}</div></div>') == []
            assert sorted(await eye.ask("witness.shown()", reply=list[str])) == [one]


@pytest.mark.anyio
async def test_a_picture_in_a_gallery_that_is_not_ready_is_not_taken_from_the_page(tmp_path: Path) -> None:
    """It may be a blurred preview, and what follows it was announced nowhere."""
    heard = queued_turn()
    heard.feed_conversation(conversation(prompt(), call(), card(), async_status=None))
    moment = Moment(quiet=5.0, since_heard=5.0, since_read=5.0, since_end=6.0)
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            blob: str = await eye.ask(drawn(600, 560), reply=str)

            async def judged(ready: str) -> tuple[str, bool]:
                image = f'<button data-testid="generated-image-preview"><img src="{blob}"></button>'
                gallery = f'<div data-testid="generated-image-gallery"{ready}>{image}</div>'
                shown = f"<main>{turn('ours', gallery)}</main>"
                await eye.ask(f"document.body.innerHTML = {quoted(shown)}")
                await eye.ask("document.images[0].decode()")
                page = await eye.ask("witness.snapshot({user: 'ours', known: []})", reply=PageReport)
                assert page.images[0].large
                found = verdict(heard.turn(), page, moment)
                return found.action, found.from_page

            assert await judged(' aria-busy="true"') == ("wait", False)
            assert await judged(' aria-busy="false"') == ("pictures_final", True)
            assert await judged("") == ("pictures_final", True)


@pytest.mark.anyio
async def test_a_tool_that_is_on_is_found_by_its_pill_and_the_picture_tool_stays(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:

            async def pressed(*names: str) -> str:
                pills = "".join(f'<button class="__composer-pill" aria-label="{name}">.</button>' for name in names)
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main><form>{pills}</form></main>')}")
                node = "witness.toolRemove()"
                return await eye.ask(f"{node} === null ? '' : witness.nameOf({node})", reply=str)

            for language in LOCALES:
                said = labels(language)
                picture, search = said["image_pill"], said["image_pill"].replace(said["image"], said["search_web"])
                older = said["image_pill"].replace(said["image"], said["create_image"])
                assert await pressed(picture, said["choose_ratio"], search) == search
                assert await pressed(picture, older, said["choose_ratio"]) == ""
                assert await pressed(said["remove"].replace("{name}", said["create_image"])) == ""


@pytest.mark.anyio
async def test_without_an_id_our_turn_is_the_last_and_below_all_that_were_there(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:

            async def text(markup: str) -> str:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                return (await eye.ask("witness.snapshot({user: null, known: ['old']})"))["text"]

            mounted_late, old, ours = turn("older", "long ago"), turn("old", "before"), turn("ours", "it is ours")
            assert await text(mounted_late + old) == ""
            assert "it is ours" in await text(mounted_late + old + ours)


@pytest.mark.anyio
async def test_what_is_told_is_whole_text_and_sizes_are_the_files_own_pixels(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with eye_of(tmp_path) as eye:
            blob: str = await eye.ask(drawn(600, 560), reply=str)
            smile = "'x'.repeat(3999) + '\\u{1F600}'"
            image = f'<picture><source srcset="{blob} 2x"><img alt=""></picture>'
            answer = f'<div data-turn-key="ours"><div data-turn="user">hi</div>{image}<p id="words"></p></div>'
            await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{answer}</main>')}")
            await eye.ask(f"document.getElementById('words').textContent = {smile}")
            await eye.ask("document.images[0].decode()")
            assert await eye.ask("document.images[0].naturalWidth") == 300
            seen = await eye.ask("witness.snapshot({user: 'ours', known: []})")
            assert seen["text"][-1] == "\ufffd"
            assert [(one["width"], one["height"]) for one in seen["images"]] == [(600, 560)]


@pytest.mark.anyio
async def test_of_layers_over_each_other_the_one_on_top_is_closed_first(tmp_path: Path) -> None:
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    beacon = (
        '<div data-testid="modal-beacon" role="dialog" style="position: fixed; inset: 20%">'
        '<button data-testid="close-button">close the news</button></div>'
    )
    cookies = (
        '<dialog data-cookie-consent style="width: 90vw; height: 90vh">'
        "<button>Accept all</button><button>Reject non-essential</button></dialog>"
    )
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            eye = Eye(page, witness_source(load()))
            await eye.open()
            await eye.ask(f"document.body.innerHTML = {quoted(f'<main></main>{beacon}{cookies}')}")
            await eye.ask("document.querySelector('dialog').showModal()")
            names: list[str] = []
            for close in ("dialog", "[data-testid=modal-beacon]"):
                names.append(await eye.ask("witness.nameOf(witness.layerClose())", reply=str))
                await eye.ask(f"document.querySelector({quoted(close)}).remove()")
            assert names == ["Reject non-essential", "close the news"]
            assert await eye.node("witness.layerClose()") is None
