"""The body of a request: JSON or form parts, with pictures read from disk and encoded while they are sent."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.plan import Plan
from cdp_image_mcp.request import Reference

READ = 3 * 262_144
"""Bytes read at a time; a multiple of three, so that each piece of base64 stands alone."""

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


class Piece(msgspec.Struct, frozen=True):
    """A picture within a body, raw or in base64."""

    picture: Reference
    encoded: bool

    @property
    def length(self) -> int:
        return 4 * -(-self.picture.bytes // 3) if self.encoded else self.picture.bytes


class RequestBody:
    """A body of known length that is made while it is read, as often as it is iterated. Never holds a whole picture
    that is larger than the piece read at a time."""

    def __init__(self, content_type: str, parts: list[bytes | Piece]) -> None:
        self.content_type = content_type
        self.parts = parts
        self.length = self.unread = sum(len(part) if isinstance(part, bytes) else part.length for part in parts)
        """``unread`` is 0 from the moment the last piece is handed out, before it can have left."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.unread = self.length
        for part in self.parts:
            async for chunk in _read(part):
                self.unread -= len(chunk)
                yield chunk


async def _read(piece: bytes | Piece) -> AsyncIterator[bytes]:
    """The bytes of a part. Raises ImageError ``invalid_input`` before the last of a picture's when they are not those
    that were checked: what is sent must be what was allowed."""
    if isinstance(piece, bytes):
        yield piece
        return
    picture = piece.picture
    digest = hashlib.sha256()
    left = picture.bytes
    try:
        async with await anyio.open_file(picture.path, "rb") as file:
            while left > 0:
                data = await file.read(min(READ, left))
                left -= len(data)
                digest.update(data)
                last = left == 0 or not data
                if last and (left or await file.read(1) or digest.hexdigest() != picture.sha256):
                    raise _changed(picture, "has changed since it was checked")
                yield base64.b64encode(data) if piece.encoded else data
    except OSError as error:
        raise _changed(picture, f"cannot be read any more ({error.strerror})") from None


def _changed(picture: Reference, what: str) -> ImageError:
    message = f"The picture {picture.path.name} {what}; the request was given up before it was complete."
    return ImageError("invalid_input", message, details={"field": "reference_images"})


def make_body(plan: Plan) -> RequestBody:
    """The body of one request of ``plan``."""
    return _form_body(plan) if plan.edit and plan.form in {"multipart", "image"} else _json_body(plan)


def _json_body(plan: Plan) -> RequestBody:
    """The JSON is written once with a random mark where each picture belongs, and cut there."""
    mark = secrets.token_hex(16)
    sent = [*plan.pictures, *([plan.mask] if plan.mask else [])]

    def data_url(index: int) -> str:
        return f"data:{sent[index].mime_type};base64,{mark}"

    numbers = range(len(plan.pictures))
    fields: dict[str, Any] = dict(plan.parameters)
    if plan.edit and plan.form == "json":
        fields["images"] = [{"image_url": data_url(index)} for index in numbers]
        if plan.mask:
            fields["mask"] = {"image_url": data_url(len(plan.pictures))}
    elif plan.edit and plan.form == "input_references":
        fields["input_references"] = [{"type": "image_url", "image_url": {"url": data_url(i)}} for i in numbers]
    elif plan.edit and plan.form == "ref_images":
        fields["ref_images"] = [mark for _ in numbers]
    texts = msgspec.json.encode(fields).split(mark.encode())
    parts: list[bytes | Piece] = [texts[0]]
    for picture, text in zip(sent, texts[1:], strict=True):
        parts += [Piece(picture, encoded=True), text]
    return RequestBody("application/json", parts)


def _form_body(plan: Plan) -> RequestBody:
    """``multipart/form-data``. File names are made up: the user's own say too much."""
    boundary = f"picture-{secrets.token_hex(16)}"
    parts: list[bytes | Piece] = []
    for name, value in plan.parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        parts.append(head.encode() + text.encode() + b"\r\n")
    field = "image" if len(plan.pictures) == 1 or plan.form == "image" else "image[]"
    files = [(field, f"image-{index + 1}", picture) for index, picture in enumerate(plan.pictures)]
    if plan.mask:
        files.append(("mask", "mask", plan.mask))
    for name, title, picture in files:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"; filename="{title}.{EXTENSIONS[picture.mime_type]}"\r\n'
            f"Content-Type: {picture.mime_type}\r\n\r\n"
        )
        parts += [head.encode(), Piece(picture, encoded=False), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return RequestBody(f"multipart/form-data; boundary={boundary}", parts)
