"""Answers whose server falls silent and does not end them: what silence is the end, and what is the network's."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from cdp_image_mcp.openai.refusals.failures import Failure
from cdp_image_mcp.openai.wire.answer import Answer
from cdp_image_mcp.openai.wire.exchange import Reply
from cdp_image_mcp.openai.wire.receiving import read_answer
from fixtures.images_api import png
from tests.clock import leap
from tests.openai.wire.events import BLOCKED, BLURRED, COMPLETED, LIMIT, MADE, PARTIAL, event

pytestmark = pytest.mark.anyio

JSON = "application/json"
EVENTS = "text/event-stream"
LONGEST = 5000
"""Seconds that nobody waits."""


def said(*events: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events).encode()


async def pieces(parts: Sequence[bytes], silence: float, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[bytes]:
    """These with a silence of so many seconds behind each; whoever waits on after the last has waited in vain."""
    for part in parts:
        yield part
        leap(monkeypatch, silence)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
    leap(monkeypatch, LONGEST)
    await anyio.sleep_forever()


async def read(
    *parts: bytes, silence: float, monkeypatch: pytest.MonkeyPatch, kind: str = EVENTS, wanted: int = 1
) -> tuple[Failure | None, list[bytes], Answer]:
    """What comes of an answer of these parts, the last of which nothing ends."""
    saved: list[bytes] = []

    async def save(data: bytes) -> None:
        saved.append(data)

    request = httpx.Request("POST", "https://api.example/v1/images/generations")
    stream = pieces(parts, silence, monkeypatch)
    response = httpx.Response(200, headers={"content-type": kind}, content=stream, request=request)
    answer = Answer(None, save, wanted)
    with anyio.fail_after(LONGEST):
        failure = await read_answer(Reply(response), answer, lambda: None)
    await stream.aclose()
    return failure, saved, answer


@pytest.mark.parametrize("fault", [LIMIT, BLOCKED], ids=["a limit", "a refusal"])
async def test_an_error_that_nothing_follows_is_the_end_where_its_server_does_not_end_it(
    fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    failure, saved, _ = await read(said(fault), silence=61, monkeypatch=monkeypatch)
    assert failure is not None
    assert (failure.error.code, saved) == ("rate_limited" if fault is LIMIT else "refused", [])


@pytest.mark.parametrize("kind", [COMPLETED, "image.final", ""])
@pytest.mark.parametrize("silence", [50.0, 55.0])
async def test_the_next_channel_of_a_relay_draws_in_silence(
    silence: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = said(LIMIT), said(event(PARTIAL, BLURRED)), said(event(kind)), b": bye\n\n"
    _, saved, _ = await read(*parts, silence=silence, monkeypatch=monkeypatch)
    assert saved == [MADE]


@pytest.mark.parametrize("place", [40, 120, 200])
async def test_a_network_that_stalls_within_a_picture_behind_an_error_is_waited_for(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = said(event(COMPLETED))
    _, saved, answer = await read(said(LIMIT) + whole[:place], whole[place:], silence=500, monkeypatch=monkeypatch)
    assert (saved, answer.warnings) == ([MADE], [])


async def test_a_preview_with_a_number_is_not_taken_for_the_picture_because_of_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbered = event("image.progress", BLURRED, partial_image_index=0)
    failure, saved, _ = await read(said(LIMIT, numbered), silence=61, monkeypatch=monkeypatch)
    assert failure is not None
    assert (failure.error.spent, saved) == ("unknown", [])


@pytest.mark.parametrize("beside", [{}, {"type": "image"}, {"type": COMPLETED}], ids=str)
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("before", [[], [{"type": "queued"}]], ids=str)
async def test_a_whole_json_with_the_picture_is_taken_where_its_server_does_not_end_it(
    before: list[dict[str, Any]], end: str, beside: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second is enough where it is known to be the picture, else the time in which a better one may come."""
    answer = {"b64_json": event("")["b64_json"], **beside}
    text = "\n".join(json.dumps(each) for each in (*before, answer)) + end
    silence = 61 if beside.get("type") == "image" else 1.1
    _, saved, _ = await read(text.encode(), silence=silence, monkeypatch=monkeypatch, kind=JSON)
    assert saved == [MADE]


async def test_a_picture_more_than_asked_is_kept_where_neither_a_blank_line_nor_the_end_comes_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = png(64, 64, seed=4)
    text = said(event(COMPLETED), event(COMPLETED, more)).replace(b"\n\n", b"\n")
    _, saved, _ = await read(text, silence=1.1, monkeypatch=monkeypatch)
    assert saved == [MADE, more]
