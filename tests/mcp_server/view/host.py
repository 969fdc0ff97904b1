"""A host of MCP Apps for tests: a page that follows the published protocol, the view in its sandboxed frame, and the
product's own server behind both."""

import base64
import json
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cdp_image_mcp.cdp import Browser, Page
from cdp_image_mcp.mcp_server.app import OpenApp
from tests.mcp_server.raw import Raw, connected, envelope

PAGE = Path(__file__).with_name("host.html")
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' data:; connect-src 'none'"
)
"""What hosts set where a view asks for no domain (specification 2026-01-26)."""
APPS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # signals stay pytest's


class View:
    """The view in the host's page, as a person sees and presses it."""

    def __init__(self, page: Page, frame: str) -> None:
        self._page = page
        self._frame = frame

    async def read(self, expression: str) -> Any:
        """The value of an expression in the view's document, in a world apart from the view's own script."""
        made = await self._page.session.call(
            "Page.createIsolatedWorld", {"frameId": self._frame, "worldName": "test"}, reply=dict[str, int]
        )
        command = {
            "expression": expression,
            "contextId": made["executionContextId"],
            "awaitPromise": True,
            "returnByValue": True,
        }
        told = await self._page.session.call("Runtime.evaluate", command, reply=dict[str, Any])
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def text(self, identity: str) -> str:
        """What stands there; empty where it is not shown."""
        shown = f"document.getElementById('{identity}').checkVisibility()"
        return await self.read(f"{shown} ? document.getElementById('{identity}').innerText.trim() : ''")

    async def until(self, condition: str) -> None:
        """Until an expression is true in the view; it is looked at whenever the document changes."""
        await self.read(
            "new Promise((done) => { const look = () => { if ("
            + condition
            + ") { seen.disconnect(); clearInterval(clock); done(true); } };"
            "const seen = new MutationObserver(look); const clock = setInterval(look, 100);"
            "seen.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});"
            "look(); })"
        )

    async def press(self, selector: str) -> None:
        await self.read(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, identity: str, words: str) -> None:
        await self.read(f"document.getElementById('{identity}').value = {json.dumps(words)}")


class Host:
    """The host's page with one view in it."""

    def __init__(self, page: Page, raw: Raw) -> None:
        self.page = page
        self.raw = raw
        self._opened = 0
        self.view = View(page, "")

    async def open(self, origin: str, **options: Any) -> None:
        self._opened += 1  # another address: the same one again would be no new document
        await self.page.navigate(f"{origin}/?{self._opened}#{quote(json.dumps(options))}")
        await self.page.evaluate("initialized.then(() => true)")
        tree = await self.page.session.call("Page.getFrameTree", reply=dict[str, Any])
        self.view = View(self.page, tree["frameTree"]["childFrames"][0]["frame"]["id"])

    async def said(self) -> list[dict[str, Any]]:
        """Every message of the view so far."""
        return await self.page.evaluate("said")

    async def tell(self, method: str, params: dict[str, Any]) -> None:
        await self.page.call("tell", f"ui/notifications/{method}", params)

    async def call(self, name: str, arguments: dict[str, Any]) -> None:
        """A tool call as the model's: the view is told the arguments, then the result."""
        await self.tell("tool-input", {"arguments": arguments})
        told = await self.raw.ask("tools/call", {"name": name, "arguments": arguments}, envelope(APPS))
        await self.tell("tool-result", told["result"])

    async def resize(self, width: int, height: int = 640) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": False}
        await self.page.session.call("Emulation.setDeviceMetricsOverride", metrics)

    async def scheme(self, theme: str) -> None:
        """Of the system, which the host's page follows."""
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        await self.page.session.call("Emulation.setEmulatedMedia", media)

    async def picture(self, path: Path) -> None:
        """A screenshot, to be looked at."""
        shot = await self.page.session.call("Page.captureScreenshot", {"format": "png"}, reply=dict[str, str])
        await anyio.Path(path).write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def hosting(browser: Browser, open_app: OpenApp, **options: Any) -> AsyncGenerator[Host]:
    """A host with the view in it, over the server of ``open_app``. ``options``: ``theme``, ``capabilities``,
    ``context``, ``deaf`` (takes no messages)."""
    turn = anyio.Lock()
    async with connected(open_app) as raw:
        asked = await raw.ask("resources/read", {"uri": "ui://cdp-image-mcp/picture.html"}, envelope(APPS))
        view = asked["result"]["contents"][0]["text"]

        async def rpc(request: Request) -> Response:
            message = await request.json()
            async with turn:
                return JSONResponse(await raw.ask(message["method"], message["params"], envelope(APPS)))

        async def page(_: Request) -> Response:
            return HTMLResponse(PAGE.read_text("utf-8"))

        async def framed(_: Request) -> Response:
            return HTMLResponse(view, headers={"Content-Security-Policy": POLICY})

        routes = [Route("/", page), Route("/view", framed), Route("/rpc", rpc, methods=["POST"])]
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            async with await Page.create(browser.connection) as tab:
                host = Host(tab, raw)
                await host.resize(720)
                await host.scheme(options.get("theme", "light"))
                await host.open(f"http://127.0.0.1:{listener.getsockname()[1]}", **options)
                yield host
            server.should_exit = True
