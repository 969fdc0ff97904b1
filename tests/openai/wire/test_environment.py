"""Proxies, certificates and resolvers of the environment: used where they are set, named where they cannot be."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.wire import exchange
from cdp_image_mcp.openai.wire.download import Downloader, FetchError
from fixtures.images_api import ImagesApi, draw, png, raw
from tests.openai.conftest import MakeBackend
from tests.openai.doubles import DiskReport, ask

pytestmark = pytest.mark.anyio

VARIABLES = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")]
PNG_HEADERS = {"content-type": "image/png"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def forwarding(to: str) -> AsyncGenerator[tuple[str, list[str]]]:
    """A plain proxy that leads every request to the stand-in; its address, and what it was asked for."""
    asked: list[str] = []
    writers: list[asyncio.StreamWriter] = []
    target = urlsplit(to)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        method, address, version = line.split()
        asked.append(address)
        onward, back = await asyncio.open_connection(target.hostname, target.port)
        writers.extend((writer, back))
        parts = urlsplit(address)
        back.write(f"{method} {parts.path}{'?' + parts.query if parts.query else ''} {version}\r\n".encode())
        await asyncio.gather(_pump(reader, back), _pump(onward, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_behind_a_proxy_the_picture_is_fetched_by_it_too(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.file("/made.png", raw(200, png(seed=3), PNG_HEADERS))
    api.play(draw(items=[{"url": "http://pictures.example/made.png"}]))
    with anyio.fail_after(20):
        async with forwarding(api.url) as (proxy, asked):
            monkeypatch.setenv("HTTP_PROXY", proxy)
            monkeypatch.setenv("http_proxy", proxy)
            backend = make_backend(base_url="http://pictures.example/v1", compat="localai")
            await backend.generate(ask(), report)
            await backend.aclose()
    assert report.pictures == [png(seed=3)]
    assert asked == ["http://pictures.example/v1/images/generations", "http://pictures.example/made.png"]


@pytest.mark.parametrize("url", ["https://10.0.0.1/a", "https://[::1]/a", "https://intranet/a", "https://127.0.0.1/a"])
async def test_a_proxy_is_not_asked_for_what_is_private_to_look_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    downloader = Downloader("api.example")
    with anyio.fail_after(10), pytest.raises(FetchError, match="private"):
        await downloader.fetch(url)


async def test_every_address_of_a_host_is_tried(api: ImagesApi) -> None:
    """The first is IPv6, and this machine has no way there."""
    port = urlsplit(api.url).port
    asked: list[str] = []

    async def resolver(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["::ffff:127.0.0.3", "127.0.0.2", "127.0.0.1"]

    api.file("/made.png", raw(200, png(), PNG_HEADERS))
    downloader = Downloader("made.example", resolver)
    with anyio.fail_after(20):
        assert await downloader.fetch(f"http://made.example:{port}/made.png", attempts=1) == png()
    await downloader.aclose()
    assert asked == ["made.example"]


@pytest.mark.parametrize(("own", "fetched"), [(["198.18.0.7"], True), (["93.184.216.34"], False), ([], False)])
async def test_addresses_that_a_resolver_makes_up_are_believed_where_it_makes_up_all(
    own: list[str], fetched: bool
) -> None:
    async def resolver(host: str, _: int) -> list[str]:
        return own if host == "api.example" else ["198.18.0.9"]

    downloader = Downloader("api.example", resolver)
    found = await _answer_of(downloader._checked_addresses("pictures.example", 443))  # pyright: ignore[reportPrivateUsage]
    assert found == (["198.18.0.9"] if fetched else "its address lies in a private network")


async def _answer_of(asking: object) -> object:
    try:
        return await asking  # type: ignore[misc]
    except FetchError as error:
        return str(error)


UNUSABLE = {
    "a SOCKS proxy": {"ALL_PROXY": "socks5h://127.0.0.1:1080"},
    "a proxy of GNOME": {"all_proxy": "socks://127.0.0.1:1080"},
    "an exception that cannot be read": {"NO_PROXY": "[::1]", "HTTPS_PROXY": "http://127.0.0.1:9"},
    "certificates that are not there": {"SSL_CERT_FILE": "/nowhere/ca.pem"},
}


@pytest.mark.parametrize("how", UNUSABLE)
async def test_what_the_environment_says_and_cannot_be_used_is_a_setting_named_by_its_variable(
    how: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange._certificates.cache_clear()  # pyright: ignore[reportPrivateUsage]
    for name, value in UNUSABLE[how].items():
        monkeypatch.setenv(name, value)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await make_backend().generate(ask(), report)
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("configuration", False, False)
    named = next(iter(UNUSABLE[how]))
    assert named in caught.value.message
    assert named in caught.value.details["variables"]
    assert api.log == []
    exchange._certificates.cache_clear()  # pyright: ignore[reportPrivateUsage]


async def test_a_certificate_that_nobody_here_trusts_says_what_to_set(
    make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refuses(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            error = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate in chain")
            error.reason = "CERTIFICATE_VERIFY_FAILED"
            raise httpx.ConnectError("TLS", request=request) from error

    opened = exchange.open_client

    def with_transport(**options: object) -> object:
        return opened(transport=Refuses(), **options)

    monkeypatch.setattr(exchange, "open_client", with_transport)
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await make_backend(base_url="https://inspected.example/v1").generate(ask(), report)
    assert (caught.value.code, caught.value.submitted) == ("network", False)
    assert "SSL_CERT_FILE" in caught.value.next_step


def test_the_certificates_of_the_system_are_trusted_too() -> None:
    """A company's own authority is installed there."""
    trusted = {certificate["subject"] for certificate in exchange._certificates().get_ca_certs()}  # pyright: ignore[reportPrivateUsage]
    own = ssl.create_default_context()
    own.load_default_certs()
    assert {certificate["subject"] for certificate in own.get_ca_certs()} <= trusted
