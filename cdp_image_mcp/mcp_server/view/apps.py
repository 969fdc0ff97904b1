"""MCP Apps (``io.modelcontextprotocol/ui``, 2026-01-26): which hosts get the view, its page, and the two tools that
only the view can call. A host that does not declare the extension is told nothing of all this."""

import base64
import hashlib
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext

from cdp_image_mcp import __version__
from cdp_image_mcp.mcp_server.arguments import PictureHistory, WatchPicture
from cdp_image_mcp.mcp_server.tools import TOOLS, tool

EXTENSION = "io.modelcontextprotocol/ui"
ADDRESS = "ui://cdp-image-mcp/picture.html"
MIME_TYPE = "text/html;profile=mcp-app"
SHOWN_FOR = ("generate_image", "wait_for_image")
ARGUMENTS: dict[str, type[msgspec.Struct]] = {"watch_picture": WatchPicture, "picture_history": PictureHistory}
META: dict[str, Any] = {"ui": {"resourceUri": ADDRESS}, "ui/resourceUri": ADDRESS}
"""The second name is what hosts of before 2026-01-26 read (npm package @modelcontextprotocol/ext-apps 2.0.4)."""
FOR_THE_VIEW: dict[str, Any] = {"ui": {"visibility": ["app"]}}


def declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client shows views of the kind that we have."""
    capabilities = ctx.session.client_capabilities
    told = None if capabilities is None else (capabilities.extensions or {}).get(EXTENSION)
    return told is not None and MIME_TYPE in (told.get("mimeTypes") or [MIME_TYPE])


@cache
def tools() -> list[types.Tool]:
    """The five tools, two of them with the view, and the view's own."""
    shown = [each.model_copy(update={"meta": META}) if each.name in SHOWN_FOR else each for each in TOOLS]
    hidden = partial(tool, looks=True, _meta=FOR_THE_VIEW)
    watching = "For the view: how a generation stands, after at most wait_seconds."
    return [
        *shown,
        hidden("watch_picture", "Watch a picture", watching, WatchPicture),
        hidden("picture_history", "Earlier pictures", "For the view: the newest pictures.", PictureHistory),
    ]


@cache
def page() -> types.TextResourceContents:
    """The whole view: one file that loads nothing, and allows no style or script but its own, by their hashes."""
    text = Path(__file__).with_name("picture.html").read_text("utf-8").replace("VERSION", __version__)
    for name in ("style", "script"):
        (body,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode("ascii")
        text = text.replace(f"{name.upper()}-HASH", f"sha256-{digest}")
    meta: dict[str, Any] = {"ui": {"csp": {}, "permissions": {"clipboardWrite": {}}, "prefersBorder": True}}
    return types.TextResourceContents(uri=ADDRESS, mime_type=MIME_TYPE, text=text, _meta=meta)
