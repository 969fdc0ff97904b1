"""Streams and websocket frames of a real browser."""

import anyio
import pytest

from cdp_image_mcp.cdp import Bodies, Page, live_streams, socket_messages
from cdp_image_mcp.cdp.errors import EventTimeout, SessionClosed, StreamFailed
from cdp_image_mcp.cdp.protocol import NetworkRequest
from cdp_image_mcp.cdp.streams import LiveStream
from tests.cdp.site import Site, sse_text

pytestmark = pytest.mark.anyio


def wanted(request: NetworkRequest) -> bool:
    return "/sse" in request.url or "/broken" in request.url


async def read(stream: LiveStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize(("count", "size"), [(1, 1), (20, 10), (500, 10), (2000, 300)])
async def test_a_stream_loses_nothing_while_bodies_are_kept_too(page: Page, site: Site, count: int, size: int) -> None:
    with anyio.fail_after(60):
        bodies = await Bodies.start(page)
        await page.navigate(site.url("/page/images"))
        with bodies.watch(lambda request: "/sse" in request.url) as ended:
            with await live_streams(page, wanted) as streams:
                await page.evaluate(f"(readStream('/sse?count={count}&size={size}'), undefined)")
                stream = await streams.next(10)
                assert stream.request.method == "POST"
                assert await read(stream) == sse_text(count, size)
                assert stream.status == 200
                assert stream.received == len(sse_text(count, size))
            body = await bodies.read(await ended.next(10), again=False)
        assert body.data == sse_text(count, size)


async def test_bytes_come_while_the_response_is_still_open(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        site.go = anyio.Event()
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("(readStream('/sse?count=3&hold=1'), undefined)")
            stream = await streams.next(10)
            first = await stream.next(10)
            assert first == sse_text(1, 10)
            site.go.set()
            assert first + await read(stream) == sse_text(3, 10)


async def test_a_burst_of_short_streams_loses_nothing(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("for (let i = 0; i < 20; i++) readStream('/sse?count=3&number=' + i); undefined")
            for _ in range(20):
                assert await read(await streams.next(10)) == sse_text(3, 10)


async def test_the_page_reads_its_stream_undisturbed(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted):
            assert await page.evaluate("readStream('/sse?count=100')") == len(sse_text(100, 10))


async def test_a_stream_that_breaks_off_gives_its_bytes_and_then_the_error(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        site.go = anyio.Event()
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("(readStream('/broken').catch(() => 0), undefined)")
            stream = await streams.next(10)
            assert await stream.next(10) == b"data: half"
            site.go.set()
            with pytest.raises(StreamFailed, match="net::ERR_"):
                await stream.next(10)


async def test_a_stream_that_the_page_aborts_is_told_as_cut(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        site.go = anyio.Event()
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate(
                "window.stop = new AbortController(),"
                "(fetch('/sse?count=2&hold=1', {signal: stop.signal}).then(r => r.text()).catch(() => 0), undefined)"
            )
            stream = await streams.next(10)
            assert await stream.next(10) == sse_text(1, 10)
            await page.evaluate("stop.abort()")
            with pytest.raises(StreamFailed):
                await stream.next(10)
        site.go.set()


async def test_a_stream_whose_document_went_is_told_as_cut(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        site.go = anyio.Event()
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("(readStream('/sse?count=2&hold=1'), undefined)")
            stream = await streams.next(10)
            assert await stream.next(10) == sse_text(1, 10)
            await page.navigate(site.url("/page/images"))
            with pytest.raises(StreamFailed):
                await stream.next(10)
            await page.evaluate("(readStream('/sse?count=1'), undefined)")
            assert await read(await streams.next(10)) == sse_text(1, 10)
        site.go.set()


async def test_requests_that_are_not_wanted_are_not_streamed(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("asBuffer('/dot.png')")
            with pytest.raises(EventTimeout):
                await streams.next(0.2)


async def test_an_open_stream_ends_with_its_page(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        site.go = anyio.Event()
        await page.navigate(site.url("/page/images"))
        with await live_streams(page, wanted) as streams:
            await page.evaluate("(readStream('/sse?count=2&hold=1'), undefined)")
            stream = await streams.next(10)
            assert await stream.next(10)
            await page.close()
            with pytest.raises(SessionClosed):
                await stream.next(10)
        site.go.set()


async def test_a_websocket_that_opens_and_its_messages_come_in_order_text_and_bytes(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        await page.navigate(site.url("/page/images"))
        await page.session.call("Network.enable")
        with socket_messages(page) as messages:
            await page.evaluate(
                f"""(() => {{
                    const socket = new WebSocket("{site.socket_url}");
                    socket.onopen = () => {{ socket.send("hällo"); socket.send(new Uint8Array([0, 255, 7])); }};
                }})()"""
            )
            assert [await messages.next(10) for _ in range(3)] == [True, "hällo", b"\x00\xff\x07"]
