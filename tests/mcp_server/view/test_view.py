"""The view as a host shows it: what the person sees, what is pressed, and what goes over the line."""

import base64
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import msgspec
import pytest
from PIL import Image

from cdp_image_mcp.cdp import Browser
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import SavedImage, State
from cdp_image_mcp.studio.studio import News, Standing
from tests.mcp_server.raw import connected, envelope
from tests.mcp_server.scripted import IDENTITY, ScriptedStudio, app_of, saved, standing
from tests.mcp_server.view.host import APPS, Host, hosting

pytestmark = pytest.mark.anyio

SCHEMA = json.loads((Path(__file__).parents[3] / "fixtures" / "schemas" / "apps.schema.json").read_text("utf-8"))
KINDS = {
    "ui/initialize": "McpUiInitializeRequest",
    "ui/notifications/initialized": "McpUiInitializedNotification",
    "ui/notifications/size-changed": "McpUiSizeChangedNotification",
    "ui/message": "McpUiMessageRequest",
    "ui/request-display-mode": "McpUiRequestDisplayModeRequest",
}
FOX = {"prompt": "a fox"}


def valid(value: Any, kind: str) -> None:
    jsonschema.validate(value, SCHEMA | {"$ref": f"#/$defs/{kind}"})


def noise(width: int, height: int) -> bytes:
    """A picture that is too large for one part of its file."""
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), os.urandom(width * height * 3)).save(out, "PNG", compress_level=0)
    return out.getvalue()


def drawn(folder: Path, index: int = 1, *, colour: str = "#2080c0", size: tuple[int, int] = (640, 480)) -> SavedImage:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return saved(folder, index, out.getvalue(), width=size[0], height=size[1])


async def write_change(host: Host, words: str) -> None:
    """What a person does until it is to be sent."""
    await host.view.press("#again")
    await host.view.type("words", words)


def with_news(made: Standing, message: str, expected: float | None = None) -> Standing:
    return msgspec.structs.replace(made, news=News(message, made.record.elapsed_seconds, expected))


@pytest.fixture
def studio(settings: Settings) -> ScriptedStudio:
    return ScriptedStudio(settings)


# --- what a host is told ---------------------------------------------------------------------------------------


async def test_a_host_without_views_is_told_nothing_of_them(studio: ScriptedStudio) -> None:
    with anyio.fail_after(20):
        async with connected(app_of(studio)) as raw:
            plain = (await raw.ask("tools/list", {}, envelope()))["result"]["tools"]
            shown = (await raw.ask("tools/list", {}, envelope(APPS)))["result"]["tools"]
            called = await raw.ask("tools/call", {"name": "picture_history", "arguments": {}}, envelope())
    assert len(plain) == 5
    assert not any("_meta" in tool for tool in plain)
    assert [{name: tool[name] for name in tool if name != "_meta"} for tool in shown[:5]] == plain
    assert called["error"]["code"] == -32602


async def test_a_host_of_another_kind_of_views_is_told_nothing_of_ours(studio: ScriptedStudio) -> None:
    other = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/x-other"]}}}
    with anyio.fail_after(20):
        async with connected(app_of(studio)) as raw:
            tools = (await raw.ask("tools/list", {}, envelope(other)))["result"]["tools"]
    assert len(tools) == 5


async def test_the_view_belongs_to_the_two_tools_that_answer_with_pictures_and_its_own_are_its_alone(
    studio: ScriptedStudio,
) -> None:
    with anyio.fail_after(20):
        async with connected(app_of(studio)) as raw:
            tools = (await raw.ask("tools/list", {}, envelope(APPS)))["result"]["tools"]
    metas = {tool["name"]: tool["_meta"]["ui"] for tool in tools if "_meta" in tool}
    for meta in metas.values():
        valid(meta, "McpUiToolMeta")
    assert [name for name, meta in metas.items() if "resourceUri" in meta] == ["generate_image", "wait_for_image"]
    assert {name for name, meta in metas.items() if meta.get("visibility") == ["app"]} == {
        *("watch_picture", "picture_history")
    }


