"""Whose certificate it was that nobody here trusts: asked once more, without sending a byte of a request."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
import anyio.to_thread

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.wire.client import CONNECT_TIMEOUT, open_client
from cdp_image_mcp.openai.wire.proxy import Proxy

COMMON_NAME, ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"
"""Object identifiers 2.5.4.3 and 2.5.4.10 (X.520)."""

VERSION = 0xA0


class _ShownError(Exception):
    """The certificate was shown; nothing more is wanted."""


async def issuer_at(url: str, proxy: Proxy | None) -> str | None:
    """Who issued the certificate that is shown at ``url``, None when that cannot be told. The connection is ended
    before anything is sent through it."""
    shown: list[bytes] = []

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("start_tls.complete"):
            secured = info["return_value"].get_extra_info("ssl_object")
            shown.append(secured.getpeercert(binary_form=True))
        elif event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            raise _ShownError

    import httpx

    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    try:
        client = await anyio.to_thread.run_sync(lambda: open_client(proxy, verify=unchecked, timeout=CONNECT_TIMEOUT))
        async with client:
            await client.get(url, extensions={"trace": trace})
    except (_ShownError, ImageError, httpx.HTTPError):
        pass
    return issuer(shown[-1]) if shown else None


def issuer(certificate: bytes) -> str | None:
    """The common name, else the organisation, of who issued an X.509 certificate in DER (RFC 5280)."""
    try:
        (_, whole), *_ = _parts(certificate)
        (_, signed), *_ = _parts(whole)
        fields = [value for tag, value in _parts(signed) if tag != VERSION]
        names = [list(_parts(pair)) for _, entry in _parts(fields[2]) for _, pair in _parts(entry)]
    except (IndexError, ValueError):
        return None
    found = {pair[0][1]: pair[1][1].decode("utf-8", "replace") for pair in names if len(pair) == 2}
    return found.get(COMMON_NAME) or found.get(ORGANISATION)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element. Raises IndexError where it is cut."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        yield tag, data[at : at + length]
        at += length
