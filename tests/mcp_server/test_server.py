"""The tools through real MCP clients of both eras, in memory, over a scripted studio."""

from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
import msgspec
import pytest
from mcp import Client, MCPError
from mcp.client.context import ClientRequestContext

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server import call
from cdp_image_mcp.mcp_server.server import make_server
from cdp_image_mcp.previews.preview import Picture
from cdp_image_mcp.studio.studio import News
from tests.mcp_server.scripted import IDENTITY, FakeCanvas, ScriptedStudio, app_of, saved, standing, text_of
from tests.mcp_server.scripted import png as make_png

Era = Literal["auto", "legacy"]
pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Era:
    return request.param


@pytest.fixture
def studio(settings: Settings) -> ScriptedStudio:
    return ScriptedStudio(settings)


def client(studio: ScriptedStudio, era: Era, *, canvas: FakeCanvas | None = None, **options: Any) -> Client:
    return Client(make_server(app_of(studio, canvas)), mode=era, **options)


async def test_the_five_tools_are_listed_with_titles_and_all_annotations(studio: ScriptedStudio, era: Era) -> None:
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            tools = (await connected.list_tools()).tools
    names = ["generate_image", "wait_for_image", "cancel_image", "backend_status", "browser_visibility"]
    assert [tool.name for tool in tools] == names
    for tool in tools:
        assert tool.title
        assert tool.annotations is not None
        hints = tool.annotations.model_dump(exclude={"title"})
        assert all(isinstance(hint, bool) for hint in hints.values()), hints


async def test_a_finished_picture_is_one_text_block_and_one_image_without_structured_content(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path)]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert [block.type for block in result.content] == ["text", "image"]
    assert result.structured_content is None
    answer = text_of(result)
    assert answer["status"] == "saved"
    assert answer["image_path"] == answer["images"][0]["path"]
    assert answer["honoured"] is True


async def test_an_unfinished_picture_is_no_error_and_says_to_wait_and_not_to_pay_again(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0})
    answer = text_of(result)
    assert not result.is_error
    assert (answer["status"], answer["generation_id"]) == ("working", IDENTITY)
    assert "wait_for_image" in answer["next"]
    assert "do not call generate_image again" in answer["next"]


async def test_bad_arguments_are_tool_errors_that_name_the_field(studio: ScriptedStudio, era: Era) -> None:
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "n": 11})
            blank = await connected.call_tool("generate_image", {"prompt": "   "})
            nearly = await connected.call_tool("generate_image", {"prompt": "a fox", "count": 2})
    for each, named in ((result, "n cannot be 11"), (blank, "prompt cannot be"), (nearly, "it is called n")):
        answer = text_of(each)
        assert each.is_error
        assert (answer["status"], answer["code"], answer["submitted"]) == ("failed", "invalid_input", False)
        assert named in answer["message"]
    assert studio.calls == []


async def test_an_unknown_tool_is_a_protocol_error(studio: ScriptedStudio, era: Era) -> None:
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            with pytest.raises(MCPError, match="Unknown tool: draw") as caught:
                await connected.call_tool("draw", {})
    assert caught.value.code == types.INVALID_PARAMS


async def test_a_failure_carries_the_contract_and_the_generation(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    error = ImageError("quota_reached", "The limit is used up.", submitted=True, reset_at="2026-11-23T18:00:00+01:00")
    studio.generated = [standing(tmp_path, "failed", error=error.as_dict())]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    answer = text_of(result)
    assert result.is_error
    assert list(answer) == [
        *("status", "code", "message", "generation_id", "submitted", "spent", "retryable", "reset_at", "next_step")
    ]
    assert answer["generation_id"] == IDENTITY


async def test_a_fault_of_our_own_is_told_without_its_text(studio: ScriptedStudio, era: Era) -> None:
    studio.generated = [RuntimeError("/root/secret sk-123")]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert result.is_error
    assert text_of(result)["code"] == "internal"
    assert "secret" not in result.model_dump_json()


async def test_the_status_tools_answer_twice_over_as_text_and_structure(studio: ScriptedStudio, era: Era) -> None:
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            await connected.list_tools()
            status = await connected.call_tool("backend_status", {})
            window = await connected.call_tool("browser_visibility", {"action": "show", "start_browser": True})
            refused = await connected.call_tool("browser_visibility", {"action": "hide"})
    assert text_of(status) == status.structured_content
    assert text_of(window) == window.structured_content
    assert refused.is_error
    assert refused.structured_content is None
    assert studio.calls == ["status None", "visibility show True", "visibility hide False"]


async def test_images_none_leaves_the_pictures_out(studio: ScriptedStudio, era: Era, tmp_path: Path) -> None:
    studio.waited = [standing(tmp_path)]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("wait_for_image", {"generation_id": IDENTITY, "images": "none"})
    assert [block.type for block in result.content] == ["text"]


async def test_progress_reaches_a_client_that_asked_and_only_grows(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path)]
    studio.told = [News("queued 2nd", 0.0, 60.0), News("drawing", 5.0, 60.0), News("older", 4.0, 60.0)]
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            await connected.call_tool("generate_image", {"prompt": "a fox"}, progress_callback=tell)
    assert told == [(0.0, 60.0, "queued 2nd"), (5.0, 60.0, "drawing")]


