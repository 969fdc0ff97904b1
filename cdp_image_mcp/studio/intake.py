"""From a call's arguments to one checked, immutable request for each way it may go: references, folders, limits, and
what makes two requests the same. Nothing is sent and nothing is written here. All refusals are decided here."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError, refusal
from cdp_image_mcp.library.joining import Entry, OfToday
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, epoch, new_record
from cdp_image_mcp.library.references import allowed_output_dir, check_reference, check_references
from cdp_image_mcp.request import MOST_REFERENCES, BackendName, ImageRequest, Reference, parse_ratio, parse_size
from cdp_image_mcp.studio import limits
from cdp_image_mcp.studio.asked import GenerateImage, asked, fingerprint, given
from cdp_image_mcp.studio.continued import continued, latest
from cdp_image_mcp.studio.steering import Steering, account_of
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.system.disk import check_room

BACKENDS: tuple[BackendName, ...] = ("api", "chatgpt-web")
WISHES = ("prompt", "n", "size", "quality", "output_format", "background", "output_compression", "complexity")
"""Arguments that a request has under the same names."""


class Accepted(msgspec.Struct):
    """A request that passed every check that needs no network."""

    requests: list[ImageRequest]
    """One per back end that may make it, in the order they are tried."""
    record: Record
    parent: Path | None
    """Folder to make the generation's folder in; None is the output root."""
    marks: list[str]
    """Fingerprints of the same request at each back end that it may go to."""


