"""One picture request on its way down, and what a back end reports on the way up.

A request enters at an edge, is checked, becomes one immutable :class:`ImageRequest` and goes down. A back end
never touches records or folders: it tells the studio what happened through :class:`Report`, whose calls return
only when the news is on disk.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

import msgspec

LONGEST_PROMPT = 32_000
LONGEST_WAIT = 1800
"""Seconds of one call, and of one generation."""
MOST_REFERENCES, MOST_AT_API = 10, 16
"""Pictures that one prompt may show, whichever way it goes, and at the API: the site takes ten attachments (live
2026-08)."""

BackendName: TypeAlias = Literal["api", "chatgpt-web"]

WorkState: TypeAlias = Literal[
    "queued", "starting", "needs_sign_in", "needs_verification", "submitting", "generating", "saving"
]
"""The states a back end may report, in the order they are met; how a generation ended is the studio's to say."""

FinalState: TypeAlias = Literal["saved", "partial", "refused", "failed", "cancelled", "interrupted"]

State: TypeAlias = Literal[WorkState, FinalState]
"""The states of a generation's record."""

PERSON_STATES: frozenset[str] = frozenset(("needs_sign_in", "needs_verification"))
"""A person is needed: a state and not a hang."""

FINAL_STATES: frozenset[State] = frozenset(get_args(FinalState))


class Reference(msgspec.Struct, frozen=True):
    """A reference picture that passed the checks: inside an allowed root, real magic bytes, within limits."""

    path: Path
    mime_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    alpha: bool = False


class AtSite(msgspec.Struct, frozen=True):
    """What the site knows a picture by: the message that asked for it, and its file."""

    message_id: str
    file_id: str


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, checked and complete. Sizes in pixels, times in seconds."""

    prompt: str
    backend: BackendName
    n: int = 1
    size: str = "auto"
    quality: str = "auto"
    output_format: str = "png"
    background: str = "auto"
    output_compression: int | None = None
    complexity: str | None = None
    """How much planning goes before drawing: low, medium or high; None: the model's own."""
    reference_images: tuple[Reference, ...] = ()
    mask: Reference | None = None
    conversation_mode: Literal["new", "continue"] = "new"
    continue_from: str | None = None
    """Id of the earlier generation; set by the studio also when ``conversation_mode`` is ``continue``. Once the turn at
    the site has come: of the one whose prompt went out last into that conversation, None where that is not known."""
    continue_url: str | None = None
    """Web only: address of that generation's conversation."""
    continue_number: int | None = None
    """Web only: which of its pictures is named; None: the site goes on from what it drew last."""
    continue_image: Reference | None = None
    """That generation's picture that is named, by default the first. On the web once the turn at the site has come: it
    is shown there once more, unless it is seen to stand last in its conversation; None where it cannot be read."""
    continue_at: AtSite | None = None
    """Web only: that picture, where it is the last that came of its own generation; None where that is not known."""
    timeout_seconds: float = 420.0
    fingerprint: str = ""
    """What makes two requests the same; see :func:`studio.asked.fingerprint`."""
    most_usd: float = 0.0
    """API: what it may cost at most."""


class SavedImage(msgspec.Struct, frozen=True, kw_only=True, rename={"mime_type": "mimeType"}):
    """One picture on disk, described from its own bytes."""

    path: str
    mime_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    alpha: bool
    c2pa: bool