async def test_cancelling_the_call_ends_only_the_waiting(studio: ScriptedStudio, era: Era, tmp_path: Path) -> None:
    studio.generated = studio.waited = [standing(tmp_path)]
    studio.holding = ""
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            async with anyio.create_task_group() as group:
                group.start_soon(connected.call_tool, "generate_image", {"prompt": "a fox"})
                while not studio.calls:
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            while not studio.cancelled_calls:
                await anyio.lowlevel.checkpoint()
            studio.hold.set()
            result = await connected.call_tool("wait_for_image", {})
    assert text_of(result)["status"] == "saved"
    assert studio.cancelled_calls == 1
    assert not any(call.startswith("cancel") for call in studio.calls)


async def test_a_client_that_can_ask_asks_once_and_the_same_generation_goes_on(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "needs_sign_in")]
    studio.waited = [standing(tmp_path)]
    studio.holding = "wait"
    asked: list[types.ElicitRequestParams] = []

    async def ask(_: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params)
        studio.hold.set()
        return types.ElicitResult(action="accept")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert text_of(result)["status"] == "saved"
    (question,) = asked
    # A form opens nothing: an address would be opened in the person's everyday browser, where signing in is no use.
    assert isinstance(question, types.ElicitRequestFormParams)
    assert question.message.startswith("Sign in to ChatGPT in the window cdp-image-mcp opened")
    assert len(question.message) <= 110
    assert [call.split()[0] for call in studio.calls] == ["generate", "wait"]
    assert studio.calls[1].startswith(f"wait {IDENTITY} ")


async def test_a_wait_that_fails_after_the_question_names_its_generation(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    """In the new era it is the same call once more, which knows the generation from its sealed state alone."""
    studio.generated = [standing(tmp_path, "needs_sign_in")]
    studio.waited = [ImageError("disk", "The record cannot be read.", submitted=True)]
    studio.holding = "wait"

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        studio.hold.set()
        return types.ElicitResult(action="accept")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            told = text_of(await connected.call_tool("generate_image", {"prompt": "a fox"}))
    assert (told["code"], told.get("generation_id")) == ("disk", IDENTITY)


async def test_a_client_that_asks_by_address_alone_is_told_first_that_the_address_is_no_help(
    studio: ScriptedStudio, era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(types, "FormElicitationCapability", lambda: None)  # what the SDK's client declares
    studio.generated = [standing(tmp_path, "needs_sign_in")]
    studio.waited = [standing(tmp_path)]
    studio.holding = "wait"
    asked: list[types.ElicitRequestParams] = []

    async def ask(_: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params)
        studio.hold.set()
        return types.ElicitResult(action="accept")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert text_of(result)["status"] == "saved"
    (question,) = asked
    assert isinstance(question, types.ElicitRequestURLParams)
    assert question.url == studio.settings.web_url
    assert "NOT via this link" in question.message
    assert len(question.message) <= 110


async def test_a_client_that_cannot_read_the_new_question_gets_the_state_in_words(
    studio: ScriptedStudio, tmp_path: Path
) -> None:
    """Copilot CLI 1.0.102 declares that it can ask, and then shows an error without the generation's id."""
    studio.generated = [standing(tmp_path, "needs_sign_in")]

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        pytest.fail("it cannot be asked")

    copilot = types.Implementation(name="copilot-cli", version="1.0.102")
    with anyio.fail_after(20):
        async with client(studio, "auto", elicitation_callback=ask, client_info=copilot) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert (text_of(result)["status"], text_of(result)["generation_id"]) == ("needs_sign_in", IDENTITY)


async def test_a_question_that_fails_does_not_hide_the_generation(studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "needs_sign_in")]

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        raise RuntimeError("the client's dialog fell over")

    with anyio.fail_after(20):
        async with client(studio, "legacy", elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 5})
    assert (text_of(result)["status"], text_of(result)["generation_id"]) == ("needs_sign_in", IDENTITY)


