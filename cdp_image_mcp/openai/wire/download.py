"""Pictures that an answer only names by address: fetched without the key, bounded, and from nowhere private."""

import io
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import anyio

from cdp_image_mcp.openai.wire.exchange import USER_AGENT, certificates, describe
from cdp_image_mcp.openai.wire.pictures import LARGEST_PICTURE

if TYPE_CHECKING:
    import httpx

__all__ = ["Downloader", "FetchError", "Resolve", "is_public", "resolve"]

MOST_HOPS = 5
ATTEMPTS = 3
TIMEOUT = 60.0
PORTS = {"http": 80, "https": 443}

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""The numeric addresses of a host."""


class FetchError(Exception):
    """Why a picture could not be fetched, in words without its address (addresses may be signed)."""

    def __init__(self, words: str, *, again: bool = False) -> None:
        super().__init__(words)
        self.again = again


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether a numeric address lies in the open internet, looking through addresses that wrap an IPv4 one."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)
        if number in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(number.packed[-4:])
        if inner is not None and not is_public(str(inner)):
            return False
    return number.is_global and not number.is_multicast


class Downloader:
    """Fetches pictures by address. ``own_host`` is the API's host: the one host that may be private or plain http."""

    def __init__(self, own_host: str, resolver: Resolve = resolve) -> None:
        self._own_host = own_host.lower()
        self._resolve = resolver
        self._client: httpx.AsyncClient | None = None

    async def fetch(self, url: str) -> bytes:
        """The picture's bytes. Tries again on network faults, which cost nothing. Raises :class:`FetchError`."""
        for left in reversed(range(ATTEMPTS)):
            try:
                return await self._follow(url)
            except FetchError as error:
                if not left or not error.again:
                    raise
            await anyio.sleep(1.0)
        raise FetchError("it was not tried")

    async def _follow(self, url: str) -> bytes:
        for _ in range(MOST_HOPS):
            found = await self._hop(url)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise FetchError(f"it was passed on more than {MOST_HOPS} times")

    async def _hop(self, url: str) -> bytes | str:
        """The picture, or the address it is passed on to.

        The connection goes to the very address that was checked: a second look-up by the HTTP library could be
        answered differently (DNS rebinding).
        """
        import httpx

        parts, host, port = self._check(url)
        address = await self._checked_address(host, port)
        literal = f"[{address}]" if ":" in address else address
        target = urlunsplit((parts.scheme, f"{literal}:{port}", parts.path or "/", parts.query, ""))
        bracketed = f"[{host}]" if ":" in host else host
        named = bracketed if port == PORTS[parts.scheme] else f"{bracketed}:{port}"
        if self._client is None:
            self._client = await anyio.to_thread.run_sync(self._make_client)
        words = ""
        try:
            async with self._client.stream(
                "GET", target, headers={"Host": named}, extensions={"sni_hostname": host}
            ) as response:
                if response.status_code in {301, 302, 303, 307, 308} and "location" in response.headers:
                    return response.headers["location"]
                if response.status_code != 200:
                    again = response.status_code in {429, 500, 502, 503, 504}
                    raise FetchError(f"its address answered with HTTP {response.status_code}", again=again)
                return await _bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            words = describe(error, "receiving").words
        raise FetchError(f"the connection failed ({words})", again=True)

    def _check(self, url: str) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise FetchError("its address is malformed") from None
        if parts.scheme not in PORTS or not host or parts.username is not None:
            raise FetchError("its address is none that may be fetched")
        if parts.scheme == "http" and host != self._own_host:
            raise FetchError("its address is not encrypted")
        return parts, host, port or PORTS[parts.scheme]

    async def _checked_address(self, host: str, port: int) -> str:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise FetchError(f"its host has no address ({error.strerror})", again=True) from None
        if not addresses:
            raise FetchError("its host has no address")
        if host != self._own_host and not all(is_public(address) for address in addresses):
            raise FetchError("its address lies in a private network")
        return addresses[0]

    def _make_client(self) -> "httpx.AsyncClient":
        import httpx

        # No proxy from the environment: it would look the name up again, where nobody checks.
        return httpx.AsyncClient(
            verify=certificates(),
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": USER_AGENT},
        )

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _bounded(response: "httpx.Response") -> bytes:
    file = io.BytesIO()
    async for piece in response.aiter_bytes():
        file.write(piece)
        if file.tell() > LARGEST_PICTURE:
            raise FetchError(f"it is larger than {LARGEST_PICTURE} bytes")
    return file.getvalue()
