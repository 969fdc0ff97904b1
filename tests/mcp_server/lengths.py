"""What makes an answer long, and how long it is on the wire."""

import json

import mcp_types as types

NASTY = {
    "letters": "a" * 32_000,
    "quotes and backslashes": '"\\' * 16_000,
    "control characters": "\x01" * 32_000,
    "emoji": "🦊" * 32_000,
    "Chinese": "狐" * 32_000,
}


def wire(result: types.CallToolResult) -> str:
    """The answer as it goes over the wire, only ASCII: the longest spelling that a client may count."""
    message = {"jsonrpc": "2.0", "id": 2**53, "result": result.model_dump(by_alias=True, mode="json")}
    return json.dumps(message)
