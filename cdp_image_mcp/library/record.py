"""The record of one generation: what stands in ``metadata.json`` from before the prompt is sent until the end."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.request import FINAL_STATES, BackendName, ImageRequest, SavedImage, State
from cdp_image_mcp.system.owner import Owner

__all__ = ["Failure", "Record", "Timings", "epoch", "new_record", "now", "request_of"]


def now() -> str:
    """The local time with offset, ISO 8601 to the millisecond."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def epoch(at: str | None) -> float:
    """Seconds since the epoch of an ISO 8601 time; 0 for what is none."""
    try:
        return datetime.fromisoformat(at or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


class Failure(msgspec.Struct, frozen=True):
    """Why picture ``index`` (from 1) is missing in a partial result."""

    index: int
    code: str
    message: str


class Timings(msgspec.Struct):
    """Seconds spent in each part; a part that was not reached stays 0."""

    queue: float = 0.0
    browser: float = 0.0
    submit: float = 0.0
    generate: float = 0.0
    save: float = 0.0


class Record(msgspec.Struct, kw_only=True):
    """``metadata.json``. The seed's keys (backend, model, mode, prompt, created_at, usage, images,
    session_reused, conversation_mode, profile_dir) keep their names; signed addresses, cookies, tokens and e-mail
    addresses have no place here. Unknown keys of a newer version are ignored when read.
    """

    version: Literal[1] = 1
    generation_id: str
    """32 hexadecimal digits."""
    state: State = "queued"
    requested_backend: str
    backend: BackendName
    fallback_from: str | None = None
    fallback_reason: str | None = None
    model: str | None = None
    mode: str | None = None
    prompt: str
    sent_prompt: str | None = None
    created_at: str
    updated_at: str
    finished_at: str | None = None
    request: dict[str, Any] = {}
    """What was asked beside the prompt, in the tool's own words (paths of references included)."""
    fingerprint: str
    """SHA-256 of prompt, parameters and reference bytes: what makes two requests identical."""
    fetched: bool = False
    """Whether a call was answered with the end of this generation; until then an identical call joins it."""
    owner: Owner | None = None
    submitted: Fact = False
    spent: Fact = False
    conversation_mode: Literal["new", "continue"] = "new"
    conversation_id: str | None = None
    conversation_url: str | None = None
    session_reused: bool | None = None
    profile_dir: str | None = None
    openai_created: int | None = None
    usage: dict[str, Any] | None = None
    cost_usd: float | None = None
    images: list[SavedImage] = []
    sources: list[dict[str, str]] = []
    """For each image the ids it was recognised by (``file_id``)."""
    failures: list[Failure] = []
    error: dict[str, Any] | None = None
    """`ImageError.as_dict()` of the failure that ended it."""
    facts: dict[str, Any] = {}
    """Everything else a back end stored: message ids, browser mode, quota seen."""
    timings: Timings = msgspec.field(default_factory=Timings)
    elapsed_seconds: float = 0.0

    @property
    def finished(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def on_web(self) -> bool:
        return self.backend == "chatgpt-web"

    @property
    def collectable(self) -> bool:
        """Whether the site may hold pictures of this generation that were never fetched."""
        return (
            self.on_web
            and self.state == "interrupted"
            and self.submitted is not False
            and not self.facts.get("given_up")
        )

    @property
    def timed_out(self) -> bool:
        """Whether its time was over; the site may have been drawing still."""
        return (self.error or {}).get("code") == "timeout"

    def failure(self) -> ImageError | None:
        """The error that ended this generation, as it was raised."""
        return ImageError.from_dict(self.error) if self.error else None


def new_record(
    generation_id: str, request: ImageRequest, *, requested: str, asked: dict[str, Any], mark: str
) -> Record:
    """The record of a generation just accepted; ``asked`` are the tool's arguments, ``mark`` the fingerprint."""
    at = now()
    return Record(
        generation_id=generation_id,
        requested_backend=requested,
        backend=request.backend,
        prompt=request.prompt,
        created_at=at,
        updated_at=at,
        request=asked,
        fingerprint=mark,
        conversation_mode=request.conversation_mode,
    )


def request_of(record: Record) -> ImageRequest:
    """The request as far as collecting needs it; reference files are not looked at again."""
    asked = record.request
    return msgspec.structs.replace(
        ImageRequest(prompt=record.prompt, backend=record.backend),
        n=asked.get("n", 1),
        size=asked.get("size", "auto"),
        output_format=asked.get("output_format", "png"),
        background=asked.get("background", "auto"),
        conversation_mode=record.conversation_mode,
        timeout_seconds=float(asked.get("timeout_seconds", 420)),
    )
