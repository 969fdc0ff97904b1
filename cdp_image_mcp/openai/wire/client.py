"""The one place that makes HTTP clients: by the proxy, and with the certificates, that the environment names.

Both may change under a program that runs for weeks: a VPN and its proxy come and go, and a certificate is added once
somebody was told that it is wanted.
"""

import logging
import os
import re
import ssl
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from cdp_image_mcp import __version__
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.wire.proxy import Proxy

if TYPE_CHECKING:
    import httpx  # heavy: a client that only lists tools must not pay for it

CONNECT_TIMEOUT = 10.0
USER_AGENT = f"cdp-image-mcp/{__version__}"
SOCKS = (
    'SOCKS proxies need one more package, socksio: "pipx inject cdp-image-mcp socksio", or "uvx --with socksio", or '
    '"pip install socksio" in the environment of this program'
)
HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""How OpenSSL names the certificates of a folder."""

GZIP = b"\x1f"
"""Its first byte. No text begins with it, and no picture."""
EITHER = zlib.MAX_WBITS | 32
"""gzip or deflate, as its head says."""
LARGEST_STEP = 65_536
"""Bytes that are unpacked at once: a piece may become a thousand times as many, and who reads them counts them."""


@cache
def trusted() -> ssl.SSLContext:
    """One for the process, which every client holds: what is read into it later counts for the next connection of each,
    and no client with a paid request under way has to be closed for it."""
    # Not the default one: that writes the connection's secrets to where SSLKEYLOGFILE says, and fails where it cannot.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def certificates() -> ssl.SSLContext:
    """The trusted certificates: certifi's, the system's (where an organisation's own is installed) and those the
    variables name, each beside the others. Read once, a tenth of a second each time, and again after a doubt.

    Raises ImageError ``configuration``. Blocking.
    """
    import certifi

    context = trusted()
    context.load_verify_locations(cafile=certifi.where())
    # As the default one from Python 3.13 on, but not strict: an organisation's own often breaks RFC 5280 ("Missing
    # Authority Key Identifier"), and whoever named it in SSL_CERT_FILE was told to name it there.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_default_certs()
    # OpenSSL looks where the variables say instead of where the system has its own, and is silent where nothing is.
    usual = ssl.get_default_verify_paths()
    with suppress(OSError):
        context.load_verify_locations(cafile=usual.openssl_cafile)
    if Path(usual.openssl_capath).is_dir():
        context.load_verify_locations(capath=usual.openssl_capath)
    _add("SSL_CERT_FILE", lambda value: context.load_verify_locations(cafile=value))
    _add("SSL_CERT_DIR", lambda value: [_add_folder(context, Path(name)) for name in value.split(os.pathsep) if name])
    return context


def doubt_certificates() -> None:
    """One was not trusted: they are read anew before the next request, for the user may have added it by then."""
    certificates.cache_clear()


def _add(variable: str, load: Callable[[str], object]) -> None:
    value = os.environ.get(variable)
    if not value:
        return
    try:
        load(value)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, FileNotFoundError) else "no certificate can be read there"
        raise _unusable(variable, f"{why} ({value})") from None


def _add_folder(context: ssl.SSLContext, folder: Path) -> None:
    """Raises OSError, also (as ssl.SSLError) for a file that is no certificate."""
    files = [file for file in folder.iterdir() if file.suffix in {".pem", ".crt", ".cer"}]
    if any(HASHED.fullmatch(file.name) for file in folder.iterdir()):
        context.load_verify_locations(capath=folder)
        return
    for file in files:
        context.load_verify_locations(cafile=file)


def open_client(proxy: Proxy | None, *, verify: ssl.SSLContext | None = None, **options: Any) -> "httpx.AsyncClient":
    """A client that goes by ``proxy``. Raises ImageError ``configuration`` with the variable that makes it impossible.
    Blocking."""
    import httpx

    # Their own lines hold response headers (cookies, what a server echoes) and whole addresses (signed ones).
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    usual = certificates()
    try:
        way = None if proxy is None else httpx.Proxy(proxy.url)
        if way is not None and way.url.scheme == "https":
            way.ssl_context = usual
        # Base64 of compressed pictures does not shrink worth the time, and a compressed answer could be a bomb.
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        make = partial(httpx.AsyncClient, trust_env=False, headers=headers, **options)
        if way is None or not way.url.scheme.startswith("socks"):
            return make(verify=verify or usual, proxy=way)
        from cdp_image_mcp.openai.wire.socks import SocksTransport

        limits = options.get("limits", httpx.Limits())
        return make(transport=SocksTransport(verify=verify or usual, proxy=way, limits=limits))
    except ImportError:
        why = SOCKS
    except (ValueError, httpx.InvalidURL):
        why = "it is no address of an http, https or socks5 proxy"
    raise _unusable(proxy.variable if proxy else "HTTPS_PROXY", why)


class Clients:
    """A client for each way out, made when it is first gone; what they have in common ``make`` knows."""

    def __init__(self, make: "Callable[[Proxy | None], httpx.AsyncClient]") -> None:
        self._make = make
        self._made: dict[Proxy | None, httpx.AsyncClient] = {}
        self._opening = anyio.Lock()

    async def by(self, proxy: Proxy | None) -> "httpx.AsyncClient":
        """The one that goes by ``proxy``. Raises ImageError ``configuration``."""
        async with self._opening:
            # Loading httpx and the certificates takes a tenth of a second: not on the event loop.
            try:
                return await anyio.to_thread.run_sync(self._ready, proxy)
            except (OSError, ImportError) as error:  # no more open files, or a package updated under the program
                told = f"No connection can be made here ({type(error).__name__}: {error})."
                raise ImageError("configuration", told, next_step="Start the program anew.") from error

    def _ready(self, proxy: Proxy | None) -> "httpx.AsyncClient":
        certificates()  # read anew where they were doubted, also for a client that is there
        if proxy not in self._made:
            self._made[proxy] = self._make(proxy)
        return self._made[proxy]

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        async with self._opening:
            made, self._made = self._made, {}
            for client in made.values():
                await client.aclose()


async def unpacked(response: "httpx.Response") -> AsyncGenerator[bytes]:
    """The pieces of a body. That it is packed, as nobody asked for, its first byte says: relays hand on the header of
    an upstream whose answer they have unpacked, and others leave it out. Raises as httpx does."""
    import httpx

    packed: bool | None = None
    unpacker = zlib.decompressobj(EITHER)
    async for piece in response.aiter_raw():
        if packed is None:
            inflated = piece.startswith(b"x") and response.headers.get("content-encoding", "") == "deflate"
            packed = piece.startswith(GZIP) or inflated
        if not packed:
            yield piece
            continue
        rest, part = piece, b""
        while rest or len(part) == LARGEST_STEP:
            if unpacker.eof:
                rest = rest.lstrip(b"\0")  # what it is padded with
                if not rest:
                    break
                if not rest.startswith(GZIP):
                    return  # nothing of what was packed
                unpacker = zlib.decompressobj(EITHER)  # packed piece by piece
            try:
                part = unpacker.decompress(rest, LARGEST_STEP)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from None
            rest = unpacker.unconsumed_tail or unpacker.unused_data
            yield part


def _unusable(variable: str, why: str) -> ImageError:
    return ImageError("configuration", f"{variable} cannot be used: {why}.", details={"variables": [variable]})
