"""One generation's folder: its sidecar ``metadata.json`` and its pictures, each written whole or not at all."""

from pathlib import Path

from cdp_image_mcp.imagefile import ImageFacts
from cdp_image_mcp.record import Record
from cdp_image_mcp.request import SavedImage

__all__ = ["Folder"]


class Folder:
    """The folder of one generation. All methods finish their work even when the caller is cancelled meanwhile:
    bytes that were handed over are on disk, or an error says so."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def read(self) -> Record:
        """The record as it lies on disk, with picture paths inside this folder (also after it was moved).

        Raises ImageError ``not_found`` (no sidecar) or ``disk`` (garbled; it is left as it is).
        """
        raise NotImplementedError

    async def write(self, record: Record) -> None:
        """Replace the sidecar: temporary file, fsync, rename. Stamps ``record.updated_at``; encodes at once, so later
        changes of ``record`` do not tear it. Raises ImageError ``disk``; the earlier sidecar is then still whole."""
        raise NotImplementedError

    async def add_picture(self, data: bytes, facts: ImageFacts) -> SavedImage:
        """Write ``data`` unchanged as the next free ``image-NN.ext``, 0600, never over anything. The record is not
        touched: list the answer in ``record.images`` and :meth:`write`. Raises ImageError ``disk``."""
        raise NotImplementedError

    async def strays(self, record: Record) -> list[SavedImage]:
        """Whole pictures that lie here and are not in ``record.images`` (the process died between picture and
        record), in order. Also rescues finished temporary files. Only for the owner of the generation."""
        raise NotImplementedError
