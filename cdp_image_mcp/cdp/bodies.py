"""The bytes of responses, exactly as they came.

Order of the ways: what the browser holds (durable), the resource of the frame, the blob in the page, a second request.
Whether bytes are a whole picture is for the caller to say; a way whose bytes he refuses is passed over.
Measured on Chromium 156, 2026-11.
"""

import asyncio
import base64
import binascii
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from cdp_image_mcp.cdp.errors import (
    BodyUnavailable,
    CommandTimeout,
    DocumentLeft,
    PageCrashed,
    ProtocolError,
    ScriptError,
)
from cdp_image_mcp.cdp.page import Page
from cdp_image_mcp.cdp.protocol import (
    LoadNetworkResourceReply,
    ReadReply,
    ResolveBlobReply,
    ResourceContent,
    ResponseBody,
)
from cdp_image_mcp.cdp.requests import Request, Requests
from cdp_image_mcp.cdp.session import raw_of
from cdp_image_mcp.cdp.wire import content
from cdp_image_mcp.cdp.world import World

Way = Literal["network", "resource", "blob", "request", "data"]
Accept = Callable[[bytes], bool]
READ_SIZE = 4 * 1024 * 1024
EMPTY_STATUS = (204, 205, 304)


@dataclass(frozen=True)
class Body:
    """Bytes and the way they came; ``tried`` holds the reasons why earlier ways gave nothing."""

    data: bytes
    way: Way
    tried: tuple[str, ...] = ()


class Bodies(Requests):
    """The requests of a page's session and their bodies. Made by ``start``, ends with the page."""

    def __init__(self, page: Page, remember: int) -> None:
        super().__init__(page.session, remember)
        self._page = page

    @staticmethod
    async def start(page: Page, *, remember: int = 2000) -> "Bodies":
        """Record from now on, ``remember`` requests at most: before the navigation whose responses are wanted. Bodies
        stay beyond a navigation, and as blobs, from about Chrome 145 on."""
        bodies = Bodies(page, remember)
        # Both budgets matter: without the total the command succeeds and changes nothing.
        durable = {"maxTotalBufferSize": 512 * 1024 * 1024, "maxResourceBufferSize": 128 * 1024 * 1024}  # bytes
        commands = [("Network.configureDurableMessages", durable), ("Network.enable", durable)]
        configured, enabled = await page.session.pipeline(commands)
        if isinstance(configured, ProtocolError) and configured.unknown_method:
            # About 141-144 take it as a parameter, older ones ignore it.
            await page.session.call("Network.enable", {**durable, "enableDurableMessages": True})
        else:
            raw_of(configured)
        raw_of(enabled)
        return bodies

    async def read(
        self, request: Request, *, accept: Accept | None = None, timeout: float = 60.0, again: bool = True
    ) -> Body:
        """The body of a request, best read as soon as it has ended.

        Bytes that ``accept`` refuses count as not had, and the next way is tried. ``again`` False leaves out the second
        request, for addresses that work once. ``timeout`` is for all ways together. Raises BodyUnavailable;
        SessionClosed and BrowserGone as they come.
        """
        frame_id = request.frame_id or self._page.frame_id
        attempt = _Attempt(request.url, accept, timeout)
        legitimately_empty = request.status in EMPTY_STATUS or request.headers.get("content-length") == "0"
        body = await attempt.via(
            "network", lambda left: self._from_network(request, left), empty_is_fine=legitimately_empty
        )
        return body or await self._other_ways(attempt, frame_id, again=again and request.method == "GET")

    async def read_url(self, url: str, *, accept: Accept | None = None, timeout: float = 60.0) -> Body:
        """The bytes behind an address in the page, also one for which no request was seen: memory-cached images,
        ``blob:``. Raises as ``read``."""
        held = (request for request in reversed(self.requests) if request.url == url and request.state == "finished")
        if (request := next(held, None)) is not None:
            return await self.read(request, accept=accept, timeout=timeout)
        return await self._other_ways(_Attempt(url, accept, timeout), self._page.frame_id, again=True)

    async def _other_ways(self, attempt: "_Attempt", frame_id: str, *, again: bool) -> Body:
        url = attempt.url
        scheme = url.partition(":")[0].lower()
        body = None
        if scheme == "data":
            body = await attempt.via("data", lambda _left: _from_data(url))
        else:
            body = await attempt.via("resource", lambda left: self._from_frame(frame_id, url, left))
            if body is None and scheme == "blob":
                body = await attempt.via("blob", lambda left: self._from_blob(url, left))
            elif body is None and again and scheme in ("http", "https"):
                body = await attempt.via("request", lambda left: self._by_request(frame_id, url, left))
        if body is None:
            raise BodyUnavailable(url, attempt.tried)
        return body

    async def _from_network(self, request: Request, timeout: float) -> bytes:
        reply = await self._page.session.call(
            "Network.getResponseBody", {"requestId": request.request_id}, timeout=timeout, reply=ResponseBody
        )
        return content(reply.body, reply.base64_encoded)

    async def _from_frame(self, frame_id: str, url: str, timeout: float) -> bytes:
        reply = await self._page.session.call(
            "Page.getResourceContent", {"frameId": frame_id, "url": url}, timeout=timeout, reply=ResourceContent
        )
        return content(reply.content, reply.base64_encoded)

    async def _by_request(self, frame_id: str, url: str, timeout: float) -> bytes:
        """A second request with the page's cookies; the HTTP cache may answer. It may spend a one-time address."""
        options = {"disableCache": False, "includeCredentials": True}
        command = {"url": url, "frameId": frame_id, "options": options}
        reply = await self._page.session.call(
            "Network.loadNetworkResource", command, timeout=timeout, reply=LoadNetworkResourceReply
        )
        resource = reply.resource
        if not resource.success or resource.stream is None:
            status = f" (HTTP {resource.http_status_code:g})" if resource.http_status_code else ""
            raise _Refused(f"{resource.net_error_name or 'no answer'}{status}")
        return await self._read_stream(resource.stream, timeout)

    async def _from_blob(self, url: str, timeout: float) -> bytes:
        """The page's blob by its address, taken in an isolated world; the bytes do not pass through JavaScript."""
        world = World(self._page, "bodies")
        await world.make()
        address = msgspec.json.encode(url).decode()
        found = await world.object_of(f"fetch({address}).then(response => response.blob())", timeout=timeout)
        handle = {"objectId": found.object_id}
        session = self._page.session
        blob = await session.call("IO.resolveBlob", handle, timeout=timeout, reply=ResolveBlobReply)
        data = await self._read_stream(f"blob:{blob.uuid}", timeout)
        await session.call("Runtime.releaseObject", handle)
        return data

    async def _read_stream(self, handle: str, timeout: float) -> bytes:
        session = self._page.session
        parts: list[bytes] = []
        while True:
            part = await session.call(
                "IO.read", {"handle": handle, "size": READ_SIZE}, timeout=timeout, reply=ReadReply
            )
            parts.append(content(part.data, part.base64_encoded))
            if part.eof:
                break
        await session.call("IO.close", {"handle": handle})
        return b"".join(parts)


