"""A server process over a scripted studio, for tests that need real pipes: ``python -m tests.edges.served FOLDER``.

Its one generation never ends until the process does; the studio's end is told on standard error and in a file.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.preview import FilePreviewer
from cdp_image_mcp.server import App
from cdp_image_mcp.serving import serve_app
from tests.edges.scripted import FakeCanvas, ScriptedStudio, standing


async def main(folder: Path) -> None:
    settings = Settings(output_dir=folder / "pictures", profile_dir=folder / "profile", wait_seconds=600)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        studio = ScriptedStudio(settings)
        studio.generated = [standing(folder / "pictures", "generating")]
        studio.waited = [standing(folder / "pictures")]
        studio.holding = "generate hold"
        try:
            yield App(settings, studio.itself, FilePreviewer(FakeCanvas().open))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.Path(folder / "closed").write_text("\n".join(studio.calls))

    await serve_app(opened)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
