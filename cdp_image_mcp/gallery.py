"""A static page of all generations in the output root; needs no server and loads nothing from outside."""

from pathlib import Path

from cdp_image_mcp.library import Library

__all__ = ["Gallery"]


class Gallery:
    """``index.html`` in the library's root, written whole or not at all."""

    def __init__(self, library: Library) -> None:
        self.library = library

    @property
    def path(self) -> Path:
        """Where the page lies."""
        return self.library.root / "index.html"

    async def rebuild(self) -> Path:
        """Look at every sidecar again and write the page. Raises ImageError ``disk``."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Write the page again with what changed since the last time. Calls that come while one is being written
        share the next; never raises for a full or read-only disk (the page is only a view): see ``problems``."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        raise NotImplementedError
