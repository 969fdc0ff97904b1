"""One HTTP exchange with the API: a request goes out once, and what went wrong is said without the request."""

import math
import os
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.profiles import choose_profile
from cdp_image_mcp.openai.wire.certificate import issuer_at
from cdp_image_mcp.openai.wire.client import CONNECT_TIMEOUT, Clients, doubt_certificates, open_client, unpacked
from cdp_image_mcp.openai.wire.payload import RequestBody
from cdp_image_mcp.openai.wire.proxy import Proxy, proxy_for
from cdp_image_mcp.system.tasks import shielded

if TYPE_CHECKING:
    import httpx  # heavy: a client that only lists tools must not pay for it

Phase: TypeAlias = Literal["connecting", "sending", "waiting", "receiving"]
"""How far an exchange got. Up to ``sending`` the server cannot have begun to draw: the request was not whole."""

CONNECTING = 30.0
"""Seconds until the request itself begins to leave: look-up, connection, the proxy's answer, encryption."""
WRITE_TIMEOUT = 120.0
KEEP_ALIVE = 4.0
"""Seconds. Servers on uvicorn (vLLM, LiteLLM) let go after 5: a request on a connection that is just being closed is
lost when it may have been paid. A new connection costs a tenth of a second."""
MOST_WAITS = 20
"""How often one answer is looked for elsewhere: Modal passes whoever waits on every 150 s, up to 20 times
(modal.com/docs/guide/webhook-timeouts, 2026-11)."""
LOOK_AGAIN = (1.0, 3.0, 9.0)
"""Seconds before each new try to look there, which costs nothing, after a fault of the network."""
BLANK = b" \t\r\n\xef\xbb\xbf"
ASKING = 15.0
"""Longest silence in seconds where nothing is drawn."""
MOST_ASKED = 1 << 20

BARRED = re.compile(r"40[137]|auth", re.IGNORECASE)
"""A proxy's refusal that stays: its name or password is wanted, or it does not allow the way."""

# Gemini CLI hands on no name with CERT in it (environmentSanitization.ts, read 2026-11-29), Codex what is named to it.
KEPT_BACK = "a client may keep it from this program: its settings can pass it"


class BrokenError(Exception):
    """The exchange ended without an answer, or within one.

    Carries words only: httpx's own exceptions hold the request, and that holds the key.
    """

    def __init__(
        self,
        phase: Phase,
        kind: Literal["timeout", "connection"],
        words: str,
        over: Literal["proxy", "certificate"] | None = None,
    ) -> None:
        super().__init__(words)
        self.phase: Phase = phase
        self.kind = kind
        self.words = words
        self.over = over
        """What a person has to set right; trying again does not."""
        self.next_step: str | None = None


