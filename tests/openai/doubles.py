"""The back end's neighbour as it is in the product, on disk; what it was told is kept beside that, in order."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.folder import Folder, new_folder
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.record import new_record
from cdp_image_mcp.openai.backend import ApiBackend
from cdp_image_mcp.request import ImageRequest, Reference, SavedImage, WorkState
from cdp_image_mcp.studio.jobs.job import Job

KEY = "sk-proj-Never0Show1This2Key3Anywhere4"
"""What no log line, error, record or crash may hold."""


def ask(prompt: str = "a red fox", **fields: Any) -> ImageRequest:
    """A request with defaults for everything that a test does not speak about."""
    return ImageRequest(prompt=prompt, backend="api", **fields)


def reference(folder: Path, data: bytes, name: str = "") -> Reference:
    """A checked picture on disk."""
    digest = hashlib.sha256(data).hexdigest()
    path = folder / (name or f"{digest[:8]}.png")
    path.write_bytes(data)
    facts = inspect(data)
    return Reference(path, facts.mime_type, facts.width, facts.height, len(data), digest, facts.alpha)


def no_jitter(_most: float) -> float:
    """Tests wait as long as the server says and not longer."""
    return 0.0


class Alone:
    """A job that nobody else's generations meet: nothing is set aside from them."""

    async def end_done(self, _job: Job, /) -> None:
        raise AssertionError("an answer of the API brings everything at once")

    async def taken(self, _generation_id: str, /) -> frozenset[str]:
        raise AssertionError("the API collects nothing later")

    async def reserve(self, _job: Job, _usd: float, /) -> None:
        return


class DiskReport(Job):
    """A real job in a folder of its own below ``place``."""

    def __init__(self, place: Path) -> None:
        record = new_record(secrets.token_hex(16), ask(), requested="api", asked={})
        path, _ = new_folder(place, record)
        super().__init__(ask(), record, Folder(path), Alone())
        self.states: list[str] = []
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.sentences: list[str] = []
        self.fail_saves: ImageError | None = None
        self.limit = 420.0
        """Seconds that are left of the generation's time."""

    @property
    def pictures(self) -> list[bytes]:
        return [Path(image.path).read_bytes() for image in self.images]

    @property
    def time_left(self) -> float:
        return self.limit

    @property
    def unclear_usd(self) -> float:
        """Dollars that are counted because nobody told what it cost."""
        return (self.record.booked_usd or 0.0) - (self.record.cost_usd or 0.0)

    @property
    def known(self) -> Mapping[str, Any]:
        return self.facts

    @property
    def sources(self) -> list[dict[str, str]]:
        return self.record.sources

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        self.states.append(state)
        self.history.append((state, facts))
        await super().state(state, **facts)

    def progress(self, message: str) -> None:
        self.sentences.append(message)

    async def save(
        self, data: bytes, /, *, source: Mapping[str, str] | None = None, ends: Mapping[str, Any] | None = None
    ) -> SavedImage:
        if self.fail_saves is not None:
            raise self.fail_saves
        return await super().save(data, source=source, ends=ends)


MakeBackend = Callable[..., ApiBackend]
MakeReport = Callable[[], DiskReport]


def settings(**fields: Any) -> Settings:
    return Settings(output_dir=Path("/o"), profile_dir=Path("/p"), **fields)
