"""Trusted typing, clicking and files in a real browser."""

from pathlib import Path

import anyio
import pytest

from cdp_image_mcp.cdp import Page, keyboard_mouse
from cdp_image_mcp.cdp.errors import ClickBlocked, ClickMissed, EventTimeout, FileError, NodeError
from tests.cdp.elements import element, focus, looking_into
from tests.cdp.site import Site

pytestmark = pytest.mark.anyio

TEXT = "“Quotes” 'and' \"more\"\n\nblank line above, ünïcödé, 漢字, العربية, e\u0301, 👩‍👩‍👧‍👦 and 😀 <b>&amp;</b>"


@pytest.fixture
async def form(page: Page, site: Site) -> Page:
    await page.navigate(site.url("/page/editor"))
    return page


async def log(page: Page) -> list[tuple[str, bool]]:
    return await page.evaluate("log", reply=list[tuple[str, bool]])


async def test_text_arrives_exactly_and_as_trusted_input(form: Page) -> None:
    with anyio.fail_after(30):
        await focus(await element(form, "#editor"))
        await keyboard_mouse.insert_text(form, TEXT)
        lines = "[...editor.childNodes].map(node => node.textContent).join('\\n')"
        assert await form.evaluate(lines, reply=str) == TEXT
        assert ("beforeinput:insertText", True) in await log(form)
        assert await form.evaluate("typeof sent", reply=str) == "undefined"


async def test_twenty_thousand_characters_arrive(form: Page) -> None:
    with anyio.fail_after(30):
        text = "0123456789" * 2000
        await focus(await element(form, "#editor"))
        await keyboard_mouse.insert_text(form, text)
        assert await form.evaluate("editor.textContent", reply=str) == text


async def test_a_draft_is_cleared(form: Page) -> None:
    with anyio.fail_after(30):
        await focus(await element(form, "#editor"))
        await keyboard_mouse.insert_text(form, TEXT)
        await keyboard_mouse.clear(form)
        assert (await form.evaluate("editor.innerText", reply=str)).strip() == ""


async def test_enter_is_a_real_key(form: Page) -> None:
    with anyio.fail_after(30):
        await focus(await element(form, "#editor"))
        await keyboard_mouse.insert_text(form, "one")
        await keyboard_mouse.press(form, "Enter")
        assert await form.evaluate("sent", reply=str) == "one"
        assert [entry for entry in await log(form) if entry[0].startswith("key:")] == [("key:Enter", True)]


@pytest.mark.parametrize("selector", ["#button", "#inner", "#button svg", "#far"])
async def test_a_click_is_trusted_and_hits_what_was_meant(form: Page, selector: str) -> None:
    with anyio.fail_after(30):
        await keyboard_mouse.click(await element(form, selector))
        assert await log(form) == [("far" if selector == "#far" else "button", True)]


async def test_a_button_inside_a_shadow_root_is_clicked(form: Page) -> None:
    with anyio.fail_after(30):
        world = await looking_into(form)
        deep = await world.node("document.getElementById('host').shadowRoot.getElementById('deep')")
        assert deep is not None
        await keyboard_mouse.click(deep)
        assert await log(form) == [("deep", True)]


async def test_a_covered_button_is_not_clicked_and_the_cover_is_named(form: Page) -> None:
    with anyio.fail_after(30):
        covered = await element(form, "#covered")
        with pytest.raises(ClickBlocked) as caught:
            await keyboard_mouse.click(covered)
        assert "would land on div#cover.sheet.modal; nothing was clicked" in str(caught.value)
        assert await log(form) == []
        await form.evaluate("document.getElementById('cover').remove()")
        await keyboard_mouse.click(covered)
        assert await log(form) == [("covered", True)]


async def test_an_element_without_a_box_is_not_clicked(form: Page) -> None:
    with anyio.fail_after(30):
        gone = await element(form, "#gone")
        with pytest.raises(NodeError):
            await keyboard_mouse.click(gone)
        button = await element(form, "#button")
        await form.evaluate("document.getElementById('button').remove()")
        with pytest.raises(NodeError):
            await keyboard_mouse.click(button)


async def test_a_moving_button_is_waited_for(form: Page) -> None:
    with anyio.fail_after(30):
        moves = "[{translate: '0 0'}, {translate: '400px 0'}], {duration: 200, fill: 'forwards'}"
        await form.evaluate(f"(document.getElementById('button').animate({moves}), undefined)")
        await form.evaluate("(addEventListener('click', event => { window.at = event.clientX; }), undefined)")
        await keyboard_mouse.click(await element(form, "#button"))
        assert await form.evaluate("at", reply=float) > 400
        assert await log(form) == [("button", True)]


