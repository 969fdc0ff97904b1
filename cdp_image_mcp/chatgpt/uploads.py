"""Copies of the reference pictures for the page: the bytes that were checked, whatever happens to the originals."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.references import read_reference
from cdp_image_mcp.request import Reference
from cdp_image_mcp.shield import shielded

__all__ = ["upload_copies"]


@asynccontextmanager
async def upload_copies(references: Sequence[Reference], profile_dir: Path) -> AsyncGenerator[list[Path]]:
    """A private folder beside the profile, where the browser may read, with one copy each under its own name; gone
    after the block. Raises ImageError ``invalid_input`` for a file that changed since it was checked, ``disk``."""
    if not references:
        yield []
        return
    contents = [await read_reference(reference) for reference in references]
    try:
        folder = await anyio.to_thread.run_sync(_copy, references, contents, profile_dir.parent)
    except OSError as error:
        raise ImageError("disk", f"A reference picture could not be copied for the browser: {error}.") from None
    try:
        yield [folder / str(number) / reference.path.name for number, reference in enumerate(references)]
    finally:
        with shielded():
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _copy(references: Sequence[Reference], contents: Sequence[bytes], parent: Path) -> Path:
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="uploads-", dir=parent))
    for number, (reference, content) in enumerate(zip(references, contents, strict=True)):
        # A folder each: two references may have the same name.
        place = folder / str(number)
        place.mkdir(mode=0o700)
        (place / reference.path.name).write_bytes(content)
    return folder
