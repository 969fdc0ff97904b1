"""Pictures that an answer only names by address: fetched without the key, but where the API itself wants it, bounded,
and from nowhere private.

Without a proxy the connection goes to the very address that was checked: a second look-up by the HTTP library could be
answered differently (DNS rebinding). Where a proxy is set it alone leads out, and looks the name up itself.
"""

import io
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import anyio
import anyio.to_thread

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.imagefile import NotAPictureError, inspect
from cdp_image_mcp.openai.wire.client import Clients, doubt_certificates, open_client, unpacked
from cdp_image_mcp.openai.wire.exchange import describe, key_of
from cdp_image_mcp.openai.wire.pictures import LARGEST_PICTURE, LOOKS_PAINTED, Base64
from cdp_image_mcp.openai.wire.proxy import PORTS, Proxy, number_of, proxy_for

if TYPE_CHECKING:
    import httpx

    Key = Callable[[httpx.Request], httpx.Request] | None

MOST_HOPS = 5
ATTEMPTS = 3
FETCHING = 600.0
"""Seconds in which one picture has to come from its address: thirty megabytes by a slow connection."""
TIMEOUT = 60.0
CONNECTING = 5.0
"""Seconds for each address of a host; the first may be of a kind that has no way out of this machine."""
MADE_UP = ipaddress.ip_network("198.18.0.0/15")
"""What resolvers of Clash, Surge and their like answer for every name; their tunnel then looks it up (2026-11)."""
WITNESS = "api.openai.com"
"""A name of the open internet: where it has an address that is made up, the resolver makes them up for all."""


class FetchError(Exception):
    """Why a picture could not be fetched, in words without its address (addresses may be signed)."""

    def __init__(
        self, words: str, *, again: bool = False, never: bool = False, elsewhere: bool = False, came: bytes = b""
    ) -> None:
        """``again``: it may work soon; ``never``: however long it is waited for; ``elsewhere``: another address of the
        same host may work; ``came``: what there is of the picture."""
        super().__init__(words)
        self.again = again
        self.never = never
        self.elsewhere = elsewhere
        self.came = came


async def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a host."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether a numeric address lies in the open internet, looking through addresses that wrap an IPv4 one."""
    if (number := number_of(address)) is None:
        return False
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)
        if number in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(number.packed[-4:])
        if inner is not None and not is_public(str(inner)):
            return False
    return number.is_global and not number.is_multicast


