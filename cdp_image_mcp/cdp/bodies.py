"""The bytes of responses, exactly as they came.

Order of the ways: what the browser holds (durable), the resource of the frame, the blob in the page, a second request.
Whether bytes are a whole picture is for the caller to say; a way whose bytes he refuses is passed over.
Measured on Chromium 156, 2026-11.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from cdp_image_mcp.cdp.errors import (
    BodyUnavailable,
    CDPError,
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
from cdp_image_mcp.cdp.wire import Params, content
from cdp_image_mcp.cdp.world import World
from cdp_image_mcp.system.tasks import shielded

Way = Literal["network", "resource", "blob", "request"]
Take = Callable[[float], Awaitable[bytes]]
"""A way, which has until that moment of the event loop's clock."""
Accept = Callable[[bytes], bool]
READ_SIZE = 4 * 1024 * 1024
EMPTY_STATUS = (204, 205, 304)
# How long the browser may take to let go of what was read, or could not be.
LETTING_GO = 2.0


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
        again = again and request.method == "GET"
        others = self._other_ways(request.url, request.frame_id or self._page.frame_id, again=again)
        ways: list[tuple[Way, Take]] = [("network", lambda end: self._from_network(request, end)), *others]
        empty = request.status in EMPTY_STATUS or request.headers.get("content-length") == "0"
        return await _first(request.url, ways, accept, timeout, empty_is_fine=empty)

    async def read_url(self, url: str, *, accept: Accept | None = None, timeout: float = 60.0) -> Body:
        """The bytes behind an address in the page, also one for which no request was seen: memory-cached images,
        ``blob:``. Raises as ``read``."""
        held = (request for request in reversed(self.requests) if request.url == url and request.state == "finished")
        if (request := next(held, None)) is not None:
            return await self.read(request, accept=accept, timeout=timeout)
        return await _first(url, self._other_ways(url, self._page.frame_id, again=True), accept, timeout)

    def _other_ways(self, url: str, frame_id: str, *, again: bool) -> list[tuple[Way, Take]]:
        ways: list[tuple[Way, Take]] = [("resource", lambda end: self._from_frame(frame_id, url, end))]
        if url.startswith("blob:"):
            ways.append(("blob", lambda end: self._from_blob(url, end)))
        elif again and url.startswith("http"):
            ways.append(("request", lambda end: self._by_request(frame_id, url, end)))
        return ways

    async def _from_network(self, request: Request, end: float) -> bytes:
        reply = await self._page.session.call(
            "Network.getResponseBody", {"requestId": request.request_id}, timeout=_left(end), reply=ResponseBody
        )
        return content(reply.body, reply.base64_encoded)

    async def _from_frame(self, frame_id: str, url: str, end: float) -> bytes:
        reply = await self._page.session.call(
            "Page.getResourceContent", {"frameId": frame_id, "url": url}, timeout=_left(end), reply=ResourceContent
        )
        return content(reply.content, reply.base64_encoded)

    async def _by_request(self, frame_id: str, url: str, end: float) -> bytes:
        """A second request with the page's cookies; the HTTP cache may answer. It may spend a one-time address."""
        options = {"disableCache": False, "includeCredentials": True}
        command = {"url": url, "frameId": frame_id, "options": options}
        reply = await self._page.session.call(
            "Network.loadNetworkResource", command, timeout=_left(end), reply=LoadNetworkResourceReply
        )
        resource = reply.resource
        if not resource.success or resource.stream is None:
            status = f" (HTTP {resource.http_status_code:g})" if resource.http_status_code else ""
            raise _Refused(f"{resource.net_error_name or 'no answer'}{status}")
        return await self._read_stream(resource.stream, end)

    async def _from_blob(self, url: str, end: float) -> bytes:
        """The page's blob by its address, taken in an isolated world; the bytes do not pass through JavaScript."""
        world = World(self._page, "bodies")
        await world.make()
        address = msgspec.json.encode(url).decode()
        found = await world.object_of(f"fetch({address}).then(response => response.blob())", timeout=_left(end))
        handle = {"objectId": found.object_id}
        try:
            blob = await self._page.session.call("IO.resolveBlob", handle, timeout=_left(end), reply=ResolveBlobReply)
            return await self._read_stream(f"blob:{blob.uuid}", end)
        finally:
            await self._let_go("Runtime.releaseObject", handle)

    async def _read_stream(self, handle: str, end: float) -> bytes:
        asked = {"handle": handle, "size": READ_SIZE}
        parts: list[bytes] = []
        try:
            while True:
                part = await self._page.session.call("IO.read", asked, timeout=_left(end), reply=ReadReply)
                parts.append(content(part.data, part.base64_encoded))
                if part.eof:
                    return b"".join(parts)
        finally:
            await self._let_go("IO.close", {"handle": handle})

    async def _let_go(self, method: str, params: Params) -> None:
        with shielded(), suppress(CDPError):
            await self._page.session.call(method, params, timeout=LETTING_GO)


def _left(end: float) -> float:
    return max(0.0, end - asyncio.get_running_loop().time())


class _Refused(Exception):  # noqa: N818 - a reason on its way to the list of reasons
    """A way gave no bytes, in words."""


async def _first(
    url: str, ways: list[tuple[Way, Take]], accept: Accept | None, timeout: float, *, empty_is_fine: bool = False
) -> Body:
    """What the first of the ways gives that gives anything; all within one deadline. Raises BodyUnavailable with the
    reasons why they failed."""
    tried: list[str] = []
    end = asyncio.get_running_loop().time() + timeout
    for way, take in ways:
        if not _left(end):
            tried.append(f"{way}: no time left")
            continue
        try:
            data = await take(end)
        except ProtocolError as error:
            tried.append(f"{way}: {error.message}")
        except (CommandTimeout, PageCrashed, ScriptError, DocumentLeft, _Refused) as error:
            tried.append(f"{way}: {error}")
        else:
            if not data and not empty_is_fine:
                # fetch().blob() without durable messages: empty, and no error.
                tried.append(f"{way}: empty")
            elif accept is not None and not accept(data):
                tried.append(f"{way}: {len(data)} bytes that were refused")
            else:
                return Body(data, way, tuple(tried))
    raise BodyUnavailable(url, tried)
