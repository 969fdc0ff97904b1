"""A studio that does what a test says, and pictures and standings to answer with."""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.joining import Entry
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, now
from cdp_image_mcp.mcp_server.app import App, OpenApp
from cdp_image_mcp.previews.preview import Canvas, Picture, PreviewError
from cdp_image_mcp.request import SavedImage, State
from cdp_image_mcp.studio.asked import GenerateImage
from cdp_image_mcp.studio.studio import Listener, News, Standing, Studio

IDENTITY = "0123456789abcdef0123456789abcdef"


def png(width: int = 64, height: int = 64, *, size: int = 0, alpha: bool = False) -> bytes:
    """A real PNG, padded to at least ``size`` bytes by a private chunk."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixel = b"\x20\x80\xc0" + (b"\x80" if alpha else b"")
    rows = zlib.compress((b"\x00" + pixel * width) * height, 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head)]
    if size:
        parts.append(chunk(b"prVt", bytes(size)))
    return b"".join([*parts, chunk(b"IDAT", rows), chunk(b"IEND", b"")])


def saved(folder: Path, index: int, data: bytes, *, width: int, height: int, alpha: bool = False) -> SavedImage:
    """``data`` as picture ``index`` of a generation's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"image-{index:02}.png"
    path.write_bytes(data)
    return SavedImage(
        path=str(path),
        mime_type="image/png",
        width=width,
        height=height,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        alpha=alpha,
        c2pa=False,
    )


def record(state: State = "saved", **changes: Any) -> Record:
    made = Record(
        generation_id=IDENTITY,
        requested_backend="auto",
        backend="chatgpt-web",
        prompt="a fox",
        sent_prompt="a fox",
        created_at=now(),
        updated_at=now(),
        fingerprint="f" * 64,
        state=state,
        submitted=True,
    )
    return msgspec.structs.replace(made, **changes)


def standing(folder: Path, state: State = "saved", **changes: Any) -> Standing:
    """Where a generation stands; finished ones have one small picture unless told otherwise."""
    if state in {"saved", "partial"} and "images" not in changes:
        changes["images"] = [saved(folder, 1, png(), width=64, height=64)]
    made = record(state, **changes)
    news = None if made.finished else News("drawing 3 s", 3.0, 60.0)
    return Standing(record=made, folder=str(folder), news=news)


class ScriptedLibrary(Library):
    """Holds the records of the standings that its studio answers with."""

    def __init__(self, studio: "ScriptedStudio") -> None:
        self._studio = studio

    def _known(self) -> list[Entry]:
        known = [each for each in (*self._studio.generated, *self._studio.waited) if isinstance(each, Standing)]
        found = {each.record.generation_id: each for each in known}
        return [Entry(each.record, Folder(Path(each.folder)), alive=False) for each in found.values()]

    async def find(self, generation_id: str) -> Entry | None:
        return next((each for each in self._known() if each.record.generation_id == generation_id), None)

    async def newest(self, limit: int = 10) -> list[Entry]:
        return self._known()[:limit]