async def test_what_fails_after_the_generation_is_known_names_it(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    class Broken(FakeCanvas):
        async def shrink(self, *_: Any, **__: Any) -> Picture:
            raise RuntimeError("a fault")

    image = saved(tmp_path, 1, make_png(size=2_000_000), width=2000, height=2000)
    studio.generated = [standing(tmp_path, images=[image])]
    with anyio.fail_after(20):
        async with client(studio, era, canvas=Broken()) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert (text_of(result)["code"], text_of(result)["generation_id"]) == ("internal", IDENTITY)


@pytest.mark.parametrize("name", ["continue-cli-client", "@cline/core"])
async def test_a_client_that_makes_text_of_pictures_is_given_none_unless_it_asks(
    studio: ScriptedStudio, era: Era, tmp_path: Path, name: str
) -> None:
    studio.generated = [standing(tmp_path)]
    named = types.Implementation(name=name, version="1")
    with anyio.fail_after(20):
        async with client(studio, era, client_info=named) as connected:
            usual = await connected.call_tool("generate_image", {"prompt": "a fox"})
            asked = await connected.call_tool("generate_image", {"prompt": "a fox", "images": "preview"})
    assert [block.type for block in usual.content] == ["text"]
    assert "(seen 2026-11-26)" in text_of(usual)["not_inline"][0]["reason"]
    assert [block.type for block in asked.content] == ["text", "image"]


async def test_names_that_are_none_of_ours_are_told_in_every_kind_of_answer(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path), ImageError("quota_reached", "Nothing left.")]
    extra = {"task_progress": "- [ ] a fox"}
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            made = await connected.call_tool("generate_image", {"prompt": "a fox", **extra})
            refused = await connected.call_tool("generate_image", {"prompt": "a fox", **extra})
            status = await connected.call_tool("backend_status", extra)
    for answer in (made, refused, status):
        assert text_of(answer)["ignored"] == ["task_progress"]
    assert status.structured_content is not None
    assert status.structured_content["ignored"] == ["task_progress"]


@pytest.mark.parametrize(("wait", "left"), [(0, 8), (45, 53), (300, 308)])
async def test_previews_are_ready_a_little_after_the_wait_or_left_out(
    studio: ScriptedStudio, tmp_path: Path, wait: float, left: float
) -> None:
    """A client that gives up after 60 s has its answer by then, whatever a browser does."""
    image = saved(tmp_path, 1, make_png(size=2_000_000), width=2000, height=2000)
    studio.generated = [standing(tmp_path, images=[image])]
    canvas = FakeCanvas()
    with anyio.fail_after(20):
        async with client(studio, "legacy", canvas=canvas) as connected:
            before = anyio.current_time()
            await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": wait})
            after = anyio.current_time()
    (deadline,) = canvas.deadlines
    assert before + left <= deadline <= after + left


@pytest.mark.parametrize("fetched", [False, True])
async def test_a_finished_picture_is_opened_once_where_the_user_wants_it(
    settings: Settings, era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: bool
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(call, "open_file", opened.append)
    studio = ScriptedStudio(msgspec.structs.replace(settings, open_finished=True))
    studio.generated = [standing(tmp_path, fetched=fetched)]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert opened == ([] if fetched else [Path(text_of(result)["image_path"])])


@pytest.mark.parametrize("ending", ["svg", "bat"])
async def test_of_what_may_run_something_the_folder_is_opened(
    settings: Settings, era: Era, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(call, "open_file", opened.append)
    studio = ScriptedStudio(msgspec.structs.replace(settings, open_finished=True))
    svg = msgspec.structs.replace(saved(tmp_path, 1, b"<svg/>", width=8, height=8), mime_type="image/svg+xml")
    named = msgspec.structs.replace(svg, path=str(tmp_path / f"image-01.{ending}"))
    studio.generated = [standing(tmp_path, images=[named])]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            await connected.call_tool("generate_image", {"prompt": "a fox", "images": "none"})
    assert opened == [tmp_path]


async def test_what_a_cancelled_call_had_is_opened_by_nobody(
    settings: Settings, era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(call, "open_file", opened.append)
    studio = ScriptedStudio(msgspec.structs.replace(settings, open_finished=True))
    studio.waited = [standing(tmp_path, "partial")]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            told = text_of(await connected.call_tool("cancel_image", {"generation_id": IDENTITY}))
    assert (told["status"], len(told["images"]), opened) == ("partial", 1, [])


async def test_a_joined_call_that_asks_a_person_says_that_it_joined_when_it_has_its_picture(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    joined = msgspec.structs.replace(standing(tmp_path, "needs_sign_in"), joined=True, unmet=("output_dir",))
    studio.generated, studio.waited = [joined], [standing(tmp_path)]

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            told = text_of(await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 10}))
    assert (told["status"], told.get("joined"), told["honoured"]) == ("saved", True, ["output_dir"])


async def test_what_the_studio_notes_is_told_first_of_what_to_do(settings: Settings, era: Era, tmp_path: Path) -> None:
    studio = ScriptedStudio(settings)
    noted = msgspec.structs.replace(standing(tmp_path, "generating"), notes=("It is of another client.",))
    studio.generated = [noted]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            told = text_of(await connected.call_tool("generate_image", {"prompt": "a fox"}))
    assert told["next"].startswith("It is of another client. Not finished yet.")


async def test_a_call_that_asks_a_person_waits_no_longer_in_all_than_it_was_told_to(
    studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "needs_sign_in")]
    studio.waited = [standing(tmp_path)]
    studio.told, studio.pause = [News("drawing", 3.0, None)], 0.5

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept")

    with anyio.fail_after(20):
        async with client(studio, "legacy", elicitation_callback=ask) as connected:
            await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 10})
    # Half a second at least had gone before the person was needed.
    assert float(studio.calls[1].rpartition(" ")[2]) < 9.6


