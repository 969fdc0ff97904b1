"""A back end whose every step a test decides, and a studio over it."""

import struct
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.request import BackendName, ImageRequest, Report
from cdp_image_mcp.studio.jobs import runner
from cdp_image_mcp.studio.studio import Studio, open_studio
from tests.ways import Given

Play = Callable[[ImageRequest, Report], Awaitable[None]]


def png(shade: int = 0) -> bytes:
    """A whole PNG of 4 by 4 pixels; each shade is another file."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\x00" + bytes([shade % 256, shade // 256 % 256, 0]) * 4 for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Scripted:
    """Plays ``play`` for each generation and ``collecting`` for each collection; counts both."""

    def __init__(self, play: Play, collecting: Play | None = None) -> None:
        self.play = play
        self.collecting = collecting
        self.started: list[str] = []
        self.collected: list[str] = []
        self.running = 0
        self.most = 0

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        self.started.append(request.prompt)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.play(request, report)
        finally:
            self.running -= 1

    async def collect(self, request: ImageRequest, report: Report, /) -> None:
        self.collected.append(report.generation_id)
        if self.collecting is not None:
            await self.collecting(request, report)

    async def status(self) -> dict[str, Any]:
        return {"configured": True, "ready": True, "message": "scripted", "details": {}}

    async def aclose(self) -> None:
        return


async def draw(request: ImageRequest, report: Report, ends: Mapping[str, Any] | None = None) -> None:
    """The ordinary course: submitted, drawn, saved; with ``ends`` the last picture is the end."""
    await report.state("submitting", sent_prompt=request.prompt, submitted="unknown")
    await report.state("generating", submitted=True, conversation_url="http://site/c/1", conversation_id="1")
    for number in range(request.n):
        await report.save(png(number), source={"file_id": f"file_{number}"}, ends=ends)


def settings(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "output_dir": folder / "output",
        "profile_dir": folder / "profile",
        "backend": "chatgpt-web",
        "wait_seconds": 20.0,
        **changes,
    }
    return Settings(**values)


@asynccontextmanager
async def studio_with(
    folder: Path, web: Scripted | None = None, api: Scripted | None = None, **changes: Any
) -> AsyncGenerator[Studio]:
    backends: dict[BackendName, Any] = {}
    if web is not None:
        backends["chatgpt-web"] = web
    if api is not None:
        backends["api"] = api
    # Tests put its clock forward; what hangs is ended by `tests.conftest`.
    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(3600):
        patch.setattr(runner, "LAST_SECONDS", 0.0)  # what a test leaves out at its end is not waited for
        async with open_studio(settings(folder, **changes), Given(backends)) as studio:
            yield studio
