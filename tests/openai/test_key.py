"""The key: in the request's header and nowhere else, whatever happens."""

import json
import logging
import subprocess
import sys
import traceback
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from fixtures.images_api import ImagesApi, cut, draw, error, html_page, raw, silence, stream
from tests.openai.doubles import KEY, DiskReport, MakeBackend, ask

pytestmark = pytest.mark.anyio

ECHO = json.dumps(
    {"error": {"message": f"Incorrect API key provided: {KEY}.", "type": KEY, "param": KEY, "code": f"x{KEY}"}}
).encode()
TROUBLES: dict[str, Any] = {
    "success": draw(),
    "stream": stream(),
    "echoed": raw(401, ECHO),
    "echoed as a parameter": raw(400, ECHO),
    "echoed in a success": raw(200, ECHO),
    "echoed in a page": raw(502, f"<title>{KEY}</title>".encode(), {"content-type": "text/html"}),
    "echoed as an id": draw(extra={"quality": KEY, "size": f"a{KEY}", "revised_prompt": f"with {KEY}"}),
    "echoed id header": raw(400, b"{}", {"x-request-id": KEY}),
    "echoed in an address": draw(items=[{"url": f"https://10.0.0.1/{KEY}.png"}]),
    "cut": cut(),
    "cut after headers": cut("headers"),
    "cut in a picture": draw(stop_after=500),
    "cut in a stream": stream(cut_after_partials=True),
    "page": html_page(500),
    "limit": error("rate"),
    "beyond": error("rate", {"retry-after": "9999"}),
    "stream failure": stream(fails={"message": KEY, "code": KEY}),
}


def everything(failure: BaseException) -> str:
    """An exception with all it drags along: chain, arguments, attributes, and the locals of every frame but those here,
    which a reporter of crashes shows."""
    seen: list[str] = []
    queue: list[BaseException | None] = [failure]
    while queue:
        one = queue.pop()
        if one is None:
            continue
        seen += [repr(one), str(one), repr(vars(one)), *traceback.format_exception(one)]
        request = getattr(one, "_request", None)
        if request is not None:
            seen += [repr(request), repr(request.headers.raw)]
        frames = [frame for frame, _ in traceback.walk_tb(one.__traceback__)]
        seen += [repr(frame.f_locals) for frame in frames if frame.f_code.co_filename != __file__]
        queue += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            queue += list(one.exceptions)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return "\n".join(seen)


def chain(failure: BaseException) -> list[str]:
    names: list[str] = []
    link: BaseException | None = failure
    while link is not None:
        names.append(type(link).__module__.partition(".")[0])
        link = link.__cause__ or link.__context__
    return names


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_key_is_in_no_log_line_error_or_record(
    name: str,
    api: ImagesApi,
    backend: ApiBackend,
    report: DiskReport,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    api.play(TROUBLES[name], TROUBLES[name])
    failure: ImageError | None = None
    with caplog.at_level(logging.DEBUG), anyio.fail_after(20):
        try:
            await backend.generate(ask(quality="high", timeout_seconds=5), report)
        except ImageError as found:
            failure = found
        status = await backend.status()
    told = ""
    if failure is not None:
        told = everything(failure) + json.dumps(failure.as_dict())
        assert {"httpx", "httpcore"}.isdisjoint(chain(failure))
    output = capfd.readouterr()
    pictures = repr((report.history, report.sentences, report.sources))
    for place in (
        told,
        caplog.text,
        output.out,
        output.err,
        pictures,
        repr(backend),
        repr(vars(backend)),
        repr(status),
    ):
        assert KEY not in place
    # It was there to be leaked: the request carried it, and something was logged.
    assert api.posts[0].headers["authorization"] == f"Bearer {KEY}"
    assert caplog.records


@pytest.mark.parametrize("compat", ["openai", "azure"])
async def test_the_clients_own_repr_and_headers_do_not_hold_the_key(
    compat: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    backend = make_backend(compat=compat)
    with anyio.fail_after(10):
        await backend.generate(ask(), report)
    line = backend._means.line  # pyright: ignore[reportPrivateUsage]
    client = await line._clients.by(None)  # pyright: ignore[reportPrivateUsage]
    assert KEY not in repr((backend, line, vars(line), client, client.headers, client.headers.raw, client.auth))
    assert KEY in str(api.posts[0].headers)


async def test_a_cancelled_request_does_not_carry_the_key_out(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(silence())

    async def cancelled() -> None:
        with anyio.fail_after(60) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(backend.generate, ask(), report)
                while not api.posts:
                    await anyio.lowlevel.checkpoint()
                limit.deadline = anyio.current_time()

    with pytest.raises(TimeoutError) as caught:
        await cancelled()
    # It was there to be carried out.
    assert api.posts[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in everything(caught.value)
    assert KEY not in repr(report.history)


def test_importing_the_back_end_loads_no_http_library() -> None:
    program = (
        "import sys, cdp_image_mcp.openai.backend; "
        "print([name for name in ('httpx', 'httpcore', 'h11', 'ssl', 'certifi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.strip()
    assert "httpx" not in loaded
    assert "h11" not in loaded
    assert "certifi" not in loaded
