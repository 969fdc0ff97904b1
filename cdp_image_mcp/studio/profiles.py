"""Which browser profile a picture at the site was asked for with: only the account that is signed in there has it."""

import os
from pathlib import Path

import anyio
import anyio.to_thread

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Record, request_of
from cdp_image_mcp.library.references import WINDOWS, may_be_asked
from cdp_image_mcp.system.presence import OWN_FOLDER

LOOK_SECONDS = 5.0
"""For a look at the folder of another profile."""


def is_needed(record: Record) -> bool:
    """Whether the site is to be asked for pictures of it."""
    return record.at_site and len(record.images) < request_of(record).n


async def elsewhere(record: Record, own: Path) -> ImageError | None:
    """Why a picture is not to be looked for with the profile ``own``."""
    return of_another(record, own) if is_needed(record) and await is_anothers(record, own) else None


async def is_anothers(record: Record, own: Path) -> bool:
    """:func:`has_another`; a share that does not answer may hold the other, and holds nobody up."""
    with anyio.move_on_after(LOOK_SECONDS):
        return await anyio.to_thread.run_sync(has_another, record, own, abandon_on_cancel=True)
    return True


def has_another(record: Record, own: Path) -> bool:
    """Whether it was sent with another profile than ``own``, which is there. One that was moved, renamed or emptied is
    nobody's any more, and ``own`` may be it. Blocking."""
    if record.profile_dir is None or (sent_with := Path(record.profile_dir)) == own:
        return False
    try:
        # Others may have written the record, and Windows signs in to whatever share is asked about.
        if not WINDOWS or may_be_asked(str(sent_with), [str(own)]):
            used = any(entry.name != OWN_FOLDER for entry in sent_with.iterdir())
            return used and not (own.exists() and own.samefile(sent_with))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # it is there, or nobody knows
    return True


def of_another(record: Record, own: Path) -> ImageError:
    """That it was sent with another profile than ``own``."""
    sent_with = record.profile_dir
    return ImageError(
        "configuration",
        f"This picture was sent with the browser profile {sent_with}, and CHATGPT_WEB_PROFILE_DIR is {own} here: only "
        "the account that is signed in there has it. Nothing was changed.",
        next_step="Ask the user to call wait_for_image from the client that has that profile, or to run "
        f"'cdp-image-mcp collect' with CHATGPT_WEB_PROFILE_DIR={sent_with}. Asking for it anew would cost it twice.",
        details={"profile_dir": sent_with},
    )


def out_of_conversation(record: Record, own: Path) -> ImageError:
    """Why nothing goes on in a conversation that another account has than that of the profile ``own``."""
    sent_with, identity = record.profile_dir, record.generation_id
    return ImageError(
        "configuration",
        f"Generation {identity} was made with the browser profile {sent_with}, by another account or workspace than "
        f"the one that sent last with {own}, which CHATGPT_WEB_PROFILE_DIR is here: only that other one has its "
        "conversation. Nothing was sent.",
        next_step="Ask again with its picture's path in reference_images and without continue_from and "
        "conversation_mode, or ask the user to have it done by the client that has that profile.",
        details={"profile_dir": sent_with},
    )


def judged(error: ImageError, record: Record, own: Path) -> ImageError:
    """What ``error`` means: that the account of ``own`` does not have a picture says nothing of one that was sent with
    another profile, which is there no more. Blocking."""
    sent_with = record.profile_dir
    if error.code != "not_found" or sent_with is None or os.path.realpath(sent_with) == os.path.realpath(own):
        return error
    return ImageError(
        "network",
        f"This picture was sent with the browser profile {sent_with}, which was moved or emptied since. That the "
        f"account of {own} does not have it says nothing of the one that was signed in there.",
        submitted=error.submitted,
        spent=error.spent,
        next_step="Ask the user to set CHATGPT_WEB_PROFILE_DIR to where that profile lies now, or to sign in with the "
        "account that it was sent from. Then call wait_for_image with this generation_id.",
    )
