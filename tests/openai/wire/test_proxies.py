"""Which way out the environment names, for every address, and what is said of one that does not lead there."""

import errno
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import certifi
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.wire import client, exchange
from cdp_image_mcp.openai.wire import proxy as proxy_module
from cdp_image_mcp.openai.wire.proxy import Proxy, proxy_for
from fixtures.images_api import ImagesApi, draw, png, raw
from tests.openai.doubles import DiskReport, MakeBackend, ask
from tests.openai.wire.ways import (
    PASSWORD,
    USER,
    Authority,
    black_hole,
    forget_certificates,
    http_proxy,
    listening,
    make_authority,
    other_proxy,
    socks_proxy,
)

pytestmark = pytest.mark.anyio

HOST = "pictures.example"
SECRET = f"{USER}:{quote(PASSWORD, safe='')}@"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    forget_certificates()
    yield
    forget_certificates()


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://a.example/v1", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/v1", ("http://p:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example/v1", None),
        ({"HTTP_PROXY": "p:1"}, "http://a.example/v1", ("http://p:1", "HTTP_PROXY")),
        ({"ALL_PROXY": "socks5h://p:1"}, "https://a.example", ("socks5h://p:1", "ALL_PROXY")),
        ({"all_proxy": "socks://p:1/"}, "https://a.example", ("socks5://p:1/", "all_proxy")),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": "http://p:1"}, "https://a", ("http://p:1", "HTTPS_PROXY")),
        (
            {"HTTPS_PROXY": "http://big:1", "https_proxy": "http://small:1"},
            "https://a",
            ("http://small:1", "https_proxy"),
        ),
        ({"HTTPS_PROXY": "http://big:1", "https_proxy": ""}, "https://a", None),
        ({"ALL_PROXY": "http://p:1"}, "http://localhost:8080/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.2:8080/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8080/v1", None),
    ],
)
def test_the_proxy_follows_from_variables_and_address(
    environment: dict[str, str], url: str, proxy: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == (Proxy(*proxy) if proxy else None)


@pytest.mark.parametrize(
    ("entry", "spared", "asked"),
    [
        ("*", ["a.example", "10.0.0.1", "fd00::1"], []),
        ("b.example", ["b.example", "api.b.example"], ["bb.example", "b.example.com"]),
        (".b.example", ["api.b.example", "b.example"], ["bb.example"]),
        ("*.b.example", ["api.b.example"], ["bb.example"]),
        ("B.Example", ["b.example"], []),
        ("b.example:8443", [], ["b.example"]),
        ("b.example:443", ["b.example"], ["c.example"]),
        ("https://b.example", ["b.example"], []),
        ("10.0.0.1", ["10.0.0.1"], ["10.0.0.2"]),
        ("10.0.0.0/8", ["10.9.8.7"], ["11.0.0.1"]),
        ("192.168.*", ["192.168.3.4"], ["192.169.0.1"]),
        ("fd00::1", ["fd00::1"], ["fd00::2"]),
        ("[fd00::1]", ["fd00::1"], ["fd00::2"]),
        ("[fd00::1]:443", ["fd00::1"], []),
        ("[fd00::1]:80", [], ["fd00::1"]),
        ("fd00::/8", ["fd12::9"], ["fe80::1"]),
        ("[fd00::]/8", ["fd12::9"], ["fe80::1"]),
        ("x.example, b.example", ["b.example"], ["y.example"]),
        ("x.example b.example", ["x.example", "b.example"], []),
        ("[", [], ["a.example"]),
        (",, ;", [], ["a.example"]),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_every_form_of_an_exception_is_understood(
    variable: str, entry: str, spared: list[str], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv(variable, entry)
    hosts = {host: f"[{host}]" if ":" in host else host for host in (*spared, *asked)}
    assert [host for host in hosts if proxy_for(f"https://{hosts[host]}/v1") is None] == spared


def test_a_proxy_is_shown_without_its_password() -> None:
    proxy = Proxy(f"http://{SECRET}proxy.example:3128/", "HTTPS_PROXY")
    assert proxy.shown == "http://proxy.example:3128 (HTTPS_PROXY)"
    assert USER not in repr(proxy)


@pytest.mark.parametrize("password", [False, True], ids=["open", "with a password"])
@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h", "socks"])
async def test_a_picture_comes_by_the_proxy_encrypted_and_not(
    kind: str,
    password: bool,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.file("/made.png", raw(200, png(seed=3), {"content-type": "image/png"}))
    authority = make_authority(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    secret = SECRET if password else ""
    make = http_proxy if kind == "http" else socks_proxy
    with anyio.fail_after(30):
        async with listening(api.url, secure=authority.server) as tls:
            for scheme, to in (("http", api.url), ("https", f"http://127.0.0.1:{tls.port}")):
                api.play(draw(items=[{"url": f"{scheme}://{HOST}/made.png"}]))
                async with make(to, password=password) as proxy:
                    monkeypatch.setenv("ALL_PROXY", f"{kind}://{secret}{proxy.host}:{proxy.port}")
                    backend = make_backend(base_url=f"{scheme}://{HOST}/v1", compat="localai")
                    await backend.generate(ask(), report)
                    told = (await backend.status())["details"]["proxy"]
                    await backend.aclose()
                assert HOST in proxy.asked[0]
                assert len(proxy.asked) == 2
                assert told == f"{'socks5' if kind == 'socks' else kind}://127.0.0.1:{proxy.port} (ALL_PROXY)"
    assert report.pictures == [png(seed=3)] * 2


async def test_the_systems_settings_are_asked_in_threads_for_they_may_look_names_up(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.file("/made.png", raw(200, png(seed=3), {"content-type": "image/png"}))
    api.play(draw(items=[{"url": f"http://{HOST}/made.png"}]))
    asked_by: list[threading.Thread] = []

    def bypass(_: str) -> bool:
        asked_by.append(threading.current_thread())
        return False

    monkeypatch.setattr(proxy_module, "proxy_bypass", bypass)
    async with http_proxy(api.url) as proxy:
        monkeypatch.setattr(proxy_module, "getproxies", lambda: {"http": f"http://127.0.0.1:{proxy.port}"})
        backend = make_backend(base_url=f"http://{HOST}/v1", compat="localai")
        with anyio.fail_after(30):
            await backend.status()
            await backend.generate(ask(), report)
            await backend.aclose()
    assert (report.pictures, len(proxy.asked)) == ([png(seed=3)], 2)
    assert len(asked_by) >= 3
    assert threading.current_thread() not in asked_by


async def test_the_way_out_is_chosen_anew_for_each_picture(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers run for weeks, and a VPN or the settings of a network come and go meanwhile."""
    way: dict[str, str] = {}
    monkeypatch.setattr(proxy_module, "getproxies", lambda: way)
    asked: list[list[str]] = []
    with anyio.fail_after(30):
        async with listening(api.url) as straight:
            # A name with its own address: only what lies on this machine is never asked by a proxy.
            base_url = f"http://{HOST}:{straight.port}/v1"
            monkeypatch.setattr(socket, "getaddrinfo", partial(looked_up, lookup=socket.getaddrinfo))
            backend = make_backend(base_url=base_url)
            for _ in range(2):
                async with http_proxy(api.url) as proxy:
                    way["http"] = f"http://127.0.0.1:{proxy.port}"
                    await backend.generate(ask(), report)
                asked.append(proxy.asked)
            way.clear()
            await backend.generate(ask(), report)
            await backend.aclose()
    assert asked == [[f"{base_url}/images/generations"]] * 2
    assert len(report.pictures) == 3


def looked_up(host: Any, *more: Any, lookup: Any, **fields: Any) -> Any:
    return lookup("127.0.0.1" if host in {HOST, HOST.encode()} else host, *more, **fields)


async def test_a_proxy_may_itself_be_encrypted(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with anyio.fail_after(30):
        async with http_proxy(api.url, secure=authority.server) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"https://localhost:{proxy.port}")
            backend = make_backend(base_url=f"http://{HOST}/v1")
            await backend.generate(ask(), report)
            await backend.aclose()
    assert len(report.pictures) == 1


async def failure(make_backend: MakeBackend, report: DiskReport, **fields: str) -> ImageError:
    backend = make_backend(**fields)
    with anyio.fail_after(30), pytest.raises(ImageError) as caught:
        await backend.generate(ask(), report)
    await backend.aclose()
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "code"), [("https", "network"), ("http", "configuration")], ids=["tunnelled", "passed on"]
)
async def test_a_proxy_that_wants_a_password_is_named_and_asked_once(
    scheme: str,
    code: str,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with http_proxy(api.url, password=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://{USER}:wrong@127.0.0.1:{proxy.port}")
        found = await failure(make_backend, report, base_url=f"{scheme}://{HOST}/v1")
    assert (found.code, found.submitted, found.spent, found.retryable) == (code, False, False, False)
    assert "407" in found.message
    assert f"{found.message} {found.next_step}".count("ALL_PROXY")
    assert "wrong" not in str(found.as_dict())
    assert len(proxy.asked) == 1


async def test_a_proxy_that_is_not_there_is_named(
    make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("https_proxy", f"http://{SECRET}{address}")
        found = await failure(make_backend, report, base_url=f"https://{HOST}/v1")
    assert (found.code, found.submitted) == ("network", False)
    assert f"by way of http://{address} (https_proxy)" in found.message
    assert "NO_PROXY" in found.next_step
    assert USER not in str(found.as_dict())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["hangs up", "http"])
async def test_what_is_no_socks_proxy_is_named_and_nothing_was_sent(
    answer: bytes, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the port of an HTTP proxy is named for one."""
    async with other_proxy(answer) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        found = await failure(make_backend, report, base_url=f"https://{HOST}/v1")
    assert (found.code, found.submitted, found.spent) == ("network", False, False)
    assert f"by way of socks5://127.0.0.1:{proxy.port} (ALL_PROXY)" in found.message
    assert "check ALL_PROXY" in found.next_step


async def test_a_proxy_that_says_nothing_is_not_waited_for_like_a_picture(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "CONNECTING", 0.3)
    async with http_proxy(api.url, silent=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = await failure(make_backend, report, base_url=f"https://{HOST}/v1")
    assert (found.code, found.submitted, found.spent) == ("network", False, False)
    assert "(HTTPS_PROXY)" in found.message


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:1080", "no address of"),
        ("HTTPS_PROXY", "http://[::1", "no address of"),
        ("https_proxy", "ftp://proxy.example", "no address of"),
        ("ALL_PROXY", "socks5h://127.0.0.1:1080", "pipx inject cdp-image-mcp socksio"),
        ("all_proxy", "socks://127.0.0.1:1080", "pipx inject cdp-image-mcp socksio"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "No such file"),
        ("SSL_CERT_FILE", __file__, "no certificate"),
        ("SSL_CERT_DIR", "/nowhere", "No such file"),
    ],
)
async def test_what_cannot_be_used_is_a_setting_named_by_its_variable(
    variable: str, value: str, why: str, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SOCKS as it is without the extra package."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    found = await failure(make_backend, report, base_url=f"https://{HOST}/v1")
    assert (found.code, found.submitted, found.spent, found.retryable) == ("configuration", False, False, False)
    assert found.details["variables"] == [variable]
    assert found.message.startswith(f"{variable} cannot be used: ")
    assert why in found.message


async def test_a_setting_that_is_not_needed_stops_nothing(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in lies on this machine; exceptions and proxies for other addresses are not looked at."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    for name, value in {"ALL_PROXY": "socks://nowhere:1", "HTTPS_PROXY": "x y z", "NO_PROXY": "[::1], ["}.items():
        monkeypatch.setenv(name, value)
    with anyio.fail_after(20):
        await make_backend().generate(ask(), report)
    assert len(report.pictures) == 1


async def trusted(authority: Authority, api: ImagesApi, make_backend: MakeBackend, report: DiskReport) -> None:
    """A picture comes from a server whose certificate is of that authority."""
    with anyio.fail_after(20):
        async with listening(api.url, secure=authority.server) as tls:
            backend = make_backend(base_url=f"https://localhost:{tls.port}/v1")
            await backend.generate(ask(), report)
            await backend.aclose()
    assert len(report.pictures) == 1


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_an_authority_of_the_users_own_is_trusted_beside_the_others(
    variable: str,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {one["serialNumber"] for one in client.certificates().get_ca_certs()}
    forget_certificates()
    authority = make_authority(tmp_path, "localhost")
    monkeypatch.setenv(variable, str(authority.file if variable == "SSL_CERT_FILE" else tmp_path))
    await trusted(authority, api, make_backend, report)
    assert before < {one["serialNumber"] for one in client.certificates().get_ca_certs()}


async def test_an_authority_of_the_old_form_is_trusted_by_every_python(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.13 on certificates are held against RFC 5280 to the letter ("What's new", ssl, 2024-10), and ours
    name no key of their issuer, as those of many inspecting devices do not."""
    usual = ssl.create_default_context

    def strict(**options: Any) -> ssl.SSLContext:
        context = usual(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    authority = make_authority(tmp_path, "localhost")
    monkeypatch.setattr(ssl, "create_default_context", strict)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    await trusted(authority, api, make_backend, report)


@pytest.mark.parametrize("by_proxy", [False, True], ids=["straight", "by a proxy"])
async def test_an_authority_that_nobody_here_knows_is_named_and_so_is_the_variable(
    by_proxy: bool,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = HOST if by_proxy else "localhost"
    authority = make_authority(tmp_path, host)
    async with (
        listening(api.url, secure=authority.server) as tls,
        http_proxy(f"http://127.0.0.1:{tls.port}") as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = await failure(make_backend, report, base_url=f"https://{host}:{tls.port}/v1")
    assert (found.code, found.submitted, found.spent, found.retryable) == ("network", False, False, False)
    assert f"certificate of {host}, issued by 'Example Inspection CA', is not trusted here" in found.message
    assert "SSL_CERT_FILE (now: not set; a client may keep it from this program" in found.next_step
    assert api.log == []
    assert bool(proxy.asked) == by_proxy


async def test_an_authority_that_was_added_after_the_failure_is_trusted_by_the_next_call(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what the advice asks for, and the program runs on. The picture lies behind the same authority."""
    api.file("/made.png", raw(200, png(seed=3), {"content-type": "image/png"}))
    authority = make_authority(tmp_path, "localhost")
    named = tmp_path / "organisation.pem"
    named.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    with anyio.fail_after(30):
        async with listening(api.url, secure=authority.server) as tls:
            base = f"https://localhost:{tls.port}"
            backend = make_backend(base_url=f"{base}/v1", compat="localai")
            with pytest.raises(ImageError, match=r"certificate of localhost.* is not trusted here"):
                await backend.generate(ask(), report)
            named.write_bytes(authority.file.read_bytes())
            api.play(draw(items=[{"url": f"{base}/made.png"}]))
            await backend.generate(ask(), report)
            await backend.aclose()
    assert report.pictures == [png(seed=3)]


@pytest.mark.parametrize(
    ("host", "days", "advice"), [("localhost", -1, "clock"), ("other.example", 1, "OPENAI_BASE_URL")]
)
async def test_a_certificate_that_is_over_or_of_another_host_is_told_apart(
    host: str,
    days: int,
    advice: str,
    api: ImagesApi,
    make_backend: MakeBackend,
    report: DiskReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = make_authority(tmp_path, host, days=days)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with listening(api.url, secure=authority.server) as tls:
        found = await failure(make_backend, report, base_url=f"https://localhost:{tls.port}/v1")
    assert (found.code, found.retryable) == ("network", False)
    assert advice in found.next_step
    assert api.log == []


@pytest.mark.parametrize("dead", ["refuses", "says nothing"])
@pytest.mark.parametrize(("host", "other"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_a_name_with_two_addresses_of_which_one_is_dead_is_reached_by_the_other(
    host: str, other: str, dead: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport, two_addresses: None
) -> None:
    with anyio.fail_after(30):
        async with AsyncExitStack() as stack:
            port = await two_ends(stack, api, host, other if dead == "says nothing" else None)
            backend = make_backend(base_url=f"http://both.example:{port}/v1")
            await backend.generate(ask(), report)
            await backend.aclose()
    assert len(report.pictures) == 1


async def two_ends(stack: AsyncExitStack, api: ImagesApi, host: str, hole: str | None) -> int:
    """A port that leads to the API at ``host``, and nowhere at ``hole``; another one while somebody has it there."""
    while True:
        way = await stack.enter_async_context(listening(api.url, host=host))
        try:
            if hole is not None:
                stack.enter_context(black_hole(hole, way.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return way.port


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """``both.example`` has one address of each kind, the newer kind first."""
    lookup = socket.getaddrinfo

    def both(host: Any, port: Any, *more: Any, **fields: Any) -> Any:
        if host not in {"both.example", b"both.example"}:
            return lookup(host, port, *more, **fields)
        addresses = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", both)


async def test_an_address_of_the_new_kind_alone_is_reached(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.file("/made.png", raw(200, png(seed=3), {"content-type": "image/png"}))
    with anyio.fail_after(30):
        async with listening(api.url, host="::1") as way:
            api.play(draw(items=[{"url": f"http://[::1]:{way.port}/made.png"}]))
            backend = make_backend(base_url=f"http://[::1]:{way.port}/v1", compat="localai")
            await backend.generate(ask(), report)
            await backend.aclose()
    assert report.pictures == [png(seed=3)]


def test_the_certificates_of_the_system_are_trusted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An organisation's own authority is installed there; a variable takes none of them away."""
    system = {one["serialNumber"] for one in ssl.create_default_context().get_ca_certs()}
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert system <= {one["serialNumber"] for one in client.certificates().get_ca_certs()}
