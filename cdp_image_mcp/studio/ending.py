"""How a generation ends: which state, and what its caller is told about sending, paying and calling again."""

import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cdp_image_mcp.errors import CODES, Code, Fact, ImageError
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import State

if TYPE_CHECKING:
    # The server's edge needs the table of what to do next, and loads jobs with the first call.
    from cdp_image_mcp.studio.jobs.job import Job

End: TypeAlias = tuple[State, ImageError | None]
Left: TypeAlias = Literal["unspent", "collect", "rest", "lost"]
"""What an end leaves: nothing was sent, or only what cost nothing; the site may have pictures that can be fetched; some
pictures are here and no more will come; it was sent, may have been paid, and brought nothing."""

ADVICE: dict[Left, str] = {
    "unspent": "Call generate_image again if the picture is still wanted.",
    "collect": "Call wait_for_image with this generation_id: what the site finished is collected. Asking for it anew "
    "before that would cost it twice.",
    "rest": "What is saved has been paid for: ask again only for what is missing.",
    "lost": "Nothing more can be collected. Call generate_image again only if paying twice is acceptable.",
}
DISK_ADVICE = "Ask the user to free space or to correct the folder's permissions. "
UNREACHED: dict[Code, str] = {
    "site_changed": CODES["site_changed"].next_step + " ",
    "browser_not_found": CODES["browser_not_found"].next_step + " ",
    "timeout": "Leave timeout_seconds out, or give a longer one. ",
    "network": "Check the connection. ",
    "browser_failed": "Ask the user to run 'cdp-image-mcp doctor' if it happens again. ",
    "disk": DISK_ADVICE,
    "internal": "Report it with the log on stderr. ",
    "needs_sign_in": "Ask the user to run 'cdp-image-mcp login' on this machine. ",
    "verification_required": CODES["verification_required"].next_step + " ",
    "profile_in_use": "Ask the user to close that browser window. ",
}
"""Ends that are no answer of the site about our turn: its picture may be there. And what is to be done before
anything is called."""
PRESUMING: frozenset[Code] = frozenset(("browser_failed", "disk", "internal", "timeout"))
"""Codes whose own next step is that of something that was sent; of the others it is to call again."""
HELD_ADVICE = (
    "Call wait_for_image with this generation_id: the server, which must not be ended, has the picture or its address "
    "in memory and tries again. Do not call generate_image again before that; it would be paid twice."
)
"""True while that process lives, so in no record."""
UNSENT = r" Nothing was sent\.$"
"""What a back end says of the try that failed: an earlier one may have been sent."""
GOES_ON = "Do not call generate_image again: this one goes on by itself."
NEXT: dict[str, str] = {
    "working": "Not finished yet. Call wait_for_image with this generation_id; do not call generate_image again, "
    "that would make and cost another picture.",
    "needs_sign_in": "Ask the user to sign in by hand in the browser window that is open on this machine and then to "
    "close that window (on a Mac: quit that browser). Then call wait_for_image with this generation_id. " + GOES_ON,
    "needs_verification": "Ask the user to answer the site's check by hand in the browser window that is open on this "
    "machine and then to close that window (on a Mac: quit that browser). Then call wait_for_image with this "
    "generation_id. " + GOES_ON,
    "partial": "The pictures listed are saved; failures says why the others are missing. Ask only for the rest.",
    "cancelled": "Nothing more happens with this generation; pictures listed here are kept.",
}
"""What to do next, by the status of an answer that is no failure."""


def sent_and_spent(submitted: Fact, spent: Fact) -> str:
    """What is known of both, as a person reads it."""
    if submitted is False:
        return "Nothing was sent and nothing was spent."
    counts: dict[Fact, str] = {True: "it counts", False: "nothing was spent", "unknown": "it may count"}
    return f"It {'was' if submitted is True else 'may have been'} sent, and {counts[spent]}."


def left(record: Record, *, at_site: bool) -> Left:
    """What the end of ``record`` leaves; ``at_site``: whether pictures of it may be there."""
    if record.submitted is False or (record.spent is False and not at_site):
        return "unspent"
    return "collect" if at_site else "rest" if record.images else "lost"


def next_of(record: Record, status: str) -> str | None:
    """What a caller is to do about an answer with this status, None when there is nothing to do."""
    return ADVICE["collect"] if status in NEXT and record.collectable else NEXT.get(status)


def held_error(job: "Job") -> dict[str, Any] | None:
    """The error of an answer by the process that still holds pictures; what its record says is for later ones."""
    error = job.record.error
    return error | {"next_step": job.remedy + HELD_ADVICE} if error is not None and job.held else error