async def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing_but_its_own(studio: ScriptedStudio) -> None:
    with anyio.fail_after(20):
        async with connected(app_of(studio)) as raw:
            told = await raw.ask("resources/read", {"uri": "ui://cdp-image-mcp/picture.html"}, envelope(APPS))
    (content,) = told["result"]["contents"]
    assert content["mimeType"] == "text/html;profile=mcp-app"
    valid(content["_meta"]["ui"], "McpUiResourceMeta")
    assert content["_meta"]["ui"]["csp"] == {}
    text = content["text"]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    for name in ("style", "script"):
        (body,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|\bon\w+=|\bfetch\(|\binnerHTML\b", text)


# --- what the person sees --------------------------------------------------------------------------------------


async def test_everything_the_view_says_is_as_the_protocol_has_it(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('picture').naturalWidth === 640")
            await write_change(host, "make it blue")
            await host.view.press("#send")
            await host.view.press("#large")
            await host.view.until("document.querySelector('main').dataset.mode === 'fullscreen'")
            ended = await host.page.call("request", "ui/resource-teardown", {})
            said = await host.said()
    assert ended["result"] == {}
    methods = [message["method"] for message in said if "method" in message]
    assert methods[0] == "ui/initialize"
    assert set(KINDS) | {"resources/read"} == set(methods)
    for message in said:
        if (kind := KINDS.get(message.get("method", ""))) is not None:
            valid({name: message[name] for name in ("method", "params") if name in message}, kind)


async def test_a_running_generation_is_followed_to_its_picture_without_the_model(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    running = with_news(standing(tmp_path, "generating", elapsed_seconds=23.0), "drawing 21 s of typically 60 s", 60.0)
    studio.generated, studio.waited = [running], [standing(tmp_path, images=[drawn(tmp_path)])]
    studio.holding = "wait"
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('doing').textContent.startsWith('drawing')")
            before = (await host.view.text("state"), await host.view.text("prompt"), await host.view.text("clock"))
            width = await host.view.read("parseFloat(document.getElementById('done').style.width)")
            studio.hold.set()
            await host.view.until("document.getElementById('picture').naturalWidth === 640")
            after = await host.view.text("state")
    assert before[:2] == ("Making the picture", "a fox")
    assert re.fullmatch(r"0:2\d", before[2])
    assert 38 <= width <= 97
    assert after == "Saved"
    # The model has not had the answer: it still gets the picture, and is joined to it.
    assert studio.handed_out == []
    assert studio.calls[-1].startswith(f"wait {IDENTITY} 15")


async def test_the_arguments_are_shown_before_there_is_an_answer(browser: Browser, studio: ScriptedStudio) -> None:
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.tell("tool-input", {"arguments": FOX})
            await host.view.until("document.getElementById('prompt').innerText === 'a fox'")
            assert await host.view.text("state") == "Making the picture"


async def test_the_preview_comes_at_once_and_the_original_in_parts_that_fit(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    original = noise(900, 800)
    image = saved(tmp_path, 1, original, width=900, height=800)
    studio.generated = studio.waited = [standing(tmp_path, images=[image])]
    small = drawn(tmp_path / "small", size=(90, 80))
    await anyio.Path(tmp_path / "preview-01.png").write_bytes(await anyio.Path(small.path).read_bytes())
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('picture').naturalWidth === 90")
            await host.view.until("document.getElementById('picture').naturalWidth === 900")
            shown = await host.view.read("document.getElementById('picture').src")
            reads = [message for message in await host.said() if message.get("method") == "resources/read"]
    parts = [message["params"]["uri"] for message in reads]
    assert base64.b64decode(shown.partition(",")[2]) == original
    assert parts == [f"cdp-image://generation/{IDENTITY}/1/{part}" for part in range(1, 5)]


async def test_a_picture_of_which_no_preview_was_made_is_shown_all_the_same(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    image = saved(tmp_path, 1, noise(900, 800), width=900, height=800)
    studio.generated = studio.waited = [standing(tmp_path, images=[image])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", {**FOX, "images": "none"})
            await host.view.until("document.getElementById('picture').naturalWidth === 900")
            assert await host.view.read("document.getElementById('note').checkVisibility()") is False


async def test_a_picture_too_large_for_the_view_leads_to_its_file(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    image = saved(tmp_path, 1, noise(2400, 2300), width=2400, height=2300)
    studio.generated = studio.waited = [standing(tmp_path, images=[image])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", {**FOX, "images": "none"})
            await host.view.until("document.getElementById('note').innerText.startsWith('Too large')")
            assert await host.view.text("file") == image.path


async def test_path_facts_and_unmet_wishes_are_told(browser: Browser, studio: ScriptedStudio, tmp_path: Path) -> None:
    made = standing(
        tmp_path, images=[drawn(tmp_path)], backend="api", model="gpt-image-2", cost_usd=0.042, request={"size": "1:1"}
    )
    studio.generated = studio.waited = [made]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('facts').checkVisibility()")
            facts, file = await host.view.text("facts"), await host.view.text("file")
    assert file == made.record.images[0].path
    for part in ("640×480", "PNG", "gpt-image-2", "$0.042", "size: asked 1:1, got 640x480"):
        assert part in facts


async def test_any_of_several_pictures_can_be_looked_at_and_gone_on_from(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    images = [drawn(tmp_path, index, size=(100 * index, 100)) for index in range(1, 5)]
    studio.generated = studio.waited = [standing(tmp_path, images=images, request={"n": 4})]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", {**FOX, "n": 4})
            await host.view.until("document.querySelectorAll('#several img').length === 4")
            await host.view.press("#several button:nth-child(3)")
            await host.view.until("document.getElementById('picture').naturalWidth === 300")
            await write_change(host, " make it blue ")
            await host.view.press("#send")
            await host.view.until("document.getElementById('note').innerText === 'Sent.'")
            (message,) = [each for each in await host.said() if each.get("method") == "ui/message"]
    (block,) = message["params"]["content"]
    assert block["text"] == (f"Change this picture: make it blue\n(generate_image with continue_from {IDENTITY}/3)")


async def test_a_change_goes_out_once_however_often_and_long_it_is_pressed(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    """Hosts ask their user before they take a message; each one may become a picture that is paid for."""
    studio.generated = studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    enter = "document.getElementById('words').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', repeat: %s}))"
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio), slow=True) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('again').checkVisibility()")
            await write_change(host, "make it blue")
            await host.view.read(enter % "true")
            await host.view.read(enter % "false")
            await host.view.read(enter % "false")
            await host.view.press("#send")
            await host.page.evaluate("take()")
            await host.view.until("document.getElementById('note').innerText === 'Sent.'")
            sent = [each for each in await host.said() if each.get("method") == "ui/message"]
            await write_change(host, "and red")
            await host.view.press("#send")
            await host.view.until("document.getElementById('words').value === ''")
            both = [each for each in await host.said() if each.get("method") == "ui/message"]
    assert (len(sent), len(both)) == (1, 2)


async def test_a_message_that_the_host_does_not_take_is_not_lost(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio), deaf=True) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('again').checkVisibility()")
            await write_change(host, "make it blue")
            await host.view.press("#send")
            await host.view.until("document.getElementById('note').innerText.includes('did not take')")
            assert await host.view.read("document.getElementById('words').value") == "make it blue"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (("refused", True, False), "It was sent, and nothing was spent."),
        (("failed", True, True), "It was sent, and it counts."),
        (("failed", True, "unknown"), "It was sent, and it may count."),
        (("failed", "unknown", False), "It may have been sent, and nothing was spent."),
    ],
)
async def test_a_failure_says_what_was_spent_and_what_to_do(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path, made: tuple[Any, Any, Any], told: str
) -> None:
    state, submitted, spent = made
    error = ImageError(
        "refused", "The site refused it.", submitted=submitted, spent=spent, next_step="Ask for another."
    )
    studio.generated = [standing(tmp_path, state, error=error.as_dict(), spent=spent)]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('told').checkVisibility()")
            assert await host.view.text("state") == "No picture"
            assert (await host.view.text("told")).split("\n") == [
                "The site refused it.",
                "",
                "Ask for another.",
                "",
                told,
            ]


@pytest.mark.parametrize(
    ("state", "head", "what"),
    [("needs_sign_in", "Please sign in", "Sign in"), ("needs_verification", "Please pass the check", "Pass the check")],
)
async def test_a_person_who_is_needed_is_told_where_to_act_and_to_close_that_window(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path, state: State, head: str, what: str
) -> None:
    waiting = with_news(standing(tmp_path, state), "waiting for a person")
    studio.generated, studio.waited = [waiting], [standing(tmp_path, images=[drawn(tmp_path)])]
    studio.holding = "wait"
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('told').checkVisibility()")
            told = (await host.view.text("state"), await host.view.text("told"))
            studio.hold.set()
            await host.view.until("document.getElementById('state').innerText === 'Saved'")
    assert told[0] == head
    assert told[1].startswith(f"{what} in the browser window that is open on this computer (only there), then close")
    assert told[1].endswith("that window (on a Mac: quit that browser). The picture goes on by itself after that.")


async def test_earlier_pictures_are_there_by_a_call_of_the_views_own(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    other = "f" * 32
    now = standing(tmp_path / "now", images=[drawn(tmp_path / "now")])
    then = standing(tmp_path / "then", prompt="a horse", images=[drawn(tmp_path / "then", size=(320, 200))])
    then = msgspec.structs.replace(then, record=msgspec.structs.replace(then.record, generation_id=other))
    studio.generated, studio.waited = [now], [then]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.view.press("#earlier")
            await host.view.until("document.querySelectorAll('#history img').length === 2")
            await host.view.press("#history button:nth-child(2)")
            await host.view.until("document.getElementById('picture').naturalWidth === 320")
            assert await host.view.text("prompt") == "a horse"
    assert studio.calls[-1] == f"wait {other} 0"
    assert studio.handed_out == [IDENTITY]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_view_is_as_light_or_dark_as_its_host_whatever_the_system_is(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path, theme: str
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio), theme=theme) as host:
            await host.scheme("dark" if theme == "light" else "light")
            await host.call("generate_image", FOX)
            ink = await host.view.read("getComputedStyle(document.body).color")
            ground = await host.view.read("getComputedStyle(document.body).backgroundColor")
    assert ink == {"light": "rgb(29, 28, 26)", "dark": "rgb(236, 234, 229)"}[theme]
    assert ground == "rgba(0, 0, 0, 0)"


async def test_the_hosts_own_colours_are_used(browser: Browser, studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.generated = studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    given = {"styles": {"variables": {"--color-text-primary": "rgb(1, 2, 3)"}}}
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio), context=given) as host:
            await host.call("generate_image", FOX)
            assert await host.view.read("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"


@pytest.mark.parametrize("width", [320, 720])
async def test_the_view_is_never_higher_than_hosts_allow_in_a_conversation(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path, width: int
) -> None:
    images = [drawn(tmp_path, index, size=(900, 1600)) for index in range(1, 5)]
    studio.generated = studio.waited = [standing(tmp_path, prompt="a fox " * 99, images=images, request={"n": 4})]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.resize(width)
            await host.call("generate_image", {**FOX, "n": 4})
            await host.view.until("document.querySelectorAll('#several img').length === 4")
            for button in ("#again", "#earlier"):
                await host.view.press(button)
            await host.view.until("document.querySelectorAll('#history img').length === 1")
            # It grows as its pictures are laid out; what it may come to is what is asked here.
            await host.view.until("document.documentElement.scrollHeight >= 500")
            high = await host.view.read("document.documentElement.scrollHeight")
            wide = await host.view.read("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            sizes = [m for m in await host.said() if m.get("method") == "ui/notifications/size-changed"]
            seen = await host.view.read("document.getElementById('picture').getBoundingClientRect().height")
    assert (max(high, *(each["params"]["height"] for each in sizes)), wide) == (500, 0)
    assert seen > 60


async def test_no_bars_and_no_cut_words_in_a_narrow_frame(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    error = ImageError("quota_reached", "Used up. " * 20, submitted=True, spent=False, next_step="Wait a day. " * 12)
    studio.generated = [
        standing(tmp_path, images=[drawn(tmp_path, size=(1536, 1024))]),
        standing(tmp_path, "failed", error=error.as_dict(), spent=False),
    ]
    studio.waited = studio.generated[:1]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.resize(320)
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('picture').naturalWidth === 1536")
            fits = "innerHeight === Math.ceil(document.querySelector('main').getBoundingClientRect().height)"
            await host.view.until(fits)
            assert await host.view.read("innerWidth - document.documentElement.clientWidth") == 0
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('told').checkVisibility()")
            hidden = "(told => told.scrollHeight - told.clientHeight)(document.getElementById('told'))"
            await host.view.until(fits)
            assert await host.view.read(hidden) == 0


async def test_words_are_shown_and_never_run(browser: Browser, studio: ScriptedStudio, tmp_path: Path) -> None:
    prompt = "<img src=x onerror=\"document.title='run'\"><b>a fox</b>"
    studio.generated = studio.waited = [standing(tmp_path, prompt=prompt, images=[drawn(tmp_path)])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", {"prompt": prompt})
            await host.view.until("document.getElementById('picture').naturalWidth === 640")
            assert await host.view.text("prompt") == prompt
            assert await host.view.read("document.title") == "Picture"
            assert await host.view.read("document.querySelectorAll('b').length") == 0


async def test_a_host_that_passes_no_calls_on_still_shows_the_picture(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    made = standing(tmp_path, images=[drawn(tmp_path)])
    studio.generated = studio.waited = [made]
    bare: dict[str, Any] = {"capabilities": {}, "context": {"availableDisplayModes": ["inline"]}}
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio), **bare) as host:
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('picture').naturalWidth === 640")
            assert await host.view.text("acts") == ""
            assert await host.view.text("file") == made.record.images[0].path
            assert {m.get("method") for m in await host.said()} <= set(KINDS)


async def test_a_line_that_breaks_for_a_moment_is_told_and_tried_again(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    studio.waited = [standing(tmp_path, images=[drawn(tmp_path)])]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.page.evaluate("(window.answer = answers['tools/call'], true)")
            await host.page.evaluate("(answers['tools/call'] = () => ({error: {code: -1, message: 'gone'}}), true)")
            await host.call("generate_image", FOX)
            await host.view.until("document.getElementById('note').innerText.includes('gone')")
            await host.page.evaluate("(answers['tools/call'] = window.answer, true)")
            await host.view.until("document.getElementById('state').innerText === 'Saved'")
            assert await host.view.text("note") == ""


async def test_a_call_that_was_stopped_says_that_the_picture_goes_on(browser: Browser, studio: ScriptedStudio) -> None:
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.tell("tool-input", {"arguments": FOX})
            await host.tell("tool-cancelled", {"reason": "user action"})
            await host.view.until("document.getElementById('told').checkVisibility()")
            assert "goes on" in await host.view.text("told")


async def test_a_view_that_was_taken_down_asks_no_more(
    browser: Browser, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "generating")]
    with anyio.fail_after(60):
        async with hosting(browser, app_of(studio)) as host:
            await host.call("generate_image", FOX)
            await host.page.call("request", "ui/resource-teardown", {})
            await settled(host)
            before = len(studio.calls)
            await settled(host)
            assert len(studio.calls) == before


async def settled(host: Host) -> None:
    """What was under way has been answered: the line carries one request after the other."""
    for _ in range(3):
        await host.page.evaluate("proxied({method: 'tools/list', params: {}})")


# --- resources -------------------------------------------------------------------------------------------------


async def test_a_part_beyond_the_end_and_a_preview_that_was_never_made_are_no_resources(
    studio: ScriptedStudio, tmp_path: Path
) -> None:
    image = saved(tmp_path, 1, noise(900, 800), width=900, height=800)
    studio.generated = studio.waited = [standing(tmp_path, images=[image])]
    with anyio.fail_after(20):
        async with connected(app_of(studio)) as raw:
            for what in ("5", "preview", "0", "x"):
                uri = f"cdp-image://generation/{IDENTITY}/1/{what}"
                told = await raw.ask("resources/read", {"uri": uri}, envelope())
                assert told["error"]["code"] == -32602, what
