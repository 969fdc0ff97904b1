"""One HTTP exchange with the API: a request goes out once, and what went wrong is said without the request."""

import logging
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.request import getproxies

import anyio

from cdp_image_mcp import __version__
from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.profiles import Profile
from cdp_image_mcp.openai.wire.payload import Body

if TYPE_CHECKING:
    import httpx  # heavy: a client that only lists tools must not pay for it

__all__ = ["USER_AGENT", "BrokenError", "Line", "Phase", "Reply", "describe", "open_client"]

Phase: TypeAlias = Literal["connecting", "sending", "waiting", "receiving"]
"""How far an exchange got. Up to ``sending`` the server cannot have begun to draw: the request was not whole."""

CONNECT_TIMEOUT = 10.0
WRITE_TIMEOUT = 120.0
KEEP_ALIVE = 4.0
"""Seconds. Servers on uvicorn (vLLM, LiteLLM) let go after 5: a request on a connection that is just being closed is
lost when it may have been paid. A new connection costs a tenth of a second."""
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
INSPECTED = (
    "The certificate of the server, or of a program on the way that looks into encrypted connections, is not trusted "
    "on this machine. Ask the user to name the file of the organisation's certificates in SSL_CERT_FILE."
)
USER_AGENT = f"cdp-image-mcp/{__version__}"


class BrokenError(Exception):
    """The exchange ended without an answer, or within one.

    Carries words only: httpx's own exceptions hold the request, and that holds the key.
    """

    def __init__(self, phase: Phase, kind: Literal["timeout", "connection", "protocol"], words: str) -> None:
        super().__init__(words)
        self.phase: Phase = phase
        self.kind = kind
        self.words = words
        self.next_step: str | None = None


@cache
def _certificates() -> ssl.SSLContext:
    """The trusted certificates, those of the system among them, read once for all clients of the process: a tenth of a
    second each time."""
    import httpx

    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def open_client(**options: Any) -> "httpx.AsyncClient":
    """A client as the environment says (proxies, certificates). Raises ImageError ``configuration`` with the variable
    that makes it impossible. Blocking."""
    import httpx

    # Their own lines hold response headers (cookies, what a server echoes) and whole addresses (signed ones).
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        certificates = _certificates()
    except (OSError, ssl.SSLError) as error:
        raise _unusable([name for name in TRUST if name in os.environ], str(error)) from None
    try:
        return httpx.AsyncClient(verify=certificates, headers={"User-Agent": USER_AGENT}, **options)
    except ImportError:
        raise _unusable(_proxy_variables(), "SOCKS proxies need the package socksio beside this one") from None
    except (ValueError, httpx.InvalidURL) as error:
        raise _unusable(_proxy_variables(), str(error).partition(":")[0]) from None


def _proxy_variables() -> list[str]:
    names = [f"{name}_proxy" for name in (*getproxies(), "no", "all")]
    return list(dict.fromkeys(found for name in names for found in (name.upper(), name) if os.environ.get(found)))


def _unusable(variables: list[str], why: str) -> ImageError:
    named = ", ".join(variables) or "The proxy of this system"
    return ImageError(
        "configuration", f"{named} cannot be used: {why}. Nothing was sent.", details={"variables": variables}
    )


def describe(error: Exception, phase: Phase) -> BrokenError:
    """What an httpx exception says, without the exception."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return BrokenError(phase, "timeout", f"no byte moved for too long ({type(error).__name__})")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            broken = BrokenError(phase, "connection", f"the encrypted connection failed ({cause.reason or 'TLS'})")
            broken.next_step = INSPECTED if isinstance(cause, ssl.SSLCertVerificationError) else None
            return broken
        cause = cause.__cause__ or cause.__context__
    kind = "protocol" if isinstance(error, httpx.ProtocolError | httpx.DecodingError) else "connection"
    return BrokenError(phase, kind, type(error).__name__)


class Reply:
    """A begun answer: status and headers are there, the body is read piece by piece."""

    def __init__(self, response: "httpx.Response") -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._pieces = response.aiter_bytes()

    @property
    def content_type(self) -> str:
        """Lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self) -> bytes | None:
        """The next piece of the body, None at its end. Raises :class:`BrokenError`."""
        import httpx

        try:
            return await anext(self._pieces, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            broken = describe(error, "receiving")
        raise broken

    async def read_all(self, limit: int) -> bytes:
        """The body up to ``limit`` bytes; the rest is left. Raises :class:`BrokenError`."""
        collected = bytearray()
        while len(collected) < limit and (piece := await self.read()) is not None:
            collected += piece
        return bytes(collected[:limit])


class Line:
    """The connections of this process to one API. Opened by the first request."""

    def __init__(self, settings: Settings, profile: Profile) -> None:
        self._settings = settings
        self._profile = profile
        self._client: httpx.AsyncClient | None = None
        self._opening = anyio.Lock()

    def __repr__(self) -> str:
        return f"Line({self._profile.name})"

    @asynccontextmanager
    async def send(
        self, url: str, body: Body, *, patience: float, on_sent: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[Reply]:
        """POST ``body`` once. ``on_sent`` is awaited as soon as the whole request has left; ``patience`` is the
        longest silence in seconds. Raises :class:`BrokenError`. Leaving early, also cancelled, cuts the connection.
        """
        import httpx

        client = await self._open()
        phase: Phase = "connecting"

        ours = False

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal phase, ours
            # A proxy's CONNECT passes here too; only what starts names its request.
            if event.endswith("send_request_headers.started"):
                ours = getattr(info.get("request"), "method", b"") == b"POST"
                phase = "sending" if ours else phase
            elif event.endswith("send_request_body.complete") and ours:
                phase = "waiting"
                await on_sent()

        timeout = httpx.Timeout(connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT, read=patience, pool=None)
        request = client.build_request(
            "POST",
            url,
            content=body,
            headers={"Content-Type": body.content_type, "Content-Length": str(body.length)},
            timeout=timeout,
            extensions={"trace": trace},
        )
        response: httpx.Response | None = None
        broken: BrokenError | None = None
        try:
            response = await client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            broken = describe(error, phase)
        if response is None:
            raise broken or BrokenError(phase, "connection", "no answer")
        try:
            yield Reply(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _open(self) -> "httpx.AsyncClient":
        async with self._opening:
            if self._client is None:
                # Loading httpx and the system's certificates takes a tenth of a second: not on the event loop.
                self._client = await anyio.to_thread.run_sync(self._make_client)
            return self._client

    def _make_client(self) -> "httpx.AsyncClient":
        import httpx

        settings, profile = self._settings, self._profile

        def with_key(request: httpx.Request) -> httpx.Request:
            """The key is put on each request as it leaves: no client, no default header ever shows it."""
            # Base64 of compressed pictures does not shrink worth the time, and a compressed answer could be a bomb.
            request.headers["Accept-Encoding"] = "identity"
            for name, value in (("Organization", settings.organization), ("Project", settings.project)):
                if value:
                    request.headers[f"OpenAI-{name}"] = value
            if settings.api_key:
                if profile.auth == "api-key":
                    request.headers["api-key"] = settings.api_key
                else:
                    request.headers["Authorization"] = f"Bearer {settings.api_key}"
            return request

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=KEEP_ALIVE)
        return open_client(auth=with_key, follow_redirects=False, limits=limits)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        async with self._opening:
            client, self._client = self._client, None
            if client is not None:
                await client.aclose()
