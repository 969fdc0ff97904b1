"""Answers: a generation's standing as the contract's JSON, and as many pictures beside it as the client can take."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from cdp_image_mcp.library.comparison import requested
from cdp_image_mcp.mcp_server.fields import fields_of, status_of
from cdp_image_mcp.previews.preview import PREVIEW_BYTES, SHOWN, OpenCanvas, Picture, PreviewError, PreviewMaker
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.studio.asked import Images
from cdp_image_mcp.studio.studio import Standing
from cdp_image_mcp.system.plaintext import clean

LIMIT = 1_000_000
"""Characters of one serialised answer. Claude Desktop refuses results above 1,048,576 characters (seen 2025-07 to
2026-03), and Codex keeps a copy of about 1 MiB (openai/codex#44126, 2026-09)."""
ENVELOPE = 4_000
"""JSON-RPC frame, result keys and the SDK's own ``_meta`` round the content."""
TEXT_LIMIT = 900_000
STRUCTURED_LIMIT = (LIMIT - ENVELOPE) // 2
"""Characters of an answer that is given twice over, as text and as data."""
SHORTENINGS = (
    *((characters, 1000) for characters in (16_000, 8000, 4000, 2000, 1000, 500, 250, 125, 62)),
    *((62, items) for items in (250, 62, 15)),
)
"""Characters of a string and entries of a list, from what hardly hurts to what is always short enough."""
BLOCK = 100
"""Characters of an image block beside its data."""
NOTE = 400
"""Reserved for each picture's line in ``not_inline`` until it is known whether one is needed."""
RESERVED_PREVIEW = 40_000
"""What an original must leave for the preview of each picture after it."""


class Showing(msgspec.Struct, frozen=True):
    """Which pictures an answer is to show."""

    images: Images
    deadline: float = math.inf
    """Moment of the event loop's clock after which the caller may have given up: the answer goes without previews."""
    unseen: str = ""
    """Why this client is given no pictures unless it asks for them."""


class Answer(msgspec.Struct):
    """What a call is answered with: the JSON of its fields, and the pictures beside it."""

    text: str
    pictures: list[Picture] = []
    failed: bool = False


def wire_length(text: str) -> int:
    """Characters ``text`` takes as a string of the wire's JSON in its longest usual spelling (only ASCII)."""
    return len(json.dumps(text))


def fitted(fields: dict[str, Any], most: int = TEXT_LIMIT) -> str:
    """The JSON of ``fields``. If it had more than ``most`` characters on the wire, and so could not be delivered, its
    longest strings and then its longest lists are shortened, and ``shortened`` says so."""
    text = msgspec.json.encode(fields).decode()
    for limit, items in SHORTENINGS:
        if wire_length(text) <= most:
            break
        short = {name: _shortened(value, limit, items) for name, value in fields.items()}
        text = msgspec.json.encode(short | {"shortened": True}).decode()
    return text


def _shortened(value: Any, limit: int, items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[: limit - 1] + "…"
    if isinstance(value, dict):
        return {key: _shortened(item, limit, items) for key, item in value.items()}  # type: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_shortened(item, limit, items) for item in value[:items]]  # type: ignore[reportUnknownVariableType]
    return value


def base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


class _Room:
    """Fills the characters that the text leaves with pictures, fairly and in order."""

    def __init__(self, characters: int, images: Images) -> None:
        self.left = characters
        self.images = images
        self.pictures: list[Picture] = []
        self.not_inline: list[dict[str, Any]] = []

    async def add(self, maker: PreviewMaker, index: int, image: SavedImage, after: int) -> None:
        """Show picture ``index``; ``after`` pictures still want their share."""
        share = self.left // (after + 1) - BLOCK
        fits = min(share // 4 * 3, PREVIEW_BYTES)
        try:
            shown, room = image.mime_type in SHOWN, self.left - BLOCK - after * RESERVED_PREVIEW
            size = (await anyio.Path(image.path).stat()).st_size
            if self.images == "full" and shown and base64_length(size) <= room:
                data = await anyio.to_thread.run_sync(Path(image.path).read_bytes)
                self._take(Picture(image.mime_type, data))
                return
            if self.images == "full":
                why = f"The original ({size:,} bytes) does not fit" if shown else "This format is a file only"
                reason = f"{why}; the block is a preview."
                self._note(index, reason)
            self._take(await maker.preview(image, fits))
        except FileNotFoundError:
            self._note(index, "The file is no longer there.")
        except OSError as error:
            self._note(index, f"The file could not be read ({error.strerror}).")
        except PreviewError as error:
            self._note(index, str(error))

    def _take(self, picture: Picture) -> None:
        self.left -= base64_length(len(picture.data)) + BLOCK
        self.pictures.append(picture)

    def _note(self, index: int, reason: str) -> None:
        """Why picture ``index`` is not shown, or not as it is: the last word on it counts."""
        note = {"index": index, "reason": clean(reason, 300)}
        self.not_inline = [*(each for each in self.not_inline if each["index"] != index), note]
        # Words that are not ASCII take six times as much.
        self.left -= max(0, wire_length(msgspec.json.encode(note).decode()) - NOTE)


async def compose(
    standing: Standing, showing: Showing, open_canvas: OpenCanvas, also: Mapping[str, Any] | None = None
) -> Answer:
    """The answer for a standing: failed generations become the contract's failure, pictures are put beside the JSON
    as ``showing`` says, and the whole, fields of ``also`` included, stays under :data:`LIMIT` characters."""
    record = standing.record
    fields = fields_of(standing) | dict(also or {})
    if status_of(record) == "failed":
        return Answer(fitted(fields), failed=True)
    shown = record.images[: max(requested(record)["n"], 1)] if record.finished else []
    if shown and showing.unseen:
        fields["not_inline"] = [{"index": index, "reason": showing.unseen} for index in range(1, len(shown) + 1)]
    if not shown or showing.unseen or showing.images == "none":
        return Answer(fitted(fields))
    room = LIMIT - ENVELOPE - wire_length(fitted(fields)) - NOTE * len(shown)
    filler = _Room(room, showing.images)
    async with PreviewMaker(open_canvas, showing.deadline) as maker:
        for index, image in enumerate(shown, start=1):
            await filler.add(maker, index, image, len(shown) - index)
    if filler.not_inline:
        fields["not_inline"] = filler.not_inline
    return Answer(fitted(fields), filler.pictures)
