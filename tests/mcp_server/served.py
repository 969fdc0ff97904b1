"""A server process over a scripted studio, for tests that need real pipes:
``python -m tests.mcp_server.served FOLDER``.

Its generation is working when asked for and saved when waited for; a prompt "hold on" holds the call back, one that
begins with "sign in" wants a person. With ``quick`` nothing is slow. The studio's end and its calls are told in the
file ``closed``; a named pipe ``hold-the-end`` in the folder holds the end up until it was written to. With ``paints``
the studio is the real one instead, and a painter makes its pictures at once.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.app import App
from cdp_image_mcp.mcp_server.client.wire import Wire
from cdp_image_mcp.mcp_server.serving import serve_app
from cdp_image_mcp.studio.studio import News
from tests.mcp_server.painted import Painter, app
from tests.mcp_server.scripted import FakeCanvas, ScriptedStudio, png, standing


async def main(folder: Path, wire: Wire, *, quick: bool = False, paints: bool = False) -> None:
    settings = Settings(output_dir=folder / "pictures", profile_dir=folder / "profile", wait_seconds=600)
    if paints:
        painter = Painter()
        painter.pictures = [png(64, 64, size=2_000_000)]  # shown reduced, in an answer that is larger than a pipe
        await serve_app(app(settings, painter), wire)
        return

    @asynccontextmanager
    async def opened() -> AsyncGenerator[App]:
        studio = ScriptedStudio(settings)
        studio.generated = [standing(folder / "pictures", "generating")]
        studio.waited = [standing(folder / "pictures")]
        if not quick:
            studio.holding = "generate hold"
            studio.pause = 0.2
            studio.signing_in = standing(folder / "pictures", "needs_sign_in")
        studio.told = [News("drawing", 3.0, 60.0)]
        try:
            app = App(settings, studio.itself, FakeCanvas().open)
            async with app.tasks.kept():
                yield app
        finally:
            with anyio.CancelScope(shield=True):
                if (held := folder / "hold-the-end").exists():
                    await anyio.to_thread.run_sync(held.read_bytes)
                await anyio.Path(folder / "closed").write_text("\n".join(studio.calls))

    await serve_app(opened, wire)


if __name__ == "__main__":
    anyio.run(partial(main, Path(sys.argv[1]), Wire(), quick="quick" in sys.argv, paints="paints" in sys.argv))
