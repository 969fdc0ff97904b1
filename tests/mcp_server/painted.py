"""The server over the real studio with a painter instead of a site or an API."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.app import App, OpenApp
from cdp_image_mcp.request import Backend, BackendName, ImageRequest, Report
from cdp_image_mcp.studio.studio import Studio, open_studio
from tests.mcp_server.scripted import FakeCanvas, png
from tests.ways import Given


class Painter:
    """Saves ``pictures``; waits for ``person`` first when it is set."""

    def __init__(self) -> None:
        self.pictures = [png(64, 64)]
        self.person: anyio.Event | None = None
        self.submitted = 0

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        if self.person is not None:
            await report.waiting_for_person()
            await report.state("needs_sign_in")
            await self.person.wait()
        await report.state("submitting", submitted="unknown", sent_prompt=request.prompt)
        self.submitted += 1
        await report.state("generating", submitted=True)
        if not self.pictures:
            said = "I would rather \x1b[2Jtalk."
            raise ImageError("text_only", "The site answered in words.", submitted=True, details={"text": said})
        for picture in self.pictures:
            await report.save(picture)

    async def status(self) -> dict[str, Any]:
        return {"configured": True, "ready": True, "message": "painting", "details": {}}

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


def app(settings: Settings, painter: Painter) -> OpenApp:
    backends: Mapping[BackendName, Backend] = {"api": painter, "chatgpt-web": painter}

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        async with open_studio(settings, Given(backends)) as studio:

            async def itself() -> Studio:
                return studio

            app = App(settings, itself, FakeCanvas().open)
            async with app.tasks.kept():
                yield app

    return opened
