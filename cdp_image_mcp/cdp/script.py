"""Values into and out of the page's scripts."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from cdp_image_mcp.cdp.errors import ScriptError
from cdp_image_mcp.cdp.protocol import CallArgument, EvaluateReply, ExceptionDetails, RemoteObject

# JSON has no word for these.
UNSERIALIZABLE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"), "-0": -0.0}


@runtime_checkable
class Handle(Protocol):
    """Something that stands for an object in the page."""

    object_id: str


def arguments_of(values: Sequence[Any]) -> list[CallArgument]:
    """Arguments of a function in the page: handles as their objects, all else as JSON."""
    return [
        CallArgument(object_id=value.object_id) if isinstance(value, Handle) else CallArgument(value=value)
        for value in values
    ]


def result_of(raw: msgspec.Raw) -> RemoteObject:
    """What a script gave. Raises ScriptError when it threw."""
    reply = msgspec.json.decode(raw, type=EvaluateReply)
    if reply.exception_details is not None:
        raise _script_error(reply.exception_details)
    return reply.result


def value_of(raw: msgspec.Raw, kind: Any) -> Any:
    """The JSON value that a script gave, as ``kind``; undefined is None. Raises ScriptError, ValidationError."""
    result = result_of(raw)
    if result.unserializable_value is not None:
        return msgspec.convert(UNSERIALIZABLE.get(result.unserializable_value, result.unserializable_value), kind)
    if not bytes(result.value):
        return msgspec.convert(None, kind)
    return msgspec.json.decode(result.value, type=kind)


def _script_error(details: ExceptionDetails) -> ScriptError:
    thrown = details.exception
    if thrown is None:
        return ScriptError(details.text, line=details.line_number)
    text = thrown.description
    if text is None and bytes(thrown.value):
        text = bytes(thrown.value).decode()
    return ScriptError(text or details.text, line=details.line_number)
