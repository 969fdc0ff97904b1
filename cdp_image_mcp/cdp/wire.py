"""What goes over the websocket: commands out, answers and events in; and JSON that is not quite JSON, mended."""

import re
from typing import Any, TypeVar

import msgspec

from cdp_image_mcp.cdp.errors import CDPError, ProtocolError

T = TypeVar("T")

Params = dict[str, Any] | msgspec.Struct | None

# Chrome 156 drops the connection without a word at a message of 101 MiB; 99 MiB pass.
MAX_MESSAGE = 99 * 1024 * 1024
UNREADABLE = -32700
"""JSON-RPC's code for what is no JSON; the browser itself sends it for a command, we for an answer."""
# A pair of escapes for one character, half of such a pair, or any other escape: "\\ud83d" is a backslash and letters.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,15})\b')


class Command(msgspec.Struct, rename="camel", omit_defaults=True):
    """What goes out."""

    id: int
    method: str
    params: Params = None
    session_id: str | None = None


class WireError(msgspec.Struct):
    """The error body of an answer."""

    code: int
    message: str
    data: Any = None


class Envelope(msgspec.Struct, rename="camel", gc=False):
    """What comes in: an answer (id) or an event (method). Parameters stay undecoded until someone wants them."""

    id: int | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: WireError | None = None
    session_id: str | None = None


_encoder = msgspec.json.Encoder()


def encode(command: Command) -> bytes:
    """The bytes of a command. Raises CDPError for what the browser would not take: too long, or text that is none."""
    try:
        data = _encoder.encode(command)
    except UnicodeEncodeError as error:
        raise CDPError(f"{command.method}: its text holds half a character ({error.reason}); not sent") from None
    if len(data) > MAX_MESSAGE:
        raise CDPError(f"{command.method}: a message of {len(data)} bytes is more than the browser takes; not sent")
    return data


def shaped(raw: msgspec.Raw, kind: type[T], method: str) -> T:
    """What the browser said in ``method``, as ``kind``. Raises ProtocolError when it has another shape."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise ProtocolError(UNREADABLE, f"it came in another shape: {error}", method=method) from None


def content(raw: msgspec.Raw, base64_encoded: bool) -> bytes:
    """The bytes of a body. Base64 is decoded by msgspec straight from the message: no text of the whole body is ever
    made. Raises ProtocolError when it is neither."""
    if base64_encoded:
        return shaped(raw, bytes, "body")
    return shaped(raw, str, "body").encode("utf-8", "surrogatepass")


def decode(text: bytes | str, kind: type[T]) -> T:
    """JSON that the browser or a page wrote, as ``kind``; half characters in it become U+FFFD. Raises
    msgspec.DecodeError (of which ValidationError is one), RecursionError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError):
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return msgspec.json.decode(mended(data), type=kind)


def mended(data: bytes) -> bytes:
    r"""JSON whose halves of a pair (``\ud83d`` alone) and bytes that are no UTF-8 are U+FFFD.

    JavaScript's strings may be cut in the middle of a character, and Chrome writes them unit by unit (Chromium's crdtp,
    2026-11); JSON's readers refuse such a text as a whole.
    """
    halved = _ESCAPES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], data)
    return halved.decode("utf-8", "replace").encode()


def id_of(data: bytes) -> int | None:
    """Which command a message answers that cannot be decoded."""
    found = _ID.match(data)
    return int(found[1]) if found else None
