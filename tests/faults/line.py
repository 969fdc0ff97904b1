"""The line to the stand-in of the images API: what becomes of each request, decided beforehand or at a moment."""

import asyncio
import base64
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fixtures.images_api import ImagesApi, Play, Request, Response, draw, error, html_page, png, stream

REFUSALS: dict[str, Play] = {
    "429": error("rate", {"retry-after-ms": "200"}),
    "500": error("server"),
    "503": error("overloaded"),
}
"""Turned away before any body: nothing is paid, and it may be sent again."""

TROUBLES = (
    *REFUSALS,
    *("gateway gave up", "cut before", "cut at the headers", "cut within", "cut after", "stream dropped"),
    *("stalled before", "stalled within", "silent before", "silent within"),
)
STALL_SECONDS = 1.5
SIZES = (40_000, 150_000)


def odd_bytes(chance: random.Random) -> bytes:
    """What relays answer now and then: a GIF, a PNG with one odd checksum, a format nobody here knows."""
    mark = chance.randbytes(64)
    gif = (
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0\x21\xfe\x40"
        + mark
        + b"\0;"
    )
    text = b"\0\0\0\x44tEXtby\0s" + mark + b"\0\0\0\0"
    plain = png(256, 256, seed=chance.randrange(1 << 20))
    return chance.choice([gif, plain[:33] + text + plain[33:], b"\0\0\0\x1cftypheic" + mark])


