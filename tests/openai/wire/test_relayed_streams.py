"""Streams as relays write them, whose events differ from the vendor's in form: the finished picture all the same."""

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.openai.backend import ApiBackend
from fixtures.images_api import ImagesApi, Play, Request, Response, png, raw
from tests.openai.doubles import DiskReport, ask
from tests.openai.wire.events import BLOCKED, BLURRED, COMPLETED, FORMS, LIMIT, MADE, PARTIAL, USED, event

pytestmark = pytest.mark.anyio

WRAPPED = '{"event": "image.final", "data": {"images": [{"url": "%s"}]}}'


def said(text: str, content_type: str = "text/event-stream") -> Play:
    return raw(200, text.encode(), {"content-type": content_type})


def told(*events: dict[str, Any]) -> Play:
    return said("".join(f"data: {json.dumps(each)}\n\n" for each in events))


async def drawn(api: ImagesApi, backend: ApiBackend, report: DiskReport, play: Play, **fields: Any) -> list[bytes]:
    api.play(play)
    with anyio.fail_after(20):
        await backend.generate(ask(**{"quality": "high", **fields}), report)
    return report.pictures


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("finished", [COMPLETED, "image_edit.completed", "image_generation.partial_succeeded"])
async def test_a_finished_picture_is_one_though_its_event_has_the_field_of_a_preview(
    finished: str, index: int | None, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """Written from one structure for all events, of which some fields mean nothing here."""
    preview = event(PARTIAL, BLURRED, partial_image_index=0)
    play = told(preview, event(finished, usage=USED, partial_image_index=index))
    assert await drawn(api, backend, report, play) == [MADE]
    assert report.known["usage"] == USED


@pytest.mark.parametrize("kind", ["image.final", ""])
async def test_the_field_of_a_preview_that_says_nothing_makes_no_preview(
    kind: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    assert await drawn(api, backend, report, told(event(kind, partial_image_index=None))) == [MADE]
    assert "warnings" not in report.known


@pytest.mark.parametrize("kind", ["image.final", ""])
async def test_a_picture_with_the_number_of_a_preview_is_taken_where_no_other_comes_and_said_to_be_one_perhaps(
    kind: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    play = told(event(kind, BLURRED, partial_image_index=0), event(kind, partial_image_index=1))
    assert await drawn(api, backend, report, play) == [MADE]
    assert "may be a preview" in str(report.known["warnings"])


@pytest.mark.parametrize("kind", ["image.final", "", COMPLETED])
async def test_it_stands_behind_every_picture_without_such_a_number(
    kind: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    numbered = event("image.progress", BLURRED, partial_image_index=1)
    assert await drawn(api, backend, report, told(event(kind), numbered)) == [MADE]
    assert "warnings" not in report.known


@pytest.mark.parametrize("kind", ["image.progress", ""])
async def test_it_is_none_where_the_stream_broke(
    kind: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """The finished one may have been to come."""
    with pytest.raises(ImageError) as caught:
        await drawn(api, backend, report, in_turn(event(kind, BLURRED, partial_image_index=0), end="cut"))
    assert (caught.value.code, caught.value.spent, report.pictures) == ("network", "unknown", [])


def in_turn(*pieces: dict[str, Any] | bytes, end: str = "ended", kind: str = "text/event-stream") -> Play:
    """A stream that says these one after the other, each as soon as the one before has left."""

    async def play(_request: Request, response: Response) -> None:
        await response.start(200, {"content-type": kind})
        for piece in pieces:
            await response.send(piece if isinstance(piece, bytes) else f"data: {json.dumps(piece)}\n\n".encode())
        if end == "cut":
            response.cut()
        else:
            await response.end()

    return play


@pytest.mark.parametrize("data", [{}, {"data": None}, {"data": []}, {"data": {"id": "7"}}], ids=str)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("form", ["lines", "events"])
async def test_a_link_farther_inside_an_event_is_no_picture(
    form: str, named: bool, data: dict[str, Any], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """Neither the page that helps with an error, which cost nothing, nor the picture of whom it was made for. Servers
    written in Go send every field with every event."""
    link = api.file("/other.png", raw(200, BLURRED))
    error = {"message": "Rate limit reached. Try again in 1s.", "code": "rate_limit_exceeded", "help": {"url": link}}
    picture = {"url": api.file("/made.png", raw(200, MADE)), "user": {"image_url": link}, **data}
    kind = {"type": "error"} if named else {}
    play = lines if form == "lines" else told
    drawing = {"status": "processing", "links": {"url": link}, **data}
    limit = {**kind, "error": error, **data}
    api.play(play({"id": 1}, {**limit, "links": [link]}), play(drawing, limit))
    assert await drawn(api, backend, report, play(drawing, picture)) == [MADE]
    assert [len(api.posts), *(request.path for request in api.log if request.method == "GET")] == [3, "/made.png"]


@pytest.mark.parametrize("end", ["ended", "cut"])
@pytest.mark.parametrize("before", [[], [{"status": "processing", "data": None}], [LIMIT]], ids=str)
@pytest.mark.parametrize("answer", [FORMS["SiliconFlow"], FORMS["within a result"], WRAPPED], ids=str)
async def test_a_whole_answer_in_one_event_has_its_pictures_wherever_it_names_them(
    answer: str, before: list[dict[str, Any]], end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """Also where the next channel of a relay says it, behind an error."""
    made = json.loads(answer % api.file("/made.png", raw(200, MADE)))
    assert await drawn(api, backend, report, in_turn(*before, made, end=end)) == [MADE]
    assert len(api.posts) == 1


@pytest.mark.parametrize("end", ["ended", "cut"])
async def test_it_stands_before_a_preview_that_came_earlier(
    end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = json.loads(FORMS["SiliconFlow"] % api.file("/made.png", raw(200, MADE)))
    play = in_turn(event("image.progress", BLURRED, partial_image_index=0), made, end=end)
    assert await drawn(api, backend, report, play) == [MADE]


@pytest.mark.parametrize("end", ["ended", "cut"])
@pytest.mark.parametrize("fault", [LIMIT, BLOCKED], ids=["a limit", "a refusal"])
@pytest.mark.parametrize("kind", [COMPLETED, "image.final", ""])
async def test_a_picture_that_follows_an_error_in_one_stream_is_the_one_that_was_paid_for(
    kind: str, fault: dict[str, Any], end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """A relay that goes on with the next of its channels."""
    play = in_turn(event(PARTIAL, BLURRED), fault, b": the next channel\n\n", event(kind, usage=USED), end=end)
    assert await drawn(api, backend, report, play) == [MADE]
    assert (len(api.posts), report.known["spent"]) == (1, True)


@pytest.mark.parametrize("preview", [event("image.progress", BLURRED), event("", BLURRED, partial_image_index=0)])
async def test_what_came_before_the_error_and_may_be_a_preview_is_no_picture(
    preview: dict[str, Any], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with pytest.raises(ImageError, match="refused") as caught:
        await drawn(api, backend, report, in_turn(preview, BLOCKED))
    assert (caught.value.code, report.pictures) == ("refused", [])


@pytest.mark.parametrize("end", ["ended", "cut"])
async def test_an_error_that_nothing_follows_is_the_end_however_its_stream_goes_on(
    end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(in_turn(LIMIT, end=end), told(event(COMPLETED)))
    with anyio.fail_after(30):
        await backend.generate(ask(quality="high"), report)
    assert (report.pictures, len(api.posts)) == ([MADE], 2)


@pytest.mark.parametrize("end", ["ended", "cut"])
@pytest.mark.parametrize("turn", [1, -1], ids=["behind it", "before it"])
@pytest.mark.parametrize("kind", [PARTIAL, "image.progress"])
async def test_where_a_picture_was_drawn_beside_a_limit_nobody_knows_what_was_paid(
    kind: str, turn: int, end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    numbered = event(kind, BLURRED, partial_image_index=0)
    with pytest.raises(ImageError) as caught:
        await drawn(api, backend, report, in_turn(*[LIMIT, numbered][::turn], end=end))
    assert (caught.value.submitted, caught.value.spent, caught.value.retryable) == (True, "unknown", False)
    assert len(api.posts) == 1


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("again", [LIMIT, BLOCKED], ids=["a limit", "a refusal"])
async def test_of_two_errors_the_one_that_may_be_paid_is_told_and_nothing_is_sent_again(
    again: dict[str, Any], turn: int, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    api.play(in_turn(*[BLOCKED, again][::turn]), told(event(COMPLETED)))
    with anyio.fail_after(20), pytest.raises(ImageError) as caught:
        await backend.generate(ask(quality="high"), report)
    assert (caught.value.code, caught.value.submitted, caught.value.spent) == ("refused", True, "unknown")
    assert len(api.posts) == 1


async def test_two_limits_are_one(api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    api.play(in_turn(LIMIT, LIMIT), told(event(COMPLETED)))
    with anyio.fail_after(20):
        await backend.generate(ask(quality="high"), report)
    assert (report.pictures, len(api.posts)) == ([MADE], 2)


async def test_of_several_pictures_one_stays_though_another_failed(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with pytest.raises(ImageError) as caught:
        await drawn(api, backend, report, in_turn(event("image.final"), LIMIT), quality="low", n=2)
    assert (caught.value.submitted, caught.value.spent, report.pictures) == (True, True, [MADE])


SHAPES = {
    "no names": "data: {0}\ndata: {1}\ndata: {2}\n",
    "names": "event: a\ndata: {0}\nevent: b\ndata: {1}\nevent: c\ndata: {2}\n",
    "an end in words": "data: {0}\ndata: {1}\ndata: {2}\ndata: [DONE]\n",
    "comments between": "data: {0}\n: PING\ndata: {1}\ndata: : PING\ndata: {2}\n\n",
    "no names of the lines": ": PING\n\n{0}\n{1}\n{2}\n",
    "two blanks": "data:  {0}\ndata:  {1}\ndata:  {2}\n",
    "one behind the other": "data: {0}{1} {2}\n\n",
    "other ends of lines": "data:{0} \r\nid: 7\r\ndata:{1} \r\ndata:{2}",
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("piece", [1, 1 << 16])
@pytest.mark.parametrize("shape", SHAPES)
async def test_events_without_a_blank_line_between_them_are_events_of_their_own(
    shape: str, piece: int, indent: int | None, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    events: tuple[dict[str, Any], ...] = ({"type": "queued"}, event(PARTIAL, BLURRED), event(COMPLETED, usage=USED))
    texts = [json.dumps(each, indent=indent).replace("\n", "\ndata: ") for each in events]
    whole = SHAPES[shape].format(*texts).encode()
    play = in_turn(*(whole[at : at + piece] for at in range(0, len(whole), piece)))
    assert await drawn(api, backend, report, play) == [MADE]
    assert report.known["usage"] == USED


@pytest.mark.parametrize("before", ["", 'data: {"status": "queued"}\n'])
async def test_the_names_of_such_events_are_each_their_own(
    before: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    nameless = [json.dumps({"b64_json": base64.b64encode(data).decode()}) for data in (BLURRED, MADE)]
    text = f"event: {PARTIAL}\ndata: {nameless[0]}\nevent: {COMPLETED}\ndata: {nameless[1]}\n"
    assert await drawn(api, backend, report, said(before + text)) == [MADE]


def lines(*events: dict[str, Any], piece: int = 1 << 16, end: str = "ended", between: str = "\n") -> Play:
    """JSON texts in lines of their own (NDJSON), or with something else ``between`` them, under the type of one."""
    whole = "".join(f"{json.dumps(each)}{between}" for each in events).encode()
    return in_turn(*(whole[at : at + piece] for at in range(0, len(whole), piece)), end=end, kind="application/json")


def turned(fields: dict[str, Any]) -> dict[str, Any]:
    """The same with its picture first."""
    return dict(reversed(fields.items()))


@pytest.mark.parametrize("turn", [dict[str, Any], turned])
@pytest.mark.parametrize("piece", [1, 4099, 1 << 16])
@pytest.mark.parametrize("between", ["\n", "", " ", ",\r\n", "\n\x1e"])
@pytest.mark.parametrize("before", [[], [{"type": "queued"}], [{"type": "in_progress", "b64_json": ""}]], ids=str)
async def test_a_preview_in_a_line_of_json_is_not_the_picture(
    before: list[dict[str, Any]],
    between: str,
    piece: int,
    turn: Callable[[dict[str, Any]], dict[str, Any]],
    api: ImagesApi,
    backend: ApiBackend,
    report: DiskReport,
) -> None:
    previews = (turn(event(PARTIAL, png(8, 8, seed=index), partial_image_index=index)) for index in range(2))
    play = lines(*before, *previews, turn(event(COMPLETED, usage=USED)), piece=piece, between=between)
    assert await drawn(api, backend, report, play) == [MADE]
    assert report.known["usage"] == USED


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("form", ["lines", "events"])
async def test_what_is_wrapped_in_its_name_goes_by_it(
    form: str, listed: bool, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    pictures = [{"b64_json": base64.b64encode(data).decode()} for data in (BLURRED, MADE)]
    data: list[Any] = [[each] for each in pictures] if listed else [*pictures]
    events = {"event": PARTIAL, "data": data[0]}, {"event": COMPLETED, "data": data[1]}
    assert await drawn(api, backend, report, (lines if form == "lines" else told)(*events)) == [MADE]


@pytest.mark.parametrize("form", ["application/json", "text/event-stream"])
async def test_pictures_in_a_list_without_a_comma_are_both_saved(
    form: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = [MADE, png(64, 64, seed=4)]
    items = "\n".join(json.dumps({"b64_json": base64.b64encode(each).decode()}) for each in made)
    text = f'{{"data": [{items}]}}'
    text = text if form == "application/json" else "data: " + text.replace("\n", "\ndata: ") + "\n\n"
    api.play(said(text, form))
    with anyio.fail_after(20), contextlib.suppress(ImageError):
        await backend.generate(ask(quality="low", n=2), report)
    assert report.pictures == made


@pytest.mark.parametrize("form", ["application/json", "text/event-stream"])
async def test_what_cannot_be_told_apart_loses_no_picture(
    form: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    """One quote too many, and nobody knows any more where a text ends."""
    preview = json.dumps(event(PARTIAL, BLURRED, prompt="@")).replace("@", '5" wide')
    text = f"{preview}{json.dumps(event(COMPLETED))}"
    api.play(said(text if form == "application/json" else f"data: {text}\n\n", form))
    with anyio.fail_after(20), contextlib.suppress(ImageError):
        await backend.generate(ask(quality="high"), report)
    assert MADE in report.pictures


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/event-stream"])
async def test_nothing_in_a_page_is_the_picture(
    content_type: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    logo = api.file("/logo.png", raw(200, BLURRED, {"content-type": "image/png"}))
    font = base64.b64encode(png(64, 64, size=5000)).decode()
    style = f"a{{}}\n[hidden]{{}}\n{{src:url(data:font/woff2;base64,{font})}}"
    page = f'<html><style>{style}</style><script>x={{"url":"{logo}"}}</script>'
    with pytest.raises(ImageError) as caught:
        await drawn(api, backend, report, said(page, content_type))
    assert (caught.value.code, caught.value.spent, report.pictures) == ("service_error", "unknown", [])
    assert [request.method for request in api.log] == ["POST"]


@pytest.mark.parametrize("end", ["ended", "cut"])
async def test_nor_is_one_that_nothing_follows(
    end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    with pytest.raises(ImageError) as caught:
        await drawn(api, backend, report, lines(event(PARTIAL, BLURRED), end=end))
    assert (caught.value.code, caught.value.spent, report.pictures) == ("network", "unknown", [])


async def test_of_several_pictures_in_lines_of_json_each_is_saved(
    api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    made = [png(64, 64, seed=seed) for seed in range(3)]
    play = lines(*(event(COMPLETED, each, usage=USED) for each in made))
    assert await drawn(api, backend, report, play, quality="low", n=3) == made
    assert report.known["usage"]["output_tokens"] == 300


@pytest.mark.parametrize("beside", [{"type": "queued"}, {"done": True}, {"error": None}], ids=str)
@pytest.mark.parametrize("first", [True, False])
async def test_an_answer_that_is_one_line_of_several_is_read_as_it_is(
    first: bool, beside: dict[str, Any], api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    answer = {"created": 7, "data": [{"b64_json": base64.b64encode(MADE).decode()}], "usage": USED}
    assert await drawn(api, backend, report, lines(*([answer, beside] if first else [beside, answer]))) == [MADE]
    assert (report.known["usage"], report.known["openai_created"]) == (USED, 7)


@pytest.mark.parametrize("end", ["ended", "cut"])
async def test_a_picture_alone_in_its_object_is_the_picture(
    end: str, api: ImagesApi, backend: ApiBackend, report: DiskReport
) -> None:
    answer = {"b64_json": base64.b64encode(MADE).decode(), "created": 7}
    assert await drawn(api, backend, report, lines(answer, end=end)) == [MADE]
    assert "warnings" not in report.known


@pytest.mark.parametrize("piece", [1, 3, 1 << 16])
async def test_braces_in_words_end_no_json(piece: int, api: ImagesApi, backend: ApiBackend, report: DiskReport) -> None:
    item = {"revised_prompt": "{a} {b}\n{c}", "b64_json": base64.b64encode(MADE).decode()}
    text = json.dumps({"data": [item], "usage": USED}, indent=1).replace("\n", "\r\n")
    play = in_turn(*(text[at : at + piece].encode() for at in range(0, len(text), piece)), kind="application/json")
    assert await drawn(api, backend, report, play) == [MADE]
    assert report.known["revised_prompt"] == item["revised_prompt"]