async def test_a_call_with_no_time_left_for_an_answer_leaves_the_question_to_the_next_one(
    studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "needs_sign_in")]
    studio.told, studio.pause = [News("drawing", 3.0, None)], 0.2
    asked = 0

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        nonlocal asked
        asked += 1
        return types.ElicitResult(action="decline")

    with anyio.fail_after(20):
        async with client(studio, "legacy", elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0.1})
            before = asked
            await connected.call_tool("wait_for_image", {"wait_seconds": 600})
    assert text_of(result)["status"] == "needs_sign_in"
    assert (before, asked) == (0, 1)


async def test_a_person_who_declines_leaves_a_generation_that_can_be_waited_for(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "needs_sign_in")]
    studio.holding = "wait"
    asked = 0

    async def ask(_: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        nonlocal asked
        asked += 1
        return types.ElicitResult(action="decline")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            first = await connected.call_tool("generate_image", {"prompt": "a fox"})
            studio.hold.set()
            again = await connected.call_tool("wait_for_image", {"generation_id": IDENTITY, "wait_seconds": 1})
    for result in (first, again):
        assert not result.is_error
        assert text_of(result)["status"] == "needs_sign_in"
        assert "wait_for_image" in text_of(result)["next"]
    assert asked == 1
    assert sum(call.startswith("generate") for call in studio.calls) == 1


async def test_a_no_to_a_question_that_is_past_tells_where_the_picture_stands_by_then(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    """The dialog stays open while the person signs in, and is put away when the picture is being made."""
    studio.generated, studio.waited = [standing(tmp_path, "needs_sign_in")], [standing(tmp_path, "generating")]
    studio.holding = "wait"

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="cancel")

    with anyio.fail_after(20):
        async with client(studio, era, elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert text_of(result)["status"] == "working"


async def test_a_question_that_a_client_declared_and_cannot_put_is_told_in_words_at_once(
    studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "needs_sign_in")]
    studio.holding = "wait"

    async def ask(_: ClientRequestContext, __: types.ElicitRequestParams) -> types.ErrorData:
        return types.ErrorData(code=types.METHOD_NOT_FOUND, message="There is nobody to ask.")

    with anyio.fail_after(20):
        async with client(studio, "legacy", elicitation_callback=ask) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 600})
    assert (result.is_error, text_of(result)["status"]) == (False, "needs_sign_in")


async def test_a_client_that_cannot_ask_gets_the_state_in_words(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "needs_verification")]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox"})
    assert not result.is_error
    assert text_of(result)["status"] == "needs_verification"


async def test_words_of_the_site_are_bounded_and_harmless(studio: ScriptedStudio, era: Era, tmp_path: Path) -> None:
    nasty = "no\x1b[31m picture\U000e0041\u202e\x00" + "x" * 50_000
    error = ImageError("text_only", "The site answered in words.", submitted=True, details={"text": nasty})
    studio.generated = [standing(tmp_path, "failed", error=error.as_dict())]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            told = text_of(await connected.call_tool("generate_image", {"prompt": "a fox"}))["details"]["text"]
    assert told.startswith("no picturexxx")
    assert len(told) <= 8000


async def test_more_pictures_than_asked_for_are_all_listed_and_the_asked_number_is_shown(
    studio: ScriptedStudio, era: Era, tmp_path: Path
) -> None:
    images = [saved(tmp_path, index, make_png(), width=64, height=64) for index in (1, 2, 3)]
    studio.generated = [standing(tmp_path, images=images, request={"n": 2})]
    with anyio.fail_after(20):
        async with client(studio, era) as connected:
            result = await connected.call_tool("generate_image", {"prompt": "a fox", "n": 2})
    answer = text_of(result)
    assert len(answer["images"]) == 3
    assert answer["honoured"] == ["n"]
    assert [block.type for block in result.content] == ["text", "image", "image"]
