"""Pictures named by address: without the key, bounded, from nowhere private."""

import json
import socket
import zlib
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import certifi
import pytest

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.wire import download
from cdp_image_mcp.openai.wire.download import Downloader, FetchError, is_public
from fixtures.images_api import (
    ImagesApi,
    Play,
    Request,
    Response,
    draw,
    html_page,
    png,
    raw,
    redirect,
    running_api,
    silence,
)
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask
from tests.openai.wire.ways import black_hole, forget_certificates, listening, make_authority

pytestmark = pytest.mark.anyio

PNG_HEADERS = {"content-type": "image/png"}


def of_api_at(host: str) -> Downloader:
    return Downloader(Settings(output_dir=Path(), profile_dir=Path(), base_url=f"https://{host}/v1"))


@pytest.fixture
async def downloader() -> AsyncGenerator[Downloader]:
    made = of_api_at("127.0.0.1")
    yield made
    await made.aclose()


async def why_not(downloader: Downloader, url: str) -> str:
    with anyio.fail_after(20), pytest.raises(FetchError) as caught:
        await downloader.fetch(url)
    return str(caught.value)


async def test_a_picture_named_by_address_is_fetched_without_the_key(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    address = api.file("/generated/1.png", raw(200, png(seed=9), PNG_HEADERS))
    api.play(draw(items=[{"url": address + "?sig=secret"}]))
    with anyio.fail_after(10):
        await make_backend(compat="localai").generate(ask(), report)
    assert report.pictures == [png(seed=9)]
    [get] = [request for request in api.log if request.method == "GET"]
    assert get.query == {"sig": ["secret"]}
    assert KEY not in str(get.headers)
    assert "sig" not in str(report.history)


@pytest.fixture
def nothing_read() -> Generator[None]:
    """Of certificates, as in a program that was just started."""
    forget_certificates()
    yield
    forget_certificates()


def for_those_with_the_key(request: Request) -> bool:
    return KEY in str(request.headers)


@pytest.mark.parametrize("compat", ["generic", "azure"])
async def test_an_address_of_the_api_itself_that_wants_the_key_is_asked_with_it(
    compat: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    """Open WebUI draws, and shows its files to those alone who have signed in (open-webui, files.py, 2026)."""

    async def file(request: Request, response: Response) -> None:
        known = for_those_with_the_key(request)
        await (raw(200, png(seed=9), PNG_HEADERS) if known else raw(401, b'{"detail":"Not authenticated"}'))(
            request, response
        )

    api.file("/api/v1/files/7/content", file)
    api.play(draw(items=[{"url": "/api/v1/files/7/content"}]))
    with anyio.fail_after(10):
        await make_backend(compat=compat).generate(ask(), report)
    assert report.pictures == [png(seed=9)]
    assert [for_those_with_the_key(request) for request in api.log if request.method == "GET"] == [False, True]


@pytest.mark.parametrize("by", ["its address", "another's answer"])
async def test_whoever_else_wants_the_key_does_not_get_it(
    by: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    with running_api() as other:
        place = other.file("/1.png", raw(401, b"sign in"))
        place = place if by == "its address" else api.file("/1.png", redirect(place))
        api.play(draw(items=[{"url": place}]))
        with anyio.fail_after(10), pytest.raises(ImageError, match=r"could not be fetched: .*HTTP 401"):
            await make_backend(compat="generic").generate(ask(), report)
        assert [for_those_with_the_key(request) for request in other.log] == [False]


async def test_nor_does_whoever_vouches_for_another_name_at_the_apis_own_number(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_read: None
) -> None:
    """A connection that is kept is known by its number alone; whose it is was seen when it began."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def public(_address: str) -> bool:
        return True

    authority = make_authority(tmp_path, "pictures.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(download, "resolve", resolve)
    monkeypatch.setattr(download, "is_public", public)
    api.file("/1.png", raw(200, png(), PNG_HEADERS))
    api.file("/2.png", raw(401, b"sign in"))
    async with listening(api.url, secure=authority.server) as tls:
        base = f"https://api.example:{tls.port}/v1"
        settings = Settings(output_dir=tmp_path, profile_dir=tmp_path, api_key=KEY, base_url=base)
        made = Downloader(settings)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(made.fetch, f"https://pictures.example:{tls.port}/1.png")
            with pytest.raises(FetchError, match="Hostname mismatch"):
                await made.fetch(f"https://api.example:{tls.port}/2.png")
        await made.aclose()
    assert [for_those_with_the_key(request) for request in api.log] == [False, False]


async def test_an_authority_that_was_added_after_the_failure_is_trusted_by_the_next_fetch(
    api: ImagesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_read: None
) -> None:
    """A picture that is paid waits there until the user has added it."""
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    authority = make_authority(tmp_path, "localhost")
    named = tmp_path / "organisation.pem"
    named.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    api.file("/1.png", raw(200, png(), PNG_HEADERS))
    async with listening(api.url, secure=authority.server) as tls:
        base = f"https://localhost:{tls.port}"
        made = Downloader(Settings(output_dir=tmp_path, profile_dir=tmp_path, base_url=f"{base}/v1"))
        with anyio.fail_after(20):
            with pytest.raises(FetchError, match="the connection failed"):
                await made.fetch(f"{base}/1.png")
            named.write_bytes(authority.file.read_bytes())
            assert await made.fetch(f"{base}/1.png") == png()
        await made.aclose()


async def test_a_picture_is_not_asked_for_in_a_form_that_could_not_be_read(
    api: ImagesApi, downloader: Downloader
) -> None:
    """Servers that are told of deflate pack in either of its two forms, of which one has no head."""

    async def packed(request: Request, response: Response) -> None:
        if "deflate" in request.headers.get("accept-encoding", ""):
            bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            data = bare.compress(png()) + bare.flush()
            await raw(200, data, {**PNG_HEADERS, "content-encoding": "deflate"})(request, response)
        else:
            await raw(200, png(), PNG_HEADERS)(request, response)

    with anyio.fail_after(10):
        assert await downloader.fetch(api.file("/1.png", packed)) == png()


async def test_a_failed_download_never_draws_again(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.play(draw(items=[{"url": api.file("/gone.png", html_page(404))}]))
    with anyio.fail_after(10), pytest.raises(ImageError, match="could not be fetched") as caught:
        await make_backend(compat="localai").generate(ask(), report)
    assert len(api.posts) == 1
    assert (caught.value.submitted, caught.value.spent) == (True, True)


async def test_where_no_client_can_be_made_for_a_picture_nobody_is_told_that_nothing_was_sent(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is not for the API, which has drawn it and been paid."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy.example")
    api.play(draw(items=[{"url": "https://pictures.example.org/1.png"}]))
    with anyio.fail_after(10), pytest.raises(ImageError, match="HTTPS_PROXY cannot be used") as caught:
        await make_backend(compat="localai").generate(ask(), report)
    assert (caught.value.submitted, "Nothing was sent" in caught.value.message) == (True, False)


def one_by_one(answers: list[Play]) -> Play:
    """Each request is answered by the next of ``answers``, which goes out of the list."""

    async def play(request: Request, response: Response) -> None:
        await answers.pop(0)(request, response)

    return play


async def test_a_faulty_file_server_is_asked_again(api: ImagesApi, downloader: Downloader) -> None:
    answers = [html_page(503), raw(200, png(), PNG_HEADERS)]
    with anyio.fail_after(20):
        assert await downloader.fetch(api.file("/a.png", one_by_one(answers))) == png()
    assert answers == []


async def test_an_address_that_gives_nothing_yet_is_asked_again(api: ImagesApi, downloader: Downloader) -> None:
    answers = [raw(200, b"", PNG_HEADERS), raw(200, png(), PNG_HEADERS)]
    with anyio.fail_after(60):
        assert await downloader.fetch(api.file("/a.png", one_by_one(answers))) == png()


def without_length(data: bytes) -> Play:
    async def play(request: Request, response: Response) -> None:
        _, writer = response.ends
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + data)
        await writer.drain()
        response.open = False

    return play


CUT = without_length(png()[:-40])


async def test_a_picture_that_was_cut_off_without_a_word_is_asked_for_again(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    answers = [CUT, without_length(png())]
    api.play(draw(items=[{"url": api.file("/a.png", one_by_one(answers))}]))
    with anyio.fail_after(60):
        await make_backend(compat="localai").generate(ask(), report)
    assert report.pictures == [png()]


@pytest.mark.parametrize("then", [[CUT, CUT], [raw(403, b"gone")]], ids=["no more", "works once"])
async def test_what_came_of_a_picture_is_kept_where_its_address_gives_no_more(
    then: list[Play], api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.play(draw(items=[{"url": api.file("/a.png", one_by_one([CUT, *then]))}]))
    with anyio.fail_after(60), pytest.raises(ImageError, match="is kept as"):
        await make_backend(compat="localai").generate(ask(), report)
    [kept] = report.facts["kept"]
    assert Path(kept).read_bytes() == png()[:-40]


async def test_a_picture_does_not_wait_for_the_address_of_another(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    good = api.file("/good.png", raw(200, png(), PNG_HEADERS))
    api.play(draw(items=[{"url": api.file("/silent.png", silence())}, {"url": good}]))
    async with anyio.create_task_group() as group:
        group.start_soon(make_backend(compat="localai").generate, ask(n=2), report)
        with anyio.fail_after(20):
            while not report.pictures:
                await report.news()
        group.cancel_scope.cancel()
    assert report.pictures == [png()]


@pytest.mark.parametrize("name", ["data", "images"])
async def test_addresses_that_stand_alone_in_a_list_are_fetched(
    name: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    made = [api.file(f"/{seed}.png", raw(200, png(seed=seed), PNG_HEADERS)) for seed in (1, 2)]
    api.play(raw(200, json.dumps({"created": 1, name: made}).encode()))
    with anyio.fail_after(20):
        await make_backend(compat="localai").generate(ask(n=2), report)
    assert sorted(report.pictures) == sorted(png(seed=seed) for seed in (1, 2))


async def test_a_picture_whose_address_gave_nothing_is_fetched_later(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    gives = raw(200, b"", PNG_HEADERS)

    async def play(request: Request, response: Response) -> None:
        await gives(request, response)

    api.play(draw(items=[{"url": api.file("/late.png", play)}]))
    with anyio.fail_after(60), pytest.raises(ImageError, match="could not be fetched"):
        await make_backend(compat="localai").generate(ask(), report)
    gives = raw(200, png(), PNG_HEADERS)
    await report.catch_up()
    assert report.pictures == [png()]


async def test_a_faulty_address_takes_no_other_picture_with_it(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    good = api.file("/good.png", raw(200, png(), PNG_HEADERS))
    odd = [api.file("/odd.png", redirect("https://[odd", 302)), "https://cdn..example.org/a.png"]
    api.play(draw(items=[{"url": url} for url in (*odd, good)]))
    with anyio.fail_after(60), pytest.raises(ImageError, match="could not be fetched") as caught:
        await make_backend(compat="localai").generate(ask(n=3), report)
    assert (caught.value.code, report.pictures) == ("service_error", [png()])


async def test_an_address_without_its_host_is_the_apis_own(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    """As gpt4free names its pictures."""
    api.file("/media/1.png", raw(200, png(seed=9), PNG_HEADERS))
    api.play(draw(items=[{"url": "/media/1.png"}]))
    with anyio.fail_after(10):
        await make_backend(compat="localai").generate(ask(), report)
    assert report.pictures == [png(seed=9)]


@pytest.mark.parametrize("port", ["", ":80"])
async def test_an_address_that_is_not_encrypted_is_asked_encrypted(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["10.0.0.1"]

    monkeypatch.setattr(download, "resolve", resolve)
    assert "private" in await why_not(of_api_at("127.0.0.1"), f"http://made.example{port}/a.png?sig=1")
    assert asked == [("made.example", 443)]


async def test_a_host_of_other_letters_is_asked_by_its_name_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1"]

    monkeypatch.setattr(download, "resolve", resolve)
    made = of_api_at("127.0.0.1")
    assert "private" in await why_not(made, "https://bücher.example/a.png")
    assert asked == ["xn--bcher-kva.example"]


async def test_being_passed_on_is_followed_within_the_own_host_only(api: ImagesApi, downloader: Downloader) -> None:
    target = api.file("/b.png", raw(200, png(), PNG_HEADERS))
    with anyio.fail_after(10):
        assert await downloader.fetch(api.file("/a.png", redirect("/b.png", 302))) == png()
        assert await downloader.fetch(api.file("/c.png", redirect(target))) == png()
    inner = target.replace("127.0.0.1", "localhost")
    assert "not encrypted" in await why_not(downloader, api.file("/d.png", redirect(inner)))
    loop = api.file("/e.png", redirect("/e.png"))
    assert "passed on" in await why_not(downloader, loop)


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/a.png",
        "https://10.0.0.1/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a.png",
        "https://[::ffff:127.0.0.1]/a.png",
        "https://2130706433/a.png",
        "http://example.org/a.png",
        "ftp://127.0.0.1/a.png",
        "file:///etc/passwd",
        "https://user@127.0.0.1/a.png",
        "https://:99999/a.png",
        "//example.org/a.png",
        "data:image/png;base64,",
        "data:image/png;base64,A",
        "data:",
    ],
)
async def test_private_plain_and_odd_addresses_are_not_fetched(url: str, downloader: Downloader) -> None:
    assert await why_not(downloader, url)


async def test_a_name_that_points_into_a_private_network_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "192.168.1.1"]

    monkeypatch.setattr(download, "resolve", resolver)
    assert "private network" in await why_not(of_api_at("api.example"), "https://pictures.example/a.png")


async def test_the_connection_goes_to_the_address_that_was_checked(
    api: ImagesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    def rebound(*args: object, **kwargs: object) -> None:
        raise AssertionError("the name was looked up a second time")

    address = api.file("/a.png", raw(200, png(), PNG_HEADERS))
    port = urlsplit(address).port
    monkeypatch.setattr(download, "resolve", resolver)
    downloader = of_api_at("pictures.example")
    real = socket.getaddrinfo

    def only_numbers(host: str | bytes | None, *args: object, **kwargs: object) -> object:
        if host not in {"127.0.0.1", b"127.0.0.1"}:
            rebound()
        return real(host, *args, **kwargs)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    with anyio.fail_after(10):
        assert await downloader.fetch(f"http://pictures.example:{port}/a.png") == png()
    await downloader.aclose()
    assert asked == ["pictures.example"]
    assert api.log[0].headers["host"] == f"pictures.example:{port}"


async def test_an_endless_picture_is_given_up(
    api: ImagesApi, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdp_image_mcp.openai.wire.download.LARGEST_PICTURE", 100_000)
    assert "larger than" in await why_not(downloader, api.file("/a.png", raw(200, bytes(200_000), PNG_HEADERS)))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("name", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("url", ["https://10.0.0.1/a", "https://[::1]/a", "https://intranet/a", "https://127.0.0.1/a"])
async def test_a_proxy_is_not_asked_for_what_is_private_to_look_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    downloader = of_api_at("api.example")
    with anyio.fail_after(10), pytest.raises(FetchError, match="private"):
        await downloader.fetch(url)


@pytest.mark.parametrize("dead", ["refuses", "says nothing"])
async def test_every_address_of_a_host_is_tried(dead: str, api: ImagesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CONNECTING", 0.3)
    port = urlsplit(api.url).port
    asked: list[str] = []

    async def resolver(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["::ffff:127.0.0.3", "127.0.0.2", "127.0.0.1"]

    api.file("/made.png", raw(200, png(), PNG_HEADERS))
    monkeypatch.setattr(download, "resolve", resolver)
    downloader = of_api_at("made.example")
    with anyio.fail_after(20), ExitStack() as hole:
        if dead == "says nothing":
            hole.enter_context(black_hole("127.0.0.2", port or 0))
        assert await downloader.fetch(f"http://made.example:{port}/made.png") == png()
    await downloader.aclose()
    assert asked == ["made.example"]


FAKE = ["198.18.0.9"]
BOTH = ["fc00::9", "198.18.0.9"]
"""As sing-box and Xray answer: their second pool lies among the private addresses of IPv6."""


@pytest.mark.parametrize(
    ("own", "openai", "pictures", "believed"),
    [
        (["198.18.0.7"], [], FAKE, FAKE),
        (["fc00::7", "198.18.0.7"], [], BOTH, FAKE),
        # A relay of one's own is known by its number, which says nothing of the resolver.
        (["127.0.0.1", "::1"], FAKE, FAKE, FAKE),
        (["::1"], FAKE, FAKE, FAKE),
        (["192.168.1.5"], BOTH, BOTH, FAKE),
        ([], FAKE, FAKE, FAKE),
        (["93.184.216.34"], FAKE, FAKE, None),
        (["192.168.1.5"], ["93.184.216.34"], FAKE, None),
        (["192.168.1.5"], [], FAKE, None),
        ([], [], FAKE, None),
        (["198.18.0.7"], FAKE, ["fc00::9"], None),
        (["198.18.0.7"], FAKE, ["198.18.0.9", "192.168.1.1"], None),
        (["192.168.1.5"], FAKE, ["192.168.1.6"], None),
        (["198.18.0.7"], FAKE, ["93.184.216.34", "fc00::9"], None),
    ],
)
async def test_addresses_that_a_resolver_makes_up_are_believed_where_it_makes_up_all(
    own: list[str], openai: list[str], pictures: list[str], believed: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of those alone, for what lies beside them may be somebody's own network."""
    names = {"relay.example": own, "api.openai.com": openai, "pictures.example": pictures}

    async def resolver(host: str, _: int) -> list[str]:
        if not names[host]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return names[host]

    monkeypatch.setattr(download, "resolve", resolver)
    downloader = of_api_at("relay.example")
    found = await _answer_of(downloader._checked_addresses("pictures.example", 443))  # pyright: ignore[reportPrivateUsage]
    assert found == (believed or "its address lies in a private network")


async def test_a_number_that_only_a_resolver_makes_up_is_nobodys_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolver(_host: str, _port: int) -> list[str]:
        return FAKE

    monkeypatch.setattr(download, "resolve", resolver)
    assert "private network" in await why_not(of_api_at("relay.example"), "https://198.18.0.9/a.png")


async def _answer_of(asking: object) -> object:
    try:
        return await asking  # type: ignore[misc]
    except FetchError as error:
        return str(error)
