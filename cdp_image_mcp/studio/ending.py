"""How a generation ends: which state, and what its caller is told about sending, paying and calling again."""

from cdp_image_mcp.errors import CODES, Code, ImageError
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import State
from cdp_image_mcp.studio.job import Job

__all__ = ["cancelled", "failed_state", "lost", "missing", "stopped"]

UNREACHED: frozenset[Code] = frozenset(
    (
        *("timeout", "network", "browser_failed", "disk", "internal", "needs_sign_in"),
        *("verification_required", "profile_in_use", "site_changed", "browser_not_found"),
    )
)
"""Ends that are no answer of the site about our turn: its picture may be there."""

LOST_ADVICE = "Nothing more can be collected. Call generate_image again only if paying twice is acceptable."
REST_ADVICE = "What is saved has been paid for: ask again only for what is missing."
DISK_ADVICE = "Ask the user to free space or to correct the folder's permissions. "


def missing(job: Job) -> ImageError | None:
    """What an end without an error lacks; None when all pictures are there."""
    if len(job.images) >= job.request.n:
        return None
    code: Code = "text_only" if job.images else "internal"
    message, advice = f"{len(job.images)} of {job.request.n} pictures were made.", None
    if job.images and job.collecting:
        # Pictures are asked for one by one, and the turn that was under way then has been collected.
        code, advice = "cancelled", REST_ADVICE
        message += " The generation had ended before the others were asked for."
    return ImageError(code, message, submitted=job.record.submitted, spent=job.record.spent, next_step=advice)


def cancelled(record: Record) -> ImageError:
    """Its user stopped it."""
    sent = record.submitted
    message = "Cancelled before anything was sent." if sent is False else "Cancelled; the request had been sent."
    return ImageError("cancelled", message, submitted=sent, spent=record.spent)


def stopped(record: Record) -> ImageError:
    """The server was ended in an orderly way."""
    collected = record.on_web and record.submitted is not False
    return ImageError(
        "cancelled",
        "The server was ended while this generation was running.",
        submitted=record.submitted,
        spent=record.spent,
        retryable=collected or record.submitted is False,
        next_step="Call wait_for_image with this generation_id: what the site finished is collected."
        if collected
        else _advice(record),
    )


def lost(record: Record) -> ImageError:
    """Its process died, and nothing can be fetched later."""
    unsent = record.submitted is False
    return ImageError(
        "cancelled",
        "The server ended while this generation was running"
        + (", before anything was sent." if unsent else "; its answer cannot be fetched later."),
        submitted=record.submitted,
        spent=record.spent,
        retryable=unsent,
        next_step=_advice(record),
        details={"given_up": True},
    )


def failed_state(job: Job, error: ImageError) -> State:
    """The state that ``error`` ends a job in. Record and error are made to tell the same about sending and paying;
    what the site may still finish stays collectable."""
    record = job.record
    about_turn = error.submitted is not False
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
    if len(record.images) >= job.request.n:
        return "saved"
    if _left_at_site(record, error, about_turn=about_turn):
        return "interrupted"
    if record.spent is not False:
        _not_again(record, error)
    if record.images:
        return "partial"
    if error.code == "refused":
        return "refused"
    return "interrupted" if job.collecting and error.code in {"not_found", "cancelled"} else "failed"


def _left_at_site(record: Record, error: ImageError, *, about_turn: bool) -> bool:
    """Whether the site may still finish, or has finished, what this process could not fetch: its own answer about our
    turn is the end of it, trouble with reaching it is not."""
    if not record.on_web or record.submitted is False or record.facts.get("given_up"):
        return False
    return not about_turn or error.code in UNREACHED


def _not_again(record: Record, error: ImageError) -> None:
    """Nothing is left at the site, and the same call would pay a second time."""
    error.retryable = False
    rule = CODES[error.code]
    if rule.retryable and error.next_step == rule.next_step:
        advice = REST_ADVICE if record.images else LOST_ADVICE
        error.next_step = DISK_ADVICE + advice if error.code == "disk" else advice


def _advice(record: Record) -> str:
    """What to do about an end that left nothing to collect."""
    return "Call generate_image again if the picture is still wanted." if record.submitted is False else LOST_ADVICE