class Downloader:
    """Fetches pictures by address. The API's own host is the one that may be private or plain http, and its address the
    one to which the key may go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = urlsplit(settings.base_url)
        self._own_host = self._own.hostname or ""
        with suppress(UnicodeError):
            self._own_host = _in_ascii(self._own_host)
        self._clients = Clients(self._make_client)

    async def fetch(self, place: str, base: str = "") -> bytes:
        """The bytes of the picture at ``place``, which may lack what ``base`` says (gpt4free names the path alone).
        Tries again on network faults, which cost nothing. Raises :class:`FetchError`. What is cut off each time is
        given as it came: the server may have no more of it, and its address may work once."""
        if place[:5].lower() == "data:":
            return _within(place)
        attempts, came = ATTEMPTS, b""
        with anyio.move_on_after(FETCHING):
            while True:
                try:
                    return await self._follow(base, place)
                except FetchError as error:
                    attempts -= 1
                    came = max(came, error.came, key=len)
                    if attempts < 1 or not error.again:
                        if came:
                            break
                        raise
                await anyio.sleep(1.0)
        if came:
            return came
        raise FetchError(f"it was not whole after {FETCHING:g} s")

    async def _follow(self, url: str, place: str) -> bytes:
        for hop in range(MOST_HOPS):
            try:
                url = urljoin(url, place)
            except ValueError:
                raise FetchError("its address is malformed", never=not hop) from None
            try:
                found = await self._hop(url)
            except ValueError as fault:
                raise FetchError(f"what its address gave cannot be read ({type(fault).__name__})") from None
            except FetchError as error:
                error.never &= not hop  # it may be passed on to another address the next time
                raise
            if isinstance(found, bytes):
                return found
            place = found
        raise FetchError(f"it was passed on more than {MOST_HOPS} times")

    async def _hop(self, url: str) -> bytes | str:
        """The picture, or the address it is passed on to; each address of the host is tried."""
        parts, host, port = self._check(url)
        keys = self._keys(parts.scheme, host, port)
        if proxy := await anyio.to_thread.run_sync(proxy_for, url):
            self._refuse_private(host)
            return await self._get(urlunsplit(parts), {}, {}, proxy, keys)
        bracketed = f"[{host}]" if ":" in host else host
        named = bracketed if port == PORTS[parts.scheme] else f"{bracketed}:{port}"
        failed = FetchError("its host has no address")
        for address in await self._checked_addresses(host, port):
            literal = f"[{address}]" if ":" in address else address
            target = urlunsplit((parts.scheme, f"{literal}:{port}", parts.path or "/", parts.query, ""))
            try:
                return await self._get(target, {"Host": named}, {"sni_hostname": host}, None, keys)
            except FetchError as error:
                failed = error
                if not error.elsewhere:
                    break
        raise failed

    def _keys(self, *origin: str | int) -> "list[Key]":
        """With what an address there is asked, in turn, as long as it refuses: Open WebUI shows a picture that it drew
        to nobody else."""
        same = origin == (self._own.scheme, self._own_host, self._own.port or PORTS[self._own.scheme])
        return [None, key_of(self._settings)] if same else [None]

    async def _get(
        self, target: str, headers: dict[str, str], extensions: dict[str, str], proxy: Proxy | None, keys: "list[Key]"
    ) -> bytes | str:
        import httpx

        try:
            client = await self._clients.by(proxy)
        except ImageError as error:
            raise FetchError(error.message.rstrip(".")) from None
        words, status = "", 0
        try:
            for key in keys:
                async with client.stream("GET", target, headers=headers, extensions=extensions, auth=key) as response:
                    status = response.status_code
                    if status in {301, 302, 303, 307, 308} and "location" in response.headers:
                        return response.headers["location"]
                    if status == 200:
                        data = await _bounded(response)
                        _check_whole(data)
                        return data
                if status not in {401, 403}:
                    break
        except httpx.InvalidURL:
            raise FetchError("its address is malformed", never=True) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            broken = describe(error, "receiving")
            words = broken.words
            if broken.over == "certificate":
                doubt_certificates()
        if words:
            raise FetchError(f"the connection failed ({words})", again=True, elsewhere=True)
        raise FetchError(f"its address answered with HTTP {status}", again=status in {429, 500, 502, 503, 504})

    def _make_client(self, proxy: Proxy | None) -> "httpx.AsyncClient":
        import httpx

        timeout = httpx.Timeout(TIMEOUT, connect=CONNECTING)
        # One that is kept is known by its number: it would serve any host there, whose name was never proved.
        limits = httpx.Limits(max_keepalive_connections=0)
        return open_client(proxy, timeout=timeout, limits=limits, follow_redirects=False)

    def _check(self, url: str) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(url)
            host, port = _in_ascii(parts.hostname or ""), parts.port
        except ValueError:
            raise FetchError("its address is malformed", never=True) from None
        if parts.scheme not in PORTS or not host or parts.username is not None:
            raise FetchError(f"its address ({parts.scheme[:20]}:) is none that may be fetched", never=True)
        if parts.scheme == "http" and host != self._own_host:
            if port not in {None, 80}:
                raise FetchError(f"its address, at {host}:{port}, is not encrypted", never=True)
            # Relays hand on what a storage calls its pictures; the same can be had encrypted nearly everywhere.
            parts, port = parts._replace(scheme="https", netloc=parts.netloc.removesuffix(":80")), None
        return parts, host, port or PORTS[parts.scheme]

    def _refuse_private(self, host: str) -> None:
        """What can be told of a host that a proxy will look up."""
        private = not is_public(host) if number_of(host) else "." not in host
        if private and host != self._own_host:
            raise FetchError("its address lies in a private network", never=bool(number_of(host)))

    async def _checked_addresses(self, host: str, port: int) -> list[str]:
        addresses = await self._looked_up(host, port)
        if host == self._own_host or all(is_public(address) for address in addresses):
            return addresses
        if not number_of(host) and (made_up := _made_up(addresses)) and await self._makes_addresses_up(port):
            return made_up
        raise FetchError("its address lies in a private network", never=bool(number_of(host)))

    async def _makes_addresses_up(self, port: int) -> bool:
        """Whether this machine's resolver does. The API's own host shows it, which works; where that lies on this
        machine or in its network another has to."""
        for name in (self._own_host, WITNESS):
            with suppress(FetchError):
                addresses = await self._looked_up(name, port)
                if (made_up := bool(_made_up(addresses))) or any(is_public(address) for address in addresses):
                    return made_up
        return False

    async def _looked_up(self, host: str, port: int) -> list[str]:
        try:
            return await resolve(host, port)
        except OSError as error:
            raise FetchError(f"its host has no address ({error.strerror})", again=True) from None

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._clients.aclose()


def _in_ascii(host: str) -> str:
    """As headers and look-ups have it. Raises UnicodeError, which is a ValueError, for what cannot be written so."""
    return host.lower().encode("idna").decode()


def _within(place: str) -> bytes:
    """The picture that an address holds in itself (RFC 2397)."""
    head, _, text = place.partition(",")
    data = unquote_to_bytes(text)
    if head.lower().endswith(";base64"):
        reader = Base64()
        reader.feed(data)
        data = reader.close()
    if not data:
        raise FetchError("its address holds no picture", never=True)
    return data


def _made_up(addresses: list[str]) -> list[str]:
    """The IPv4 addresses of a host where a resolver made all of them up. What it makes up beside them for IPv6 lies
    among private ones, and can be told from none of them."""
    numbers = [number for number in map(number_of, addresses) if isinstance(number, ipaddress.IPv4Address)]
    return [str(number) for number in numbers] if all(number in MADE_UP for number in numbers) else []


def _check_whole(data: bytes) -> None:
    """Raises :class:`FetchError` for what an address says as long as its picture is not there, or whoever stands before
    it, and for a picture that is cut off, which only shows in itself where its length was not stated."""
    try:
        inspect(data)
    except NotAPictureError as other:
        if other.kind == "truncated":
            raise FetchError("it was cut off", again=True, came=data) from None
        instead = {"empty": "nothing", "html": "a web page", "json": "words"}.get(other.kind)
        if instead and not (other.kind == "json" and LOOKS_PAINTED.search(data)):
            raise FetchError(f"its address answered with {instead}", again=True) from None


async def _bounded(response: "httpx.Response") -> bytes:
    file = io.BytesIO()
    async for piece in unpacked(response):
        file.write(piece)
        if file.tell() > LARGEST_PICTURE:
            raise FetchError(f"it is larger than {LARGEST_PICTURE} bytes")
    return file.getvalue()
