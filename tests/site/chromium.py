"""The least that these tests need to drive a real Chromium. Not the product's driver, on purpose."""

import asyncio
import base64
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import msgspec
import websockets

from tests.browser import SWITCHES, found_browser

_FLAGS = (
    "--headless=new",
    *SWITCHES,
    "--no-first-run",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
)


class Tab:
    """One page. Events are kept; what the page printed as an error is in `complaints`."""

    _ids = itertools.count(1)

    def __init__(self, socket: websockets.ClientConnection, session: str = "") -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._watchers: list[tuple[Callable[[dict[str, Any]], bool], asyncio.Future[dict[str, Any]]]] = []
        self.session = session
        self.events: list[dict[str, Any]] = []
        self._pointer = (0.0, 0.0)

    def asked(self, number: int) -> bool:
        return number in self._answers

    def gone(self) -> None:
        """The page is closed, and answers nothing more."""
        for number in list(self._answers):
            self.take({"id": number, "error": "the page was closed"})

    def take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"])
            # Whoever asked may have been cancelled meanwhile.
            if not answer.done():
                answer.set_result(message)
            return
        self.events.append(message)
        for fits, found in self._watchers:
            if not found.done() and fits(message):
                found.set_result(message)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send(msgspec.json.encode(command).decode())
        message = await answer
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    async def go(self, url: str) -> None:
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._watchers.append((lambda event: event["method"] == "Page.loadEventFired", found))
        await self.send("Page.navigate", url=url)
        await found

    async def event(self, method: str, **params: Any) -> dict[str, Any]:
        """The first event of this name with these parameters, also one that has already come."""
        return await self._first(lambda event: event["method"] == method and params.items() <= event["params"].items())

    async def heard(self, words: str) -> None:
        """A message of the page's websocket with these words has come."""

        def fits(event: dict[str, Any]) -> bool:
            received = event["method"] == "Network.webSocketFrameReceived"
            return received and words in event["params"]["response"]["payloadData"]

        await self._first(fits)

    async def hold(self, *paths: str) -> None:
        """From now on requests to these paths wait until they are let go."""
        await self.send("Fetch.enable", patterns=[{"urlPattern": f"*{path}"} for path in paths])

    async def held(self, path: str) -> str:
        """The first request to that path that waits."""

        def fits(event: dict[str, Any]) -> bool:
            return event["method"] == "Fetch.requestPaused" and event["params"]["request"]["url"].endswith(path)

        return (await self._first(fits))["params"]["requestId"]

    async def let_go(self, request: str) -> None:
        await self.send("Fetch.continueRequest", requestId=request)

    async def _first(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for event in self.events:
            if fits(event):
                return event
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._watchers.append((fits, found))
        return await found

    async def run(self, script: str) -> Any:
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Waits inside the page until the expression is true."""
        script = (
            "new Promise((resolve) => { const look = () => { const found = (() => { try { return "
            f"({condition}); }} catch {{ return false; }} }})();"
            "if (found) resolve(found); else setTimeout(look, 25); }; look(); })"
        )
        while True:
            try:
                return await self.run(script)
            except RuntimeError as error:
                if "navigated" not in str(error) and "destroyed" not in str(error):
                    raise

    async def click(self, selector: str) -> None:
        """Press what the selector finds; again where the page moved under the pointer, or put another in its place
        between press and release: a click needs both on the same element.
        """
        found = f"document.querySelector({selector!r})"
        while True:
            hit = await self._press(found)
            try:
                await self._mouse("mouseReleased")
            except RuntimeError as error:
                if hit and _is_gone(error):
                    return
                raise
            if hit and not await self._lost(found):
                return

    async def _press(self, found: str) -> bool:
        """Whether the element itself got the press: it acts on the release, which is still to come."""
        await self.until(found)
        self._pointer = await self.run(
            f"(() => {{ const aim = {found}; globalThis.pressed = globalThis.clicked = false;"
            " for (const [name, kept] of [['mousedown', 'pressed'], ['click', 'clicked']])"
            " document.addEventListener(name, (event) => { globalThis[kept] = aim.contains(event.target); },"
            " { capture: true, once: true });"
            " const box = aim.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        await self._mouse("mouseMoved")
        await self._mouse("mousePressed")
        return bool(await self.run("globalThis.pressed"))

    async def _lost(self, found: str) -> bool:
        """Whether the element moved or was replaced before the release and is still to be clicked; a document that went
        away had its click."""
        try:
            return bool(await self.run(f"globalThis.clicked === false && !!{found}"))
        except RuntimeError as error:
            if _is_gone(error):
                return False
            raise

    async def _mouse(self, kind: str) -> None:
        pressing = kind != "mouseMoved"
        x, y = self._pointer
        button = "left" if pressing else "none"
        await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=int(pressing))

    async def type(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def key(self, key: str, code: int, *, commands: tuple[str, ...] = (), text: str = "") -> None:
        common: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, commands=list(commands), **common)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    async def files(self, selector: str, *paths: Path) -> None:
        handle = await self.send("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        names = [str(path) for path in paths]
        await self.send("DOM.setFileInputFiles", files=names, objectId=handle["result"]["objectId"])

    async def shot(self, path: Path) -> None:
        picture = await self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(picture["data"]))

    @property
    def complaints(self) -> list[str]:
        """Uncaught exceptions and console errors, without failed loads, which the site causes on purpose."""
        found: list[str] = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(str(params["args"]))
        return found


def _is_gone(error: RuntimeError) -> bool:
    return any(word in str(error) for word in ("navigated", "destroyed", "closed", "Session with given id not found"))


class Browser:
    """A running Chromium. Every tab has a profile of its own."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._root = Tab(socket)
        self._tabs: dict[str, Tab] = {"": self._root}

    async def pump(self) -> None:
        async for text in self._socket:
            # The page says half an emoji at times, which a strict decoder would not take.
            message: dict[str, Any] = json.loads(text)
            # Of a session that has just gone the answer names none.
            owner = next((tab for tab in self._tabs.values() if tab.asked(message.get("id", 0))), None)
            (owner or self._tabs.get(message.get("sessionId", ""), self._root)).take(message)
            detached = message.get("method") == "Target.detachedFromTarget"
            if detached and (tab := self._tabs.get(message["params"]["sessionId"])) is not None:
                tab.gone()

    @contextlib.asynccontextmanager
    async def tab(self, url: str = "about:blank") -> AsyncGenerator[Tab]:
        context = (await self._root.send("Target.createBrowserContext"))["browserContextId"]
        target = await self._root.send("Target.createTarget", url=url, browserContextId=context, width=1280, height=900)
        attached = await self._root.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self._socket, attached["sessionId"])
        self._tabs[tab.session] = tab
        for domain in ("Page", "Runtime", "Network", "DOM"):
            await tab.send(f"{domain}.enable")
        try:
            yield tab
        finally:
            with anyio.CancelScope(shield=True):
                await self._root.send("Target.disposeBrowserContext", browserContextId=context)

    async def closed(self, tab: Tab) -> None:
        """Returns when the page has gone."""
        await self._root.event("Target.detachedFromTarget", sessionId=tab.session)

    async def close(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._root.send("Browser.close")


@contextlib.asynccontextmanager
async def open_browser(agent: str = "") -> AsyncGenerator[Browser]:
    program = str(found_browser().path)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        flags = [*_FLAGS, f"--user-data-dir={folder}", *([f"--user-agent={agent}"] if agent else [])]
        process = await asyncio.create_subprocess_exec(
            program, *flags, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            address = await _address(process)
            async with (
                _running(_drain(process)),
                websockets.connect(address, max_size=None, compression=None, proxy=None) as socket,
            ):
                browser = Browser(socket)
                async with _running(browser.pump()):
                    yield browser
                    await browser.close()
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def open_tab(agent: str = "") -> AsyncGenerator[Tab]:
    async with open_browser(agent) as browser, browser.tab() as tab:
        yield tab


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
            await task


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        text = line.decode(errors="replace").strip()
        if text.startswith("DevTools listening on "):
            return text.rpartition(" ")[2]
    raise RuntimeError("Chromium ended before it listened")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65_536):
        pass