class _Refused(Exception):  # noqa: N818 - a reason on its way to the list of reasons
    """A way gave no bytes, in words."""


class _Attempt:
    """Ways tried one after another within one deadline, with the reasons why they failed."""

    def __init__(self, url: str, accept: Accept | None, timeout: float) -> None:
        self.url = url
        self.tried: list[str] = []
        self._accept = accept
        self._end = asyncio.get_running_loop().time() + timeout

    async def via(
        self, way: Way, take: Callable[[float], Awaitable[bytes]], *, empty_is_fine: bool = False
    ) -> Body | None:
        """Try one way with the time that is left; None when it gave nothing."""
        left = self._end - asyncio.get_running_loop().time()
        if left <= 0:
            self.tried.append(f"{way}: no time left")
            return None
        try:
            data = await take(left)
        except ProtocolError as error:
            self.tried.append(f"{way}: {error.message}")
        except (CommandTimeout, PageCrashed, ScriptError, DocumentLeft, _Refused) as error:
            self.tried.append(f"{way}: {error}")
        else:
            if not data and not empty_is_fine:
                # fetch().blob() without durable messages: empty, and no error.
                self.tried.append(f"{way}: empty")
            elif self._accept is not None and not self._accept(data):
                self.tried.append(f"{way}: {len(data)} bytes that were refused")
            else:
                return Body(data, way, tuple(self.tried))
        return None


async def _from_data(url: str) -> bytes:
    head, comma, text = url.partition(",")
    if not comma:
        raise _Refused("not a data: address")
    raw = urllib.parse.unquote_to_bytes(text)
    if not head.endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise _Refused(f"bad base64 ({error})") from error
