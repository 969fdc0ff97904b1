"""The exercise with cdp-use."""
# pyright: basic, reportMissingImports=false

from collections.abc import Callable
from typing import Any

from cdp_use.client import CDPClient
from exercise import Where, main


class CdpUse:
    client: CDPClient
    session: str

    async def open(self, where: Where) -> None:
        self.client = CDPClient(where.browser_url)
        await self.client.start()
        target = {"targetId": where.target, "flatten": True}
        self.session = (await self.client.send.Target.attachToTarget(target))["sessionId"]
        await self.client.send.Runtime.enable(session_id=self.session)

    async def evaluate(self, expression: str) -> Any:
        params = {"expression": expression, "returnByValue": True}
        answer = await self.client.send.Runtime.evaluate(params, session_id=self.session)
        return answer["result"]["value"]

    async def hear(self, told: Callable[[str], None]) -> None:
        self.client.register.Runtime.bindingCalled(lambda event, _session: told(event["payload"]))
        await self.client.send.Runtime.addBinding({"name": "told"}, session_id=self.session)

    async def close(self) -> None:
        await self.client.stop()


if __name__ == "__main__":
    main(CdpUse())
