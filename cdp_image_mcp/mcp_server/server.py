"""The MCP server: five tools over a studio, both protocol eras, every failure as data the model can act on."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
import mcp_types as types
import msgspec
from mcp import MCPError
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from cdp_image_mcp import __version__
from cdp_image_mcp.config import APP_NAME, Settings
from cdp_image_mcp.errors import ImageError, image_error_in
from cdp_image_mcp.mcp_server.answer import STRUCTURED_LIMIT, Answer, compose, encoded, failure, fitted
from cdp_image_mcp.mcp_server.arguments import (
    BackendStatus,
    BrowserVisibility,
    CancelImage,
    WaitForImage,
    parse,
)
from cdp_image_mcp.mcp_server.elicitation import ANSWER_KEY, Person, is_modern
from cdp_image_mcp.mcp_server.progress import Progress
from cdp_image_mcp.mcp_server.tools import ARGUMENTS, INSTRUCTIONS, TOOLS
from cdp_image_mcp.previews.preview import Previewer
from cdp_image_mcp.studio.asked import GenerateImage, Images
from cdp_image_mcp.system.plaintext import clean, clean_tree

if TYPE_CHECKING:
    # Loaded by the first call: a client that only lists the tools must not wait for it.
    from cdp_image_mcp.studio.studio import Listener, News, Standing, Studio

__all__ = ["App", "OpenApp", "make_server", "result_of"]

logger = logging.getLogger(__name__)

SIGN_IN_STATE_SECONDS = 3600.0
"""How long the sealed state of a question stays valid: people sign in with a second factor and come back late."""

ANSWERING_SECONDS = 3.0
"""With less of its time left a call does not ask a person: the question would vanish before it is read, and it is put
once only. The next call asks."""


class App:
    """What the handlers share while the server runs."""

    def __init__(self, settings: Settings, studio: "Callable[[], Awaitable[Studio]]", previewer: Previewer) -> None:
        """``studio`` is opened when it is first awaited."""
        self.settings = settings
        self.studio = studio
        self.previewer = previewer
        self.person = Person(settings.web_url)


Context: TypeAlias = ServerRequestContext[App, Any]
T = TypeVar("T")
OpenApp: TypeAlias = Callable[[], AbstractAsyncContextManager[App]]
ToolResult: TypeAlias = types.CallToolResult | types.InputRequiredResult


def result_of(answer: Answer) -> types.CallToolResult:
    # No structured_content beside pictures: Codex then drops the pictures (openai/codex#38287, 2026-08), Claude Code
    # and VS Code the text.
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=answer.text)]
    content += [
        types.ImageContent(type="image", data=encoded(picture), mime_type=picture.mime_type)
        for picture in answer.pictures
    ]
    return types.CallToolResult(content=content, is_error=answer.failed)


def _failed(error: ImageError, generation_id: str | None) -> types.CallToolResult:
    fields = failure(error, generation_id)
    return result_of(Answer(fields, fitted(fields), failed=True))


def _structured(fields: dict[str, Any]) -> types.CallToolResult:
    plain: dict[str, Any] = clean_tree(msgspec.to_builtins(fields, str_keys=True, enc_hook=str), 4000)
    text = fitted(plain, STRUCTURED_LIMIT)
    told: dict[str, Any] = msgspec.json.decode(text)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=told)


def _accepted(params: types.CallToolRequestParams) -> bool:
    answer = (params.input_responses or {}).get(ANSWER_KEY)
    return isinstance(answer, types.ElicitResult) and answer.action == "accept"


def _given(value: Any) -> Any:
    return None if value is msgspec.UNSET else value


class _Call:
    """One tool call under way; its waiting in all, for the picture and for a person, is what ``wait_seconds`` says."""

    def __init__(self, ctx: Context, params: types.CallToolRequestParams, studio: "Studio") -> None:
        self.ctx = ctx
        self.params = params
        self.app = ctx.lifespan_context
        self.studio = studio
        self.progress = Progress(ctx.session)
        self.began = anyio.current_time()

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        match arguments:
            case GenerateImage():
                return await self._generate(arguments)
            case WaitForImage():
                return await self._wait(arguments)
            case CancelImage():
                return await self._answer(await self.studio.cancel(arguments.generation_id), "none")
            case BackendStatus():
                return _structured(await self.studio.status(_given(arguments.backend)))
            case BrowserVisibility():
                shown = await self.studio.visibility(arguments.action, start_browser=arguments.start_browser)
                return _structured(shown)
            case _:
                raise TypeError(f"no tool takes {type(arguments).__name__}")

    async def _generate(self, arguments: GenerateImage) -> ToolResult:
        seconds, images = self._wait_seconds(arguments.wait_seconds), self._images(arguments.images)
        if self.params.request_state is not None:
            return await self._repeated(self.params.request_state, seconds, images)
        return await self._settle(await self.studio.generate(arguments, self._listener(images)), seconds, images)

    async def _wait(self, arguments: WaitForImage) -> ToolResult:
        seconds, images = self._wait_seconds(arguments.wait_seconds), self._images(arguments.images)
        if self.params.request_state is not None:
            return await self._repeated(self.params.request_state, seconds, images)
        standing = await self.studio.wait(_given(arguments.generation_id), seconds, self._listener(images))
        return await self._settle(standing, seconds, images)

    async def _repeated(self, generation_id: str, seconds: float, images: Images) -> ToolResult:
        """The same call again, with the person's answer: wait on, and never start anything."""
        seconds = seconds if _accepted(self.params) else 0
        standing = await self.studio.wait(generation_id, seconds, self._listener(images))
        return await self._answer(standing, images)

    async def _settle(self, standing: "Standing", seconds: float, images: Images) -> ToolResult:
        """Ask the person where one is needed and the client can; then answer."""
        person = self.app.person
        if seconds > 0 and person.may_ask(self.ctx, standing):
            if is_modern(self.ctx):
                return person.interim(standing)
            listener = self._listener(images)
            identity, left = standing.record.generation_id, self.began + seconds - anyio.current_time()
            if left >= ANSWERING_SECONDS:
                standing = await person.ask_and_wait(
                    self.ctx, standing, lambda: self.studio.wait(identity, left, listener)
                )
        return await self._answer(standing, images)

    def _listener(self, images: Images) -> "Listener":
        """Hears every few seconds while the call waits: the client's progress, and a page ready for the previews."""

        async def listen(news: "News") -> None:
            if images != "none":
                self.app.previewer.expect()
            await self.progress(news)

        return listen

    async def _answer(self, standing: "Standing", images: Images) -> types.CallToolResult:
        result = result_of(await compose(standing, images, self.app.previewer))
        await self.studio.fetched(standing)
        return result

    def _wait_seconds(self, given: float | msgspec.UnsetType) -> float:
        return self.app.settings.wait_seconds if given is msgspec.UNSET else given

    def _images(self, given: Images | msgspec.UnsetType) -> Images:
        return self.app.settings.inline if given is msgspec.UNSET else given


