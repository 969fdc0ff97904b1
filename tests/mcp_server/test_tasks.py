"""Calls that are answered with a task, for clients that declare the extension (Claude Code since 2.1.319)."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import jsonschema
import msgspec
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.mcp_server.app import App
from cdp_image_mcp.mcp_server.serving import open_app
from cdp_image_mcp.mcp_server.tasks.opened import Tasks
from cdp_image_mcp.request import ImageRequest, Report, State
from cdp_image_mcp.studio.asked import GenerateImage, Images
from cdp_image_mcp.studio.studio import Standing, Studio
from tests.clock import leap
from tests.library.making import DEAD, a_record, create
from tests.mcp_server.painted import Painter
from tests.mcp_server.painted import app as painted_app
from tests.mcp_server.raw import Raw, connected, envelope
from tests.mcp_server.scripted import IDENTITY, ScriptedStudio, app_of, standing

pytestmark = pytest.mark.anyio

SCHEMA = json.loads((Path(__file__).parents[2] / "fixtures" / "schemas" / "tasks.schema.json").read_text("utf-8"))
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
SHOWS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}
ASKS: dict[str, Any] = TASKS | {"elicitation": {"form": {}}}
FOX = {"name": "generate_image", "arguments": {"prompt": "a fox"}}
AT_ONCE = {"name": "generate_image", "arguments": {"prompt": "a fox", "wait_seconds": 0}}


def checked(result: dict[str, Any], kind: str) -> dict[str, Any]:
    """``result``, valid against the extension's own schema."""
    jsonschema.validate(result, SCHEMA | {"$ref": f"#/$defs/{kind}"})
    return result


async def call(raw: Raw, params: dict[str, Any], capabilities: dict[str, Any]) -> dict[str, Any]:
    told = (await raw.ask("tools/call", params, envelope(capabilities)))["result"]
    assert not told.get("isError"), told
    return told


async def task_of(raw: Raw, identity: str = IDENTITY, capabilities: dict[str, Any] = TASKS) -> dict[str, Any]:
    told = await raw.ask("tasks/get", {"taskId": identity}, envelope(capabilities))
    return checked(told["result"], "GetTaskResult")


async def answer(raw: Raw, key: str, action: str, identity: str = IDENTITY) -> dict[str, Any]:
    params = {"taskId": identity, "inputResponses": {key: {"action": action}}}
    return checked((await raw.ask("tasks/update", params, envelope(ASKS)))["result"], "UpdateTaskResult")


def text_in(result: dict[str, Any]) -> dict[str, Any]:
    return json.loads(result["content"][0]["text"])


@pytest.fixture
def studio(settings: Settings) -> ScriptedStudio:
    return ScriptedStudio(settings)


@pytest.fixture
async def raw(studio: ScriptedStudio) -> AsyncGenerator[Raw]:
    with anyio.fail_after(30):
        async with connected(app_of(studio)) as connection:
            yield connection


