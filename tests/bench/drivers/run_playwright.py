"""The exercise with playwright for Python, by its CDP session."""
# pyright: basic, reportMissingImports=false

from collections.abc import Callable
from typing import Any

from exercise import Where, main
from playwright.async_api import async_playwright


class Playwright:
    manager: Any
    session: Any

    async def open(self, where: Where) -> None:
        self.manager = await async_playwright().start()
        browser = await self.manager.chromium.connect_over_cdp(f"http://127.0.0.1:{where.port}")
        for page in browser.contexts[0].pages:
            session = await browser.contexts[0].new_cdp_session(page)
            about = await session.send("Target.getTargetInfo")
            if about["targetInfo"]["targetId"] == where.target:
                self.session = session
                await session.send("Runtime.enable")
                return
        raise RuntimeError("the page was not found")

    async def evaluate(self, expression: str) -> Any:
        answer = await self.session.send("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        return answer["result"]["value"]

    async def hear(self, told: Callable[[str], None]) -> None:
        self.session.on("Runtime.bindingCalled", lambda event: told(event["payload"]))
        await self.session.send("Runtime.addBinding", {"name": "told"})

    async def close(self) -> None:
        await self.manager.stop()


if __name__ == "__main__":
    main(Playwright())
