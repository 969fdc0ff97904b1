"""One tool call under way: from its arguments to a result, whatever happens; loaded by the first call."""

import base64
import logging
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
import mcp_types as types
import msgspec
from mcp import MCPError

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.mcp_server.answer import STRUCTURED_LIMIT, Answer, Showing, compose, fitted
from cdp_image_mcp.mcp_server.app import Context
from cdp_image_mcp.mcp_server.arguments import (
    BackendStatus,
    BrowserVisibility,
    CancelImage,
    PictureHistory,
    WaitForImage,
    WatchPicture,
    parse,
)
from cdp_image_mcp.mcp_server.client.elicitation import ANSWER_KEY, is_modern
from cdp_image_mcp.mcp_server.client.table import ANSWER_SECONDS, known
from cdp_image_mcp.mcp_server.fields import failure, known_error
from cdp_image_mcp.mcp_server.resources import history
from cdp_image_mcp.mcp_server.tasks.opened import declared
from cdp_image_mcp.studio.asked import GenerateImage, Images
from cdp_image_mcp.studio.studio import Listener, News, Standing, Studio
from cdp_image_mcp.system.plaintext import clean_tree
from cdp_image_mcp.system.viewer import open_file, openable

logger = logging.getLogger(__name__)

ANSWERING_SECONDS = 3.0
"""With less of its time left a call does not ask a person: the question would vanish before it is read, and it is put
once only. The next call asks."""

NOTICE_SECONDS = 1.0
"""What a client gets to take one notice. The stream has no buffer: one that stopped reading would block us."""

ToolResult: TypeAlias = types.CallToolResult | types.InputRequiredResult | dict[str, Any]


def result_of(answer: Answer) -> types.CallToolResult:
    # No structured_content beside pictures: Codex then drops the pictures (openai/codex#38287, 2026-08), Claude Code
    # and VS Code the text.
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=answer.text)]
    for picture in answer.pictures:
        data = base64.b64encode(picture.data).decode()
        content.append(types.ImageContent(type="image", data=data, mime_type=picture.mime_type))
    return types.CallToolResult(content=content, is_error=answer.failed)


