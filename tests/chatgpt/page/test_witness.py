"""The page script in a real browser: which turn of the page is ours."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import LaunchOptions, Page
from cdp_image_mcp.chatgpt.page.eye import BINDING, Eye, quoted
from cdp_image_mcp.chatgpt.page.locators import load, witness_source
from tests.browser import SWITCHES, found_browser


def turn(identity: str, answer: str) -> str:
    said = f'<div data-message-author-role="user" data-message-id="{identity}">a lighthouse</div>'
    return f'<div data-turn-key="{identity}">{said}<p>{answer}</p></div>'


@pytest.mark.anyio
async def test_with_our_messages_id_no_other_new_turn_is_taken_for_ours(tmp_path: Path) -> None:
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            eye = Eye(page, witness_source(load(), BINDING))
            await eye.open()

            async def text(markup: str, watched: dict[str, Any]) -> str:
                await eye.ask(f"document.body.innerHTML = {quoted(f'<main>{markup}</main>')}")
                seen = await eye.ask(f"witness.snapshot({quoted({'known': ['old'], **watched})})")
                assert seen["found"] == bool(seen["text"])
                return seen["text"]

            old, theirs, ours = turn("old", "before"), turn("theirs", "not ours"), turn("ours", "it is ours")
            assert "not ours" in await text(old + theirs, {"user": None, "strict": False})
            assert await text(old + theirs, {"user": "ours", "strict": True}) == ""
            found = await text(old + theirs + ours, {"user": "ours", "strict": True})
            assert "it is ours" in found
            assert "not ours" not in found


@pytest.mark.anyio
async def test_only_our_own_turns_next_picture_is_pressed_once_what_is_mounted_has_an_address(tmp_path: Path) -> None:
    options = LaunchOptions(browser=found_browser(), profile=tmp_path / "profile", extra_args=SWITCHES)
    with anyio.fail_after(60):
        async with cdp.launch(options) as browser, await Page.create(browser.connection) as page:
            eye = Eye(page, witness_source(load(), BINDING))
            await eye.open()
            await eye.ask("witness.watch({user: 'ours', known: ['old'], strict: true})")

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
