"""A network that takes connections and says nothing: a captive portal, a black hole. It is no lost browser."""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from cdp_image_mcp.chatgpt.page import arrival
from cdp_image_mcp.chatgpt.window import tab
from cdp_image_mcp.system.tasks import background
from fixtures.site import Site, Switches, running_site
from tests.people.browsers import browsers
from tests.people.inside import draw, inside

pytestmark = pytest.mark.anyio


@contextmanager
def black_hole() -> Generator[str]:
    """Its address; the system itself takes the connections, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def gateway(site: Site, *kept_back: bytes) -> AsyncGenerator[str]:
    """The site behind a gateway that swallows requests whose first line contains one of these."""
    host, port = site.url.removeprefix("http://").split(":")

    async def pass_on(client: SocketStream) -> None:
        request = await client.receive()
        if any(part in request.split(b"\r\n", 1)[0] for part in kept_back):
            await anyio.sleep_forever()
        async with await anyio.connect_tcp(host, int(port)) as server, background() as tasks:
            # One request a connection, so that none passes behind another.
            await server.send(request.replace(b"Connection: keep-alive", b"Connection: close", 1))
            tasks.start_soon(copy, client, server)
            await copy(server, client)

    async def serve(client: SocketStream) -> None:
        async with client:
            try:
                await pass_on(client)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                return  # the browser has gone

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, background() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.listeners[0].extra(SocketAttribute.local_port)}"  # noqa: S610


async def copy(source: SocketStream, target: SocketStream) -> None:
    async for data in source:
        await target.send(data)


@pytest.fixture
def site() -> Generator[Site]:
    with running_site(Switches()) as site:
        yield site


async def refused(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is answered to a prompt; the browser has stayed the same, and nothing was sent."""
    with anyio.fail_after(90):
        async with inside(folder, url, monkeypatch) as studio:
            standing = await draw(studio, "a lighthouse")
            failure = standing.record.error
            assert failure is not None
            assert (failure["submitted"], failure["retryable"]) == (False, True)
            (first,) = browsers(folder)
            assert (await draw(studio, "a lighthouse again")).record.error is not None
            assert [process.pid for process in browsers(folder)] == [first.pid]
            return f"{failure['code']}: {failure['message']}"


async def test_a_site_that_takes_the_connection_and_says_nothing_is_the_networks_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tab, "OPEN_SECONDS", 2.0)
    with black_hole() as url:
        told = await refused(tmp_path, url, monkeypatch)
    assert told.startswith("network: "), told
    assert "lost" not in told


async def test_a_page_whose_script_never_comes_is_the_networks_fault(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no composer without it, and the page has not changed."""
    monkeypatch.setattr(tab, "OPEN_SECONDS", 5.0)
    monkeypatch.setattr(arrival, "COMPOSER_SECONDS", 3.0)
    async with gateway(site, b".js") as url:
        told = await refused(tmp_path, url, monkeypatch)
    assert told.startswith("network: "), told
