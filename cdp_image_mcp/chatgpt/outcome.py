"""What a turn without a picture means in the contract's codes: structure first, words last."""

from datetime import datetime, timedelta
from typing import Any

from cdp_image_mcp.chatgpt.network.turn import Turn
from cdp_image_mcp.chatgpt.network.wire import obj, read_json, sentence
from cdp_image_mcp.chatgpt.reset import reset_time
from cdp_image_mcp.chatgpt.watching.verdict import Kind, Verdict
from cdp_image_mcp.chatgpt.words import Meaning, Words
from cdp_image_mcp.errors import Code, Fact, ImageError
from cdp_image_mcp.system.plaintext import clean, discreet

LONGEST = 2_000

_CODES: dict[Meaning, Code] = {
    "quota": "quota_reached",
    "upload_quota": "quota_reached",
    "rate": "rate_limited",
    "question": "text_only",
    "refused": "refused",
    "suspicious": "verification_required",
    "failed": "service_error",
}
_FEATURES: dict[Meaning, str] = {"quota": "image_gen", "upload_quota": "file_upload"}

_BY_STRUCTURE: dict[Kind, Code] = {
    "answer": "text_only",
    "stopped": "refused",
    "blocked": "refused",
    "tool_error": "service_error",
    "stream_error": "service_error",
    "page_error": "service_error",
    "unanswered": "service_error",
}
"""What each kind is when no known wording says more. Words after a started drawing are a guardrail's (2026)."""

_ERROR_NAMES: tuple[tuple[str, Meaning], ...] = (
    ("ratelimit", "quota"),
    ("quota", "quota"),
    ("moderation", "refused"),
    ("contentpolicy", "refused"),
    ("safety", "refused"),
    ("guardrail", "refused"),
)
"""Parts of a tool error's class name (``ChatGPTAgentToolRateLimitException`` seen 2026-08; the others defensive)."""

_MESSAGES: dict[Code, str] = {
    "quota_reached": "The site says that the plan's limit is used up",
    "rate_limited": "The site says that requests come too quickly",
    "text_only": "The site answered in words and made no picture",
    "refused": "The site's moderation stopped the picture",
    "service_error": "The site failed to make the picture",
    "verification_required": "The site finds this device's activity unusual",
}

_UNSPENT: frozenset[Code] = frozenset(("quota_reached", "rate_limited", "text_only"))
"""Pictures are charged when drawing starts (the counter falls within the stream, 2026-04-24): these never started."""


def turn_outcome(found: Verdict, turn: Turn, *, now: datetime, words: Words, submitted: Fact = True) -> ImageError:
    """The error for a ``no_picture`` verdict. ``now`` needs an offset; ``reset_at`` is in its zone."""
    kind = found.kind or "answer"
    said = discreet(found.text, LONGEST)
    failed = turn.tool_error
    name = failed.name.replace("_", "").lower() if failed else ""
    meaning: Meaning | None = next((one for part, one in _ERROR_NAMES if part in name), None)
    whole = "\n".join(part for part in (said, failed.text if failed else "", turn.error or "") if part)
    meaning = meaning or words.meaning(whole)
    code = _CODES[meaning] if meaning else _BY_STRUCTURE[kind]
    if kind == "stopped" and not meaning and not said:
        code = "service_error"
    if code == "text_only" and kind != "answer":
        # Only a turn that never drew can have been a mere answer.
        code = _BY_STRUCTURE[kind]
    lead, more = _MESSAGES[code], {} if kind == "answer" else {"kind": kind}
    if code == "text_only" and turn.model is not None:
        # Some models never draw (Instant, on some accounts): which one it was helps to choose another.
        more["model"] = clean(turn.model, 100)
        lead = lead.replace("The site answered", f"The site's model {more['model']} answered", 1)
    unspent = code in _UNSPENT and not (turn.drawing_started and code == "text_only")
    # "Please try again", says the site then; what a drawing that had begun cost stays unknown.
    invited = failed is not None and code == "service_error"
    unspent = unspent or (invited and not turn.drawing_started)
    error = _error(code, meaning, lead, said, whole, now, submitted=submitted, unspent=unspent, **more)
    error.invited = invited
    return error


def alert_outcome(text: str, *, now: datetime, words: Words, submitted: Fact = True) -> ImageError | None:
    """What an alert or a dialog outside our turn means, None when it says nothing known."""
    said = discreet(text, LONGEST)
    meaning = words.meaning(said)
    if meaning is None or meaning == "question":
        return None
    code = _CODES[meaning]
    unspent = code in _UNSPENT
    return _error(code, meaning, _MESSAGES[code], said, said, now, submitted=submitted, unspent=unspent)


def http_outcome(
    status: int,
    body: bytes,
    *,
    now: datetime,
    words: Words,
    left: int | None = None,
    wait: float | None = None,
    submitted: Fact = True,
) -> ImageError | None:
    """What a refused POST of the conversation means, None below 400. A check page (403 with ``cf-mitigated``) is for
    the caller to recognise by its header first. ``left``: pictures that the account has left, as last told: a refusal
    that says otherwise is of the moment (seen with several references, 2026-08). ``wait``: seconds, as its headers
    ask for; what its words say of it wins."""
    if status < 400:
        return None
    said = discreet(_detail(body), LONGEST)
    meaning = words.meaning(said)
    code: Code = "service_error"
    if status == 401:
        code = "needs_sign_in"
    elif meaning == "quota" and left:
        code, meaning = "rate_limited", "rate"
    elif meaning in {"quota", "upload_quota"}:
        code = "quota_reached"
    elif status == 429:
        code, meaning = "rate_limited", "rate"
    elif status == 413:
        code = "invalid_input"
    elif meaning in {"refused", "suspicious"}:
        code = _CODES[meaning]
    lead = f"The site refused the request with HTTP {status}"
    found = _error(code, meaning, lead, said, said, now, submitted=submitted, unspent=True, http_status=status)
    if wait is not None and found.retry_after_seconds is None:
        found.retry_after_seconds = wait
        found.reset_at = (now + timedelta(seconds=wait)).isoformat(timespec="seconds")
    return found


def _error(
    code: Code,
    meaning: Meaning | None,
    lead: str,
    said: str,
    whole: str,
    now: datetime,
    *,
    submitted: Fact,
    unspent: bool,
    **more: Any,
) -> ImageError:
    """``details.text`` holds the turn's own words alone; ``whole`` is searched for the end of a limit."""
    details: dict[str, Any] = {"text": said} if said else {}
    if meaning in _FEATURES:
        details["feature"] = _FEATURES[meaning]
    moment = reset_time(whole, now) if code in {"quota_reached", "rate_limited"} else None
    return ImageError(
        code,
        f"{lead}: {said[:300]}" if said else f"{lead}.",
        submitted=submitted,
        spent=False if unspent else None,
        reset_at=moment.isoformat(timespec="seconds") if moment else None,
        retry_after_seconds=(moment - now).total_seconds() if moment else None,
        details={**details, **more},
    )


def _detail(body: bytes) -> str:
    said = obj(read_json(body))
    return next(filter(None, (sentence(said.get(key)) for key in ("detail", "error", "message"))), "")
