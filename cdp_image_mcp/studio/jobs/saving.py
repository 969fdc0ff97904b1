"""The pictures of one generation, from bytes to files and entries of its record: bytes first, judgement later."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio

from cdp_image_mcp.errors import ImageError, fault
from cdp_image_mcp.library.folder import Folder
from cdp_image_mcp.library.formats import ImageFacts, NotAPictureError
from cdp_image_mcp.library.imagefile import inspect
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import SavedImage
from cdp_image_mcp.system.tasks import shielded

log = logging.getLogger(__name__)


class Saving:
    """What is added stands in ``record``; writing that is its owner's. What came for money is kept, whatever it is; the
    site's own pictures can be fetched there again."""

    def __init__(self, record: Record, folder: Folder) -> None:
        self._record = record
        self._folder = folder
        self.held: list[Callable[[], Awaitable[object]]] = []
        """Pictures that the disk did not take, or that could not be fetched: paid for, and nowhere else."""

    async def add(self, data: bytes, origin: Mapping[str, str]) -> SavedImage:
        """The new entry of a picture that is here, and so has been paid for, with money or with the day's quota.
        Raises ImageError ``disk``, ``service_error`` for bytes that are no whole picture."""
        facts = await self._recognised(data)
        self._record.submitted = self._record.spent = True
        try:
            return await self._place(data, facts, origin)
        except Exception:
            if not self._record.on_web:
                self.held.append(partial(self._place, data, facts, origin))
            raise

    def known(self, file_id: str | None, data: bytes) -> SavedImage | None:
        """The entry of a picture that was saved before. On the web a picture may come again under another sign (a
        ``blob:`` first, its file id later; after a crash a file nobody recorded): those are known by their bytes."""
        images = self._record.images
        mark = hashlib.sha256(data).hexdigest() if images and self._record.on_web else None
        for image, source in zip(images, self._record.sources, strict=True):
            if (file_id and source.get("file_id") == file_id) or image.sha256 == mark:
                return image
        return None

    def fetch_later(self, fetch: Callable[[], Awaitable[bytes]]) -> None:
        """See :meth:`request.Report.fetch_later`."""

        async def take() -> None:
            data = await fetch()
            with shielded():
                try:
                    await self.add(data, {})
                except Exception:
                    if not data:
                        raise
                    # Kept as it is, or held until it can be: the address may not give it a second time.

        self.held.append(take)

    async def again(self) -> None:
        """Do once more, all at once, what failed before; what fails again is kept. Raises ImageError, the first, when
        not all is done."""
        problems: list[ImageError] = []

        async def once_more(work: Callable[[], Awaitable[object]]) -> None:
            try:
                await work()
                self.held.remove(work)
            except ImageError as problem:
                problems.append(problem)
            except Exception as problem:
                # Raised, it would cancel what is fetched beside it, and that may be given once.
                log.exception("what was tried again ended with a fault of the program")
                problems.append(fault(problem, submitted=True))

        async with anyio.create_task_group() as group:
            for work in tuple(self.held):
                group.start_soon(once_more, work)
        if problems:
            raise problems[0]

    async def _recognised(self, data: bytes) -> ImageFacts:
        try:
            facts = inspect(data)
        except NotAPictureError as unknown:
            why = unknown
        else:
            if facts.notes:
                self._record.facts["notes"] = [*self._record.facts.get("notes", []), *facts.notes]
            return facts
        error = ImageError("service_error", f"What arrived is no whole picture: {why}", submitted=True)
        if data and not self._record.on_web:
            with shielded():
                try:
                    kept = await self._keep(data, why.ending)
                except Exception as full:
                    self.held.append(partial(self._keep, data, why.ending))
                    raise full from error
            error.details["kept"] = self._record.facts["kept"]
            error.message += f" It is kept as {kept}."
        raise error

    async def _keep(self, data: bytes, ending: str) -> str:
        kept = str(await self._folder.keep(data, ending, self._record))
        self._record.facts["kept"] = [*self._record.facts.get("kept", []), kept]
        return kept

    async def _place(self, data: bytes, facts: ImageFacts, origin: Mapping[str, str]) -> SavedImage:
        image = await self._folder.add_picture(data, facts, self._record)
        self._record.images.append(image)
        self._record.sources.append(dict(origin))
        return image