class ScriptedStudio(Studio):
    """Answers calls with what ``generated`` and ``waited`` hold, in order (the last one again and again); exceptions
    are raised. Every call is logged in ``calls``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.library = ScriptedLibrary(self)
        self.calls: list[str] = []
        self.handed_out: list[str] = []
        self.generated: list[Standing | Exception] = []
        self.waited: list[Standing | Exception] = []
        self.told: list[News] = []
        self.signing_in: Standing | None = None
        self.pause = 0.0
        """Seconds after each news: a client that gets its answer in the same breath may drop the news (TS SDK v1)."""
        self.hold = anyio.Event()
        """Calls whose log line starts with ``holding`` wait for this event before they answer."""
        self.holding: str | None = None
        self.cancelled_calls = 0

    async def itself(self) -> Studio:
        return self

    async def _next(self, answers: list[Standing | Exception], listener: Listener | None) -> Standing:
        for news in self.told:
            if listener is not None:
                await listener(news)
                await anyio.sleep(self.pause)
        if self.holding is not None and self.calls[-1].startswith(self.holding) and not self.calls[-1].endswith(" 0"):
            try:
                await self.hold.wait()
            except BaseException:
                self.cancelled_calls += 1
                raise
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetched(self, standing: Standing) -> bool:
        self.handed_out.append(standing.record.generation_id)
        return not standing.record.fetched

    async def begin_waiting(self, record: Record, held: AsyncExitStack) -> None:
        """Whom nobody else can join needs no waiter."""

    async def is_of_another(self, generation_id: str) -> bool:  # noqa: ARG002
        return False

    async def generate(
        self,
        arguments: GenerateImage,
        listener: Listener | None = None,
        *,
        seconds: float | None = None,  # noqa: ARG002
        began: float | None = None,  # noqa: ARG002
        held: AsyncExitStack | None = None,  # noqa: ARG002
    ) -> Standing:
        self.calls.append(f"generate {arguments.prompt[:20]}")
        if self.signing_in is not None and arguments.prompt.startswith("sign in"):
            return self.signing_in
        return await self._next(self.generated, listener)

    async def wait(
        self,
        generation_id: str | None,
        seconds: float | None = None,
        listener: Listener | None = None,
        *,
        began: float | None = None,  # noqa: ARG002
        held: AsyncExitStack | None = None,  # noqa: ARG002
        onlooker: bool = False,  # noqa: ARG002
        claims: bool = True,  # noqa: ARG002
        again: bool = True,  # noqa: ARG002
    ) -> Standing:
        self.calls.append(f"wait {generation_id} {seconds:g}")
        if self.signing_in is not None and seconds:
            await anyio.sleep(1)  # the person takes a moment; no event tells this studio that one has acted
        return await self._next(self.waited, listener)

    async def cancel(self, generation_id: str) -> Standing:
        self.calls.append(f"cancel {generation_id}")
        return await self._next(self.waited, None)

    async def status(self, backend: Literal["api", "chatgpt-web", "auto"] | None = None) -> dict[str, Any]:
        self.calls.append(f"status {backend}")
        entry: dict[str, Any] = {
            "backend": "api",
            "configured": False,
            "ready": False,
            "message": "no key",
            "details": {},
        }
        return {"selected_backend": backend or "auto", "default_backend": "auto", "statuses": [entry], "problems": []}

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool = False
    ) -> dict[str, Any]:
        self.calls.append(f"visibility {action} {start_browser}")
        if action == "hide":
            raise ImageError("browser_not_found", "No browser was found.")
        told: dict[str, Any] = dict.fromkeys(("supported", "browser_open", "chat_ready", "hidden", "visible"), False)
        told["hide_window"] = True
        return told | {"backend": "chatgpt-web", "mode": "direct", "requested_action": action, "message": "not started"}


class FakeCanvas:
    """Shrinks a picture to exactly ``most_bytes`` bytes of nothing, or fails as told."""

    def __init__(self, failure: str | None = None) -> None:
        self.failure = failure
        self.opened = 0
        self.asked: list[int] = []
        self.deadlines: list[float] = []

    @asynccontextmanager
    async def open(self, deadline: float = math.inf) -> AsyncGenerator[Canvas]:
        self.opened += 1
        self.deadlines.append(deadline)
        if self.failure is not None:
            raise PreviewError(self.failure)
        yield self

    async def shrink(self, _original: Path, _type: str, /, *, most_bytes: int, **_: Any) -> Picture:
        self.asked.append(most_bytes)
        return Picture("image/webp", bytes(most_bytes))


def app_of(studio: ScriptedStudio, canvas: FakeCanvas | None = None) -> OpenApp:
    """Opens an app round ``studio`` without a browser."""

    used = canvas or FakeCanvas()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        app = App(studio.settings, studio.itself, used.open)
        async with app.tasks.kept():
            yield app

    return opened


def text_of(result: types.CallToolResult) -> dict[str, Any]:
    first = result.content[0]
    assert isinstance(first, types.TextContent)
    return json.loads(first.text)
