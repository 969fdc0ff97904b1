"""Streams: partial pictures as progress, one finished picture, and everything that can go wrong between."""

import asyncio
import base64
import json
import threading
from typing import Any

import anyio
import pytest

from cdp_image_mcp.config import load
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.openai.wire.pictures import PictureReader
from cdp_image_mcp.openai.wire.stream import Stream
from fixtures.images_api import ImagesApi, Play, Response, draw, error, png, raw, stream
from fixtures.images_api import Request as ApiRequest
from tests.docs.variables import VARIABLES
from tests.openai.doubles import DiskReport, MakeBackend, ask

pytestmark = pytest.mark.anyio

LARGE = png(512, 512, size=3_000_000)


async def failure(backend: ApiBackend, report: DiskReport, **fields: Any) -> ImageError:
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(**{"quality": "high", **fields}), report)
    return caught.value


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("piece", [1 << 16, 4099])
async def test_partial_pictures_that_come_unasked_are_passed_over_and_the_finished_one_is_saved(
    newline: str, done: bool, piece: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(LARGE, newline=newline, done=done, piece=piece, comments=True, partials=2))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    sent = api.posts[0].json()
    assert sent["stream"] is True
    assert {"n", "partial_images"}.isdisjoint(sent)
    assert report.pictures == [LARGE]
    assert report.known["usage"]["output_tokens"] == 1956
    assert report.known["cost_usd"] > 0


async def test_a_stream_in_pieces_of_a_few_bytes_is_read_all_the_same(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(png(64, 64, seed=3), newline="\r\n", piece=3))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


@pytest.mark.parametrize("field", ["b64_json", "url"])
@pytest.mark.parametrize("name", ["image_generation.done", "image.final", "message", ""])
async def test_a_finished_picture_is_known_under_any_name_that_a_relay_gives_its_event(
    name: str, field: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    small = base64.b64encode(png(64, 64, seed=3)).decode()
    preview = {"type": "image_generation.partial", "b64_json": base64.b64encode(png(8, 8)).decode()}
    indexed = {"type": name, "partial_image_index": 1, "b64_json": preview["b64_json"]}
    made = {"type": name, field: small if field == "b64_json" else f"data:image/png;base64,{small}"}
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in (preview, indexed, {"type": "progress"}, made))
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream"}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


