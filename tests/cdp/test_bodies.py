"""Bytes of responses from a real browser, each way and each trap."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from cdp_image_mcp.cdp import Bodies, Page
from cdp_image_mcp.cdp.errors import BodyUnavailable, CDPError, EventTimeout, PageCrashed, ProtocolError
from cdp_image_mcp.cdp.requests import Request, Requests
from tests.cdp.peer import attach_session, connected
from tests.cdp.site import PAGES, PNG, Site, picture

pytestmark = pytest.mark.anyio

MB = 1024 * 1024


@pytest.fixture
async def bodies(page: Page, site: Site) -> Bodies:
    bodies = await Bodies.start(page)
    await page.navigate(site.url("/page/images"))
    return bodies


def of(path: str) -> Callable[[Request], bool]:
    """Requests whose address has this in it."""

    def accept(request: Request) -> bool:
        return path in request.url

    return accept


async def fetched(bodies: Bodies, page: Page, script: str, path: str) -> Request:
    """The request that a script makes, ended."""
    with bodies.watch(of(path)) as watch:
        await page.evaluate(f"({script}, undefined)")
        return await watch.next(20)


async def test_what_chooses_requests_and_fails_ends_its_own_watch_and_no_other(page: Page, bodies: Bodies) -> None:
    def fails(_request: Request) -> bool:
        raise LookupError("a fault of ours")

    with anyio.fail_after(60), bodies.watch(fails) as failing, bodies.watch(of("/image")) as watch:
        for path in ("/image/10", "/image/11"):
            assert path in (await fetched(bodies, page, f"fetch('{path}').then(answer => answer.blob())", path)).url
            assert path in (await watch.next(20)).url
        with pytest.raises(CDPError, match="a fault of ours"):
            await failing.next(20)


@pytest.mark.parametrize("how", ["reload", "navigate"])
async def test_what_a_document_was_still_waiting_for_is_over_when_another_has_taken_its_place(
    page: Page, bodies: Bodies, site: Site, how: str
) -> None:
    """The browser tells of no end: a picture would be waited for, and the request be remembered, for ever."""
    with anyio.fail_after(60):
        with bodies.watch(of("/sse"), stage="responded") as begun:
            await page.evaluate("(fetch('/sse?count=1&hold=1').then(answer => answer.blob()), undefined)")
            request = await begun.next(20)
        assert not request.ended
        if how == "reload":
            await page.reload()
        else:
            await page.navigate(site.url("/page/images?another"))
        assert (request.state, request.canceled) == ("failed", True)
        document = next(one for one in reversed(bodies.requests) if one.type == "Document")
        assert not document.canceled


@pytest.mark.parametrize("script", ["asBlob('{0}')", "asBuffer('{0}')", "show('{0}')", "readStream('{0}')"])
async def test_whatever_way_the_page_reads_it_the_bytes_are_exact(
    page: Page, bodies: Bodies, site: Site, script: str
) -> None:
    with anyio.fail_after(60):
        path = f"/image/{2 * MB}?script={len(script)}"
        request = await fetched(bodies, page, script.format(path), path)
        body = await bodies.read(request)
        assert body.data == picture(2 * MB)
        assert body.way == "network"


async def test_twenty_five_megabytes_read_as_a_blob_are_exact(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, f"asBlob('/image/{25 * MB}')", f"/image/{25 * MB}")
        body = await bodies.read(request)
        assert (body.data == picture(25 * MB), body.way) == (True, "network")


async def test_a_body_outlives_a_navigation(page: Page, bodies: Bodies, site: Site) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBlob('/image/50000')", "/image/50000")
        await page.navigate(site.url("/page/plain"))
        assert (await bodies.read(request, again=False)).data == picture(50_000)


async def test_a_body_outlives_a_crash_of_the_page(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBlob('/image/50000')", "/image/50000")
        with pytest.raises(PageCrashed):
            await page.session.call("Page.crash")
        assert (await bodies.read(request, again=False)).data == picture(50_000)


async def test_a_picture_sent_as_text_is_exact(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBuffer('/image/70000?mime=text/plain')", "/image/70000")
        assert (await bodies.read(request)).data == picture(70_000)


async def test_text_is_given_in_its_own_bytes(page: Page, bodies: Bodies, site: Site) -> None:
    with anyio.fail_after(60):
        with bodies.watch(of("/page/editor")) as watch:
            await page.navigate(site.url("/page/editor"))
            request = await watch.next()
        assert (await bodies.read(request)).data == (PAGES / "editor.html").read_bytes()


async def test_an_empty_answer_is_empty_and_no_failure(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBuffer('/empty')", "/empty")
        assert (await bodies.read(request)).data == b""


async def test_what_is_known_of_a_request_is_right(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBuffer('/moved?to=/image/1000')", "/image/1000")
        assert (request.status, request.mime_type, request.state) == (200, "image/png", "finished")
        assert request.headers["content-length"] == "1000"
        sent = await fetched(bodies, page, "readStream('/sse?count=1')", "/sse")
        assert sent.method == "POST"


async def test_a_request_that_fails_has_ended(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "fetch('http://127.0.0.1:1/x').catch(() => 0)", ":1/x")
        assert request.state == "failed"
        assert request.ended
        with pytest.raises(BodyUnavailable) as caught:
            await bodies.read(request)
        assert [reason.split(":")[0] for reason in caught.value.tried] == ["network", "resource", "request"]


async def test_bytes_that_the_caller_refuses_lead_to_the_next_way(page: Page, bodies: Bodies, site: Site) -> None:
    with anyio.fail_after(60):
        path = "/image/40000?refused=1"
        request = await fetched(bodies, page, f"asBlob('{path}')", path)
        seen = 0

        def second_time(data: bytes) -> bool:
            nonlocal seen
            seen += 1
            return seen > 1 and data.startswith(PNG)

        before = site.hits["/image/40000"]
        body = await bodies.read(request, accept=second_time)
        assert (body.way, body.data) == ("request", picture(40_000))
        assert site.hits["/image/40000"] == before + 1
        assert "refused" in body.tried[0]


async def test_a_one_time_address_is_not_asked_again(page: Page, bodies: Bodies, site: Site) -> None:
    with anyio.fail_after(60):
        request = await fetched(bodies, page, "asBlob('/image/41000')", "/image/41000")
        with pytest.raises(BodyUnavailable):
            await bodies.read(request, accept=lambda _data: False, again=False)
        assert site.hits["/image/41000"] == 1


async def test_an_image_from_memory_without_a_request_is_had_by_its_address(page: Page, site: Site) -> None:
    with anyio.fail_after(60):
        await page.navigate(site.url("/page/images"))
        await page.evaluate("show('/dot.png')")
        bodies = await Bodies.start(page)
        before = site.hits["/dot.png"]
        body = await bodies.read_url(site.url("/dot.png"))
        assert (body.way, body.data) == ("resource", (PAGES / "dot.png").read_bytes())
        assert site.hits["/dot.png"] == before


@pytest.mark.parametrize("revoked", ["false", "true"])
async def test_a_blob_image_is_had_by_its_address_even_when_revoked(page: Page, bodies: Bodies, revoked: str) -> None:
    with anyio.fail_after(60):
        address = await page.evaluate(f"showBlob('/dot.png', {revoked})", reply=str)
        assert address.startswith("blob:")
        body = await bodies.read_url(address)
        assert body.data == (PAGES / "dot.png").read_bytes()


async def test_a_large_blob_that_no_element_holds_is_read_in_pieces(page: Page, bodies: Bodies) -> None:
    with anyio.fail_after(60):
        script = f"(async () => URL.createObjectURL(window.kept = await (await fetch('/image/{9 * MB}')).blob()))()"
        address = await page.evaluate(script, reply=str)
        body = await bodies.read_url(address)
        assert (body.data == picture(9 * MB), body.way) == (True, "blob")


async def test_a_blob_of_another_document_is_unavailable_with_every_reason(
    page: Page, bodies: Bodies, site: Site
) -> None:
    with anyio.fail_after(60):
        with pytest.raises(BodyUnavailable) as caught:
            await bodies.read_url(f"blob:{site.origin}/11111111-2222-3333-4444-555555555555")
        assert [reason.split(":")[0] for reason in caught.value.tried] == ["resource", "blob"]


async def test_waiting_for_an_end_that_does_not_come_meets_its_deadline(page: Page, bodies: Bodies, site: Site) -> None:
    with anyio.fail_after(60):
        with bodies.watch(of("/sse"), stage="sent") as sent, bodies.watch(of("/sse")) as ended:
            await page.evaluate("(readStream('/sse?count=2&hold=1'), undefined)")
            await sent.next()
            with pytest.raises(EventTimeout):
                await ended.next(0.2)


async def test_an_older_browser_without_durable_messages_is_used_all_the_same() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            page = Page(connection, session)
            peer.answers["Network.configureDurableMessages"] = {"error": {"code": -32601, "message": "wasn't found"}}
            await Bodies.start(page)
            assert (await peer.command("Network.enable", 2))["params"]["enableDurableMessages"] is True
            peer.answers["Network.configureDurableMessages"] = {"error": {"code": -32602, "message": "bad"}}
            with pytest.raises(ProtocolError):
                await Bodies.start(page)


async def test_bookkeeping_forgets_the_oldest_ended_requests() -> None:
    with anyio.fail_after(10):
        async with connected() as (peer, connection):
            session = await attach_session(peer, connection)
            requests = Requests(session, remember=3)
            for number in range(5):
                await peer.event(
                    "Network.requestWillBeSent",
                    {"requestId": str(number), "request": {"url": f"/{number}", "method": "GET"}},
                    "S1",
                )
                if number != 0:
                    await peer.event("Network.loadingFinished", {"requestId": str(number)}, "S1")
            await peer.settle(connection)
            assert [request.request_id for request in requests.requests] == ["0", "3", "4"]


async def test_a_body_that_comes_in_pieces_has_one_time_limit_for_all_of_them() -> None:
    with anyio.fail_after(20):
        async with connected() as (peer, connection):
            bodies = await Bodies.start(Page(connection, await attach_session(peer, connection)))
            none = {"error": {"code": -32000, "message": "No resource"}}
            peer.answers["Page.getResourceContent"] = none
            peer.answers["Network.loadNetworkResource"] = {"result": {"resource": {"success": True, "stream": "7"}}}
            peer.answers["IO.read"] = {"result": {"data": "a", "eof": False}}
            with pytest.raises(BodyUnavailable, match=r"IO\.read"):
                await bodies.read_url("http://127.0.0.1/picture", timeout=0.5)
            assert (await peer.command("IO.close"))["params"] == {"handle": "7"}


async def test_what_the_browser_held_of_a_blob_is_let_go_though_it_could_not_be_read(
    page: Page, bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, called = page.session.call, list[str]()

    async def failing(method: str, *given: Any, **more: Any) -> Any:
        called.append(method)
        if method == "IO.read":
            raise ProtocolError(-32603, "Read failed", None, method)
        return await call(method, *given, **more)

    with anyio.fail_after(60):
        script = "(async () => URL.createObjectURL(window.kept = await (await fetch('/image/1000')).blob()))()"
        address = await page.evaluate(script, reply=str)
        monkeypatch.setattr(page.session, "call", failing)
        with pytest.raises(BodyUnavailable, match="Read failed"):
            await bodies.read_url(address)
    assert called[-3:] == ["IO.read", "IO.close", "Runtime.releaseObject"]
