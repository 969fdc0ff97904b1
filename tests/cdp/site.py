"""A site on 127.0.0.1 with everything the driver's tests look at."""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection, serve

PAGES = Path(__file__).parent / "pages"
PNG = b"\x89PNG\r\n\x1a\n"


@lru_cache(maxsize=4)
def picture(size: int) -> bytes:
    """Bytes that no compression helps, the same for the same size; they begin like a PNG."""
    return PNG + random.Random(size).randbytes(size - len(PNG))


class Site:
    """Where it is, and what reached it."""

    def __init__(self, origin: str, socket_url: str) -> None:
        self.origin = origin
        self.socket_url = socket_url
        self.hits: Counter[str] = Counter()
        self.go = anyio.Event()

    def url(self, path: str) -> str:
        return self.origin + path


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # signals stay pytest's


def sse_text(count: int, size: int) -> bytes:
    """What the stream at /sse says in all."""
    return b"".join(_sse_event(number, size) for number in range(count))


def _sse_event(number: int, size: int) -> bytes:
    return f"event: delta\ndata: {number} {'ä€😀'[number % 3] * size}\n\n".encode()


class _Answers:
    """What the site answers."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGES / f"{request.path_params['name']}.html")

    async def image(self, request: Request) -> Response:
        size = int(request.path_params["size"])
        self._site.hits[request.url.path] += 1
        mime = request.query_params.get("mime", "image/png")
        return Response(picture(size), media_type=mime, headers={"cache-control": "no-store"})

    async def dot(self, request: Request) -> Response:
        self._site.hits[request.url.path] += 1
        return FileResponse(PAGES / "dot.png")

    async def sse(self, request: Request) -> Response:
        count, size = int(request.query_params["count"]), int(request.query_params.get("size", "10"))
        held = request.query_params.get("hold") == "1"

        async def events() -> AsyncIterator[bytes]:
            for number in range(count):
                yield _sse_event(number, size)
                if held and number == 0:
                    await self._site.go.wait()
                await asyncio.sleep(0)

        return StreamingResponse(events(), media_type="text/event-stream")

    async def broken(self, _request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: half"
            await self._site.go.wait()
            raise ConnectionResetError

        return StreamingResponse(events(), media_type="text/event-stream")

    async def moved(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["to"])

    async def cookie(self, _request: Request) -> Response:
        response = Response("set")
        response.set_cookie("kept", "yes", max_age=86_400)
        return response

    async def empty(self, _request: Request) -> Response:
        return Response(status_code=204)


def _app(site: Site) -> Starlette:
    answers = _Answers(site)
    both = ["GET", "POST"]
    return Starlette(
        routes=[
            Route("/page/{name}", answers.page),
            Route("/image/{size:int}", answers.image, methods=both),
            Route("/dot.png", answers.dot),
            Route("/sse", answers.sse, methods=both),
            Route("/broken", answers.broken, methods=both),
            Route("/moved", answers.moved),
            Route("/cookie", answers.cookie),
            Route("/empty", answers.empty),
        ]
    )


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def serve_site() -> AsyncGenerator[Site, None]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serve(_echo, "127.0.0.1", 0) as sockets:
        site = Site(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{next(iter(sockets.sockets)).getsockname()[1]}")
        config = uvicorn.Config(
            _app(site), log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield site
            finally:
                server.should_exit = True
