"""The server over the real studio: what is saved is what clients can list, read and collect."""

import base64
import json
from pathlib import Path
from typing import Any, cast

import anyio
import mcp_types as types
import msgspec
import pytest
from mcp import Client, MCPError

from cdp_image_mcp.config import Settings
from cdp_image_mcp.library.folder import read_record
from cdp_image_mcp.mcp_server import call
from cdp_image_mcp.mcp_server.app import Context
from cdp_image_mcp.mcp_server.resources import LARGEST
from cdp_image_mcp.mcp_server.server import make_server
from cdp_image_mcp.request import ImageRequest, Report
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.intake import Intake
from cdp_image_mcp.studio.recovery import Recovery
from cdp_image_mcp.studio.studio import Standing, Studio
from cdp_image_mcp.system.tasks import background
from tests.clock import leap
from tests.mcp_server.painted import Painter, app
from tests.mcp_server.scripted import png

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ["auto", "legacy"])]


@pytest.fixture
def painter() -> Painter:
    return Painter()


def text_of(result: types.CallToolResult) -> dict[str, Any]:
    return json.loads(cast("types.TextContent", result.content[0]).text)


async def test_a_saved_picture_is_listed_and_read_byte_for_byte(settings: Settings, painter: Painter, era: Any) -> None:
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "backend": "chatgpt-web"}))
            listed = (await client.list_resources()).resources
            templates = (await client.list_resource_templates()).resource_templates
            read = await client.read_resource(listed[0].uri)
    assert [resource.uri for resource in listed] == [f"cdp-image://generation/{made['generation_id']}/1"]
    assert str(settings.output_dir) not in listed[0].model_dump_json()
    assert len(templates) == 1
    contents = read.contents[0]
    assert isinstance(contents, types.BlobResourceContents)
    assert base64.b64decode(contents.blob) == painter.pictures[0] == Path(made["image_path"]).read_bytes()


@pytest.mark.parametrize(
    "uri",
    [
        "cdp-image://generation/" + "0" * 32 + "/1",
        "cdp-image://generation/../../etc/passwd",
        "file:///etc/passwd",
        "cdp-image://generation/" + "0" * 32 + "/0",
    ],
)
async def test_an_address_that_names_nothing_is_a_protocol_error(
    settings: Settings, painter: Painter, era: Any, uri: str
) -> None:
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            with pytest.raises(MCPError, match="Resource not found"):
                await client.read_resource(uri)


async def test_a_picture_too_large_to_send_names_its_path(settings: Settings, painter: Painter, era: Any) -> None:
    painter.pictures = [png(64, 64, size=LARGEST)]
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "images": "none"}))
            with pytest.raises(MCPError) as caught:
                await client.read_resource(f"cdp-image://generation/{made['generation_id']}/1")
    assert made["image_path"] in str(caught.value)


async def test_a_picture_that_was_edited_and_is_too_large_by_now_names_its_path(
    settings: Settings, painter: Painter, era: Any
) -> None:
    """A TypeScript client would close the connection."""
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "images": "none"}))
            await anyio.Path(made["image_path"]).write_bytes(png(64, 64, size=LARGEST))
            with pytest.raises(MCPError, match="too many to send"):
                await client.read_resource(f"cdp-image://generation/{made['generation_id']}/1")


async def test_signing_in_late_costs_one_picture_and_is_collected(
    settings: Settings, painter: Painter, era: Any
) -> None:
    painter.person = anyio.Event()
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            first = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "backend": "chatgpt-web"}))
            waiting = text_of(await client.call_tool("wait_for_image", {"wait_seconds": 0}))
            painter.person.set()
            identity = {"generation_id": first["generation_id"]}
            last = text_of(await client.call_tool("wait_for_image", identity))
            again = text_of(await client.call_tool("wait_for_image", identity))
    assert [answer["status"] for answer in (first, waiting, last, again)] == [
        *("needs_sign_in", "needs_sign_in", "saved", "saved")
    ]
    assert painter.submitted == 1


async def test_a_client_that_asks_the_person_pays_once(settings: Settings, painter: Painter, era: Any) -> None:
    person = painter.person = anyio.Event()

    async def ask(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert isinstance(params, types.ElicitRequestFormParams)
        person.set()
        return types.ElicitResult(action="accept")

    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era, elicitation_callback=ask) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "backend": "chatgpt-web"}))
    assert (made["status"], painter.submitted) == ("saved", 1)


async def test_the_record_holds_the_arguments_as_they_were_given_and_not_how_long_the_call_waited(
    settings: Settings, painter: Painter, era: Any
) -> None:
    """The gallery gives them for calling again: at another client another wait is right."""
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox"}))
    record, _ = read_record(Path(made["image_path"]).parent)
    assert (record.state, record.request) == ("saved", {})


