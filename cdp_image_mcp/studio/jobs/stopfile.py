"""The wish to cancel a generation that another process works on: a file in its folder."""

import logging
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.errors import ImageError

log = logging.getLogger(__name__)

NAME = ".cancel"
LOOK_SECONDS = 1.0


async def leave(folder: Path) -> None:
    """Ask whoever works on the generation in ``folder`` to stop it. Raises ImageError ``disk``."""
    try:
        await anyio.Path(folder / NAME).touch(0o600)
    except OSError as error:
        told = f"The wish to cancel could not be left in {folder}: {error}. The generation goes on."
        raise ImageError("disk", told, next_step="Stop it in the client that began it.") from None


async def take_away(folder: Path) -> bool:
    """It was heard, or was meant for an earlier owner. Answers whether it is gone; never raises."""
    try:
        await anyio.Path(folder / NAME).unlink(missing_ok=True)
    except OSError as error:
        log.warning("the wish to cancel in %s could not be taken away: %s", folder, error)
        return False
    return True


async def wanted(folder: Path) -> None:
    """Until somebody left the wish in ``folder``. Never raises: a folder that cannot be looked into for a while must
    not end what is being paid for."""
    told = False
    while True:
        try:
            await anyio.to_thread.run_sync((folder / NAME).stat)
        except FileNotFoundError:
            pass
        except OSError as error:
            if not told:
                log.warning("%s cannot be looked into for a wish to cancel: %s", folder, error)
            told = True
        else:
            return
        await anyio.sleep(LOOK_SECONDS)
