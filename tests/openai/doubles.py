"""The back end's two neighbours, in memory: the report that keeps what it is told, and the ledger."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.request import BackendName, ImageRequest, SavedImage, WorkState

__all__ = ["KEY", "MemoryLedger", "MemoryReport", "ask", "no_jitter"]

KEY = "sk-proj-Never0Show1This2Key3Anywhere4"
"""What no log line, error, record or crash may hold."""


def ask(prompt: str = "a red fox", **fields: Any) -> ImageRequest:
    """A request with defaults for everything that a test does not speak about."""
    return ImageRequest(prompt=prompt, backend="api", **fields)


def no_jitter(most: float) -> float:
    """Tests wait as long as the server says and not longer."""
    del most
    return 0.0


class Rested(msgspec.Struct, frozen=True):
    code: str
    reset_at: str


class Day(msgspec.Struct, frozen=True):
    granted: bool
    spent: float
    under_way: float


class MemoryLedger:
    """A ledger that forgets with the process."""

    def __init__(self, spent: float = 0.0) -> None:
        self.spent = spent
        self.lines: list[tuple[float, dict[str, Any] | None]] = []
        self.rest: Rested | None = None
        self.held: dict[str, float] = {}

    async def spent_today(self) -> float:
        return self.spent

    async def spend(self, usd: float, usage: dict[str, Any] | None = None) -> None:
        self.spent += usd
        self.lines.append((usd, usage))

    async def reserve(self, generation_id: str, usd: float, budget: float) -> Day:
        under_way = sum(self.held.values())
        granted = self.spent + under_way + usd <= budget and self.spent < budget
        if granted:
            self.held[generation_id] = usd
        return Day(granted, self.spent, under_way)

    async def release(self, generation_id: str) -> None:
        self.held.pop(generation_id, None)

    async def rest_until(self, backend: BackendName, code: str, reset_at: str) -> None:
        assert backend == "api"
        self.rest = Rested(code, reset_at)

    async def resting(self, backend: BackendName) -> Rested | None:
        assert backend == "api"
        return self.rest

    async def clear_rest(self, backend: BackendName) -> None:
        assert backend == "api"
        self.rest = None


class MemoryReport:
    """Keeps everything it is told, in order."""

    def __init__(self) -> None:
        self.generation_id = secrets.token_hex(16)
        self.stop_wanted = False
        self.states: list[str] = []
        self.known: dict[str, Any] = {}
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.sentences: list[str] = []
        self.pictures: list[bytes] = []
        self.sources: list[Mapping[str, str] | None] = []
        self.previews: list[tuple[int, bytes]] = []
        self.fail_saves: ImageError | None = None

    @property
    def images(self) -> tuple[SavedImage, ...]:
        return tuple(
            SavedImage(
                path=f"/pictures/image-{number:02}.png",
                mime_type="image/png",
                width=1,
                height=1,
                bytes=len(data),
                sha256="0" * 64,
                alpha=False,
                c2pa=False,
            )
            for number, data in enumerate(self.pictures, 1)
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.known

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        msgspec.json.encode(facts)  # what cannot be written as JSON cannot be recorded
        self.states.append(state)
        self.history.append((state, facts))
        self.known |= facts

    def progress(self, message: str) -> None:
        self.sentences.append(message)

    async def save(self, data: bytes, /, *, source: Mapping[str, str] | None = None) -> SavedImage:
        if self.fail_saves is not None:
            raise self.fail_saves
        if not data.startswith(b"\x89PNG"):
            raise ImageError("service_error", "What arrived is no whole picture.")
        self.pictures.append(data)
        self.sources.append(source)
        return self.images[-1]

    async def save_partial(self, data: bytes, index: int, /) -> None:
        self.previews.append((index, data))

    background = False

    def may_send(self) -> None:
        return

    async def complete(self) -> None:
        raise AssertionError("an answer of the API brings everything at once")

    async def taken_ids(self) -> frozenset[str]:
        raise AssertionError("the API collects nothing later")

    async def waiting_for_person(self) -> None:
        raise AssertionError("the API never waits for a person")
