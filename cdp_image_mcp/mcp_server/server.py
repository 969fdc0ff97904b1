"""The MCP server: five tools over a studio, both protocol eras, every failure as data the model can act on."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import mcp_types as types
import msgspec
from mcp import MCPError
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from cdp_image_mcp import __version__
from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.app import App, Context, OpenApp, told
from cdp_image_mcp.mcp_server.client.greeting import INSTRUCTIONS, TITLE, meta_of
from cdp_image_mcp.mcp_server.installed import loading
from cdp_image_mcp.mcp_server.tasks.methods import add_tasks
from cdp_image_mcp.mcp_server.tools import ARGUMENTS, TOOLS
from cdp_image_mcp.mcp_server.view import apps
from cdp_image_mcp.system.plaintext import clean

SIGN_IN_STATE_SECONDS = 3600.0
"""How long the sealed state of a question stays valid: people sign in with a second factor and come back late."""


async def _list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    if params is not None and params.cursor:
        raise MCPError(types.INVALID_PARAMS, "There is only one page of tools.")
    return types.ListToolsResult(tools=apps.tools() if apps.declared(ctx) else list(TOOLS))


async def _call_tool(
    ctx: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any]:
    kind = ARGUMENTS.get(params.name) or (apps.ARGUMENTS.get(params.name) if apps.declared(ctx) else None)
    if kind is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {clean(params.name, 100)}")
    try:
        with loading("cdp_image_mcp.mcp_server.call", unsent=params.name == "generate_image"):
            from cdp_image_mcp.mcp_server.call import call_tool
    except ImageError as error:
        told = json.dumps({"status": "failed"} | error.as_dict())
        return types.CallToolResult(content=[types.TextContent(type="text", text=told)], is_error=True)
    return await call_tool(ctx, params, kind)


async def _list_resources(ctx: Context, _: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    with told():
        with loading("cdp_image_mcp.mcp_server.resources"):
            from cdp_image_mcp.mcp_server.resources import list_pictures
        studio = await ctx.lifespan_context.studio()
        return types.ListResourcesResult(resources=await list_pictures(studio.library))


async def _list_templates(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
    with told(), loading("cdp_image_mcp.mcp_server.resources"):
        from cdp_image_mcp.mcp_server.resources import TEMPLATES
    return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)


async def _read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    if params.uri == apps.ADDRESS:
        return types.ReadResourceResult(contents=[apps.page()])
    with told():
        with loading("cdp_image_mcp.mcp_server.resources"):
            from cdp_image_mcp.mcp_server.resources import read_picture
        studio = await ctx.lifespan_context.studio()
        return types.ReadResourceResult(contents=[await read_picture(studio.library, params.uri)])


async def _unwrapped(ctx: Context, call_next: CallNext) -> HandlerResult:
    """What the SDK refuses without a word of what is wrong: arguments as JSON text, a progress token that is null."""
    if not ctx.params:
        return await call_next(ctx)
    params = dict(ctx.params)
    if isinstance(text := params.get("arguments"), str):
        with suppress(msgspec.MsgspecError, RecursionError):
            params["arguments"] = msgspec.json.decode(text.strip() or "{}", type=dict[str, Any])
    if (meta := meta_of(params)).get("progressToken", 0) is None:
        params["_meta"] = {name: value for name, value in meta.items() if name != "progressToken"}
    return await call_next(replace(ctx, params=params))


def make_server(open_app: OpenApp) -> Server[App]:
    """The server; ``open_app`` is entered once for each run and must open nothing that costs time."""
    server = Server(
        APP_NAME,
        version=__version__,
        title=TITLE,
        instructions=INSTRUCTIONS,
        lifespan=lambda _: open_app(),
        cache_hints={"tools/list": CacheHint(ttl_ms=3_600_000, scope="public")},
        on_list_tools=_list_tools,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
    )
    # Not as on_call_tool: the SDK 2.3 has no type for a result that is a task.
    server.add_request_handler("tools/call", types.CallToolRequestParams, _call_tool)
    add_tasks(server)
    server.extensions[apps.EXTENSION] = {}
    security = RequestStateSecurity.ephemeral(ttl=SIGN_IN_STATE_SECONDS)
    server.middleware.append(_unwrapped)
    server.middleware.append(RequestStateBoundary(security, default_audience=APP_NAME))
    return server
