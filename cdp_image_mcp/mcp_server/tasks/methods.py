"""``tasks/get``, ``tasks/update`` and ``tasks/cancel``."""

from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import msgspec
from mcp import MCPError
from mcp.server.lowlevel import Server

from cdp_image_mcp.mcp_server.app import App, Context, told
from cdp_image_mcp.mcp_server.client.elicitation import PERSON_STATES, is_modern
from cdp_image_mcp.mcp_server.installed import loading
from cdp_image_mcp.mcp_server.tasks.opened import EXTENSION, task

if TYPE_CHECKING:
    # Loaded by the first call, not by the server's start.
    from cdp_image_mcp.studio.studio import Standing, Studio

PREVIEW_SECONDS = 20.0
"""How long an answer about a finished task may take for its previews."""


class TaskParams(types.RequestParams):
    """Of ``tasks/get`` and ``tasks/cancel``."""

    task_id: str


class UpdateParams(TaskParams):
    """Of ``tasks/update``."""

    input_responses: dict[str, dict[str, Any]]


async def _get(ctx: Context, params: TaskParams) -> dict[str, Any]:
    studio, tasks = await _studio(ctx), ctx.lifespan_context.tasks
    with told():
        # What is interrupted while a client asks after it is told: looked for at each question, it would never end.
        standing = await studio.wait(params.task_id, 0, again=tasks.is_new(params.task_id))
        record, state = standing.record, standing.record.state
        ended = tasks.ended(params.task_id)
        if ended is None and record.finished:
            ended = "cancelled" if state == "cancelled" and not record.images else "completed"
        if ended == "cancelled":
            await tasks.end(params.task_id, ended).aclose()
            return task(standing, ended)
        if ended is not None:
            return await _completed(ctx, standing, studio)
        await tasks.asked_after(params.task_id)
        tasks.stands(standing)
        if state not in PERSON_STATES or tasks.accepted(standing):
            return task(standing, "working")
        if (question := tasks.question(ctx, standing)) is not None:
            asked = question.model_dump(by_alias=True, mode="json", exclude_none=True)
            return task(standing, "input_required") | {"inputRequests": {state: asked}}
        # Nobody can be asked here: the model has to tell the person, and needs an answer for that.
        return await _completed(ctx, standing, studio)


async def _completed(ctx: Context, standing: "Standing", studio: "Studio") -> dict[str, Any]:
    with loading("cdp_image_mcp.mcp_server.call"):
        from cdp_image_mcp.mcp_server.answer import compose
        from cdp_image_mcp.mcp_server.call import give, result_of, showing

    app, identity = ctx.lifespan_context, standing.record.generation_id
    images, also = standing.record.request.get("images"), None
    if (opened := await app.tasks.asked_after(identity)) is not None:
        images, also = opened.images or images, opened.also
        standing = msgspec.structs.replace(standing, joined=opened.joined, unmet=opened.unmet)
    shown = showing(app.settings, ctx.session, images, anyio.current_time() + PREVIEW_SECONDS)
    result = result_of(await compose(standing, shown, app.open_canvas, also))
    async with app.tasks.end(identity, "completed") as held:
        await give(ctx, studio, standing, held)
    whole = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return task(standing, "completed") | {"result": whole}


async def _update(ctx: Context, params: UpdateParams) -> dict[str, Any]:
    studio = await _studio(ctx)
    with told():
        await studio.wait(params.task_id, 0, again=False)
    ctx.lifespan_context.tasks.answered(params.task_id, params.input_responses)
    return {}


async def _cancel(ctx: Context, params: TaskParams) -> dict[str, Any]:
    studio, tasks = await _studio(ctx), ctx.lifespan_context.tasks
    if tasks.ended(params.task_id) is not None:  # clean-up, and no wish: it may be collected yet
        return {}
    with told():
        if await studio.is_of_another(params.task_id):
            # Only waited for here: to give that up is no wish about another client's picture.
            await tasks.end(params.task_id, "cancelled").aclose()
        else:
            await studio.cancel(params.task_id)
    return {}


async def _studio(ctx: Context) -> "Studio":
    if not is_modern(ctx):
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
    with told():
        return await ctx.lifespan_context.studio()


def add_tasks(server: Server[App]) -> None:
    """Declare the extension and answer its methods."""
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", TaskParams, _get)
    server.add_request_handler("tasks/update", UpdateParams, _update)
    server.add_request_handler("tasks/cancel", TaskParams, _cancel)
