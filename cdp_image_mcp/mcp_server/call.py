"""One tool call under way: from its arguments to a result, whatever happens; loaded by the first call."""

import logging
from typing import Any, TypeAlias

import anyio
import mcp_types as types
import msgspec
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.errors import ImageError, image_error_in
from cdp_image_mcp.mcp_server.answer import STRUCTURED_LIMIT, Answer, compose, encoded, failure, fitted
from cdp_image_mcp.mcp_server.app import App
from cdp_image_mcp.mcp_server.arguments import BackendStatus, BrowserVisibility, CancelImage, WaitForImage, parse
from cdp_image_mcp.mcp_server.client.elicitation import ANSWER_KEY, is_modern
from cdp_image_mcp.mcp_server.client.progress import Progress
from cdp_image_mcp.studio.asked import GenerateImage, Images
from cdp_image_mcp.studio.studio import Listener, News, Standing, Studio
from cdp_image_mcp.system.plaintext import clean_tree

__all__ = ["ToolResult", "call_tool", "result_of"]

logger = logging.getLogger(__name__)

ANSWERING_SECONDS = 3.0
"""With less of its time left a call does not ask a person: the question would vanish before it is read, and it is put
once only. The next call asks."""

Context: TypeAlias = ServerRequestContext[App, Any]
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

    def __init__(self, ctx: Context, params: types.CallToolRequestParams, studio: Studio) -> None:
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

    async def _settle(self, standing: Standing, seconds: float, images: Images) -> ToolResult:
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

    def _listener(self, images: Images) -> Listener:
        """Hears every few seconds while the call waits: the client's progress, and a page ready for the previews."""

        async def listen(news: News) -> None:
            if images != "none":
                self.app.previewer.expect()
            await self.progress(news)

        return listen

    async def _answer(self, standing: Standing, images: Images) -> types.CallToolResult:
        result = result_of(await compose(standing, images, self.app.previewer))
        await self.studio.fetched(standing)
        return result

    def _wait_seconds(self, given: float | msgspec.UnsetType) -> float:
        return self.app.settings.wait_seconds if given is msgspec.UNSET else given

    def _images(self, given: Images | msgspec.UnsetType) -> Images:
        return self.app.settings.inline if given is msgspec.UNSET else given


async def call_tool(ctx: Context, params: types.CallToolRequestParams, kind: type[msgspec.Struct]) -> ToolResult:
    """Answer a call of the tool that takes ``kind``; every failure is data that the model can act on."""
    generation_id: str | None = None
    try:
        arguments, ignored = parse(kind, params.arguments)
        generation_id = _given(getattr(arguments, "generation_id", None))
        return await _Call(ctx, params, await ctx.lifespan_context.studio(), ignored).run(arguments)
    except MCPError:
        raise
    except Exception as error:
        if (known := image_error_in(error)) is not None:
            return _failed(known, generation_id)
        # An exception that escapes would reach an old client with its text, paths and all (legacy era, SDK 2.3).
        logger.exception("%s failed", params.name)
        fault = ImageError("internal", f"A fault in {APP_NAME} ({type(error).__name__}).", submitted="unknown")
        return _failed(fault, generation_id)
