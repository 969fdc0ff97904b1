"""The least that these tests need to drive a real Chromium. Not the product's driver, on purpose."""

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec
import websockets

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
)


class Tab:
    """One page. Events are kept; what the page printed as an error is in `complaints`."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._watchers: list[tuple[Callable[[dict[str, Any]], bool], asyncio.Future[dict[str, Any]]]] = []
        self.session = ""
        self.events: list[dict[str, Any]] = []

    async def pump(self) -> None:
        async for text in self._socket:
            message: dict[str, Any] = msgspec.json.decode(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
                continue
            self.events.append(message)
            for fits, found in self._watchers:
                if not found.done() and fits(message):
                    found.set_result(message)

    async def send(self, method: str, *, browser: bool = False, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self.session and not browser:
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
        await self.until(f"document.querySelector({selector!r})")
        box = await self.run(
            f"(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            count = 0 if kind == "mouseMoved" else 1
            button = "none" if kind == "mouseMoved" else "left"
            await self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button=button, clickCount=count)

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


@contextlib.asynccontextmanager
async def open_tab(agent: str = "") -> AsyncGenerator[Tab]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "these tests need Chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        flags = [*_FLAGS, f"--user-data-dir={folder}", *([f"--user-agent={agent}"] if agent else [])]
        process = await asyncio.create_subprocess_exec(
            program, *flags, "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            address = await _address(process)
            drain = asyncio.ensure_future(_drain(process))
            async with websockets.connect(address, max_size=None, compression=None, proxy=None) as socket:
                tab = Tab(socket)
                pump = asyncio.ensure_future(tab.pump())
                try:
                    await _attach(tab)
                    yield tab
                    with contextlib.suppress(RuntimeError):
                        await tab.send("Browser.close", browser=True)
                    await process.wait()
                finally:
                    for task in (pump, drain):
                        task.cancel()
                        with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                            await task
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


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


async def _attach(tab: Tab) -> None:
    targets = await tab.send("Target.getTargets")
    page = next(target for target in targets["targetInfos"] if target["type"] == "page")
    attached = await tab.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
    tab.session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Network", "DOM"):
        await tab.send(f"{domain}.enable")
