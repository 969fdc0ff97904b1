"""From a call's arguments to one checked, immutable request: references, folders, the way to go, and what makes two
requests the same. Nothing is sent and nothing is written here."""

import hashlib
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import msgspec

from cdp_image_mcp.config import API, Settings
from cdp_image_mcp.errors import Code, ImageError
from cdp_image_mcp.ledger import Ledger
from cdp_image_mcp.library import Entry, Library
from cdp_image_mcp.record import Record, new_record
from cdp_image_mcp.references import allowed_output_dir, check_reference, check_references
from cdp_image_mcp.request import BackendName, ImageRequest, Reference
from cdp_image_mcp.schema import GenerateImage

__all__ = ["Accepted", "Intake"]

T = TypeVar("T")

UNSENT = ("wait_seconds", "timeout_seconds", "images", "output_dir")
"""Arguments that do not change what is drawn; two calls that differ only here are the same request."""


class Accepted(msgspec.Struct, frozen=True):
    """A request that passed every check that needs no network."""

    requests: tuple[ImageRequest, ...]
    """One per back end that may make it, in the order they are tried."""
    record: Record
    parent: Path | None
    """Folder to make the generation's folder in; None is the output root."""


class Intake:
    """Checks calls against the settings, the library and the ledger. All refusals are ImageErrors with
    ``submitted`` and ``spent`` false."""

    def __init__(self, settings: Settings, library: Library, ledger: Ledger) -> None:
        self.settings = settings
        self.library = library
        self.ledger = ledger

    async def accept(self, arguments: GenerateImage, generation_id: str) -> Accepted:
        """Raises ImageError: ``configuration``, ``invalid_input``, ``not_found``, ``api_key_missing``,
        ``quota_reached``, ``rate_limited``, ``billing``, ``disk``."""
        settings = self.settings
        settings.require_usable()
        self._check_combinations(arguments)
        roots = (*settings.input_roots, settings.output_dir)
        references = await check_references(arguments.reference_images, roots)
        mask = await check_reference(arguments.mask, roots, "mask") if given(arguments.mask) else None
        parent = await allowed_output_dir(arguments.output_dir, roots) if given(arguments.output_dir) else None
        requested = arguments.backend if given(arguments.backend) else settings.backend
        earlier = await self._earlier(arguments, requested)
        route, skipped = await self._route(requested, earlier, api_only=mask is not None, count=arguments.n)
        await self.library.check_room(arguments.n, parent)
        requests = [
            await self._request(arguments, backend, references=references, mask=mask, earlier=earlier)
            for backend in route
        ]
        record = new_record(
            generation_id,
            requests[0],
            requested=requested,
            asked=asked(arguments),
            mark=fingerprint(arguments, requested, references, mask),
        )
        if skipped is not None:
            record.fallback_from, record.fallback_reason = skipped
        return Accepted(requests=tuple(requests), record=record, parent=parent)

    def _check_combinations(self, arguments: GenerateImage) -> None:
        if given(arguments.mask) and not arguments.reference_images:
            raise ImageError("invalid_input", "mask needs reference_images: it says which part of a picture to change.")
        if given(arguments.mask) and arguments.backend == "chatgpt-web":
            raise ImageError(
                "invalid_input", "mask is taken by the API back end only; leave it out or use backend api."
            )
        if given(arguments.output_compression) and arguments.output_format == "png":
            raise ImageError("invalid_input", "output_compression goes with output_format jpeg or webp, not png.")
        if arguments.background == "transparent" and arguments.output_format == "jpeg":
            raise ImageError("invalid_input", "background transparent needs output_format png or webp.")
        if any(part == 0 for part in sides(arguments.size) or (1, 1)):
            raise ImageError("invalid_input", f"size {arguments.size!r} has a side of length 0.")

    async def _earlier(self, arguments: GenerateImage, requested: str) -> Entry | None:
        """The generation to go on from."""
        if given(arguments.continue_from):
            entry = await self.library.find(arguments.continue_from)
            if entry is None:
                raise ImageError("not_found", f"continue_from: there is no generation {arguments.continue_from}.")
            return entry
        if arguments.conversation_mode == "new":
            return None
        entry: Entry | None
        if requested == "auto":
            found = [await self.library.latest_finished("api"), await self.library.latest_finished("chatgpt-web")]
            entry = max((e for e in found if e is not None), key=lambda e: e.record.created_at, default=None)
        else:
            entry = await self.library.latest_finished("api" if requested == "api" else "chatgpt-web")
        if entry is None:
            raise ImageError("not_found", "conversation_mode continue: there is no finished generation to go on from.")
        return entry

    async def _route(
        self, requested: str, earlier: Entry | None, *, api_only: bool, count: int
    ) -> tuple[list[BackendName], tuple[str, str] | None]:
        """The back ends to try in order, and (back end, reason) when the first choice was skipped."""
        wanted: list[BackendName]
        if requested == "api":
            wanted = ["api"]
        elif requested == "chatgpt-web":
            wanted = ["chatgpt-web"]
        elif earlier is not None:
            wanted = [earlier.record.backend]
        else:
            wanted = ["api", "chatgpt-web"]
        if api_only and "api" in wanted:
            wanted = ["api"]
        reasons: dict[BackendName, ImageError] = {}
        for backend in wanted:
            if (reason := await self._unavailable(backend, count)) is not None:
                reasons[backend] = reason
        open_ways: list[BackendName] = [backend for backend in wanted if backend not in reasons]
        if not open_ways:
            raise reasons[wanted[-1] if "chatgpt-web" in wanted else wanted[0]]
        first = wanted[0]
        if first in reasons:
            # A missing key is no change of mind: auto without a key is simply the web.
            if self.settings.fallback == "never" and reasons[first].code != "api_key_missing":
                raise reasons[first]
            return open_ways, (first, reasons[first].code)
        return open_ways if self.settings.fallback == "before-submit" else open_ways[:1], None

    async def _unavailable(self, backend: BackendName, count: int) -> ImageError | None:
        """Why ``backend`` need not even be asked now."""
        if backend == "api" and not self.settings.api_key and self._key_needed():
            return ImageError("api_key_missing", "OPENAI_API_KEY is not set.")
        rest = await self.ledger.resting(backend)
        if rest is not None and rest.reset_at is not None:
            code: Code = "quota_reached"
            if rest.code in ("rate_limited", "billing"):
                code = rest.code
            wait = max(0.0, (datetime.fromisoformat(rest.reset_at) - datetime.now().astimezone()).total_seconds())
            return ImageError(
                code,
                f"{backend} said so earlier and is left alone until {rest.reset_at}. Nothing was sent.",
                reset_at=rest.reset_at,
                retry_after_seconds=wait,
            )
        limit = self.settings.daily_limit
        if backend == "chatgpt-web" and limit is not None:
            made = await self.ledger.web_pictures_today()
            if made + count > limit:
                tomorrow = datetime.combine(datetime.now().astimezone().date() + timedelta(days=1), time()).astimezone()
                return ImageError(
                    "quota_reached",
                    f"GPT_IMAGE_DAILY_LIMIT is {limit} pictures a day; {made} were made today and {count} more asked.",
                    reset_at=tomorrow.isoformat(),
                )
        return None

    def _key_needed(self) -> bool:
        """Compatible servers on people's own machines often want no key."""
        if self.settings.base_url == API and self.settings.compat is None:
            return True
        from cdp_image_mcp.openai.profiles import choose_profile

        return choose_profile(self.settings).key_needed

    async def _request(
        self,
        arguments: GenerateImage,
        backend: BackendName,
        *,
        references: tuple[Reference, ...],
        mask: Reference | None,
        earlier: Entry | None,
    ) -> ImageRequest:
        request = ImageRequest(
            prompt=arguments.prompt,
            backend=backend,
            n=arguments.n,
            size=arguments.size,
            quality=arguments.quality,
            output_format=arguments.output_format,
            background=arguments.background,
            output_compression=arguments.output_compression if given(arguments.output_compression) else None,
            reference_images=references,
            mask=mask,
            timeout_seconds=float(arguments.timeout_seconds),
        )
        if earlier is None:
            return request
        record = earlier.record
        if backend == "chatgpt-web":
            if not record.conversation_url:
                raise ImageError(
                    "invalid_input",
                    f"continue_from: generation {record.generation_id} has no conversation at the site to go on in.",
                )
            changes: dict[str, Any] = {"continue_url": record.conversation_url}
        else:
            if not record.images:
                raise ImageError("invalid_input", f"continue_from: generation {record.generation_id} has no picture.")
            picture = await check_reference(record.images[0].path, (earlier.folder.path,), "continue_from")
            changes = {"continue_image": picture}
        return msgspec.structs.replace(
            request, conversation_mode="continue", continue_from=record.generation_id, **changes
        )


def given(value: T | msgspec.UnsetType) -> TypeGuard[T]:
    """Whether an optional argument was given."""
    return value is not msgspec.UNSET


def sides(size: str) -> tuple[int, int] | None:
    """``WIDTHxHEIGHT`` or ``W:H`` as two numbers, None for ``auto``."""
    for mark in ("x", ":"):
        first, found, second = size.partition(mark)
        if found and first.isdigit() and second.strip().isdigit():
            return int(first), int(second)
    return None


def asked(arguments: GenerateImage) -> dict[str, Any]:
    """The arguments as they were given, without the prompt, for the record and for calling again."""
    fields: dict[str, Any] = msgspec.to_builtins(arguments)
    fields.pop("prompt")
    return fields


def fingerprint(
    arguments: GenerateImage, requested: str, references: tuple[Reference, ...], mask: Reference | None
) -> str:
    """SHA-256 over what decides the picture; reference files count by their bytes, not their names."""
    fields = msgspec.to_builtins(arguments)
    for name in UNSENT:
        fields.pop(name, None)
    fields["backend"] = requested
    fields["reference_images"] = [reference.sha256 for reference in references]
    fields["mask"] = mask.sha256 if mask else None
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
