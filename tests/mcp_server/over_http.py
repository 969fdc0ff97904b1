"""The product's own MCP server behind the SDK's HTTP app: ``python -m tests.mcp_server.over_http FOLDER``.

For tests only: the conformance suite speaks HTTP and nothing else (conformance#258), the product stdio and nothing
else. One finished picture is there. Prints its port when it listens; ends when standard input ends.
"""

import socket
import sys
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import uvicorn

from cdp_image_mcp.config import Settings
from cdp_image_mcp.mcp_server.server import make_server
from cdp_image_mcp.studio.asked import GenerateImage
from tests.mcp_server.painted import Painter, app


async def main(folder: Path) -> None:
    settings = Settings(output_dir=folder / "pictures", profile_dir=folder / "profile", wait_seconds=5)
    opened = app(settings, Painter())
    async with opened() as first:
        await (await first.studio()).generate(GenerateImage(prompt="a fox", backend="chatgpt-web"))
    server = uvicorn.Server(uvicorn.Config(make_server(opened).streamable_http_app(), log_level="warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    async with anyio.create_task_group() as group:
        # Left behind at the end: a thread that reads a pipe cannot be called back.
        group.start_soon(partial(anyio.to_thread.run_sync, partial(_wait_and_stop, server), abandon_on_cancel=True))
        print(listener.getsockname()[1], flush=True)
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


def _wait_and_stop(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
