"""Answers: a generation's standing as the contract's JSON, and as many pictures beside it as the client can take."""

import base64
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.comparison import actual, honoured, requested
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.previews.preview import PREVIEW_BYTES, Picture, Previewer, PreviewError, PreviewMaker
from cdp_image_mcp.request import FINAL_STATES, SavedImage
from cdp_image_mcp.studio.asked import Images
from cdp_image_mcp.system.plaintext import clean, clean_tree, sound

if TYPE_CHECKING:
    # Loaded by the first call, not by the server's start.
    from cdp_image_mcp.studio.studio import Standing

__all__ = [
    "LIMIT",
    "STRUCTURED_LIMIT",
    "Answer",
    "compose",
    "describe",
    "encoded",
    "failure",
    "failure_of",
    "fitted",
    "json_text",
    "status_of",
    "wire_length",
]

logger = logging.getLogger(__name__)

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
MOST_IMAGES_LISTED = 200
MOST_FAILURES_LISTED = 20

WORK_NEXT = (
    "Not finished yet. Call wait_for_image with this generation_id; do not call generate_image again, "
    "that would make and cost another picture."
)
NEXT: dict[str, str] = {
    "working": WORK_NEXT,
    "needs_sign_in": (
        "Ask the user to sign in by hand in the browser window that is open on this machine and then to close that "
        "window (on a Mac: quit that browser). Then call wait_for_image with this generation_id. Do not call "
        "generate_image again: this one goes on by itself."
    ),
    "needs_verification": (
        "Ask the user to pass the site's check by hand in the browser window that is open on this machine, then call "
        "wait_for_image with this generation_id. Do not call generate_image again: this one goes on by itself."
    ),
    "partial": "The pictures listed are saved; failures says why the others are missing. Ask only for the rest.",
    "cancelled": "Nothing more happens with this generation; pictures listed here are kept.",
}
COLLECT_NEXT = (
    "The pictures listed are saved. Call wait_for_image with this generation_id first: the missing ones may still be "
    "fetched, and asking for them anew would cost them twice."
)


class Answer(msgspec.Struct):
    """What a call is answered with: the fields, their JSON, the pictures beside it."""

    fields: dict[str, Any]
    text: str
    pictures: list[Picture] = []
    failed: bool = False


def wire_length(text: str) -> int:
    """Characters ``text`` takes as a string of the wire's JSON in its longest usual spelling (only ASCII)."""
    return len(json.dumps(text))