def done(job: "Job") -> End:
    """Its back end has done what it could."""
    if job.whole:
        return "saved", None
    code: Code = "text_only" if job.images else "internal"
    message, advice = f"{len(job.images)} of {job.request.n} pictures were made.", None
    if job.images and job.collecting:
        # Pictures are asked for one by one, and the turn that was under way then has been collected.
        code, advice = "cancelled", ADVICE["rest"]
        message += " The generation had ended before the others were asked for."
    return "partial", ImageError(
        code, message, submitted=job.record.submitted, spent=job.record.spent, next_step=advice
    )


def stopped(job: "Job") -> End:
    """Its user or the end of this server stopped it."""
    record = job.record
    if job.stop_wanted:
        return "cancelled", cancelled(record)
    if job.whole:
        return "saved", None
    # What the site made is collected; else pictures that are here are all there will be.
    return "partial" if record.images and not record.at_site else "interrupted", cut_off(record)


def cancelled(record: Record) -> ImageError:
    """Its user stopped it."""
    sent = record.submitted
    message = (
        "Cancelled before anything was sent." if sent is False else f"Cancelled. {sent_and_spent(sent, record.spent)}"
    )
    return ImageError("cancelled", message, submitted=sent, spent=record.spent)


def cut_off(record: Record) -> ImageError:
    """Its server ended in the middle of it, in order or not."""
    leaves = left(record, at_site=record.at_site)
    what = {"unspent": f", before anything was {'sent' if record.submitted is False else 'paid'}.", "collect": "."}
    return ImageError(
        "cancelled",
        "The server ended while this generation was running"
        + what.get(leaves, "; what had not been saved cannot be fetched later."),
        submitted=record.submitted,
        spent=record.spent,
        retryable=leaves in {"unspent", "collect"},
        next_step=ADVICE[leaves],
        details={name: found for name, found in record.facts.items() if name == "kept"},
    )


def failed(job: "Job", error: ImageError) -> End:
    """It ended with ``error``. Record and error are made to tell the same about sending and paying; what the site may
    still finish stays collectable."""
    record = job.record
    _say_before(record, error)
    about_turn = error.submitted is not False
    # What the site itself refused, it did not take.
    unreached = error.code in UNREACHED and error.spent is not False
    unclear = not about_turn or error.submitted == "unknown" or unreached
    if about_turn:
        record.submitted = error.submitted if record.submitted is False else record.submitted
        # A later picture that cost nothing does not take back what the earlier ones did.
        record.spent = True if record.images else error.spent
    elif record.submitted is not False and record.spent is False:
        # An error about reaching the site says nothing of what became of the prompt that went out before.
        record.spent = "unknown"
    if error.details.pop("given_up", False) or (job.collecting and error.code == "not_found"):
        record.facts["given_up"] = True
    error.submitted, error.spent = record.submitted, record.spent
    if error.code == "cancelled" and record.spent is False:
        # The end of the server, and no wish of its user's.
        error.retryable, error.next_step = True, ADVICE["unspent"]
    if job.whole:
        return "saved", None
    leaves = left(record, at_site=record.at_site and unclear)
    told = error.next_step != CODES[error.code].next_step
    if leaves == "unspent" and error.code in PRESUMING and not told:
        error.next_step = UNREACHED.get(error.code, "") + ADVICE[leaves]
    if leaves == "collect":
        if "wait_for_image" not in error.next_step:
            before = f"{error.next_step.replace(', then call again', '')} " if told else UNREACHED.get(error.code, "")
            error.next_step = before + ADVICE[leaves]
        return "interrupted", error
    if record.spent is not False:
        _not_again(job, error)
    if record.images:
        return "partial", error
    if error.code == "refused":
        return "refused", error
    return "interrupted" if job.collecting and error.code in {"not_found", "cancelled"} else "failed", error


def _say_before(record: Record, error: ImageError) -> None:
    """What came before the try that ``error`` tells of."""
    if record.submitted is not False:
        error.message = re.sub(UNSENT, " Nothing more was sent.", error.message)
    if error.submitted is False and record.fallback_reason not in {None, "api_key_missing"}:
        error.message += f" {record.fallback_from} came first and could not: {record.fallback_reason}."


def _not_again(job: "Job", error: ImageError) -> None:
    """Nothing is left at the site, and the same call would pay a second time."""
    if error.invited and not job.record.images:
        return
    error.retryable = False
    rule = CODES[error.code]
    told = error.next_step != rule.next_step
    if error.code == "disk":
        job.remedy = f"{error.next_step} " if told else DISK_ADVICE
    if not told and (rule.retryable or (job.record.images and error.code in UNREACHED)):
        error.next_step = (job.remedy or UNREACHED.get(error.code, "")) + ADVICE[left(job.record, at_site=False)]