class Intake:
    """Checks calls against the settings, the library and what was learnt. All refusals are ImageErrors with
    ``submitted`` and ``spent`` false."""

    def __init__(self, settings: Settings, library: Library, steering: Steering, ways: Ways) -> None:
        self.settings = settings
        self.library = library
        self._steering = steering
        self._ways = ways

    async def accept(self, arguments: GenerateImage, generation_id: str) -> Accepted:
        """Raises ImageError: ``configuration``, ``invalid_input``, ``not_found``, ``api_key_missing``."""
        settings = self.settings
        settings.require_usable()
        _check_combinations(arguments)
        roots = (*settings.input_roots, settings.output_dir)
        requested = arguments.backend if given(arguments.backend) else settings.backend
        earlier = await self._earlier(arguments, requested)
        wanted = self._wanted(requested, earlier, _against_the_site(arguments))
        references = await check_references(arguments.reference_images, roots)
        mask = await check_reference(arguments.mask, roots, "mask") if given(arguments.mask) else None
        parent = await allowed_output_dir(arguments.output_dir, roots) if given(arguments.output_dir) else None
        # ``ID/3`` names the third of its pictures, ``ID`` the first.
        number = int(arguments.continue_from.partition("/")[2] or 1) if given(arguments.continue_from) else None
        onward: dict[str, Any] = {}
        if earlier is not None:
            onward = await continued(self.library, earlier, wanted[0], number, settings.profile_dir)
        ways, skipped = await self._ways_of(wanted)

        picture: Reference | None = onward.get("continue_image")
        going_on = picture.sha256 if picture is not None else onward.get("continue_url")

        def mark(way: BackendName, going_on_from: str | None) -> str:
            return fingerprint(arguments, (way, account_of(settings, way)), references, mask, going_on_from)

        wishes: dict[str, Any] = {name: value for name in WISHES if given(value := getattr(arguments, name))}
        requests = [
            ImageRequest(
                backend=way,
                reference_images=references,
                mask=mask,
                timeout_seconds=float(arguments.timeout_seconds),
                fingerprint=mark(way, going_on),
                **wishes,
                **onward,
            )
            for way in ways
        ]
        record = new_record(generation_id, requests[0], requested=requested, asked=asked(arguments))
        if skipped is not None:
            record.fallback_from, record.fallback_reason = skipped
        marks = [request.fingerprint for request in requests]
        if earlier is not None and earlier.record.backend == "api" and not given(arguments.continue_from):
            # Asked again because its answer was lost, it goes on from its own picture by now; the first time it went on
            # from the one before. At the site both have the conversation's address.
            before = await self._latest(requested, before=epoch(earlier.record.created_at))
            marks += [mark("api", before.record.images[0].sha256)] if before and before.record.images else []
        if settings.fallback == "never":
            del requests[1:]
        for at, request in enumerate(requests):
            # Set aside also where no budget is set here, for other programs may have one. What cannot be asked of the
            # API costs nothing there: its back end says so when it comes to it, and the site may come first.
            if request.backend == "api":
                with suppress(ImageError):
                    requests[at] = msgspec.structs.replace(request, most_usd=self._ways.most_usd(settings, request))
        return Accepted(requests=requests, record=record, parent=parent, marks=marks)

    def admit(self, accepted: Accepted, of_today: OfToday) -> None:
        """What still speaks against a new generation, asked only when there is none to join: no room, or a limit of the
        day, which may take ways away."""
        check_room(accepted.requests[0].n, accepted.parent or self.library.root)
        ways = [(way, limits.beyond(self.settings, way, way.most_usd, of_today)) for way in accepted.requests]
        open_ways = [request for request, against in ways if against is None]
        first, against = ways[0]
        if against is not None and not open_ways:
            against.message += " Nothing was sent."
            raise against
        record = accepted.record
        if against is not None:
            record.fallback_from, record.fallback_reason = first.backend, against.code
        accepted.requests = open_ways
        record.backend, record.fingerprint = open_ways[0].backend, open_ways[0].fingerprint
        record.reserved_usd = open_ways[0].most_usd

    async def _earlier(self, arguments: GenerateImage, requested: str) -> Entry | None:
        """The generation to go on from."""
        if given(arguments.continue_from):
            identity = arguments.continue_from.partition("/")[0]
            entry = await self.library.find(identity)
            if entry is None:
                raise refusal("continue_from", f"There is no generation {identity}.", code="not_found")
            return entry
        if arguments.conversation_mode == "new":
            return None
        entry = await self._latest(requested)
        if entry is None:
            raise refusal("conversation_mode", "There is no finished generation to go on from.", code="not_found")
        return entry

    async def _latest(self, requested: str, before: float = math.inf) -> Entry | None:
        return await latest(self.library, _named(requested), self.settings.profile_dir, before)

    def _wanted(self, requested: str, earlier: Entry | None, against: ImageError | None) -> list[BackendName]:
        """The ways it may go by what was asked, in order. Raises what speaks ``against`` the site when that is the way
        that was chosen, by the user perhaps, or the only one there is: another one may cost money."""
        wanted: list[BackendName] = _named(requested)
        if len(wanted) > 1 and earlier is not None:
            wanted = [earlier.record.backend]
        if against is None:
            return wanted
        if "api" not in wanted or (len(wanted) > 1 and self._ways.key_missing(self.settings)):
            raise against
        return _named("api")

    async def _ways_of(self, wanted: list[BackendName]) -> tuple[list[BackendName], tuple[str, str] | None]:
        """Those of the ways that can be asked, in the order of what is known of them; the first choice with the reason
        if it is first no more. Raises ImageError ``api_key_missing`` when none is left."""
        if "api" in wanted and self._ways.key_missing(self.settings):
            if wanted == ["api"]:
                raise ImageError("api_key_missing", "OPENAI_API_KEY is not set. Nothing was sent.")
            # No change of mind: auto without a key is simply the web.
            return [way for way in wanted if way != "api"], ("api", "api_key_missing")
        if len(wanted) == 1 or self.settings.fallback == "never":
            return wanted, None
        return await self._steering.order(wanted)


def _named(requested: str) -> list[BackendName]:
    """The ways that a back end's name, or auto, stands for."""
    return [name for name in BACKENDS if requested in {name, "auto"}]


def _against_the_site(arguments: GenerateImage) -> ImageError | None:
    """What the site does not take and the API does."""
    if given(arguments.mask):
        return refusal("mask", "mask is taken by the API back end only; leave it out or use backend api.")
    if len(arguments.reference_images) > MOST_REFERENCES:
        many = f"{len(arguments.reference_images)} are too many for the site, which takes at most {MOST_REFERENCES}"
        return refusal("reference_images", f"reference_images: {many}; leave some out or use backend api.")
    return None


def _check_combinations(arguments: GenerateImage) -> None:
    if given(arguments.mask) and not arguments.reference_images:
        raise refusal("mask", "mask needs reference_images: it says which part of a picture to change.")
    made = arguments.output_format
    if given(arguments.output_compression) and made not in {"jpeg", "webp"}:
        message = f"output_compression goes with output_format jpeg or webp, not {made}."
        raise refusal("output_compression", message)
    if arguments.background == "transparent" and made == "jpeg":
        raise refusal("background", "background transparent needs output_format png or webp.")
    if 0 in (parse_size(arguments.size) or parse_ratio(arguments.size) or ()):
        raise refusal("size", f"size: {arguments.size!r} has a side of length 0.")
