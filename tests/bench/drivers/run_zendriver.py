"""The exercise with zendriver."""
# pyright: basic, reportMissingImports=false

from collections.abc import Callable
from typing import Any

import zendriver
from exercise import Where, main
from zendriver import cdp


class Zendriver:
    browser: Any
    tab: Any

    async def open(self, where: Where) -> None:
        self.browser = await zendriver.start(host="127.0.0.1", port=where.port)
        self.tab = next(tab for tab in self.browser.tabs if tab.target_id == where.target)
        await self.tab.send(cdp.runtime.enable())

    async def evaluate(self, expression: str) -> Any:
        remote, _ = await self.tab.send(cdp.runtime.evaluate(expression, return_by_value=True))
        return remote.value

    async def hear(self, told: Callable[[str], None]) -> None:
        self.tab.add_handler(cdp.runtime.BindingCalled, lambda event: told(event.payload))
        await self.tab.send(cdp.runtime.add_binding("told"))

    async def close(self) -> None:
        await self.tab.aclose()
        await self.browser.connection.aclose()


if __name__ == "__main__":
    main(Zendriver())
