"""The way by a SOCKS proxy. Loaded where one is named alone: its package need not be there."""

from collections.abc import Mapping
from typing import Any

import httpx
import socksio


class SocksTransport(httpx.AsyncHTTPTransport):
    """Says as every other fault of a proxy what socksio raises, before a byte of a request left: httpx hands that on as
    it is (0.28), and who asks would take it for a fault of the program. It also closes the connection, which httpcore
    leaves open then (1.0)."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["trace"] = _closing(request.extensions.get("trace"))
        try:
            return await super().handle_async_request(request)
        except socksio.SOCKSError as error:
            raise httpx.ProxyError(f"it does not answer as a SOCKS proxy does: {error}") from None


def _closing(told: Any) -> Any:
    """Hands on to ``told`` how far the connection is, and closes one whose proxy did not lead on."""
    stream: Any = None

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        nonlocal stream
        if event.endswith("connect_tcp.complete"):
            stream = info["return_value"]
        elif event.endswith("setup_socks5_connection.failed"):
            await stream.aclose()
        if told is not None:
            await told(event, info)

    return trace
