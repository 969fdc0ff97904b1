"""The record of one generation: what stands in ``metadata.json`` from before the prompt is sent until the end."""

import json
import math
import re
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import msgspec

from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.request import FINAL_STATES, BackendName, ImageRequest, SavedImage, State
from cdp_image_mcp.system.day import local_now

VERSION = 1
CLOCK_SLACK = 120.0
"""Seconds by which the clocks of machines that share a folder may differ."""
SURROGATE = re.compile("[\ud800-\udfff]")


def now() -> str:
    """The local time with offset, ISO 8601 to the millisecond."""
    return local_now().isoformat(timespec="milliseconds")


def epoch(at: str | None) -> float:
    """Seconds since the epoch of an ISO 8601 time; 0 for what is none."""
    try:
        return datetime.fromisoformat(at or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that works on a generation: alive as long as ``token`` is present. The rest is for people. Records
    of before 2026-11-27 have no token, and nobody works on them any more."""

    token: str = ""
    pid: int
    started: float
    """When it began with the library, epoch seconds."""
    host: str


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
    addresses have no place here. Unknown keys of a newer program are kept as they are.
    """

    version: int = VERSION
    generation_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
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
    session: str | None = None
    """Token of the process whose client asked for it."""
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
    """What the answers said, or what their usage comes to."""
    booked_usd: float | None = None
    """The same with the worst case for each request whose cost nobody told; the day's budget counts by it."""
    reserved_usd: float = 0.0
    """What requests that are out, or about to go out, may cost beside that."""
    over_time: bool = False
    """Its time was over while it was being paid for: it goes on, and nothing more is sent for it."""
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
    rest: dict[str, Any] = {}
    """No key of the file: what stands in it beside what this program knows."""

    @property
    def finished(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def on_web(self) -> bool:
        return self.backend == "chatgpt-web"

    @property
    def sent_by(self) -> tuple[str | None, object]:
        """The browser profile, and the account that was signed in to it; nothing where that is not known."""
        return self.profile_dir, self.facts.get("account")

    @property
    def at_site(self) -> bool:
        """Whether the site may hold, or make, pictures of it that are not here: its last turn was not seen to end."""
        out = self.submitted is not False and self.facts.get("turn_pressed") is not False
        return self.on_web and out and not self.facts.get("given_up")

    @property
    def collectable(self) -> bool:
        """Whether it ended while the site may hold pictures of it that were never fetched."""
        return self.state == "interrupted" and self.at_site

    @property
    def left_at(self) -> float:
        """Seconds since the epoch at which it was left as it is: its end or, since each try to collect it ends anew,
        the press of send."""
        pressed = epoch(str(self.facts.get("submitted_at", ""))) if self.collectable else 0.0
        return pressed or self.ended_at

    @property
    def sent_at(self) -> float:
        """Seconds since the epoch at which its last prompt went out; where nobody noted that, it was accepted."""
        return epoch(str(self.facts.get("submitted_at", ""))) or epoch(self.created_at)

    @property
    def ended_at(self) -> float:
        """Seconds since the epoch at which it ended, or was written last."""
        return epoch(self.finished_at or self.updated_at)

    @property
    def seen_at(self) -> float:
        """Seconds since the epoch from which on its pictures are before whoever asked for them. What was taken up, and
        told to nobody yet, came behind calls about others: it is as old as its prompt."""
        unseen = self.facts.get("taken_up") and not self.fetched
        return min(self.sent_at, self.ended_at) if unseen else self.ended_at

    @property
    def end(self) -> tuple[str, str | None]:
        """Which end of a generation this tells of; one that is collected later has another one then."""
        return self.generation_id, self.finished_at

    def failure(self) -> ImageError | None:
        """The error that ended this generation, as it was raised; a wait counts from now, in whole seconds, since the
        moment that ends it is known to the second."""
        if not self.error:
            return None
        error = ImageError.from_dict(self.error)
        if error.retry_after_seconds is not None and (until := epoch(str(error.reset_at))):
            error.retry_after_seconds = max(0, math.ceil(until - epoch(now())))
        return error


def new_record(generation_id: str, request: ImageRequest, *, requested: str, asked: dict[str, Any]) -> Record:
    """The record of a generation just accepted; ``asked`` are the tool's arguments."""
    at = now()
    return Record(
        generation_id=generation_id,
        requested_backend=requested,
        backend=request.backend,
        prompt=request.prompt,
        created_at=at,
        updated_at=at,
        request=asked,
        fingerprint=request.fingerprint,
        conversation_mode=request.conversation_mode,
    )


def counted(record: Record) -> Record:
    """What the limits of the day count of it, and none of its words: it is kept for longer than the record may be."""
    asked, facts = record.request, record.facts
    return Record(
        generation_id=record.generation_id,
        state=record.state,
        requested_backend=record.requested_backend,
        backend=record.backend,
        prompt="",
        created_at=record.created_at,
        updated_at=record.updated_at,
        finished_at=record.finished_at,
        request={"n": asked["n"]} if "n" in asked else {},
        fingerprint="",
        owner=record.owner,
        submitted=record.submitted,
        spent=record.spent,
        cost_usd=record.cost_usd,
        booked_usd=record.booked_usd,
        reserved_usd=record.reserved_usd,
        images=[msgspec.structs.replace(image, path="") for image in record.images],
        facts={name: fact for name, fact in facts.items() if isinstance(fact, bool) or name.endswith("_at")},
    )


def request_of(record: Record) -> ImageRequest:
    """The request as far as collecting needs it; reference files are not looked at again."""
    asked = record.request
    wishes = {name: asked[name] for name in ("n", "size", "output_format", "background") if name in asked}
    return ImageRequest(
        prompt=record.prompt,
        backend=record.backend,
        conversation_mode=record.conversation_mode,
        timeout_seconds=float(asked.get("timeout_seconds", 420)),
        **wishes,
    )


def encode_record(record: Record) -> bytes:
    """The sidecar's bytes: UTF-8, indented by 2. Text from a page may hold half characters; they become U+FFFD."""
    tree = msgspec.to_builtins(record, enc_hook=str)
    tree = _over(tree.pop("rest"), tree)
    try:
        data = msgspec.json.encode(tree)
    except UnicodeEncodeError:
        data = msgspec.json.encode(json.loads(SURROGATE.sub("\ufffd", json.dumps(tree, ensure_ascii=False))))
    return msgspec.json.format(data, indent=2)


class ForeignError(msgspec.ValidationError):
    """Another program's file: each record of ours, of whatever version, has an id."""


def decode_record(data: bytes) -> Record:
    """Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError for bytes that are no record this program may
    change: garbled, of a newer version, or a ForeignError."""
    tree = msgspec.json.decode(data, type=dict[str, Any])
    if "generation_id" not in tree:
        raise ForeignError("it has no generation_id")
    if isinstance(version := tree.get("version"), int) and version > VERSION:
        raise msgspec.ValidationError(f"it was written by a newer version of this program, in form {version}")
    record = msgspec.convert(tree, Record)
    record.rest = _unknown(tree, Record)
    for name, kind in (("images", SavedImage), ("failures", Failure)):
        if any(unknown := [_unknown(each, kind) for each in tree.get(name, [])]):
            record.rest[name] = unknown
    if timings := _unknown(tree.get("timings", {}), Timings):
        record.rest["timings"] = timings
    return record


def _unknown(tree: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in kind.__struct_encode_fields__}


def _over(below: Any, above: Any) -> Any:
    """``above`` with what only ``below`` has."""
    if isinstance(below, dict) and isinstance(above, dict):
        under, over = cast("dict[str, Any]", below), cast("dict[str, Any]", above)
        return under | {name: _over(under.get(name), value) for name, value in over.items()}
    if isinstance(below, list) and isinstance(above, list):
        under, over = cast("list[Any]", below), cast("list[Any]", above)
        return [_over(under[at] if at < len(under) else None, value) for at, value in enumerate(over)]
    return above
