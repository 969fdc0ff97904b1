"""Reference pictures and output folders named by a client: allowed or not, read once, and what they are."""

from collections.abc import Sequence
from pathlib import Path

from cdp_image_mcp.request import Reference

__all__ = ["MAX_BYTES", "MAX_PIXELS", "allowed_output_dir", "check_reference", "check_references", "read_reference"]

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 100_000_000


async def check_reference(path: str, roots: Sequence[Path], field: str) -> Reference:
    """One picture: absolute path, inside a root after resolving links, no dot-folder below the root, regular file,
    magic bytes of PNG, JPEG or WebP, within the limits. Hash and facts come from one open file.

    Raises ImageError ``invalid_input`` naming ``field``; what lies outside the roots is answered the same whether it
    exists or not.
    """
    raise NotImplementedError


async def check_references(paths: Sequence[str], roots: Sequence[Path]) -> tuple[Reference, ...]:
    """The ``reference_images`` of a call, in order; fields are named ``reference_images[0]`` and so on."""
    raise NotImplementedError


async def read_reference(reference: Reference) -> bytes:
    """The very bytes that were checked; ImageError ``invalid_input`` when the file changed since."""
    raise NotImplementedError


async def allowed_output_dir(path: str, roots: Sequence[Path]) -> Path:
    """``output_dir`` of a call, resolved; it need not exist yet. Raises ImageError ``invalid_input``."""
    raise NotImplementedError