def moving_away(form: Page, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """The button leaves its place between the last look at it and the press, so many times."""
    mouse = keyboard_mouse._mouse  # pyright: ignore[reportPrivateUsage]
    moved = 0

    async def sly(page: Page, kind: str, x: float, y: float, **more: str | int) -> None:
        nonlocal moved
        if kind == "mousePressed" and moved < times:
            moved += 1
            away = f"document.getElementById('button').style.translate = '{moved % 2 * 400}px 0'"
            await form.evaluate(f"({away}, undefined)")
        await mouse(page, kind, x, y, **more)

    monkeypatch.setattr(keyboard_mouse, "_mouse", sly)


async def test_a_press_that_missed_is_made_again_and_clicks_once(form: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(30):
        moving_away(form, monkeypatch, times=1)
        await form.evaluate("(addEventListener('click', event => { window.at = event.clientX; }), undefined)")
        await keyboard_mouse.click(await element(form, "#button"))
        assert await form.evaluate("at", reply=float) > 400
        assert await log(form) == [("button", True)]


async def test_a_press_that_never_reaches_its_button_is_told(form: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.fail_after(30):
        moving_away(form, monkeypatch, times=100)
        with pytest.raises(ClickMissed):
            await keyboard_mouse.click(await element(form, "#button"))
        assert await log(form) == []


@pytest.fixture
def robbed(form: Page, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A quiet page whose editor takes the keyboard back between the control's focus and the key."""
    form.quiet = True
    press = keyboard_mouse.press

    async def late(page: Page, key: str) -> None:
        await form.evaluate("(document.getElementById('editor').focus(), undefined)")
        await press(page, key)

    monkeypatch.setattr(keyboard_mouse, "press", late)
    return form


async def test_a_key_that_would_reach_something_else_reaches_nothing(robbed: Page) -> None:
    with anyio.fail_after(30):
        await focus(await element(robbed, "#editor"))
        await keyboard_mouse.insert_text(robbed, "an old draft")
        await keyboard_mouse.click(await element(robbed, "#button"))
        assert await robbed.evaluate("typeof sent", reply=str) == "undefined"
        assert [entry for entry in await log(robbed) if not entry[0].startswith("beforeinput")] == [("button", True)]
        await robbed.evaluate("(document.getElementById('editor').focus(), undefined)")
        await keyboard_mouse.press(robbed, "Enter")
        assert await robbed.evaluate("sent", reply=str) == "an old draft"


async def test_no_press_follows_one_that_may_have_worked(robbed: Page) -> None:
    asked: list[bool] = []

    async def again() -> bool:
        asked.append(True)
        return False

    with anyio.fail_after(30):
        await keyboard_mouse.click(await element(robbed, "#button"), again=again)
        assert asked == [True]
        assert await log(robbed) == []


async def test_a_press_by_mouse_that_missed_is_asked_about_as_well(form: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [True, False]

    async def again() -> bool:
        return answers.pop(0)

    with anyio.fail_after(30):
        moving_away(form, monkeypatch, times=100)
        await keyboard_mouse.click(await element(form, "#button"), again=again)
        assert answers == []
        assert await log(form) == []


async def test_what_covers_the_button_after_a_press_that_missed_is_told_as_a_miss(
    form: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told of a cover may press again: it means that nothing was pressed yet."""
    mouse = keyboard_mouse._mouse  # pyright: ignore[reportPrivateUsage]

    async def covering(page: Page, kind: str, x: float, y: float, **more: str | int) -> None:
        if kind == "mousePressed":
            cover = (
                "document.body.append(Object.assign(document.createElement('div'), {style: 'position:fixed;inset:0'}))"
            )
            await form.evaluate(f"({cover}, undefined)")
        await mouse(page, kind, x, y, **more)

    with anyio.fail_after(30):
        monkeypatch.setattr(keyboard_mouse, "_mouse", covering)
        with pytest.raises(ClickMissed, match="div"):
            await keyboard_mouse.click(await element(form, "#button"))
        assert await log(form) == []


async def test_a_file_arrives_in_a_hidden_input(form: Page, tmp_path: Path) -> None:
    with anyio.fail_after(30):
        (tmp_path / "b ü.txt").write_text("zwei")
        await keyboard_mouse.set_file(await element(form, "#file"), tmp_path / "b ü.txt")
        assert await form.evaluate(
            "new Promise(r => { const look = () => window.files ? r(files) : setTimeout(look, 5); look(); })"
        ) == [["b ü.txt", 4, "zwei"]]
        assert ("change", True) in await log(form)


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.txt", "No such file"), ("folder", "not a regular file"), (None, "not an absolute")]
)
async def test_a_bad_file_is_refused_before_the_page_hears_of_it(
    form: Page, tmp_path: Path, name: str | None, reason: str
) -> None:
    with anyio.fail_after(30):
        (tmp_path / "folder").mkdir()
        path = tmp_path / name if name else Path("relative.txt")
        with pytest.raises(FileError, match=reason):
            await keyboard_mouse.set_file(await element(form, "#file"), path)
        assert await log(form) == []


async def test_what_takes_no_files_is_told(form: Page, tmp_path: Path) -> None:
    with anyio.fail_after(30):
        (tmp_path / "a.txt").write_text("eins")
        with pytest.raises(NodeError, match="no files"):
            await keyboard_mouse.set_file(await element(form, "#button"), tmp_path / "a.txt")


async def test_a_file_chooser_is_answered(form: Page, tmp_path: Path) -> None:
    with anyio.fail_after(30):
        (tmp_path / "a.txt").write_text("eins")
        await keyboard_mouse.choose_file(await element(form, "#choose"), tmp_path / "a.txt")
        assert await form.evaluate("document.getElementById('file').files.length") == 1
        with pytest.raises(EventTimeout):
            await keyboard_mouse.choose_file(await element(form, "#button"), tmp_path / "a.txt", timeout=0.3)
