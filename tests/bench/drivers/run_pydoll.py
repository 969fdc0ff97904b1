"""The exercise with pydoll's connection layer."""
# pyright: basic, reportMissingImports=false

from collections.abc import Callable
from typing import Any

from exercise import Where, main
from pydoll.commands import RuntimeCommands
from pydoll.connection import ConnectionHandler


class Pydoll:
    connection: ConnectionHandler

    async def open(self, where: Where) -> None:
        self.connection = ConnectionHandler(ws_address=where.page_url)
        await self.connection.execute_command(RuntimeCommands.enable())

    async def evaluate(self, expression: str) -> Any:
        answer = await self.connection.execute_command(RuntimeCommands.evaluate(expression, return_by_value=True))
        return answer["result"]["result"]["value"]

    async def hear(self, told: Callable[[str], None]) -> None:
        await self.connection.register_callback("Runtime.bindingCalled", lambda event: told(event["params"]["payload"]))
        await self.connection.execute_command(RuntimeCommands.add_binding("told"))

    async def close(self) -> None:
        await self.connection.close()


if __name__ == "__main__":
    main(Pydoll())
