"""The newest pictures as MCP resources: an opaque id names the generation, a number the picture, and nothing a path."""

import base64
import re
from pathlib import Path
from typing import Any

import anyio.to_thread
import mcp_types as types
from mcp import MCPError

from cdp_image_mcp.library.library import Library
from cdp_image_mcp.previews.preview import PREVIEW_BYTES, Picture, ready
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.system.plaintext import clean

ADDRESS = re.compile(r"cdp-image://generation/([0-9a-f]{32})/([1-9][0-9]{0,2})(?:/(preview|[1-9][0-9]{0,3}))?")
"""A picture; with ``/preview`` its preview, with a number that part of it, for the view."""
NEWEST = 50
PART = 600_000
"""Bytes of a part: as base64 below the megabyte that some hosts take at most, and without padding inside."""
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
    return [
        types.Resource(
            name=Path(image.path).name,
            title=clean(entry.record.prompt, 80).replace("\n", " "),
            uri=f"cdp-image://generation/{entry.record.generation_id}/{number}",
            description=f"{image.width}x{image.height}, made {entry.record.created_at} by {entry.record.backend}",
            mime_type=image.mime_type,
            size=image.bytes,
        )
        for entry in await library.newest(NEWEST)
        for number, image in enumerate(entry.record.images, start=1)
    ]


async def history(library: Library, count: int) -> list[dict[str, Any]]:
    """The newest generations that have pictures, for the view."""
    records = [entry.record for entry in await library.newest(NEWEST) if entry.record.images]
    return [
        {
            "generation_id": record.generation_id,
            "prompt": clean(record.prompt, 200),
            "created_at": record.created_at,
            "images": len(record.images),
        }
        for record in records[:count]
    ]


async def read_picture(library: Library, address: str) -> types.BlobResourceContents:
    """The bytes behind an address. Raises MCPError for everything that is none, and for a picture too large to send."""
    found = ADDRESS.fullmatch(address)
    entry = await library.find(found[1]) if found is not None else None
    if found is None or entry is None or int(found[2]) > len(entry.record.images):
        raise _no_such(address)
    image = entry.record.images[int(found[2]) - 1]
    try:
        picture = await anyio.to_thread.run_sync(_read, image, found[3])
    except OSError as error:
        raise MCPError(types.INVALID_PARAMS, f"{image.path} cannot be read: {error.strerror}") from None
    if picture is None:
        raise _no_such(address)
    return types.BlobResourceContents(
        uri=address, mime_type=picture.mime_type, blob=base64.b64encode(picture.data).decode()
    )


def _read(image: SavedImage, what: str | None) -> Picture | None:
    """The picture, its preview or one part of it. Raises OSError, MCPError."""
    if what == "preview":
        return ready(image, PREVIEW_BYTES)
    if what is not None:
        with Path(image.path).open("rb") as file:
            file.seek((int(what) - 1) * PART)
            data = file.read(PART)
        return Picture("application/octet-stream", data) if data else None
    if (size := Path(image.path).stat().st_size) > LARGEST:  # the record's is that of the day it came
        raise MCPError(
            types.INVALID_PARAMS, f"This picture has {size:,} bytes, too many to send; it lies at {image.path}"
        )
    return Picture(image.mime_type, Path(image.path).read_bytes())


def _no_such(address: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": clean(address, 200)})
