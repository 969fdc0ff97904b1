"""A browser's end of the websocket that says exactly what a test wants it to say."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from cdp_image_mcp.cdp.connection import Connection, connect
from cdp_image_mcp.cdp.session import Session


class Peer:
    """Answers every command with an empty result, unless its method is in ``silent`` or ``answers``."""

    def __init__(self) -> None:
        self.url = ""
        self.commands: list[dict[str, Any]] = []
        self.silent: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {}
        self.before: dict[str, list[dict[str, Any]]] = {}
        self.headers: dict[str, str] = {}
        self._arrived = asyncio.Condition()
        self._socket: ServerConnection | None = None

    async def handle(self, socket: ServerConnection) -> None:
        self._socket = socket
        assert socket.request is not None
        self.headers = dict(socket.request.headers)
        try:
            async for data in socket:
                command = msgspec.json.decode(data)
                for event in self.before.get(command["method"], []):
                    await self.send(event)
                if command["method"] not in self.silent:
                    answer = self.answers.get(command["method"], {"result": {}})
                    await self.send({"id": command["id"], **answer})
                async with self._arrived:
                    self.commands.append(command)
                    self._arrived.notify_all()
        except ConnectionClosed:
            return

    async def send(self, message: dict[str, Any]) -> None:
        await self.send_raw(msgspec.json.encode(message))

    async def send_raw(self, data: bytes) -> None:
        """Bytes that need not be JSON."""
        assert self._socket is not None
        await self._socket.send(data, text=True)

    async def event(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> None:
        await self.send({"method": method, "params": params or {}, **({"sessionId": session} if session else {})})

    async def drop(self) -> None:
        """Die without a close frame, as Chrome does."""
        assert self._socket is not None
        self._socket.transport.abort()

    async def command(self, method: str, count: int = 1) -> dict[str, Any]:
        """The ``count``-th command of this method, waited for."""

        def found() -> list[dict[str, Any]]:
            return [command for command in self.commands if command["method"] == method]

        async with self._arrived:
            await self._arrived.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    async def settle(self, connection: Connection) -> None:
        """All that was sent so far has been read by the other side: answers and events are in order."""
        await connection.browser.call("Browser.getVersion")


@asynccontextmanager
async def fake_browser() -> AsyncGenerator[Peer, None]:
    peer = Peer()
    async with serve(peer.handle, "127.0.0.1", 0, max_size=None, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        peer.url = f"ws://127.0.0.1:{port}/devtools/browser/fake"
        yield peer


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Peer, Connection], None]:
    async with fake_browser() as peer, connect(peer.url) as connection:
        yield peer, connection


async def attach_session(peer: Peer, connection: Connection, session_id: str = "S1", target: str = "T1") -> Session:
    """A session, made the way Chrome makes one: the event first, the answer after it."""
    peer.before["Target.attachToTarget"] = [
        {
            "method": "Target.attachedToTarget",
            "params": {"sessionId": session_id, "targetInfo": {"targetId": target, "type": "page"}},
        }
    ]
    peer.answers["Target.attachToTarget"] = {"result": {"sessionId": session_id}}
    return await connection.attach(target)
