"""The way by a SOCKS proxy. Loaded where one is named alone: its package need not be there."""

import math
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import socksio


class SocksTransport(httpx.AsyncHTTPTransport):
    """Says as every other fault of a proxy what socksio raises, before a byte of a request left: httpx hands that on as
    it is (0.28), and who asks would take it for a fault of the program. It also waits for the proxy's word no longer
    than for any other, and closes a connection that does not lead on: httpcore does neither (1.0)."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        leading = anyio.CancelScope()
        request.extensions["trace"] = _watched(request.extensions, leading)
        try:
            with leading:
                return await super().handle_async_request(request)
        except socksio.SOCKSError as error:
            raise httpx.ProxyError(f"it does not answer as a SOCKS proxy does: {error}") from None
        raise httpx.ReadTimeout("the proxy says nothing")


def _watched(extensions: Mapping[str, Any], leading: anyio.CancelScope) -> Any:
    """Hears how far a connection is, and hands it on."""
    told, patience = extensions.get("trace"), extensions.get("timeout", {}).get("read")
    stream: Any = None

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        nonlocal stream
        if event.endswith("connect_tcp.complete"):
            stream = info["return_value"]
        elif event.endswith("setup_socks5_connection.started"):
            leading.deadline = math.inf if patience is None else anyio.current_time() + patience
        elif event.endswith("setup_socks5_connection.complete"):
            leading.deadline = math.inf
        elif event.endswith("setup_socks5_connection.failed"):
            await stream.aclose()
        if told is not None:
            await told(event, info)

    return trace
