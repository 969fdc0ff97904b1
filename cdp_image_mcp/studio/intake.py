"""From a call's arguments to one checked, immutable request: references, folders, the way to go, and what makes two
requests the same. Nothing is sent and nothing is written here."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import Code, ImageError
from cdp_image_mcp.library.joining import Admit, Entry
from cdp_image_mcp.library.ledger import Ledger
from cdp_image_mcp.library.library import Library
from cdp_image_mcp.library.record import Record, new_record
from cdp_image_mcp.library.references import allowed_output_dir, check_reference, check_references
from cdp_image_mcp.request import BackendName, ImageRequest, Reference, wrong_combination
from cdp_image_mcp.studio.asked import GenerateImage, asked, fingerprint, given
from cdp_image_mcp.studio.daylimit import beyond
from cdp_image_mcp.studio.ways import Ways
from cdp_image_mcp.system.day import seconds_until
from cdp_image_mcp.system.disk import check_room

__all__ = ["Accepted", "Intake"]


class Accepted(msgspec.Struct, frozen=True):
    """A request that passed every check that needs no network."""

    requests: tuple[ImageRequest, ...]
    """One per back end that may make it, in the order they are tried."""
    record: Record
    parent: Path | None
    """Folder to make the generation's folder in; None is the output root."""
    admit: Admit
    """What still speaks against a new generation (no room, a rest, a limit); asked only when there is none to join."""


class Continued(msgspec.Struct, frozen=True):
    """What ``continue`` means at this moment; exactly one of the two last."""

    generation_id: str
    url: str | None = None
    """Web: address of the conversation."""
    picture: Reference | None = None
    """API: the picture."""

    @property
    def mark(self) -> str | None:
        """What tells it from going on from something else."""
        return self.picture.sha256 if self.picture is not None else self.url


class Route(msgspec.Struct, frozen=True):
    """Which back ends may make it."""

    ways: list[BackendName]
    """In the order they are tried."""
    skipped: tuple[str, str] | None = None
    """Back end and reason when the first choice is not tried."""
    refusal: ImageError | None = None
    """Why none of them may be asked now; a call that joins what is there needs none."""