def describe(error: Exception, phase: Phase) -> BrokenError:
    """What an httpx exception says, without the exception."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return BrokenError(phase, "timeout", f"no byte moved for too long ({type(error).__name__})")
    if isinstance(error, httpx.ProxyError):
        words = str(error)[:100]
        return BrokenError(
            phase, "connection", f"the proxy refused ({words})", "proxy" if BARRED.search(words) else None
        )
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BrokenError(phase, "connection", str(cause.verify_message or cause.reason), "certificate")
        if isinstance(cause, ssl.SSLError):
            return BrokenError(phase, "connection", f"the encrypted connection failed ({cause.reason or 'TLS'})")
        cause = cause.__cause__ or cause.__context__
    return BrokenError(phase, "connection", type(error).__name__)


async def _answered(client: "httpx.AsyncClient", request: "httpx.Request") -> "httpx.Response":
    """The begun answer, wherever it is to be seen. Raises as httpx does."""
    response = await client.send(request, stream=True)
    for _ in range(MOST_WAITS):
        if (onward := _onward(response)) is None:
            break
        await response.aclose()
        look = client.build_request("GET", onward, extensions={"timeout": request.extensions["timeout"]})
        response = await _looked(client, look)
    return response


async def _looked(client: "httpx.AsyncClient", request: "httpx.Request") -> "httpx.Response":
    """What a GET is answered, which may be asked again. Raises as httpx does."""
    import httpx

    for pause in LOOK_AGAIN:
        with suppress(httpx.TransportError):
            return await client.send(request, stream=True)
        await anyio.sleep(pause)
    return await client.send(request, stream=True)


def _onward(response: "httpx.Response") -> "httpx.URL | None":
    """Where the answer to a request that was taken is to be seen (303), if the key may go there."""
    import httpx

    if response.status_code != 303 or not (place := response.headers.get("location")):
        return None
    try:
        onward = response.url.join(place)
    except httpx.InvalidURL:
        return None
    same = (onward.scheme, onward.host, onward.port) == (response.url.scheme, response.url.host, response.url.port)
    return onward if same else None


class Reply:
    """A begun answer: status and headers are there, the body is read piece by piece."""

    def __init__(self, response: "httpx.Response", silence: float = 0.0) -> None:
        self.silence = silence
        """Seconds between the request's last byte and the end of the answer's head."""
        self.passed_on = response.request.method != "POST"
        """It answers a GET: after a POST the request was taken, and its answer was looked for elsewhere."""
        self.status = response.status_code
        self.success = response.is_success
        self.headers: Mapping[str, str] = response.headers
        self._pieces = unpacked(response)
        self._ahead = b""

    async def read(self) -> bytes | None:
        """The next piece of the body, None at its end. Raises :class:`BrokenError`."""
        import httpx

        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        try:
            return await anext(self._pieces, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            broken = describe(error, "receiving")
        raise broken

    async def first(self) -> bytes:
        """What the body begins with behind white space and a byte order mark, a few bytes or the first of them; empty
        when there is nothing. It is still to be read, what stood before it is dropped. Raises :class:`BrokenError`."""
        ahead = b""
        while not ahead and (piece := await self.read()) is not None:
            ahead = piece.lstrip(BLANK)
        self._ahead = ahead
        return ahead[:6]


def key_of(settings: Settings) -> "Callable[[httpx.Request], httpx.Request]":
    """What puts the key on a request as it leaves: no client, no default header ever shows it."""
    in_own_header = choose_profile(settings).azure and not settings.bearer

    def with_key(request: "httpx.Request") -> "httpx.Request":
        for name, value in (("Organization", settings.organization), ("Project", settings.project)):
            if value:
                request.headers[f"OpenAI-{name}"] = value
        if settings.api_key:
            if in_own_header:
                request.headers["api-key"] = settings.api_key
            else:
                request.headers["Authorization"] = f"Bearer {settings.api_key}"
        return request

    return with_key


class Line:
    """The connections of this process to one API. Opened by the first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = Clients(self._make_client)

    @asynccontextmanager
    async def send(
        self, url: str, body: RequestBody, *, on_sent: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[Reply]:
        """POST ``body`` once. ``on_sent`` is awaited as soon as the whole request has left, or may have; how long is
        waited from then on the caller decides. Raises :class:`BrokenError`. Leaving early, also cancelled, cuts the
        connection."""
        import httpx

        phase: Phase = "connecting"
        ours, left_at = False, math.inf
        connecting = anyio.CancelScope(deadline=anyio.current_time() + CONNECTING)

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal phase, ours, left_at
            # A proxy's CONNECT passes here too; only what starts names its request.
            if event.endswith("send_request_headers.started"):
                ours = getattr(info.get("request"), "method", b"") == b"POST"
                if ours:
                    phase, connecting.deadline = "sending", math.inf
            elif event.endswith("send_request_body.complete") and ours:
                phase, left_at = "waiting", anyio.current_time()
                await on_sent()

        async def may_have_left() -> None:
            """The last piece was under way, and letting go of the connection can still bring it there."""
            nonlocal phase
            if phase == "sending" and not body.unread:
                phase = "waiting"
                with shielded():
                    await on_sent()

        headers = {"Content-Type": body.content_type, "Content-Length": str(body.length)}
        timeout = httpx.Timeout(connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT, read=None, pool=None)
        more: dict[str, Any] = {"content": body, "headers": headers, "extensions": {"trace": trace}}
        broken = BrokenError(phase, "timeout", f"no connection within {CONNECTING:g} s")
        response: httpx.Response | None = None
        client, proxy = await self._open()
        with connecting:
            try:
                response = await _answered(client, client.build_request("POST", url, timeout=timeout, **more))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if isinstance(error, httpx.WriteTimeout):
                    await may_have_left()
                broken = describe(error, phase)
            except anyio.get_cancelled_exc_class():
                await may_have_left()
                raise
        if response is None:
            raise await self._explained(broken, proxy)
        try:
            yield Reply(response, max(0.0, anyio.current_time() - left_at))  # it may answer before all has left
        finally:
            with shielded():
                await response.aclose()

    async def ask(self, url: str) -> tuple[int, bytes, str]:
        """GET, the only one of this line, which is closed: the status, what was answered up to a megabyte or a little
        more, and by way of which proxy, in words. Raises ImageError ``network`` and ``configuration``."""
        import httpx

        body = b""
        client, proxy = await self._open()
        try:
            async with client.stream("GET", url, timeout=ASKING) as response:
                async for piece in unpacked(response):
                    body += piece
                    if len(body) > MOST_ASKED:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            broken = await self._explained(describe(error, "connecting"), proxy)
            advice = broken.next_step or "Check the connection, a firewall or a proxy."
            told = f"{urlsplit(url).netloc} cannot be reached: {broken.words}."
            raise ImageError("network", told, next_step=advice) from None
        finally:
            await self.aclose()
        return response.status_code, body, f" by way of {proxy.shown}" if proxy else ""

    async def _explained(self, broken: BrokenError, proxy: Proxy | None) -> BrokenError:
        """With what a person can set right, and by which way it went."""
        host = urlsplit(self._settings.base_url).hostname
        if broken.over == "certificate":
            issuer = await issuer_at(self._settings.base_url, proxy)
            doubt_certificates()
            issued = f", issued by {issuer!r}," if issuer else ""
            broken.next_step = _certificate_advice(broken.words)
            broken.words = f"the certificate of {host}{issued} is not trusted here ({broken.words})"
        elif proxy is not None and broken.phase == "connecting":
            broken.next_step = (
                f"Ask the user to check {proxy.variable}, or to put {host} into NO_PROXY if no proxy is needed."
            )
        if proxy is not None:
            broken.words += f" by way of {proxy.shown}"
        return broken

    async def _open(self) -> "tuple[httpx.AsyncClient, Proxy | None]":
        """What leads there now, and by which proxy: asked each time, and in a thread, for it may be looked up."""
        proxy = await anyio.to_thread.run_sync(proxy_for, self._settings.base_url)
        try:
            return await self._clients.by(proxy), proxy
        except ImageError as error:
            error.message += " The request was not sent."
            raise

    def _make_client(self, proxy: Proxy | None) -> "httpx.AsyncClient":
        import httpx

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=KEEP_ALIVE)
        return open_client(proxy, auth=key_of(self._settings), follow_redirects=False, limits=limits)

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._clients.aclose()


def _certificate_advice(why: str) -> str:
    if "expired" in why or "not yet valid" in why:
        return "Ask the user to check this machine's clock; if it is right, the server's certificate has run out."
    if "match" in why or "not valid for" in why:
        return "Ask the user to check OPENAI_BASE_URL: the certificate belongs to another host."
    now = os.environ.get("SSL_CERT_FILE") or f"not set; {KEPT_BACK}"
    return (
        "If an organisation or a virus scanner looks into this machine's encrypted connections, ask the user to name "
        f"the PEM file with its certificate in SSL_CERT_FILE (now: {now}); it counts beside the system's."
    )
