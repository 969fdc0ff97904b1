"""Ways to the stand-in, each a real server on this machine: proxies of both kinds, encryption, other addresses."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cdp_image_mcp.openai.wire.client import certificates, trusted

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
USER = "alice"
PASSWORD = "pass:w@rd"
"""Of the proxies that want one; in an address it is written with %."""


class Way(NamedTuple):
    """A server that leads to the stand-in: host, port, and what it was asked for, in order."""

    host: str
    port: int
    asked: list[str]


@asynccontextmanager
async def _serving(serve: Serve, asked: list[str], host: str, secure: ssl.SSLContext | None) -> AsyncGenerator[Way]:
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        tasks.discard(task)

    server = await asyncio.start_server(connected, host, 0, ssl=secure)
    try:
        yield Way(host, server.sockets[0].getsockname()[1], asked)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str, first: bytes = b"") -> None:
    target = urlsplit(to)
    onward, back = await asyncio.open_connection(target.hostname, target.port)
    try:
        back.write(first)
        await asyncio.gather(_pump(reader, back), _pump(onward, writer))
    finally:
        back.close()


@asynccontextmanager
async def listening(to: str, host: str = "127.0.0.1", secure: ssl.SSLContext | None = None) -> AsyncGenerator[Way]:
    """Another address of the stand-in at ``to``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _lead(reader, writer, to)

    async with _serving(serve, [], host, secure) as way:
        yield way


@asynccontextmanager
async def other_proxy(answer: bytes | None) -> AsyncGenerator[Way]:
    """What is no SOCKS proxy: answers the greeting with those bytes, or with none, and hangs up. None: it never does
    either."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        if answer is None:
            await reader.read()
        writer.write(answer or b"")
        await writer.drain()

    async with _serving(serve, [], "127.0.0.1", None) as way:
        yield way


@asynccontextmanager
async def http_proxy(
    to: str, *, password: bool = False, secure: ssl.SSLContext | None = None, silent: bool = False
) -> AsyncGenerator[Way]:
    """A proxy that takes CONNECT and whole addresses and leads all of it to ``to``. ``silent``: it never answers."""
    asked: list[str] = []
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")
        method, address, version = line.split()
        asked.append(address)
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        if silent:
            await reader.read()
        elif password and headers.get("proxy-authorization") != wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _lead(reader, writer, to)
        else:
            parts = urlsplit(address)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            await _lead(reader, writer, to, "\r\n".join([f"{method} {path} {version}", *rest]).encode("latin-1"))

    async with _serving(serve, asked, "127.0.0.1", secure) as way:
        yield way


@asynccontextmanager
async def socks_proxy(to: str, *, password: bool = False) -> AsyncGenerator[Way]:
    """SOCKS version 5 (RFC 1928, RFC 1929); leads all of it to ``to``."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        method = 2 if password else 0
        writer.write(bytes((5, method if method in offered else 255)))
        if method not in offered:
            return
        if password:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            secret = await reader.readexactly((await reader.readexactly(1))[0])
            good = (user, secret) == (USER.encode(), PASSWORD.encode())
            writer.write(bytes((1, int(not good))))
            if not good:
                return
        _, _, _, kind = await reader.readexactly(4)
        sizes = {1: 4, 4: 16}
        size = sizes[kind] if kind in sizes else (await reader.readexactly(1))[0]
        host = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        asked.append(f"{host.decode() if kind == 3 else host.hex()}:{port}")
        writer.write(bytes((5, 0, 0, 1, 0, 0, 0, 0, 0, 0)))
        await _lead(reader, writer, to)

    async with _serving(serve, asked, "127.0.0.1", None) as way:
        yield way


@contextmanager
def black_hole(host: str, port: int = 0) -> Generator[int]:
    """A port whose connections hang: its queue is full, and nobody takes from it. Yields its number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.socket(family))
        server.bind((host, port))
        server.listen(0)
        for _ in range(3):
            client = sockets.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


class Authority(NamedTuple):
    """An authority that no system knows: its certificate's file, and what a server of ``host`` shows."""

    file: Path
    server: ssl.SSLContext


def forget_certificates() -> None:
    """As in a program that was just started."""
    trusted.cache_clear()
    certificates.cache_clear()


def make_authority(folder: Path, host: str, *, name: str = "Example Inspection CA", days: int = 1) -> Authority:
    """Make one that vouches for ``host``, until ``days`` from now (below 0: it is over)."""
    now = datetime.now(UTC)
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, host)]
    begin = now - timedelta(days=3)

    def certificate(whose: int, until: datetime, *, authority: bool) -> x509.Certificate:
        owner = root if authority else key
        builder = x509.CertificateBuilder().subject_name(names[whose]).issuer_name(names[0])
        builder = builder.public_key(owner.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(begin).not_valid_after(until)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(root, hashes.SHA256())

    pem = serialization.Encoding.PEM
    file = folder / "authority.pem"
    file.write_bytes(certificate(0, now + timedelta(days=2), authority=True).public_bytes(pem))
    shown = folder / "server.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown.write_bytes(certificate(1, now + timedelta(days=days), authority=False).public_bytes(pem) + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(shown)
    return Authority(file, server)
