"""Which browser profile a picture at the site was asked for with: only the account that is signed in there has it."""

import os
from pathlib import Path

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.record import Record, request_of
from cdp_image_mcp.library.references import WINDOWS, may_be_asked
from cdp_image_mcp.system.presence import OWN_FOLDER


def is_needed(record: Record) -> bool:
    """Whether the site is to be asked for pictures of it."""
    return record.at_site and len(record.images) < request_of(record).n


def elsewhere(record: Record, own: Path) -> ImageError | None:
    """Why a picture is not to be looked for with the profile ``own``: it was sent with another one, which is there. One
    that was moved, renamed or emptied is nobody's any more, and ``own`` may be it. Blocking."""
    if record.profile_dir is None or not is_needed(record):
        return None
    sent_with = Path(record.profile_dir)
    if sent_with == own:
        return None
    try:
        # Others may have written the record, and Windows signs in to whatever share is asked about.
        if not WINDOWS or may_be_asked(str(sent_with), [str(own)]):
            used = any(entry.name != OWN_FOLDER for entry in sent_with.iterdir())
            if not used or (own.exists() and own.samefile(sent_with)):
                return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # it is there, or nobody knows
    return of_another(record, own)


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