FINISHED = f'"b64_json": "{base64.b64encode(png(64, 64, seed=3)).decode()}"'
PREVIEW = f'"b64_json": "{base64.b64encode(png(8, 8)).decode()}"'
DEEP = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize(
    "said",
    [
        f'data: {{"x": {DEEP}}}\n\ndata: {{"type": "image_generation.completed", {FINISHED}}}\n\n',
        f'data: {{"type": "image_generation.completed", {FINISHED}, "usage": {DEEP}}}\n\n',
        f"event: image_generation.completed\ndata: {{{FINISHED}, }}\n\n",
        f'data: {{"type": "image_generation.partial_image", {PREVIEW},}}\n\ndata: {{{FINISHED}, "usage": {{"output_tok',
    ],
    ids=["too deep before", "too deep beside", "a comma too many", "cut behind its picture"],
)
async def test_a_finished_picture_is_saved_whatever_is_wrong_with_what_stands_round_it(
    said: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream"}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


async def test_a_picture_that_came_whole_before_its_connection_broke_is_saved(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    async def breaks(request: ApiRequest, response: Response) -> None:
        said = f'data: {{"type": "image_generation.completed", {FINISHED}, "usa'.encode()
        await response.start(200, {"content-type": "text/event-stream"})
        await response.send(said)
        response.cut()

    api.play(breaks)
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


BLURRED = base64.b64encode(png(8, 8)).decode()


@pytest.mark.parametrize(
    "before",
    [
        {"type": "image_generation.in_progress", "b64_json": ""},
        {"type": "image_generation.queued", "url": None},
        {"type": "image_generation.in_progress", "url": "https://relay.example/tasks/1"},
        {"type": "image_generation.preview", "b64_json": BLURRED},
        {"type": "image.progress", "b64_json": BLURRED, "url": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("ends", ["image_generation.completed", "image.final"])
async def test_what_comes_under_another_name_before_the_finished_picture_is_not_taken_for_it(
    before: dict[str, Any], ends: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = {"type": ends, "b64_json": base64.b64encode(png(64, 64, seed=3)).decode()}
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in (before, made))
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream"}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


@pytest.mark.parametrize("field", ["b64_json", "url"])
async def test_an_end_that_brings_nothing_is_not_the_pictures(
    field: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = api.file("/made.png", raw(200, png(64, 64, seed=3), {"content-type": "image/png"}))
    item = {field: made if field == "url" else base64.b64encode(png(64, 64, seed=3)).decode()}
    ends = {"type": "response.image_generation_call.completed", "item_id": "ig_1"}
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in (ends, {"data": [item]}))
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream"}))
    with anyio.fail_after(60):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


@pytest.mark.parametrize("field", ["b64_json", "url"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_picture_beside_an_error_object_is_saved(
    streamed: bool, field: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = api.file("/made.png", raw(200, png(64, 64, seed=3), {"content-type": "image/png"}))
    item = {field: made if field == "url" else base64.b64encode(png(64, 64, seed=3)).decode()}
    nothing = {"message": "", "type": "", "param": "", "code": None}
    said = json.dumps({"type": "image_generation.completed", "data": [item], "error": nothing})
    said = f"data: {said}\n\n" if streamed else said
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream" if streamed else "application/json"}))
    with anyio.fail_after(60):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [png(64, 64, seed=3)]


async def test_a_picture_under_a_relays_own_name_is_kept_when_its_stream_is_cut_short_from_here(
    api: ImagesApi, backend: ApiBackend, report: DiskReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    came = anyio.Event()
    stream_event = Stream._event  # pyright: ignore[reportPrivateUsage]

    async def noted(self: Stream, name: str, reader: PictureReader) -> None:
        await stream_event(self, name, reader)
        came.set()

    async def never_ends(_request: ApiRequest, response: Response) -> None:
        await response.start(200, {"content-type": "text/event-stream"})
        await response.send(f'data: {{"type": "image.final", {FINISHED}}}\n\n'.encode())
        await response.silence()

    monkeypatch.setattr(Stream, "_event", noted)
    api.play(never_ends)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(backend.generate, ask(quality="high"), report)
            await came.wait()
            group.cancel_scope.cancel()
    assert report.pictures == [png(64, 64, seed=3)]
    assert (report.known["submitted"], report.known["spent"]) == (True, True)


@pytest.mark.parametrize("quality", ["auto", "low", "medium", "high", "xhigh"])
async def test_no_partial_picture_is_bought_for_nobody_sees_it(
    quality: str, api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    with anyio.fail_after(10):
        await make_backend(model="gpt-image-2.5").generate(ask(quality=quality), report)
    assert api.posts[0].json().get("partial_images", 0) == 0


async def test_a_stream_of_the_picture_alone_is_read(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(stream(partials=0))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="high"), report)
    assert len(report.pictures) == 1


async def test_the_last_event_counts_without_its_blank_line(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(LARGE, last_blank=False))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [LARGE]


async def test_a_plain_answer_to_a_wish_for_a_stream_is_read_as_one(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(draw([LARGE]))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="high"), report)
    assert api.posts[0].json()["stream"] is True
    assert report.pictures == [LARGE]


@pytest.mark.parametrize(
    "play",
    [stream(partials=2, cut_after_partials=True), stream(partials=2, end_after_partials=True)],
    ids=["cut", "ended"],
)
async def test_a_dropped_stream_is_not_sent_again_and_a_preview_is_never_the_picture(
    play: Play, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(play)
    found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent) == ("network", True, "unknown")
    assert report.pictures == []
    assert len(api.posts) == 1
    assert report.unclear_usd > 0


def test_sending_again_what_may_be_paid_is_off_unless_the_user_sets_its_variable() -> None:
    assert load({}).resend_unclear is False
    assert load({"OPENAI_RESEND_UNCLEAR": "1"}).resend_unclear is True
    assert [p.variable for p in load({"OPENAI_RESEND_UNCLEAR": "maybe"}).problems] == ["OPENAI_RESEND_UNCLEAR"]
    meaning = next(variable.meaning for variable in VARIABLES if variable.name == "OPENAI_RESEND_UNCLEAR")
    assert "twice" in meaning


async def test_a_dropped_stream_is_sent_again_when_the_user_wants_that(
    api: ImagesApi, make_backend: MakeBackend, report: DiskReport
) -> None:
    api.play(stream(cut_after_partials=True))
    with anyio.fail_after(20):
        await make_backend(resend_unclear=True).generate(ask(quality="high"), report)
    assert len(api.posts) == 2
    assert len(report.pictures) == 1


async def test_an_error_within_the_stream_is_told_and_not_repeated(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    fields = {
        "type": "image_generation_server_error",
        "code": "image_generation_failed",
        "message": "failed",
        "param": None,
    }
    api.play(stream(fails=fields))
    found = await failure(backend, report)
    assert (found.code, found.submitted, found.spent) == ("service_error", True, "unknown")
    assert found.details["api_code"] == "image_generation_failed"
    assert len(api.posts) == 1


async def test_a_moderation_block_within_the_stream_is_a_refusal(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(fails="moderation_output"))
    found = await failure(backend, report)
    assert (found.code, found.spent) == ("refused", "unknown")
    assert found.details["moderation_categories"] == ["sexual"]


async def test_a_limit_at_the_very_beginning_of_a_stream_is_waited_for(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(partials=0, fails="rate"))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="high"), report)
    assert len(api.posts) == 2


async def test_a_server_that_does_not_know_streams_is_asked_again_without(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    body = b'{"error":{"code":"unknown_parameter","param":"stream","message":"Unknown parameter"}}'
    api.play(raw(400, body))
    with anyio.fail_after(10):
        await backend.generate(ask(quality="high"), report)
    assert "stream" not in api.posts[1].json()
    assert len(report.pictures) == 1


async def test_long_pictures_come_by_streams_side_by_side(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    together = threading.Barrier(3)

    async def meet(request: ApiRequest, response: Response) -> None:
        import asyncio

        # All three must be under way at once, or the barrier is never passed.
        await asyncio.to_thread(together.wait, 10)
        await stream()(request, response)

    api.always = meet
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high", n=3), report)
    assert [request.json().get("n") for request in api.posts] == [None] * 3
    assert len(report.pictures) == 3
    assert report.known["usage"]["output_tokens"] == 3 * 1756
    assert report.known["cost_usd"] == report.known["booked_usd"] > 0
    assert [facts["usage"] for _, facts in report.history if "usage" in facts] == [report.known["usage"]]


async def test_one_refused_stream_leaves_the_others_their_pictures(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(stream(), error("moderation"), stream())
    found = await failure(backend, report, n=3)
    assert len(report.pictures) == 2
    assert (found.code, found.submitted, found.spent) == ("refused", True, True)


@pytest.mark.parametrize(
    "fields",
    [{"quality": "low", "n": 3}, {"quality": "auto", "n": 2}, {"quality": "low"}],
    ids=["3 low", "2 auto", "1 low"],
)
async def test_quick_pictures_come_by_one_plain_request(
    fields: dict[str, Any], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with anyio.fail_after(10):
        await backend.generate(ask(**fields), report)
    assert len(api.posts) == 1
    assert "stream" not in api.posts[0].json()
    assert len(report.pictures) == fields.get("n", 1)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("before", [": PING\n\n: PING\n\n", ": PING\n\ndata: "])
async def test_a_plain_answer_after_signs_of_life_is_read_as_one(
    before: str, indent: int | None, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """As new-api writes what its upstream answers without a stream, after the comments that kept the line open."""
    answer = {"created": 1, "data": [{"b64_json": base64.b64encode(LARGE).decode()}], "usage": USED}
    said = before + json.dumps(answer, indent=indent) + "\n"
    api.play(raw(200, said.encode(), {"content-type": "text/event-stream"}))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [LARGE]
    assert report.known["usage"] == USED


@pytest.mark.parametrize("words", ["error code: 1015", "data store is busy", "internal error", "retry later"])
async def test_words_in_place_of_a_stream_are_told_and_called_no_broken_connection(
    words: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(raw(200, words.encode(), {"content-type": "text/plain"}))
    found = await failure(backend, report)
    assert (found.code, found.spent, found.details["text"]) == ("service_error", "unknown", words)


async def test_an_error_after_signs_of_life_is_told_in_its_own_words(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    said = b': PING\n\n{"error": {"message": "Your balance is used up.", "code": "insufficient_quota"}}'
    api.play(raw(200, said, {"content-type": "text/event-stream"}))
    assert (await failure(backend, report)).code == "billing"


def told(*events: dict[str, Any]) -> Play:
    """A stream of these events, which nobody asked for."""
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
    return raw(200, f"{said}data: [DONE]\n\n".encode(), {"content-type": "text/event-stream"})


DRAWN = [png(64, 64, seed=number) for number in range(3)]
TEXTS = [base64.b64encode(picture).decode() for picture in DRAWN]
USED = {"input_tokens": 20, "output_tokens": 100, "total_tokens": 120}


@pytest.mark.parametrize("name", ["image_generation.completed", "image.final"])
async def test_of_several_pictures_in_one_stream_each_is_saved(
    name: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    preview = {"type": "image.preview", "b64_json": BLURRED}
    api.play(told(*(each for text in TEXTS for each in (preview, {"type": name, "b64_json": text, "usage": USED}))))
    with anyio.fail_after(20):
        await backend.generate(ask(n=3), report)
    assert "stream" not in api.posts[0].json()
    assert report.pictures == DRAWN
    assert report.known["usage"]["output_tokens"] == 300


async def test_several_pictures_that_are_told_one_by_one_and_the_end_apart_are_all_fetched(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    files = [
        api.file(f"/made-{at}.png", raw(200, data, {"content-type": "image/png"})) for at, data in enumerate(DRAWN)
    ]
    stopped = {"code": "OutputImageSensitiveContentDetected", "message": "The picture may be sensitive."}
    one, failed = "image_generation.partial_succeeded", "image_generation.partial_failed"
    api.play(
        told(
            {"type": one, "image_index": 0, "url": files[0]},
            {"type": failed, "image_index": 1, "error": stopped},
            {"type": one, "image_index": 2, "url": files[2]},
            {"type": "image_generation.completed", "usage": USED},
        )
    )
    with anyio.fail_after(20), pytest.raises(ImageError, match="2 of 3 pictures") as caught:
        await backend.generate(ask(n=3), report)
    assert caught.value.details["text"] == stopped["message"]
    assert caught.value.spent is True
    assert sorted(report.pictures) == sorted([DRAWN[0], DRAWN[2]])
    assert report.known["usage"] == USED


async def test_what_a_stream_tells_once_more_is_one_picture_and_what_it_brings_beyond_the_wish_is_kept(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    first, second, third = ({"type": "image_generation.completed", "b64_json": text, "usage": USED} for text in TEXTS)
    api.play(told(first, first, second, {"data": [{"b64_json": text} for text in TEXTS[:2]], "usage": USED}, third))
    with anyio.fail_after(20):
        await backend.generate(ask(n=2), report)
    assert report.pictures == DRAWN
    assert report.known["usage"]["output_tokens"] == 300


def events(*said: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in said).encode()


def in_turn(*pieces: bytes, cut: bool = False) -> Play:
    """A stream that says these one after the other, with a pause of more than a second, which ends with the last or is
    cut behind it."""

    async def play(_request: ApiRequest, response: Response) -> None:
        await response.start(200, {"content-type": "text/event-stream"})
        for number, piece in enumerate(pieces):
            await asyncio.sleep(1.5 if number else 0)
            await response.send(piece)
        await (asyncio.sleep(0.2) if cut else response.end())
        if cut:
            response.cut()

    return play


FIRST, SECOND, THIRD = ({"type": "image_generation.completed", "b64_json": text, "usage": USED} for text in TEXTS)
ALIVE = {"type": "keepalive"}


@pytest.mark.parametrize("cut", [True, False])
async def test_a_repetition_that_is_cut_off_behind_the_picture_is_no_second_one(
    cut: bool, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    again = events({"type": "response.completed", "b64_json": TEXTS[0]})
    api.play(in_turn(events(FIRST) + again[:-60], again[-60:], cut=cut))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [DRAWN[0]]
    assert "warnings" not in report.known


@pytest.mark.parametrize("before", [[ALIVE], [{"type": "preview", "b64_json": BLURRED}]])
async def test_what_is_said_between_two_pictures_is_none_of_those_that_are_waited_for(
    before: list[dict[str, Any]], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    between = before * 3
    api.play(in_turn(events(*between, FIRST, *between), events(*between, SECOND, *between), events(THIRD)))
    with anyio.fail_after(20):
        await backend.generate(ask(n=3), report)
    assert report.pictures == DRAWN


async def test_a_stream_of_several_that_breaks_is_told_as_that_and_its_finished_picture_is_no_preview(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(in_turn(events(FIRST, ALIVE), cut=True))
    error = await failure(backend, report, n=2, quality="auto")
    assert report.pictures == [DRAWN[0]]
    assert (error.code, error.spent, error.submitted) == ("network", True, True)
    assert "preview" not in str(report.known.get("warnings"))


async def test_where_one_of_several_failed_and_the_others_were_not_heard_of_nothing_is_sent_again(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    limit = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 1s."}
    api.play(in_turn(events({"type": "image_generation.partial_failed", "error": limit}), cut=True))
    error = await failure(backend, report, n=2, quality="auto")
    assert (error.submitted, error.spent, len(api.posts)) == (True, "unknown", 1)


async def test_an_error_behind_a_picture_that_cannot_be_used_is_no_reason_to_pay_again(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    limit = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 1s."}
    unusable = {"type": "image_generation.completed", "b64_json": "!" * 400, "usage": USED}
    api.play(told(unusable, {"type": "error", "error": limit}))
    error = await failure(backend, report)
    assert (error.submitted, error.spent, len(api.posts)) == (True, True, 1)


async def test_an_address_that_an_answer_lists_twice_is_one_picture(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    address = api.file("/made.png", raw(200, DRAWN[0], {"content-type": "image/png"}))
    api.play(raw(200, json.dumps({"images": [{"url": address}], "urls": [address, address]}).encode()))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert report.pictures == [DRAWN[0]]