@pytest.mark.parametrize(("tool", "before"), [("generate_image", Intake.accept), ("wait_for_image", Recovery.revive)])
async def test_what_passes_before_a_call_can_wait_is_part_of_its_wait(
    settings: Settings, painter: Painter, era: Any, tool: str, before: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that is read from a cloud drive, or a library that another process holds: clients count that too."""
    drawing, goes_on = anyio.Event(), anyio.Event()

    async def slowly(*given: Any, **named: Any) -> Any:
        found = await before(*given, **named)
        leap(monkeypatch, 1000)
        goes_on.set()
        return found

    async def draws(_request: ImageRequest, report: Report, /) -> None:
        await report.state("generating", submitted=True)
        drawing.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(painter, "generate", draws)
    told = list[dict[str, Any]]()

    async def ask() -> None:
        arguments = {"prompt": "a fox"} if tool == "generate_image" else {}
        told.append(text_of(await client.call_tool(tool, arguments | {"wait_seconds": 1500})))

    with anyio.fail_after(1600):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            if tool == "wait_for_image":
                await client.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0})
            monkeypatch.setattr(*(Intake, "accept") if tool == "generate_image" else (Recovery, "revive"), slowly)
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await goes_on.wait()
                await drawing.wait()
                await anyio.wait_all_tasks_blocked()
                leap(monkeypatch, 500)
    assert [each["status"] for each in told] == ["working"]


async def test_the_same_wish_while_a_call_is_being_answered_is_a_picture_of_its_own(
    settings: Settings, painter: Painter, era: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Previews may take seconds, in which nobody has fetched the picture yet."""
    give, between = call.give, list[Standing]()

    async def late(ctx: Context, studio: Studio, *given: Any, opens: bool) -> None:
        between.append(await studio.generate(GenerateImage("a fox", backend="chatgpt-web")))
        await give(ctx, studio, *given, opens=opens)

    monkeypatch.setattr(call, "give", late)
    wish = {"prompt": "a fox", "backend": "chatgpt-web", "images": "none"}
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", wish))
    assert (made["status"], [each.joined for each in between]) == ("saved", [False])


async def test_a_call_that_is_given_up_while_it_is_being_answered_is_joined_by_the_same_at_once(
    settings: Settings, painter: Painter, era: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    give, answering, given_up = call.give, anyio.Event(), list[bool]()

    async def slow(*given: Any, opens: bool) -> None:
        if not answering.is_set():
            answering.set()
            try:
                await anyio.sleep_forever()
            finally:
                given_up.append(True)
        await give(*given, opens=opens)

    monkeypatch.setattr(call, "give", slow)
    wish = {"prompt": "a fox", "backend": "chatgpt-web", "images": "none"}
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            async with background() as group:
                group.start_soon(client.call_tool, "generate_image", wish)
                await answering.wait()
            told = text_of(await client.call_tool("generate_image", wish))
    assert (told["status"], told.get("joined"), given_up, painter.submitted) == ("saved", True, [True], 1)


async def test_words_instead_of_a_picture_come_as_data(settings: Settings, painter: Painter, era: Any) -> None:
    painter.pictures = []
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            result = await client.call_tool("generate_image", {"prompt": "a fox", "backend": "chatgpt-web"})
    told = text_of(result)
    assert result.is_error
    assert (told["code"], told["submitted"], told["details"]["text"]) == ("text_only", True, "I would rather talk.")


async def test_unknown_ids_are_tool_errors_that_say_where_to_look(
    settings: Settings, painter: Painter, era: Any
) -> None:
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            for name in ("wait_for_image", "cancel_image"):
                told = text_of(await client.call_tool(name, {"generation_id": "0" * 32}))
                assert told["code"] == "not_found"
                assert "backend_status" in told["next_step"]
            nothing = text_of(await client.call_tool("wait_for_image", {}))
    assert nothing["code"] == "not_found"


async def test_a_picture_that_another_client_may_still_fetch_is_opened_by_no_answer_about_it(
    settings: Settings, painter: Painter, era: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays not fetched, so that it would be opened by each of them."""
    opened: list[Path] = []
    monkeypatch.setattr(call, "open_file", opened.append)
    opens = msgspec.structs.replace(settings, open_finished=True)
    with anyio.fail_after(60):
        async with app(settings, painter)() as theirs, Client(make_server(app(opens, painter)), mode=era) as client:
            made = await (await theirs.studio()).generate(GenerateImage("a fox", backend="chatgpt-web"))
            identity = {"generation_id": made.record.generation_id}
            told = [text_of(await client.call_tool("wait_for_image", identity)) for _ in range(2)]
            mine = text_of(await client.call_tool("generate_image", {"prompt": "a bear", "backend": "chatgpt-web"}))
            await client.call_tool("wait_for_image", {"generation_id": mine["generation_id"]})
    assert [each["status"] for each in (*told, mine)] == ["saved"] * 3
    assert opened == [Path(mine["image_path"])]


async def test_a_picture_whose_record_is_nested_without_end_is_answered_all_the_same(
    settings: Settings, painter: Painter, era: Any
) -> None:
    """A server's words, or another program's, stand in it as they came."""
    deep: dict[str, Any] = {"x": 1}
    for _ in range(600):
        deep = {"x": deep}
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            made = text_of(await client.call_tool("generate_image", {"prompt": "a fox", "backend": "chatgpt-web"}))
        sidecar = anyio.Path(made["image_path"]).parent / "metadata.json"
        whole = json.loads(await sidecar.read_text("utf-8"))
        await sidecar.write_text(json.dumps(whole | {"usage": deep, "facts": {"said": [deep]}}), "utf-8")
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            told = text_of(await client.call_tool("wait_for_image", {"generation_id": made["generation_id"]}))
    assert (told["status"], told["image_path"]) == ("saved", made["image_path"])
    assert told["metadata"]["usage"]["x"]["x"]["x"]


async def test_status_holds_every_key_of_its_schema(settings: Settings, painter: Painter, era: Any) -> None:
    with anyio.fail_after(60):
        async with Client(make_server(app(settings, painter)), mode=era) as client:
            await client.list_tools()
            told = text_of(await client.call_tool("backend_status", {}))
    assert [entry["details"]["output_root"] for entry in told["statuses"]] == [str(settings.output_dir)] * 2