class Report(Protocol):
    """How a back end tells what happens. Every awaited call is on disk when it returns.

    A back end raises :class:`~cdp_image_mcp.errors.ImageError` to end a generation early. Pictures saved before
    that stay: the studio then ends it as ``partial``.
    """

    @property
    def generation_id(self) -> str:
        """The id of this generation, 32 hexadecimal digits."""
        ...

    @property
    def stop_wanted(self) -> bool:
        """True when the cancellation that is under way was asked for by the user (``cancel_image``): the web back
        end then presses its own turn's stop button; at a shutdown it must not."""
        ...

    @property
    def images(self) -> tuple[SavedImage, ...]:
        """The pictures saved so far, in order."""
        ...

    @property
    def saved_files(self) -> frozenset[str]:
        """The file ids of the pictures saved so far, as :meth:`save` was given them, also before a restart."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Everything stored by :meth:`state` so far, also before a restart."""
        ...

    async def state(self, state: WorkState, /, **facts: Any) -> None:
        """Move to ``state`` and store ``facts`` (JSON values; ``sent_prompt``, ``submitted``, ``spent``, ``model``,
        ``usage``, ``cost_usd``, ``conversation_url``, ``conversation_id``, …) in the record.

        Call it with ``"submitting"`` *before* anything is sent, and store ``submitted=True`` as soon as it is known.
        """
        ...

    @property
    def time_left(self) -> float:
        """Seconds of the generation's time limit that are left. It ends what has not been sent; what is out may have
        been paid, and is waited for."""
        ...

    @property
    def time_kept(self) -> float:
        """Seconds of these that another way has where this one sends nothing; 0 for the last one."""
        ...

    def may_send(self) -> None:
        """Raise ImageError when nothing more may be sent: the time is over, or the server is leaving. :meth:`state`
        with ``"submitting"`` asks by itself."""
        ...

    async def reserve(self, usd: float, /) -> None:
        """Find room in the day's limits, and set dollars aside, for a request that is sent once more or another way;
        what the first one may cost was set aside when the generation was accepted (``reserved_usd`` in :attr:`facts`).
        What is gone is told with :meth:`state`, as ``booked_usd`` and ``reserved_usd``. Raises ImageError ``billing``,
        on the web ``quota_reached``."""
        ...

    def progress(self, message: str) -> None:
        """A true sentence about now for the caller's progress line; kept in memory only, never blocks."""
        ...

    async def save(
        self, data: bytes, /, *, source: Mapping[str, str] | None = None, ends: Mapping[str, Any] | None = None
    ) -> SavedImage:
        """Write one finished picture unchanged, with fsync, under the next free name; ``source`` holds ids that tell
        it from others (``file_id``), never addresses. The same ``file_id`` twice returns the first one's entry.

        ``ends``: with the last picture that was asked for the generation ends as ``saved`` at once, these facts in the
        same writing, and whoever waits for it is answered. What is saved after that goes into the same folder and
        record and is listed from then on; the turn in the queue is held until the back end returns.

        Raises ImageError ``disk`` when it cannot be written, ``service_error`` when the bytes are no whole picture.
        """
        ...

    def fetch_later(self, fetch: Callable[[], Awaitable[bytes]], /) -> None:
        """Keep, in memory, how a picture that was paid for can still be fetched; tried whenever somebody waits for the
        generation. ``fetch`` raises ImageError while it cannot."""
        ...

    async def taken_ids(self) -> frozenset[str]:
        """Ids of conversations and messages that belong to other generations: what carries one is not ours, however
        alike it looks."""
        ...

    @property
    def background(self) -> bool:
        """Nobody waits for this one: no person may be asked for anything."""
        ...

    async def waiting_for_person(self) -> None:
        """Stop the generation's clock; the next :meth:`state` call of another kind starts it again."""
        ...


class Backend(Protocol):
    """A way to make pictures. One object per process; all calls may be cancelled at any await."""

    async def generate(self, request: ImageRequest, report: Report, /) -> None:
        """Make the pictures of ``request``; returns when all are saved, raises ImageError otherwise."""
        ...

    async def status(self) -> dict[str, Any]:
        """Facts for ``backend_status``: the seed's keys ``configured``, ``ready``, ``message``, ``details``.
        Never starts, shows or hides anything."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and processes. Idempotent."""
        ...


class SiteBackend(Backend, Protocol):
    """The one that works at the site, in a browser."""

    async def collect(self, request: ImageRequest, report: Report, /) -> None:
        """Fetch what the site finished for a generation that was submitted earlier; never submits anything.

        Raises ImageError ``not_found`` when nothing is there and nothing will come, others when it may be tried again.
        """
        ...

    async def visibility(
        self, action: Literal["status", "show", "hide", "toggle"], *, start_browser: bool
    ) -> dict[str, Any]:
        """The answer of ``browser_visibility``, within 45 s."""
        ...


def parse_size(text: str) -> tuple[int, int] | None:
    """``WIDTHxHEIGHT`` as numbers, None for anything else."""
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    return (int(found[1]), int(found[2])) if found else None


def parse_ratio(text: str) -> tuple[int, int] | None:
    """``16:9`` as numbers, None for anything else."""
    found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3})", text)
    return (int(found[1]), int(found[2])) if found else None


def ratio_of(text: str) -> float | None:
    """Width by height of a size or a ratio; None for ``auto`` and where a side is 0."""
    sides = parse_size(text) or parse_ratio(text)
    return sides[0] / sides[1] if sides is not None and all(sides) else None
