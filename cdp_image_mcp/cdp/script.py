"""Values that come out of the page's scripts."""

from typing import Any

import msgspec

from cdp_image_mcp.cdp.errors import ScriptError
from cdp_image_mcp.cdp.protocol import EvaluateReply, ExceptionDetails, RemoteObject
from cdp_image_mcp.cdp.wire import shaped

# JSON has no word for these.
UNSERIALIZABLE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"), "-0": -0.0}


def result_of(raw: msgspec.Raw) -> RemoteObject:
    """What a script gave. Raises ScriptError when it threw."""
    reply = shaped(raw, EvaluateReply, "script")
    if reply.exception_details is not None:
        raise ScriptError(_thrown(reply.exception_details))
    return reply.result


def value_of(raw: msgspec.Raw, kind: Any) -> Any:
    """The JSON value that a script gave, as ``kind``; undefined is None. Raises ScriptError, also for another kind."""
    result = result_of(raw)
    try:
        if result.unserializable_value is not None:
            return msgspec.convert(UNSERIALIZABLE.get(result.unserializable_value, result.unserializable_value), kind)
        if not bytes(result.value):
            return msgspec.convert(None, kind)
        return msgspec.json.decode(result.value, type=kind)
    except msgspec.DecodeError as error:
        raise ScriptError(f"the script gave something else than was asked for: {error}") from None


def _thrown(details: ExceptionDetails) -> str:
    thrown = details.exception
    if thrown is None:
        return details.text
    return thrown.description or bytes(thrown.value).decode() or details.text
