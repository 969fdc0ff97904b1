"""The exercise with nodriver."""
# pyright: basic, reportMissingImports=false

from collections.abc import Callable
from typing import Any

import nodriver
from exercise import Where, main
from nodriver import cdp


class Nodriver:
    browser: Any
    tab: Any

    async def open(self, where: Where) -> None:
        self.browser = await nodriver.start(host="127.0.0.1", port=where.port)
        await self.browser.update_targets()
        self.tab = next(tab for tab in self.browser.tabs if tab.target.target_id == where.target)
        await self.tab.send(cdp.runtime.enable())

    async def evaluate(self, expression: str) -> Any:
        remote, _ = await self.tab.send(cdp.runtime.evaluate(expression, return_by_value=True))
        return remote.value

    async def hear(self, told: Callable[[str], None]) -> None:
        # It calls handlers with the connection first, and again without when that raises TypeError.
        self.tab.add_handler(cdp.runtime.BindingCalled, lambda event, _tab: told(event.payload))
        await self.tab.send(cdp.runtime.add_binding("told"))

    async def close(self) -> None:
        await self.browser.aclose()


if __name__ == "__main__":
    main(Nodriver())
