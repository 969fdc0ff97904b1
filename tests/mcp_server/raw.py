"""A client that speaks plain JSON, for what no SDK's client sends or shows."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from cdp_image_mcp.mcp_server.app import OpenApp
from cdp_image_mcp.mcp_server.server import make_server


def envelope(capabilities: dict[str, Any] | None = None, name: str = "test") -> dict[str, Any]:
    """``_meta`` of a request of 2026-07-28."""
    return {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": name, "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }


class Raw:
    """One connection; requests one after the other."""

    def __init__(
        self,
        sending: MemoryObjectSendStream[SessionMessage | Exception],
        receiving: MemoryObjectReceiveStream[SessionMessage],
    ) -> None:
        self._sending = sending
        self._receiving = receiving
        self._count = 0

    async def ask(self, method: str, params: dict[str, Any], meta: dict[str, Any] | None = None) -> dict[str, Any]:
        """The ``result`` or ``error`` of one request; notices that come before it are passed over."""
        self._count += 1
        given = params if meta is None else params | {"_meta": meta}
        request = types.JSONRPCRequest(jsonrpc="2.0", id=self._count, method=method, params=given)
        await self._sending.send(SessionMessage(request))
        while True:
            told = (await self._receiving.receive()).message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            if told.get("id") == self._count:
                return {name: told[name] for name in ("result", "error") if name in told}

    async def say(self, method: str) -> None:
        await self._sending.send(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method=method)))


@asynccontextmanager
async def connected(open_app: OpenApp) -> AsyncGenerator[Raw]:
    """A connection to the product's server; no handshake was made."""
    server = make_server(open_app)
    sending, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    outgoing, receiving = anyio.create_memory_object_stream[SessionMessage](1)
    with sending, receiving:
        async with anyio.create_task_group() as group:
            group.start_soon(server.run, incoming, outgoing, server.create_initialization_options())
            yield Raw(sending, receiving)
            group.cancel_scope.cancel()