class _Wire(Response):
    """An answer on a bad line. Counts what left, and breaks where ``trouble`` says."""

    def __init__(self, response: Response, trouble: str, at: int) -> None:
        super().__init__(*response.ends)
        self._trouble = trouble
        self._at = at
        self._loop = asyncio.get_running_loop()
        self._writer = response.ends[1]
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self.body = bytearray()
        """What the other side gets to read, if it reads."""

    async def start(self, status: int, headers: dict[str, str], length: int | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        match self._trouble:
            case "cut before":
                self.break_off()
            case "stalled before":
                await asyncio.sleep(STALL_SECONDS)
            case "silent before":
                await self.fall_silent()
            case _:
                pass
        await self._goes_on.wait()
        await super().start(status, headers, length)
        if self._trouble == "cut at the headers":
            self.break_off()

    async def send(self, data: bytes) -> None:
        here = self._at - len(self.body)
        if self._trouble.endswith("within") and 0 <= here < len(data):
            await self._pass_on(data[:here])
            data = data[here:]
            match self._trouble:
                case "cut within":
                    self.break_off()
                case "silent within":
                    await self.fall_silent()
                case _:
                    await asyncio.sleep(STALL_SECONDS)
        await self._pass_on(data)

    async def end(self) -> None:
        if self._trouble == "cut after":
            # The whole body, and then the line is gone before the answer has its proper end.
            self.open = False
            return
        await super().end()

    async def _pass_on(self, data: bytes) -> None:
        await self._goes_on.wait()
        if self._writer.is_closing():
            raise ConnectionAbortedError
        await super().send(data)
        self.body += data

    def break_off(self) -> None:
        """Cut the connection here. Raises ConnectionAbortedError."""
        self.cut()
        raise ConnectionAbortedError

    def cut(self) -> None:
        # What the kernel has is delivered; what still waits in this process is not.
        if waiting := self._writer.transport.get_write_buffer_size():
            del self.body[-waiting:]
        super().cut()

    async def fall_silent(self) -> None:
        await self.silence()
        raise ConnectionAbortedError

    def cut_from_outside(self) -> None:
        """From another thread."""
        self._loop.call_soon_threadsafe(self.cut)

    def stall_from_outside(self) -> None:
        """From another thread: nothing more for a while, then it goes on."""

        def stall() -> None:
            self._goes_on.clear()
            self._loop.call_later(STALL_SECONDS, self._goes_on.set)

        self._loop.call_soon_threadsafe(stall)


@dataclass
class Asked:
    """One request as it came to the stand-in."""

    prompt: str
    trouble: str
    pictures: list[bytes] = field(default_factory=list[bytes])
    """What was drawn for it: what the account pays for. Empty when it was turned away."""
    may_be_paid: bool = False
    wire: _Wire | None = None

    def whole(self) -> list[bytes]:
        """The pictures of which every byte was sent."""
        body = bytes(self.wire.body) if self.wire is not None else b""
        return [picture for picture in self.pictures if base64.b64encode(picture) + b'"' in body]


@dataclass
class _Expected:
    troubles: deque[str]
    chance: random.Random
    slow: float = 0.0
    """Seconds more that the first picture takes."""
    odd: bool = False
    """Whether pictures are of formats that nobody asked for, or of none that anybody knows."""


class Line:
    """Plays for the stand-in, by prompt. Its plays run in the stand-in's thread, everything else in the caller's."""

    def __init__(self, api: ImagesApi) -> None:
        self.url = api.url
        self.asked: list[Asked] = []
        self._expected: dict[str, _Expected] = {}
        self._open: set[_Wire] = set()
        self._seeds = itertools.count(1)
        api.always = self._play

    def expect(self, prompt: str, troubles: Sequence[str], seed: int, *, slow: float = 0.0, odd: bool = False) -> None:
        """What becomes of the requests for ``prompt``, one after the other; of all after those: nothing bad."""
        self._expected[prompt] = _Expected(deque(troubles), random.Random(seed), slow, odd)

    def mend(self) -> None:
        """Nothing bad any more."""
        for expected in self._expected.values():
            expected.troubles.clear()

    def of(self, prompt: str) -> list[Asked]:
        """The requests for ``prompt`` so far."""
        return [asked for asked in self.asked if asked.prompt == prompt]

    def cut(self) -> bool:
        """Cut all connections on which an answer is awaited; False when there is none."""
        return self._each(_Wire.cut_from_outside)

    def stall(self) -> bool:
        """Let all of them fall silent for a while."""
        return self._each(_Wire.stall_from_outside)

    def _each(self, meddle: Callable[[_Wire], None]) -> bool:
        wires = list(self._open)
        for wire in wires:
            meddle(wire)
        return bool(wires)

    async def _play(self, request: Request, response: Response) -> None:
        fields = request.fields()
        expected = self._expected[str(fields["prompt"])]
        trouble = expected.troubles.popleft() if expected.troubles else "none"
        asked = Asked(str(fields["prompt"]), trouble)
        self.asked.append(asked)
        if (refusal := REFUSALS.get(trouble)) is not None:
            await refusal(request, response)
            return
        chance = expected.chance
        asked.may_be_paid = True
        asked.pictures = [
            odd_bytes(chance) if expected.odd else png(256, 256, size=chance.choice(SIZES), seed=next(self._seeds))
            for _ in range(int(fields.get("n", 1)))
        ]
        expected.slow, slow = 0.0, expected.slow
        await asyncio.sleep(slow)
        if trouble == "gateway gave up":
            await asyncio.sleep(chance.uniform(0.0, 1.5))
            await html_page(524)(request, response)
            return
        at = chance.randrange(sum(4 * len(picture) // 3 for picture in asked.pictures))
        wire = asked.wire = _Wire(response, trouble, at)
        self._open.add(wire)
        try:
            await asyncio.sleep(chance.uniform(0.0, 1.5))
            await _answer(fields.get("stream") is True, asked, chance)(request, wire)
        finally:
            self._open.discard(wire)
            response.open = wire.open


def _answer(streamed: bool, asked: Asked, chance: random.Random) -> Play:
    piece, pause = 8192, chance.choice([0.0, 0.01, 0.03])
    if streamed:
        dropped = asked.trouble == "stream dropped"
        return stream(asked.pictures[0], piece=piece, pause=pause, cut_after_partials=dropped)
    stop_after = None
    if asked.trouble == "stream dropped":
        stop_after = chance.randrange(4 * len(asked.pictures[0]) // 3)
    return draw(asked.pictures, piece=piece, pause=pause, stop_after=stop_after)