async def _list_tools(_: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    if params is not None and params.cursor is not None:
        raise MCPError(types.INVALID_PARAMS, "There is only one page of tools.")
    return types.ListToolsResult(tools=list(TOOLS))


async def _call_tool(ctx: Context, params: types.CallToolRequestParams) -> ToolResult:
    kind = ARGUMENTS.get(params.name)
    if kind is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {clean(params.name, 100)}")
    generation_id: str | None = None
    try:
        arguments = parse(kind, params.arguments)
        generation_id = _given(getattr(arguments, "generation_id", None))
        return await _Call(ctx, params, await ctx.lifespan_context.studio()).run(arguments)
    except MCPError:
        raise
    except Exception as error:
        if (known := image_error_in(error)) is not None:
            return _failed(known, generation_id)
        # An exception that escapes would reach an old client with its text, paths and all (legacy era, SDK 2.3).
        logger.exception("%s failed", params.name)
        fault = ImageError("internal", f"A fault in {APP_NAME} ({type(error).__name__}).", submitted="unknown")
        return _failed(fault, generation_id)


async def _list_resources(ctx: Context, _: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    from cdp_image_mcp.mcp_server.resources import list_pictures

    studio = await ctx.lifespan_context.studio()
    return types.ListResourcesResult(resources=await _told(list_pictures(studio.library)))


async def _list_templates(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
    from cdp_image_mcp.mcp_server.resources import TEMPLATES

    return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)


async def _read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    from cdp_image_mcp.mcp_server.resources import read_picture

    studio = await ctx.lifespan_context.studio()
    return types.ReadResourceResult(contents=[await _told(read_picture(studio.library, params.uri))])


async def _told(work: Awaitable[T]) -> T:
    """A disk error in the words of the error, not of an exception."""
    try:
        return await work
    except ImageError as error:
        raise MCPError(types.INTERNAL_ERROR, clean(error.message)) from None


def make_server(open_app: OpenApp) -> Server[App]:
    """The server; ``open_app`` is entered once for each run and must open nothing that costs time."""

    @asynccontextmanager
    async def lifespan(_: Server[App]) -> AsyncGenerator[App]:
        async with open_app() as app:
            yield app

    server = Server(
        APP_NAME,
        version=__version__,
        title="Pictures by ChatGPT",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        cache_hints={"tools/list": CacheHint(ttl_ms=3_600_000, scope="public")},
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
    )
    security = RequestStateSecurity.ephemeral(ttl=SIGN_IN_STATE_SECONDS)
    server.middleware.append(RequestStateBoundary(security, default_audience=APP_NAME))
    return server