def json_text(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()


def status_of(record: Record) -> str:
    """The contract's status of a record: ``failed`` for one that ended without a picture and not by cancelling."""
    state = record.state
    if state in {"needs_sign_in", "needs_verification", "saved", "partial", "cancelled"}:
        return state
    if state not in FINAL_STATES:
        return "working"
    return "partial" if record.images else "failed"


def _metadata(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": record.model, "mode": record.mode, "conversation_mode": record.conversation_mode}
    fields |= {
        name: getattr(record, name)
        for name in ("usage", "cost_usd", "conversation_url", "session_reused", "profile_dir", "openai_created")
    }
    fields |= {name: value for name, value in record.facts.items() if name not in fields}
    told: dict[str, Any] = clean_tree({name: value for name, value in fields.items() if value is not None})
    while told and len(json.dumps(told)) > 20_000:
        told.pop(max(told, key=lambda name: len(json.dumps(told[name]))))
    return told


def _progress(standing: "Standing") -> dict[str, Any]:
    fields: dict[str, Any] = {"state": standing.record.state}
    if standing.news is not None:
        fields["message"] = clean(standing.news.message)
        if standing.news.expected is not None:
            fields["expected_seconds"] = round(standing.news.expected, 1)
    if standing.position is not None:
        fields["queue_position"] = standing.position
    return fields


def _images(record: Record) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [msgspec.to_builtins(image) for image in record.images[:MOST_IMAGES_LISTED]]
    for entry in listed:
        entry["path"] = sound(entry["path"])
    return listed


def describe(standing: "Standing") -> dict[str, Any]:
    """The contract's fields of a generation that has not failed, in the contract's order."""
    record = standing.record
    status = status_of(record)
    fields: dict[str, Any] = {
        "status": status,
        "generation_id": record.generation_id,
        "requested_backend": record.requested_backend,
        "backend": record.backend,
    }
    if record.fallback_from is not None:
        fields["fallback_from"] = record.fallback_from
        if record.fallback_reason:
            fields["fallback_reason"] = clean(record.fallback_reason)
    fields["prompt"] = sound(record.prompt)
    if record.sent_prompt is not None:
        fields["sent_prompt"] = sound(record.sent_prompt)
    fields["output_dir"] = sound(standing.folder)
    images = _images(record)
    if images:
        fields["image_path"] = images[0]["path"]
    fields["images"] = images
    if len(record.images) > len(images):
        fields["images_not_listed"] = len(record.images) - len(images)
    fields["requested"] = requested(record)
    if record.images or record.finished:
        fields["actual"] = actual(record)
        fields["honoured"] = honoured(record)
    if not record.finished:
        fields["progress"] = _progress(standing)
    fields["elapsed_seconds"] = round(record.elapsed_seconds, 1)
    fields["timings"] = {name: round(value, 3) for name, value in msgspec.structs.asdict(record.timings).items()}
    fields["metadata"] = _metadata(record)
    if standing.joined:
        fields["joined"] = True
    if status in NEXT:
        fields["next"] = COLLECT_NEXT if record.collectable else NEXT[status]
    if record.failures:
        fields["failures"] = [
            {"index": each.index, "code": each.code, "message": clean(each.message)}
            for each in record.failures[:MOST_FAILURES_LISTED]
        ]
    return fields


def _interrupted(record: Record) -> ImageError:
    sent, on_web = record.submitted is not False, record.on_web
    next_step = "Call generate_image again; nothing was spent."
    if sent and on_web:
        next_step = "Call wait_for_image with this generation_id to collect it; do not pay for it again before that."
    elif sent:
        next_step = "Nothing can be collected there. Call generate_image again only if paying twice is acceptable."
    return ImageError(
        "browser_failed" if on_web else "cancelled",
        "The server stopped while this picture was being made"
        + ("; nothing had been sent." if not sent else ", and it could not be collected yet." if on_web else "."),
        submitted=record.submitted,
        spent=record.spent,
        retryable=on_web or not sent,
        next_step=next_step,
    )


def failure_of(record: Record) -> ImageError:
    """Why a generation ended without a picture; a process that died could not write it down."""
    return record.failure() or _interrupted(record)


def failure(error: ImageError, generation_id: str | None = None) -> dict[str, Any]:
    """The contract's fields of a failure; words of the site inside it are bounded and harmless."""
    told = error.as_dict()
    fields: dict[str, Any] = {"status": "failed", "code": told.pop("code"), "message": clean(told.pop("message"), 4000)}
    if generation_id is not None:
        fields["generation_id"] = generation_id
    if "details" in told:
        details: dict[str, Any] = clean_tree(told["details"], 8000)
        while details and len(json.dumps(details)) > 100_000:
            details.pop(max(details, key=lambda name: len(json.dumps(details[name]))))
        told["details"] = details
    return fields | told


def fitted(fields: dict[str, Any], most: int = TEXT_LIMIT) -> str:
    """The JSON of ``fields``. If it had more than ``most`` characters on the wire, and so could not be delivered, its
    longest strings and then its longest lists are shortened, and ``shortened`` says so."""
    text = json_text(fields)
    for limit, items in SHORTENINGS:
        if wire_length(text) <= most:
            break
        short = {name: _shortened(value, limit, items) for name, value in fields.items()}
        text = json_text(short | {"shortened": True})
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


async def _original(image: SavedImage) -> Picture:
    data = await anyio.to_thread.run_sync(Path(image.path).read_bytes)
    return Picture(mime_type=image.mime_type, data=data)


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
            if self.images == "full" and base64_length(image.bytes) <= self.left - BLOCK - after * RESERVED_PREVIEW:
                self._take(await _original(image))
                return
            if self.images == "full":
                reason = f"The original ({image.bytes:,} bytes) does not fit; the block is a preview."
                self.not_inline.append({"index": index, "reason": reason})
            self._take(await maker.preview(image, fits))
        except FileNotFoundError:
            self._leave_out(index, "The file is no longer there.")
        except OSError as error:
            self._leave_out(index, f"The file could not be read ({error.strerror}).")
        except PreviewError as error:
            self._leave_out(index, str(error))

    def _take(self, picture: Picture) -> None:
        self.left -= base64_length(len(picture.data)) + BLOCK
        self.pictures.append(picture)

    def _leave_out(self, index: int, reason: str) -> None:
        self.not_inline = [note for note in self.not_inline if note["index"] != index]
        self.not_inline.append({"index": index, "reason": clean(reason, 300)})


async def compose(standing: "Standing", images: Images, previewer: Previewer) -> Answer:
    """The answer for a standing: failed generations become the contract's failure, pictures are put beside the JSON
    as ``images`` says, and the whole stays under :data:`LIMIT` characters."""
    record = standing.record
    if status_of(record) == "failed":
        fields = failure(failure_of(record), record.generation_id)
        return Answer(fields, fitted(fields), failed=True)
    fields = describe(standing)
    if images == "none" or not record.finished or not record.images:
        return Answer(fields, fitted(fields))
    return await _with_pictures(fields, record.images[: max(requested(record)["n"], 1)], images, previewer)


async def _with_pictures(
    fields: dict[str, Any], shown: Sequence[SavedImage], images: Images, previewer: Previewer
) -> Answer:
    room = LIMIT - ENVELOPE - wire_length(fitted(fields)) - NOTE * len(shown)
    filler = _Room(room, images)
    try:
        async with previewer.open() as maker:
            for index, image in enumerate(shown, start=1):
                await filler.add(maker, index, image, len(shown) - index)
    except (PreviewError, OSError) as error:
        # Pictures that are saved are answered for, whatever becomes of what drew them smaller.
        logger.info("the previews' canvas was not closed in order: %s", error)
    if filler.not_inline:
        fields = fields | {"not_inline": filler.not_inline}
    text = fitted(fields)
    pictures = filler.pictures
    while pictures and wire_length(text) + sum(map(_block_length, pictures)) > LIMIT - ENVELOPE:
        pictures.pop()
    return Answer(fields, text, pictures)


def _block_length(picture: Picture) -> int:
    return base64_length(len(picture.data)) + BLOCK


def encoded(picture: Picture) -> str:
    """The picture's bytes as an image block carries them."""
    return base64.b64encode(picture.data).decode("ascii")
