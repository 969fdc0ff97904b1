"""What is loaded late has to be of one piece with what runs: the package may be updated or removed under a server that
lives for weeks (``pipx upgrade``, ``uv cache clean``)."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import cdp_image_mcp
from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.errors import ImageError


def _seen() -> tuple[int, int] | None:
    """What tells the package on disk from another version of it; None where it is gone. Not the number of its file:
    network shares give those anew."""
    try:
        facts = Path(str(cdp_image_mcp.__file__)).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


_AT_START = _seen()


@contextmanager
def loading(module: str, *, unsent: bool = False) -> Generator[None]:
    """The block loads ``module`` unless it is there already, and does nothing else. Raises ImageError ``configuration``
    where that cannot be. ``unsent``: it is wanted for a request of which nothing has left."""
    told = f"{APP_NAME} was updated or removed while it ran."
    if module in sys.modules or _seen() == _AT_START:
        try:
            yield
        except (ImportError, OSError) as error:  # also with no more open files
            told = f"A part of {APP_NAME} cannot be loaded ({type(error).__name__}: {error})."
        else:
            return
    raise ImageError(
        "configuration",
        f"{told} Nothing was sent." if unsent else told,
        submitted=False if unsent else "unknown",
        next_step="Ask the user to restart the client, which starts this server anew, then call again.",
    )