class Intake:
    """Checks calls against the settings, the library and the ledger. All refusals are ImageErrors with
    ``submitted`` and ``spent`` false."""

    def __init__(self, settings: Settings, library: Library, ledger: Ledger, ways: Ways) -> None:
        self.settings = settings
        self.library = library
        self.ledger = ledger
        self._ways = ways

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
        continued = await self._continued(earlier, requested, _picture_number(arguments))
        mark = fingerprint(arguments, requested, references, mask, continued.mark if continued is not None else None)
        route = await self._route(requested, earlier, api_only=mask is not None, count=arguments.n)
        requests = [
            self._request(arguments, backend, references=references, mask=mask, continued=continued)
            for backend in route.ways
        ]
        record = new_record(
            generation_id,
            requests[0],
            requested=requested,
            asked=asked(arguments),
            mark=mark,
        )
        if route.skipped is not None:
            record.fallback_from, record.fallback_reason = route.skipped
        return Accepted(
            requests=tuple(requests), record=record, parent=parent, admit=self._admit(route, arguments.n, parent)
        )

    def _admit(self, route: "Route", count: int, parent: Path | None) -> Admit:
        limit = self.settings.daily_limit

        def admit(of_today: Callable[[], list[Entry]]) -> None:
            if route.refusal is not None:
                raise route.refusal
            check_room(count, parent or self.library.root)
            # Others may have been registered since the way was chosen: here nobody comes between.
            web = route.ways[0] == "chatgpt-web"
            if web and limit is not None and (refusal := beyond(limit, count, of_today())) is not None:
                raise refusal

        return admit

    def _check_combinations(self, arguments: GenerateImage) -> None:
        if given(arguments.mask) and not arguments.reference_images:
            raise ImageError("invalid_input", "mask needs reference_images: it says which part of a picture to change.")
        if given(arguments.mask) and arguments.backend == "chatgpt-web":
            raise ImageError(
                "invalid_input", "mask is taken by the API back end only; leave it out or use backend api."
            )
        wrong = wrong_combination(
            size=arguments.size,
            output_format=arguments.output_format,
            background=arguments.background,
            output_compression=arguments.output_compression if given(arguments.output_compression) else None,
        )
        if wrong is not None:
            raise ImageError("invalid_input", f"{wrong[0]}: {wrong[1]}")

    async def _earlier(self, arguments: GenerateImage, requested: str) -> Entry | None:
        """The generation to go on from."""
        if given(arguments.continue_from):
            identity = arguments.continue_from.partition("/")[0]
            entry = await self.library.find(identity)
            if entry is None:
                raise ImageError("not_found", f"continue_from: there is no generation {identity}.")
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

    async def _route(self, requested: str, earlier: Entry | None, *, api_only: bool, count: int) -> "Route":
        """Raises ImageError ``api_key_missing`` where no way is left for want of a key."""
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
        first = wanted[0]
        if not open_ways:
            refusal = reasons[wanted[-1] if "chatgpt-web" in wanted else first]
            if refusal.code == "api_key_missing":
                raise refusal
            return Route(ways=wanted, refusal=refusal)
        if first in reasons:
            # A missing key is no change of mind: auto without a key is simply the web.
            if self.settings.fallback == "never" and reasons[first].code != "api_key_missing":
                return Route(ways=wanted, refusal=reasons[first])
            return Route(ways=open_ways, skipped=(first, reasons[first].code))
        return Route(ways=open_ways if self.settings.fallback == "before-submit" else open_ways[:1])

    async def _unavailable(self, backend: BackendName, count: int) -> ImageError | None:
        """Why ``backend`` need not even be asked now."""
        if backend == "api" and self._ways.key_missing(self.settings):
            return ImageError("api_key_missing", "OPENAI_API_KEY is not set.")
        rest = await self.ledger.resting(backend)
        if rest is not None and rest.reset_at is not None:
            code: Code = "quota_reached"
            if rest.code in ("rate_limited", "billing"):
                code = rest.code
            return ImageError(
                code,
                f"{backend} said so earlier and is left alone until {rest.reset_at}. Nothing was sent.",
                reset_at=rest.reset_at,
                retry_after_seconds=seconds_until(rest.reset_at),
            )
        if backend == "api":
            return None
        limit = self.settings.daily_limit
        return await self._used_up() or (None if limit is None else beyond(limit, count, await self.library.of_today()))

    async def _used_up(self) -> ImageError | None:
        """The quota as the site stated it last, when nothing of it is left until a time still to come."""
        for quota in await self.ledger.quota():
            if quota.feature == "image_gen" and quota.remaining == 0 and quota.reset_at is not None:
                return ImageError(
                    "quota_reached",
                    f"The site said that no pictures are left until {quota.reset_at}. Nothing was sent.",
                    reset_at=quota.reset_at,
                )
        return None

    async def _continued(self, earlier: Entry | None, requested: str, number: int) -> Continued | None:
        """What is gone on from. Raises ImageError ``invalid_input`` when that generation has nothing of the kind."""
        if earlier is None:
            return None
        record = earlier.record
        if (record.backend if requested == "auto" else requested) == "chatgpt-web":
            if not record.conversation_url:
                raise ImageError(
                    "invalid_input",
                    f"continue_from: generation {record.generation_id} has no conversation at the site to go on in.",
                )
            return Continued(record.generation_id, url=record.conversation_url)
        if number > len(record.images):
            there = f"{len(record.images)} pictures" if record.images else "no picture"
            raise ImageError("invalid_input", f"continue_from: generation {record.generation_id} has {there}.")
        picture = await check_reference(record.images[number - 1].path, (earlier.folder.path,), "continue_from")
        return Continued(record.generation_id, picture=picture)

    def _request(
        self,
        arguments: GenerateImage,
        backend: BackendName,
        *,
        references: tuple[Reference, ...],
        mask: Reference | None,
        continued: Continued | None,
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
        if continued is None:
            return request
        return msgspec.structs.replace(
            request,
            conversation_mode="continue",
            continue_from=continued.generation_id,
            continue_url=continued.url,
            continue_image=continued.picture,
        )


def _picture_number(arguments: GenerateImage) -> int:
    """Which of several pictures is gone on from: ``ID/3`` names the third."""
    named = arguments.continue_from.partition("/")[2] if given(arguments.continue_from) else ""
    return int(named or 1)