def _given(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


class _Call:
    """One tool call under way; its waiting in all, for the picture and for a person, is what ``wait_seconds`` says."""

    def __init__(self, ctx: Context, params: types.CallToolRequestParams) -> None:
        self.ctx = ctx
        self.params = params
        self.app = ctx.lifespan_context
        self._told = -1.0
        self.began = anyio.current_time()
        self.also: dict[str, Any] = {}
        """Told beside every answer."""
        self.generation_id: str | None = None
        """What the call is about, as soon as that is known; told whatever happens afterwards."""
        self.joining: dict[str, Any] = {}
        """How the call came to that generation, of which later standings say nothing."""
        self.held = AsyncExitStack()
        """Until its answer is out the same wish is another picture; given up, it is joined by the next at once."""

    async def run(self, kind: type[msgspec.Struct]) -> ToolResult:
        arguments, ignored = parse(kind, self.params.arguments)
        if ignored:
            self.also["ignored"] = ignored
        self.generation_id = _given(getattr(arguments, "generation_id", None))
        studio = await self.app.studio()
        match arguments:
            case GenerateImage() | WaitForImage():
                async with self.held:
                    return await self._picture(arguments, studio)
            case CancelImage():
                standing = await studio.cancel(arguments.generation_id)
                return await self._answer(standing, Showing("none"), studio, opens=False)
            case BackendStatus():
                return self._structured(await studio.status(_given(arguments.backend)))
            case BrowserVisibility():
                shown = await studio.visibility(arguments.action, start_browser=arguments.start_browser)
                return self._structured(shown)
            case WatchPicture():
                return await self._watch(arguments, studio)
            case PictureHistory():
                fields = {"pictures": await history(studio.library, arguments.count)}
                return result_of(Answer(fitted(fields)))
            case _:
                raise TypeError(f"no tool takes {type(arguments).__name__}")

    async def _picture(self, arguments: GenerateImage | WaitForImage, studio: Studio) -> ToolResult:
        settings = self.app.settings
        seconds = settings.wait_seconds if arguments.wait_seconds is msgspec.UNSET else arguments.wait_seconds
        images = _given(arguments.images)
        shown = showing(settings, self.ctx.session, images, self.began + seconds + ANSWER_SECONDS)
        if (repeated := self.params.request_state) is not None:
            # The same call again, with the person's answer: wait on, and never start anything.
            self.generation_id, *came = repeated.split()
            self.joining = {"joined": bool(came), "unmet": tuple(came[1:])}
            said = (self.params.input_responses or {}).get(ANSWER_KEY)
            left = seconds if isinstance(said, types.ElicitResult) and said.action == "accept" else 0
            standing = await studio.wait(self.generation_id, left, self._tell, began=self.began, held=self.held)
            return await self._answer(standing, shown, studio)
        tasks = self.app.tasks
        await tasks.sweep(arguments.prompt if isinstance(arguments, GenerateImage) else None)
        if declared(self.ctx):
            standing = await self._taken_up(arguments, studio, 0)
            self.generation_id = standing.record.generation_id
            if standing.record.finished:
                return await self._answer(standing, shown, studio)
            if tasks.ended(self.generation_id) is None:
                return await tasks.open(standing, studio, images, self.also)
        standing = await self._taken_up(arguments, studio, seconds, self._tell)
        self.generation_id = identity = standing.record.generation_id
        person = self.app.person
        if seconds > 0 and person.may_ask(self.ctx, standing):
            if is_modern(self.ctx):
                return person.interim(self.ctx, msgspec.structs.replace(standing, **self.joining))
            left = self.began + seconds - anyio.current_time()
            if left >= ANSWERING_SECONDS:
                wait = partial(studio.wait, identity, listener=self._tell)
                standing = await person.ask_and_wait(self.ctx, standing, left, wait)
        return await self._answer(standing, shown, studio)

    async def _watch(self, arguments: WatchPicture, studio: Studio) -> types.CallToolResult:
        """For the view: the same answer, but nobody has fetched the picture by it, nor asked for it again."""
        seconds = arguments.wait_seconds
        shown = Showing("preview", self.began + seconds + ANSWER_SECONDS)
        standing = await studio.wait(arguments.generation_id, seconds, began=self.began, onlooker=True, again=False)
        return result_of(await compose(standing, shown, self.app.open_canvas))

    async def _taken_up(
        self,
        arguments: GenerateImage | WaitForImage,
        studio: Studio,
        seconds: float,
        listener: Listener | None = None,
    ) -> Standing:
        """Started, unless it is known what the call is about, and waited for."""
        if isinstance(arguments, WaitForImage) or self.generation_id is not None:
            if self.generation_id is None:
                await self.app.underway.settled()  # what was told last is not meant again
            return await studio.wait(self.generation_id, seconds, listener, began=self.began, held=self.held)
        standing = await studio.generate(arguments, listener, seconds=seconds, began=self.began, held=self.held)
        self.joining = {"joined": standing.joined, "unmet": standing.unmet}
        return standing

    async def _tell(self, news: News) -> None:
        """The client's progress. Numbers only ever grow, and a slow or dead reader costs at most a second."""
        if news.elapsed <= self._told:
            return
        self._told = news.elapsed
        # A total that is already passed would read as more than 100 %.
        total = news.expected if news.expected is not None and news.expected > news.elapsed else None
        with anyio.move_on_after(NOTICE_SECONDS), suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self.ctx.session.report_progress(round(news.elapsed, 1), total, news.message)

    async def _answer(
        self, standing: Standing, shown: Showing, studio: Studio, *, opens: bool = True
    ) -> types.CallToolResult:
        self.generation_id = standing.record.generation_id
        standing = msgspec.structs.replace(standing, **self.joining)
        result = result_of(await compose(standing, shown, self.app.open_canvas, self.also))
        await give(self.ctx, studio, standing, self.held, opens=opens)
        return result

    def _structured(self, fields: dict[str, Any]) -> types.CallToolResult:
        plain: dict[str, Any] = clean_tree(msgspec.to_builtins(fields | self.also, str_keys=True, enc_hook=str), 4000)
        text = fitted(plain, STRUCTURED_LIMIT)
        told: dict[str, Any] = msgspec.json.decode(text)
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=told)

    def failed(self, error: ImageError) -> types.CallToolResult:
        fields = failure(error, self.generation_id) | self.also
        return result_of(Answer(fitted(fields), failed=True))


def showing(settings: Settings, session: Any, images: Images | None, deadline: float) -> Showing:
    """Which pictures the client at the other end of ``session`` is shown; ``images`` is what the caller asked for."""
    if images is not None:
        return Showing(images, deadline)
    usual, client = settings.inline, known(session)
    return Showing(usual, deadline, client.unseen if client is not None and usual != "none" else "")


async def give(ctx: Context, studio: Studio, standing: Standing, held: AsyncExitStack, *, opens: bool = True) -> None:
    """The answer about a standing is made. When it is out, the generation counts as fetched, and what is ``held`` until
    then is let go. ``opens``: by this answer the user may be shown the picture, where that is wished for."""
    app = ctx.lifespan_context

    async def note() -> None:
        # Not what another client may still fetch: it would be opened by each answer about it.
        if await studio.fetched(standing) and opens and app.settings.open_finished:
            await anyio.to_thread.run_sync(_open, standing.record)

    if standing.record.finished:
        await app.underway.give(ctx.request_id, note, held)


def _open(record: Record) -> None:
    if record.finished and record.images:
        try:
            open_file(openable(Path(record.images[0].path)))
        except OSError as error:
            logger.warning("the picture could not be opened (GPT_IMAGE_OPEN): %s", error)


async def call_tool(ctx: Context, params: types.CallToolRequestParams, kind: type[msgspec.Struct]) -> ToolResult:
    """Answer a call of the tool that takes ``kind``; every failure is data that the model can act on."""
    call = _Call(ctx, params)
    try:
        return await call.run(kind)
    except MCPError:
        raise
    except Exception as error:  # noqa: BLE001  it is told
        # An exception that escapes would reach an old client with its text, paths and all (legacy era, SDK 2.3).
        return call.failed(known_error(error, params.name))
