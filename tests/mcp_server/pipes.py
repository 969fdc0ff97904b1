"""A server process on real pipes, and JSON-RPC with it by hand."""

import json
import subprocess
from typing import Any

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
ENDS = 30
"""Seconds after which a process that should have ended counts as hanging."""

Process = subprocess.Popen[bytes]


def send(process: Process, *messages: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    process.stdin.flush()


def receive(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def ask(process: Process, number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    send(process, {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})
    answer = receive(process)
    assert answer["id"] == number
    return answer
