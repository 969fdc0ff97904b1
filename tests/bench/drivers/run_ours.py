"""The exercise with this project's own driver."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from exercise import Where, main

from cdp_image_mcp.cdp.connection import connect
from cdp_image_mcp.cdp.session import Event, Session


class Remote(msgspec.Struct):
    value: Any = None


class Evaluated(msgspec.Struct):
    result: Remote


class Called(msgspec.Struct):
    payload: str


class Ours:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is None:
            raise RuntimeError("not open")
        return self._session

    async def open(self, where: Where) -> None:
        connection = await self._stack.enter_async_context(connect(where.browser_url))
        self._session = await connection.attach(where.target)
        await self.session.call("Runtime.enable")

    async def evaluate(self, expression: str) -> Any:
        params = {"expression": expression, "returnByValue": True}
        answer = await self.session.call("Runtime.evaluate", params, timeout=120, reply=Evaluated)
        return answer.result.value

    async def hear(self, told: Callable[[str], None]) -> None:
        def heard(event: Event) -> None:
            told(event.decode(Called).payload)

        self.session.listen(heard, "Runtime.bindingCalled")
        await self.session.call("Runtime.addBinding", {"name": "told"})

    async def close(self) -> None:
        await self._stack.aclose()


if __name__ == "__main__":
    main(Ours())