async def test_a_call_that_may_is_answered_with_a_task_at_once(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    made = checked(await call(raw, FOX, TASKS), "CreateTaskResult")
    assert (made["resultType"], made["taskId"], made["status"]) == ("task", IDENTITY, "working")
    assert (made["ttlMs"], made["statusMessage"]) == (None, "drawing 3 s")
    assert "content" not in made


async def test_waiting_for_a_running_picture_is_a_task_too(raw: Raw, studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.waited = [standing(tmp_path, "generating")]
    made = await call(raw, {"name": "wait_for_image", "arguments": {}}, TASKS)
    assert (made["resultType"], made["taskId"]) == ("task", IDENTITY)
    assert studio.calls == ["wait None 0"]


async def test_only_a_request_that_declares_it_gets_a_task(raw: Raw, studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.generated = studio.waited = [standing(tmp_path, "generating")]
    assert (await call(raw, FOX, TASKS))["resultType"] == "task"
    plain = await call(raw, {"name": "generate_image", "arguments": {"prompt": "a fox", "wait_seconds": 0}}, {})
    assert plain["resultType"] == "complete"
    assert text_in(plain)["status"] == "working"


async def test_a_picture_that_is_there_already_needs_no_task(raw: Raw, studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.generated = [standing(tmp_path)]
    told = await call(raw, FOX, TASKS)
    assert (told["resultType"], text_in(told)["status"]) == ("complete", "saved")


async def test_a_task_is_working_until_its_picture_is_there_and_then_holds_the_whole_answer(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    studio.waited = [standing(tmp_path, "generating"), standing(tmp_path)]
    await call(raw, FOX, TASKS)
    working = await task_of(raw)
    ended = await task_of(raw)
    assert (working["status"], working["statusMessage"]) == ("working", "drawing 3 s")
    assert (ended["status"], ended["resultType"]) == ("completed", "complete")
    assert text_in(ended["result"])["status"] == "saved"
    assert [block["type"] for block in ended["result"]["content"]] == ["text", "image"]
    assert studio.handed_out == [IDENTITY]
    assert (await task_of(raw))["status"] == "completed"


async def test_the_pictures_of_a_task_are_those_its_call_asked_for(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    studio.waited = [standing(tmp_path)]
    await call(raw, {"name": "generate_image", "arguments": {"prompt": "a fox", "images": "none"}}, TASKS)
    ended = await task_of(raw)
    assert [block["type"] for block in ended["result"]["content"]] == ["text"]


async def test_a_failed_generation_is_a_completed_task_with_an_error_in_it(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    error = ImageError("refused", "The site refused it.", submitted=True, spent=False)
    studio.generated = [standing(tmp_path, "generating")]
    studio.waited = [standing(tmp_path, "refused", error=error.as_dict())]
    await call(raw, FOX, TASKS)
    ended = await task_of(raw)
    assert (ended["status"], ended["result"]["isError"]) == ("completed", True)
    assert (text_in(ended["result"])["code"], text_in(ended["result"])["submitted"]) == ("refused", True)


async def test_a_cancelled_generation_is_a_cancelled_task(raw: Raw, studio: ScriptedStudio, tmp_path: Path) -> None:
    studio.generated = [standing(tmp_path, "generating")]
    studio.waited = [standing(tmp_path, "cancelled")]
    await call(raw, FOX, TASKS)
    told = (await raw.ask("tasks/cancel", {"taskId": IDENTITY}, envelope(TASKS)))["result"]
    checked(told, "CancelTaskResult")
    assert studio.calls[-1] == f"cancel {IDENTITY}"
    assert (await task_of(raw))["status"] == "cancelled"


async def test_a_person_is_asked_through_the_task_and_the_same_question_stays_until_it_is_answered(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated = [standing(tmp_path, "starting")]
    studio.waited = [standing(tmp_path, "needs_sign_in")]
    await call(raw, FOX, ASKS)
    first, second = await task_of(raw, capabilities=ASKS), await task_of(raw, capabilities=ASKS)
    assert first["status"] == "input_required"
    assert first["inputRequests"] == second["inputRequests"]
    (question,) = first["inputRequests"].values()
    assert (question["method"], question["params"]["mode"]) == ("elicitation/create", "form")
    assert question["params"]["message"].startswith("Sign in to ChatGPT")
    await answer(raw, "no such question", "accept")
    assert (await task_of(raw, capabilities=ASKS))["status"] == "input_required"
    await answer(raw, "needs_sign_in", "accept")
    studio.waited = [standing(tmp_path, "needs_sign_in"), standing(tmp_path, "needs_verification")]
    assert (await task_of(raw, capabilities=ASKS))["status"] == "working"
    then = await task_of(raw, capabilities=ASKS)
    assert (then["status"], list(then["inputRequests"])) == ("input_required", ["needs_verification"])


@pytest.mark.parametrize("capabilities", [TASKS, ASKS], ids=["cannot be asked", "says no"])
async def test_where_nobody_can_be_asked_the_task_ends_with_the_words_for_the_model_and_never_runs_again(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path, capabilities: dict[str, Any]
) -> None:
    studio.generated = [standing(tmp_path, "starting")]
    studio.waited = [standing(tmp_path, "needs_sign_in")]
    await call(raw, FOX, capabilities)
    if capabilities is ASKS:
        await task_of(raw, capabilities=ASKS)
        await answer(raw, "needs_sign_in", "decline")
    ended = await task_of(raw, capabilities=capabilities)
    assert (ended["status"], ended["result"].get("isError", False)) == ("completed", False)
    assert text_in(ended["result"])["status"] == "needs_sign_in"
    again = await call(raw, {"name": "wait_for_image", "arguments": {"generation_id": IDENTITY}}, capabilities)
    assert (again["resultType"], text_in(again)["status"]) == ("complete", "needs_sign_in")


@pytest.mark.parametrize("between", ["submitting", "generating"])
async def test_a_second_check_is_not_taken_for_the_one_that_the_person_has_passed(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path, between: State
) -> None:
    studio.generated = [standing(tmp_path, "starting")]
    studio.waited = [standing(tmp_path, "needs_verification")]
    await call(raw, FOX, ASKS)
    assert (await task_of(raw, capabilities=ASKS))["status"] == "input_required"
    await answer(raw, "needs_verification", "accept")
    assert (await task_of(raw, capabilities=ASKS))["status"] == "working"
    studio.waited = [standing(tmp_path, between), standing(tmp_path, "needs_verification")]
    assert (await task_of(raw, capabilities=ASKS))["status"] == "working"
    # One question for each state of a generation: the model has to tell the person this time.
    ended = await task_of(raw, capabilities=ASKS)
    assert (ended["status"], text_in(ended["result"])["status"]) == ("completed", "needs_verification")


async def test_the_answer_in_a_task_says_that_its_call_joined(raw: Raw, studio: ScriptedStudio, tmp_path: Path) -> None:
    running = standing(tmp_path, "generating")
    studio.generated = [msgspec.structs.replace(running, joined=True, unmet=("output_dir",))]
    studio.waited = [running, standing(tmp_path)]
    await call(raw, FOX, TASKS)
    await task_of(raw)
    told = text_in((await task_of(raw))["result"])
    assert (told["status"], told.get("joined"), told["honoured"]) == ("saved", True, ["output_dir"])


async def test_the_answer_in_a_task_names_the_arguments_that_were_ignored(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    studio.generated, studio.waited = [standing(tmp_path, "generating")], [standing(tmp_path)]
    await call(raw, {"name": "generate_image", "arguments": {"prompt": "a fox", "seed": 7}}, TASKS)
    assert text_in((await task_of(raw))["result"])["ignored"] == ["seed"]


async def test_a_call_that_joins_what_a_task_was_told_the_end_of_says_so(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    joined = msgspec.structs.replace(standing(tmp_path, "needs_sign_in"), joined=True, unmet=("output_dir",))
    studio.generated = [standing(tmp_path, "needs_sign_in"), joined]
    studio.waited = [standing(tmp_path, "needs_sign_in"), standing(tmp_path)]
    await call(raw, FOX, TASKS)
    assert (await task_of(raw))["status"] == "completed"
    told = text_in(await call(raw, FOX, TASKS))
    assert (told["status"], told.get("joined"), told["honoured"]) == ("saved", True, ["output_dir"])


@pytest.mark.parametrize(
    ("then", "status"), [("needs_sign_in", "completed"), ("interrupted", "completed"), ("cancelled", "cancelled")]
)
async def test_a_task_that_was_told_as_ended_stays_so_though_its_generation_goes_on(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path, then: State, status: str
) -> None:
    """The person signs in after all, or the question takes up what was interrupted; clients stop at an end."""
    studio.generated = [standing(tmp_path, "starting")]
    studio.waited = [standing(tmp_path, then), standing(tmp_path, "generating"), standing(tmp_path)]
    await call(raw, FOX, TASKS)
    told = [await task_of(raw) for _ in range(3)]
    assert [each["status"] for each in told] == [status] * 3
    studio.waited = [standing(tmp_path, "generating")]
    again = await call(raw, {"name": "wait_for_image", "arguments": {"generation_id": IDENTITY}}, TASKS)
    assert (again["resultType"], text_in(again)["status"]) == ("complete", "working")


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_a_task_nobody_knows_is_an_error_of_the_protocol(raw: Raw, studio: ScriptedStudio, method: str) -> None:
    studio.waited = [ImageError("not_found", "There is no generation nowhere.")]
    told = await raw.ask(method, {"taskId": "nowhere", "inputResponses": {}}, envelope(TASKS))
    assert told["error"]["code"] == -32602
    assert "There is no generation nowhere." in told["error"]["message"]


async def test_the_tasks_of_the_older_protocol_are_not_answered(
    raw: Raw, studio: ScriptedStudio, tmp_path: Path
) -> None:
    """Two generations of tasks exist; a client of the older one must not take ours for its own."""
    studio.generated = [standing(tmp_path, "generating")]
    hello = {"protocolVersion": "2025-11-25", "capabilities": TASKS, "clientInfo": {"name": "test", "version": "1"}}
    await raw.ask("initialize", hello)
    await raw.say("notifications/initialized")
    told = await raw.ask("tools/call", FOX | {"task": {"ttl": 60000}})
    assert text_in(told["result"])["status"] == "working"
    for method in ("tasks/get", "tasks/result", "tasks/list", "tasks/cancel"):
        assert (await raw.ask(method, {"taskId": IDENTITY}))["error"]["code"] == -32601


# --- over a real studio ----------------------------------------------------------------------------------------


class Slow(Painter):
    """Paints when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = anyio.Event()

    async def generate(self, *given: Any) -> None:
        await self.go.wait()
        await super().generate(*given)


async def finished(raw: Raw, identity: str) -> dict[str, Any]:
    """The task once it has ended, which a call without tasks waits for."""
    await call(raw, {"name": "wait_for_image", "arguments": {"generation_id": identity}}, {})
    return await task_of(raw, identity)


async def test_two_wishes_with_open_tasks_are_two_pictures(settings: Settings) -> None:
    """As with two calls that are open at the same time: nobody has given up, so neither joins the other."""
    painter = Slow()
    with anyio.fail_after(30):
        async with connected(painted_app(settings, painter)) as raw:
            made = [await call(raw, FOX, TASKS)]
            await task_of(raw, made[0]["taskId"])
            made.append(await call(raw, FOX, TASKS))
            painter.go.set()
            ended = [await finished(raw, each["taskId"]) for each in made]
    assert made[0]["taskId"] != made[1]["taskId"]
    assert {text_in(each["result"])["status"] for each in ended} == {"saved"}


async def test_the_same_wish_of_a_client_that_takes_no_task_joins_instead_of_paying_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the TypeScript SDK (2.x) that only declares the extension fails at the answer; its model tries again."""
    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            made = [await call(raw, FOX, TASKS)]
            for seconds in (5, 5):
                leap(monkeypatch, seconds)
                made.append(await call(raw, FOX, TASKS))
    assert {each["taskId"] for each in made} == {made[0]["taskId"]}


async def test_the_same_wish_right_after_a_task_was_made_waits_for_whether_that_is_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that reads of a failure may try again at once; two wishes of one turn come in the same moment too."""
    given_up = list[str]()

    async def asks(raw: Raw) -> None:
        given_up.append((await call(raw, FOX, TASKS))["taskId"])

    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            made = await call(raw, FOX, TASKS)
            async with anyio.create_task_group() as group:
                group.start_soon(asks, raw)
                await anyio.wait_all_tasks_blocked()
                assert given_up == []
                leap(monkeypatch, 5)
    assert given_up == [made["taskId"]]


async def test_a_task_that_nobody_asks_after_is_given_up_in_time_and_may_be_asked_after_all_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further call of this client is needed: another program may ask for the same."""
    made = standing(tmp_path, "generating")
    with anyio.fail_after(60):
        async with open_app(settings) as app:
            await app.tasks.open(made, await app.studio(), None, {"ignored": ["seed"]})
            assert waited_for(settings) == [IDENTITY]
            leap(monkeypatch, 5)
            while waited_for(settings):
                await anyio.lowlevel.checkpoint()
            opened = await app.tasks.asked_after(IDENTITY)
            assert waited_for(settings) == [IDENTITY]
    assert opened is not None
    assert opened.also == {"ignored": ["seed"]}


async def test_a_fault_in_giving_up_a_task_does_not_end_the_server(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = anyio.Event()

    async def faulty(_library: Library, _waiter: str) -> None:
        given_up.set()
        raise RuntimeError("can't start new thread")

    with anyio.fail_after(60):
        async with open_app(settings) as app:
            with monkeypatch.context() as patch:
                patch.setattr(Library, "release", faulty)
                await app.tasks.open(standing(tmp_path, "generating"), await app.studio(), None, {})
            leap(monkeypatch, 5)
            while not given_up.is_set():
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert await app.tasks.asked_after(IDENTITY) is not None


async def test_the_end_of_one_task_is_told_while_another_is_given_up(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving up unlinks a file, which takes its time on a share."""
    giving_up, go_on = anyio.Event(), anyio.Event()
    other = "b" * 32
    first, second = standing(tmp_path, "generating"), standing(tmp_path, "generating")
    second.record.generation_id = other

    async def release() -> None:
        giving_up.set()
        await go_on.wait()

    async def begin_waiting(record: Record, held: AsyncExitStack) -> None:
        if record.generation_id == IDENTITY:
            held.push_async_callback(release)

    with anyio.fail_after(60):
        async with open_app(settings) as app:
            studio = await app.studio()
            monkeypatch.setattr(studio, "begin_waiting", begin_waiting)
            await app.tasks.open(first, studio, None, {})
            await app.tasks.open(second, studio, None, {})
            leap(monkeypatch, 5)
            await giving_up.wait()
            await app.tasks.close(other)
            go_on.set()
            while app.tasks._changing.locked():  # pyright: ignore[reportPrivateUsage]
                await anyio.lowlevel.checkpoint()
            assert await app.tasks.asked_after(IDENTITY) is not None


async def test_a_task_whose_end_is_told_while_it_is_asked_after_again_waits_no_longer(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entering, go_on = anyio.Event(), anyio.Event()
    waited = list[str]()

    async def begin_waiting(_record: Record, held: AsyncExitStack) -> None:
        if waited:
            entering.set()
            await go_on.wait()
        waited.append("begins")
        held.callback(waited.append, "ends")

    with anyio.fail_after(60):
        async with open_app(settings) as app:
            studio = await app.studio()
            monkeypatch.setattr(studio, "begin_waiting", begin_waiting)
            await app.tasks.open(standing(tmp_path, "generating"), studio, None, {})
            leap(monkeypatch, 5)
            await app.tasks.sweep()
            async with anyio.create_task_group() as group:
                group.start_soon(app.tasks.asked_after, IDENTITY)
                await entering.wait()
                await app.tasks.end(IDENTITY, "completed").aclose()
                go_on.set()
    assert waited == ["begins", "ends", "begins", "ends"]


async def test_giving_up_a_task_leaves_alone_what_another_client_asked_for(settings: Settings) -> None:
    """A call without an id may mean it; the person at this client does not even know of it."""
    painter = Slow()
    with anyio.fail_after(30):
        async with painted_app(settings, painter)() as theirs, connected(painted_app(settings, Slow())) as raw:
            studio = await theirs.studio()
            made = (await studio.generate(GenerateImage("a fox", backend="chatgpt-web", wait_seconds=0))).record
            identity = (await call(raw, {"name": "wait_for_image", "arguments": {}}, TASKS))["taskId"]
            assert "result" in await raw.ask("tasks/cancel", {"taskId": identity}, envelope(TASKS))
            given_up = await task_of(raw, identity)
            painter.go.set()
            ended = (await studio.wait(made.generation_id)).record
    assert (identity, given_up["status"], ended.state) == (made.generation_id, "cancelled", "saved")


async def test_a_task_of_an_earlier_run_is_found_after_a_restart(settings: Settings) -> None:
    painter = Slow()
    painter.go.set()
    with anyio.fail_after(30):
        async with connected(painted_app(settings, painter)) as raw:
            identity = (await call(raw, FOX, TASKS)).get("taskId") or pytest.fail("no task")
            await finished(raw, identity)
        async with connected(painted_app(settings, Slow())) as raw:
            ended = await task_of(raw, identity)
    assert (ended["status"], text_in(ended["result"])["status"]) == ("completed", "saved")


async def test_a_wish_that_comes_while_a_task_about_the_same_is_opened_is_a_picture_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens, between = Tasks.open, list[Standing]()

    async def late(
        self: Tasks, standing: Standing, studio: Studio, images: Images | None, also: Mapping[str, Any]
    ) -> dict[str, Any]:
        between.append(await studio.generate(GenerateImage(prompt="a fox", wait_seconds=0)))
        return await opens(self, standing, studio, images, also)

    monkeypatch.setattr(Tasks, "open", late)
    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            await call(raw, FOX, TASKS)
    assert [each.joined for each in between] == [False]


class CutOff(Painter):
    """The site, whose connection breaks behind the prompt, and each time that it is asked what became of that."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = 0

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        await report.state("submitting", submitted="unknown", sent_prompt=request.prompt)
        raise ImageError("network", "The connection broke.", submitted=True)

    async def collect(self, _request: ImageRequest, _report: Report, /) -> None:
        self.looked += 1
        raise ImageError("network", "The connection broke.")


@asynccontextmanager
async def at(site: CutOff, settings: Settings) -> AsyncGenerator[tuple[Raw, Callable[[str], Awaitable[None]]]]:
    """A connection, and until when the server is through with a generation."""
    studios = list[Studio]()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        async with painted_app(settings, site)() as app:
            studios.append(await app.studio())
            yield app

    async def ended(identity: str) -> None:
        while studios[0].news(identity) is not None:
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(30):
        async with connected(opened) as raw:
            yield raw, ended


async def interrupted(raw: Raw, ended: Callable[[str], Awaitable[None]]) -> str:
    """A task whose generation was cut off."""
    identity = str((await call(raw, FOX, TASKS))["taskId"])
    await ended(identity)
    return identity


def waiting_for(identity: str) -> dict[str, Any]:
    return {"name": "wait_for_image", "arguments": {"generation_id": identity}}


async def test_a_task_tells_how_its_generation_was_interrupted_and_does_not_look_for_it_by_itself(
    settings: Settings,
) -> None:
    """It never ended: each question was a new look, with a browser and perhaps a window for the person."""
    site = CutOff()
    async with at(site, settings) as (raw, ended):
        identity = await interrupted(raw, ended)
        await answer(raw, "no such question", "accept", identity)
        told = [await task_of(raw, identity) for _ in range(2)]
        assert ([each["status"] for each in told], site.looked) == (["completed"] * 2, 0)
        failure = text_in(told[0]["result"])
        assert (failure["code"], "wait_for_image" in failure["next_step"]) == ("network", True)
        await raw.ask("tools/call", waiting_for(identity), envelope(TASKS))
    assert site.looked == 1


async def test_a_client_that_cancels_a_task_whose_end_it_was_told_ends_nothing_that_can_be_collected(
    settings: Settings,
) -> None:
    """Clean-up of a client: the picture is at the site and used quota."""
    site = CutOff()
    async with at(site, settings) as (raw, ended):
        identity = await interrupted(raw, ended)
        assert (end := await task_of(raw, identity))["status"] == "completed", end
        told = (await raw.ask("tasks/cancel", {"taskId": identity}, envelope(TASKS)))["result"]
        checked(told, "CancelTaskResult")
        again = (await raw.ask("tools/call", waiting_for(identity), envelope()))["result"]
    assert (text_in(again).get("code"), site.looked) == ("network", 1), again


async def test_a_task_of_an_earlier_run_is_taken_up_once(settings: Settings) -> None:
    async with at(CutOff(), settings) as (raw, ended):
        identity = await interrupted(raw, ended)
    site = CutOff()
    async with at(site, settings) as (raw, ended):
        await task_of(raw, identity)
        await ended(identity)
        told = await task_of(raw, identity)
    assert (text_in(told["result"])["code"], site.looked) == ("network", 1)


async def test_a_wish_whose_task_nobody_asks_after_any_more_is_joined(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdp_image_mcp.mcp_server.tasks import opened

    monkeypatch.setattr(opened, "LOST_SECONDS", -1.0)
    painter = Slow()
    with anyio.fail_after(30):
        async with connected(painted_app(settings, painter)) as raw:
            first, second = await call(raw, FOX, TASKS), await call(raw, FOX, TASKS)
    assert first["taskId"] == second["taskId"]


async def test_a_call_without_tasks_gives_up_those_that_nobody_asks_after(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdp_image_mcp.mcp_server.tasks import opened

    monkeypatch.setattr(opened, "LOST_SECONDS", -1.0)
    painter = Slow()
    with anyio.fail_after(30):
        async with connected(painted_app(settings, painter)) as raw:
            first = await call(raw, FOX, TASKS)
            second = text_in(await call(raw, AT_ONCE, {}))
    assert (second["generation_id"], second["joined"]) == (first["taskId"], True)


def waited_for(settings: Settings) -> list[str]:
    """Generations that a call of some process waits for."""
    return [path.name.partition(".")[0] for path in settings.output_dir.glob(".cdp-image-mcp/waiting/*")]


async def test_tasks_wait_for_nothing_once_the_client_has_gone(settings: Settings, tmp_path: Path) -> None:
    """A server that outlives its client would keep the next one from joining what it finishes."""
    with anyio.fail_after(30):
        async with open_app(settings) as app:
            await app.tasks.open(standing(tmp_path, "generating"), await app.studio(), None, {})
            assert waited_for(settings) == [IDENTITY]
        assert waited_for(settings) == []


async def test_tasks_that_are_dropped_while_they_are_open_leave_nothing_suspended(
    settings: Settings, tmp_path: Path
) -> None:
    """The collector ends what is suspended, the outer and the inner at once: each falls over the other then."""
    fallen = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: fallen.append(context))
    with anyio.fail_after(30):
        async with painted_app(settings, Slow())() as app:
            ring: list[Any] = [tasks := Tasks(app.person)]
            ring.append(ring)
            await tasks.open(standing(tmp_path, "generating"), await app.studio(), None, {})
            del ring, tasks
            gc.collect()
            await anyio.wait_all_tasks_blocked()
    assert fallen == []


async def test_a_task_that_two_calls_open_at_the_same_moment_waits_once_and_no_longer_than_it_is_open(
    settings: Settings, tmp_path: Path
) -> None:
    """Models call wait_for_image twice in one turn. A wait that nobody ends keeps the same wish from joining."""
    made = standing(tmp_path, "generating")
    with anyio.fail_after(30):
        async with open_app(settings) as app:
            studio, also = await app.studio(), dict[str, Any]()
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(app.tasks.open, made, studio, None, also)
            assert waited_for(settings) == [IDENTITY]
            await app.tasks.close(IDENTITY)
            assert waited_for(settings) == []


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update"])
async def test_a_task_without_an_id_is_no_other_one(settings: Settings, method: str) -> None:
    """To the studio no id means the newest, which would count as fetched by this."""
    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            await call(raw, FOX, TASKS)
            told = await raw.ask(method, {"taskId": "", "inputResponses": {}}, envelope(TASKS))
    assert told["error"]["code"] == -32602


async def test_a_view_that_looks_on_waits_for_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts look on all the time while the picture is made: the same wish is the same picture all the same."""
    wait, waits = Library.wait, list[str]()

    async def counted(library: Library, generation_id: str) -> str:
        waits.append(generation_id)
        return await wait(library, generation_id)

    monkeypatch.setattr(Library, "wait", counted)
    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            identity = text_in(await call(raw, AT_ONCE, {}))["generation_id"]
            told = await call(raw, {"name": "watch_picture", "arguments": {"generation_id": identity}}, SHOWS)
    assert (text_in(told)["generation_id"], waits) == (identity, [])


async def test_a_view_of_an_old_conversation_has_nothing_looked_for_at_the_site(settings: Settings) -> None:
    left: dict[str, Any] = {
        "owner": DEAD,
        "state": "interrupted",
        "submitted": True,
        "spent": "unknown",
        "finished_at": now(),
    }
    record = a_record(**left)
    await create(Library(settings.output_dir), record)
    [sidecar] = settings.output_dir.glob("*/metadata.json")
    before = sidecar.read_bytes()
    with anyio.fail_after(30):
        async with connected(painted_app(settings, Slow())) as raw:
            arguments = {"generation_id": record.generation_id, "wait_seconds": 0}
            looked = {"name": "watch_picture", "arguments": arguments}
            told = await raw.ask("tools/call", looked, envelope(SHOWS))
    assert (text_in(told["result"])["status"], sidecar.read_bytes()) == ("failed", before)


def test_what_is_told_of_a_task_holds_nothing_of_another(tmp_path: Path) -> None:
    from cdp_image_mcp.mcp_server.tasks.opened import task

    made: Standing = standing(tmp_path, "generating")
    assert set(task(made, "working")) == {
        *("taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs")
    }


async def test_a_fault_of_ours_is_told_by_its_kind_and_never_in_its_own_words(
    raw: Raw, studio: ScriptedStudio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.waited = [RuntimeError("/home/me/.secret")]
    told = await raw.ask("tasks/get", {"taskId": IDENTITY}, envelope(TASKS))
    assert "A fault in cdp-image-mcp (RuntimeError)." in told["error"]["message"]
    assert "secret" not in json.dumps(told)
    assert "/home/me/.secret" in caplog.text  # the log says it all
