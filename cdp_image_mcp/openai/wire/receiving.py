"""From an answer's bytes to pictures, usage and facts, whether it is one JSON text or a stream of events."""

import contextlib
from collections import deque
from collections.abc import Callable

import anyio

from cdp_image_mcp.openai.refusals.failures import Failure, clean
from cdp_image_mcp.openai.wire.answer import DRAIN, Answer
from cdp_image_mcp.openai.wire.exchange import BrokenError, Reply
from cdp_image_mcp.openai.wire.forms import fields_of, items_of, listed_in, parsed, wrong_in
from cdp_image_mcp.openai.wire.pictures import AnswerError, PictureReader
from cdp_image_mcp.openai.wire.stream import Begun, Stream
from cdp_image_mcp.system.events import JsonReader
from cdp_image_mcp.system.tasks import shielded

LONGEST_ERROR = 1024 * 1024
EVENTS = (b":", b"data:", b"event:", b"id:", b"retry:")
"""How the lines of an event stream begin; a comment has no name."""


async def read_answer(reply: Reply, answer: Answer, begun: Callable[[], None]) -> Failure | None:
    """Read a whole answer; why there is none. ``begun`` is called when the first bytes of a success have come. Raises
    :class:`BrokenError` when it ends too early; what came before was handed on."""
    success, begin = reply.success, b""
    try:
        begin = await reply.first()
    except BrokenError:
        if success:
            raise
    if begin and success:
        begun()
    # Relays send events under a JSON type and JSON where events were asked (exo PR#1328, mistral-vibe PR#774, 2026).
    told = success and "event-stream" in reply.headers.get("content-type", "").lower()
    streamed = any(begin.startswith(each) or each.startswith(begin) for each in EVENTS) if begin else told
    # Only what begins as JSON: a page has brackets, too, and nothing in it is an answer.
    texts = JsonReader() if begin.startswith((b"{", b"[")) else None
    if success:
        return await (Stream(reply, answer).read() if streamed else _read_json(reply, answer, texts))
    if not streamed:
        return await _read_error(reply, answer, texts)
    with contextlib.suppress(BrokenError):
        return await Stream(reply, answer).read()
    return answer.judge(reply, None)


async def _read_error(reply: Reply, answer: Answer, texts: JsonReader | None) -> Failure | None:
    """What a refusal means. A picture where answers have theirs is no less paid for its status: then there is none, as
    of an answer. What it says back of the request is no picture of its own."""
    reader, body = PictureReader(), None
    with contextlib.suppress(BrokenError, AnswerError):  # status and headers are enough to judge by
        await _fill_once(reader, reply, texts)
    with contextlib.suppress(AnswerError):
        body = reader.finish()
    answer.verdict = answer.judge(reply, body, reader.text(LONGEST_ERROR))
    tree = fields_of(body)
    items = [piece for piece in reader.pieces() if "b64_json" in piece] if tree is None else listed_in(tree)
    if not any(item.get("b64_json") or item.get("url") for item in items):
        return answer.verdict
    await answer.finished(tree or {}, reader, items)
    return None if answer.found else answer.verdict


async def _fill_once(reader: PictureReader, reply: Reply, texts: JsonReader | None) -> None:
    """Read to the end, or until :data:`DRAIN` after a JSON is whole: servers that do not end what they answer would be
    waited for as long as any may draw."""
    with anyio.CancelScope() as reading:
        while (piece := await reply.read()) is not None:
            reader.feed(piece)
            if texts is not None and "" in texts.feed(piece):
                texts = None
                if fields_of(reader.so_far()) is not None:
                    reading.deadline = anyio.current_time() + DRAIN


async def _fill(reader: PictureReader, reply: Reply, answer: Answer, texts: JsonReader | None) -> Begun | None:
    """The same for what may hold all the pictures that are wanted. They go to ``answer`` as they come, until it turns
    out to be the first of several JSON texts, or an event as these are."""
    whole = False
    with anyio.CancelScope() as reading:
        while (piece := await reply.read()) is not None:
            before = whole
            tokens = deque(texts.feed(piece) if texts is not None else [piece])
            while tokens:
                if texts is not None and (whole or reader.is_event):
                    return Begun(texts, reader, ["", *tokens] if whole else [*tokens])
                if isinstance(token := tokens.popleft(), str):
                    whole = True
                    continue
                reader.feed(token)
            if texts is not None and reader.is_event:
                return Begun(texts, reader, [""] if whole else [])
            await answer.take(reader)
            tree = fields_of(reader.so_far()) if whole and not before else None
            if tree is not None and max(answer.pictures, len(listed_in(tree))) >= answer.wanted:
                reading.deadline = anyio.current_time() + DRAIN
    return None


async def _read_json(reply: Reply, answer: Answer, texts: JsonReader | None) -> Failure | None:
    reader = PictureReader()
    broken: BrokenError | None = None
    try:
        begun = await _fill(reader, reply, answer, texts)
    except BrokenError as error:
        broken, (tree, why) = error, parsed(reader)
    except AnswerError as fault:
        tree, why = None, str(fault)
    except anyio.get_cancelled_exc_class():
        parsed(reader)
        with shielded():
            await answer.salvage(reader)
        raise
    else:
        if begun is not None:
            return await Stream(reply, answer, begun).read()
        tree, why = parsed(reader)
    if tree is None:
        # A 200 that is no answer. Pictures that came before it broke, or were named, are kept and counted.
        await answer.salvage(reader)
        if broken is not None:
            raise broken
        if answer.found:
            answer.faults.append(f"the answer cannot be read to its end: {why}")
            return None
        verdict = answer.judge(reply, None, reader.text())
        verdict.error.message = f"The API's answer cannot be read: {why}."
        return verdict
    items = items_of(tree, reader)
    if (wrong := wrong_in(tree, items)) is not None:
        answer.verdict = answer.judge(reply, wrong)
        if not (answer.pictures or answer.brings(reader, items)):
            return answer.verdict
    await answer.finished(tree, reader, items)
    if not answer.given:
        answer.faults.append(f"it says {clean(reader.text(), answer.key, 300)}")
    return None
