"""The newest pictures as MCP resources: an opaque id names the generation, a number the picture, and nothing a path."""

import base64
import re
from pathlib import Path

import anyio.to_thread
import mcp_types as types
from mcp import MCPError

from cdp_image_mcp.library.library import Entry, Library
from cdp_image_mcp.system.plaintext import clean

__all__ = ["TEMPLATES", "list_pictures", "read_picture"]

ADDRESS = re.compile(r"cdp-image://generation/([0-9a-f]{32})/([1-9][0-9]{0,2})")
NEWEST = 50
LARGEST = 7_000_000
"""Bytes. As base64 it stays below the 10 MiB at which TypeScript clients close the connection (measured 2026-11)."""

TEMPLATES = [
    types.ResourceTemplate(
        name="picture",
        title="Saved picture",
        uri_template="cdp-image://generation/{generation_id}/{number}",
        description="Picture number 1, 2, … of a generation, as it lies on disk.",
    )
]


async def list_pictures(library: Library) -> list[types.Resource]:
    """The pictures of the newest generations, newest first."""
    return [resource for entry in await library.newest(NEWEST) for resource in _resources(entry)]


def _resources(entry: Entry) -> list[types.Resource]:
    record = entry.record
    return [
        types.Resource(
            name=Path(image.path).name,
            title=clean(record.prompt, 80).replace("\n", " "),
            uri=f"cdp-image://generation/{record.generation_id}/{number}",
            description=f"{image.width}x{image.height}, made {record.created_at} by {record.backend}",
            mime_type=image.mime_type,
            size=image.bytes,
        )
        for number, image in enumerate(record.images, start=1)
    ]


async def read_picture(library: Library, address: str) -> types.BlobResourceContents:
    """The bytes behind an address. Raises MCPError for everything that is none, and for a picture too large to send."""
    found = ADDRESS.fullmatch(address)
    entry = await library.find(found[1]) if found is not None else None
    number = int(found[2]) if found is not None else 0
    if entry is None or number > len(entry.record.images):
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": clean(address, 200)})
    image = entry.record.images[number - 1]
    if image.bytes > LARGEST:
        raise MCPError(
            types.INVALID_PARAMS, f"This picture has {image.bytes:,} bytes, too many to send; it lies at {image.path}"
        )
    try:
        data = await anyio.to_thread.run_sync(Path(image.path).read_bytes)
    except OSError as error:
        raise MCPError(types.INVALID_PARAMS, f"{image.path} cannot be read: {error.strerror}") from None
    blob = base64.b64encode(data).decode("ascii")
    return types.BlobResourceContents(uri=address, mime_type=image.mime_type, blob=blob)
