"""The floor: websockets' asyncio client and msgspec, a dictionary of futures, nothing else."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from exercise import Where, main
from websockets.asyncio.client import ClientConnection, connect


class Message(msgspec.Struct, rename="camel"):
    id: int | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"{}")


class Attached(msgspec.Struct, rename="camel"):
    session_id: str


class Remote(msgspec.Struct):
    value: Any = None


class Evaluated(msgspec.Struct):
    result: Remote


class Called(msgspec.Struct):
    payload: str


class Bare:
    def __init__(self) -> None:
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._session = ""
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._told: Callable[[str], None] | None = None
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Message)

    async def open(self, where: Where) -> None:
        self._socket = await connect(
            where.browser_url, compression=None, max_size=None, max_queue=None, ping_interval=None, proxy=None
        )
        self._reader = asyncio.create_task(self._read(self._socket))
        answer = await self._call("Target.attachToTarget", {"targetId": where.target, "flatten": True})
        self._session = msgspec.json.decode(answer, type=Attached).session_id
        await self._call("Runtime.enable", {})

    async def _call(self, method: str, params: dict[str, Any]) -> msgspec.Raw:
        if self._socket is None:
            raise RuntimeError("not open")
        number = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        command = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        await self._socket.send(self._encoder.encode(command), text=True)
        return await future

    async def _read(self, socket: ClientConnection) -> None:
        async for data in socket:
            message = self._decoder.decode(data)
            if message.id is not None:
                self._waiting.pop(message.id).set_result(message.result)
            elif message.method == "Runtime.bindingCalled" and self._told is not None:
                self._told(msgspec.json.decode(message.params, type=Called).payload)

    async def evaluate(self, expression: str) -> Any:
        answer = await self._call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        return msgspec.json.decode(answer, type=Evaluated).result.value

    async def hear(self, told: Callable[[str], None]) -> None:
        self._told = told
        await self._call("Runtime.addBinding", {"name": "told"})

    async def close(self) -> None:
        if self._socket is not None and self._reader is not None:
            await self._socket.close()
            await self._reader


if __name__ == "__main__":
    main(Bare())
