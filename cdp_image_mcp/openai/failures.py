"""What the API's error answers mean: a table of real bodies, and how long to wait before asking again."""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias, cast

import msgspec

from cdp_image_mcp.errors import Code, Fact, ImageError

__all__ = ["RULES", "Again", "FailureRule", "Verdict", "clean", "judge", "stated_wait"]

Again: TypeAlias = Literal["limit", "service", "blind"]
"""Why a request may be sent again by itself: a limit that clears, a fault before any work, a limit without a word."""


class FailureRule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. An answer matches when every given condition holds; the first match counts.

    ``submitted`` is False where the server turned the request away at the door. ``again`` is set only where nothing
    can have been paid.
    """

    code: Code
    statuses: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    """Values of ``error.code``."""
    types: frozenset[str] = frozenset()
    param: str | None = None
    text: str | None = None
    """Regular expression, searched in the message without regard to case."""
    submitted: Fact = False
    spent: Fact = False
    retryable: bool | None = None
    again: Again | None = None
    says: str
    next_step: str | None = None
    seen: str

    def matches(self, status: int, name: str, kind: str, param: str, text: str) -> bool:
        return (
            (not self.statuses or status in self.statuses)
            and (not self.names or name in self.names)
            and (not self.types or kind in self.types)
            and (self.param is None or param == self.param)
            and (self.text is None or re.search(self.text, text, re.IGNORECASE) is not None)
        )


def _set(*values: Any) -> frozenset[Any]:
    return frozenset(values)


BILLING = _set(
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "account_deactivated",
)
MODERATION = _set(
    "moderation_blocked",
    "content_policy_violation",
    "contentFilter",
    "content_filter",
    "ResponsibleAIPolicyViolation",
)

RULES: tuple[FailureRule, ...] = (
    # --- refused for what was asked -----------------------------------------------------------------------------
    FailureRule(
        code="refused",
        names=MODERATION,
        submitted=True,
        says="The API's moderation stopped the picture",
        seen="2026-09-20 live; content_policy_violation from the DALL-E years; contentFilter from Azure, 2026-03-20",
    ),
    FailureRule(
        code="refused",
        statuses=_set(400, 403),
        text="safety system|content management policy",
        submitted=True,
        says="The API's moderation stopped the picture",
        seen="2026-03-20, Azure and relays that lose the code",
    ),
    # --- who pays, and whether they may -------------------------------------------------------------------------
    FailureRule(
        code="billing",
        names=BILLING,
        says="The account cannot pay for pictures",
        seen="insufficient_quota recorded 2026-08-22, spend limits live 2026-09-16, the rest from the help pages",
    ),
    FailureRule(
        code="billing",
        types=_set("insufficient_quota"),
        says="The account cannot pay for pictures",
        seen="help page on 429, autumn 2026",
    ),
    FailureRule(code="billing", statuses=_set(402), says="The server wants to be paid first", seen="OpenRouter, 2026"),
    FailureRule(
        code="organization_unverified",
        text="must be verified",
        says="The API wants the organization verified for this model",
        next_step="Ask the user to verify the organization in the API's settings (it may take 15 minutes to count), "
        "or use backend chatgpt-web.",
        seen="2025-04-25",
    ),
    FailureRule(
        code="model_unavailable",
        names=_set("model_not_found", "DeploymentNotFound"),
        says="The model is not open to this key or project",
        next_step="Ask the user to allow the model in the project's limits (counts after about 30 s), or to set "
        "GPT_IMAGE_MODEL to another one.",
        seen="2026-09-16 live",
    ),
    FailureRule(
        code="model_unavailable",
        names=_set("invalid_value"),
        param="model",
        says="The API does not know the model",
        seen="2026-09-20 live",
    ),
    FailureRule(
        code="api_key_invalid",
        names=_set("invalid_api_key"),
        says="The API does not accept the key",
        seen="2026-09-16, fixture of a third party",
    ),
    # --- arguments ----------------------------------------------------------------------------------------------
    FailureRule(
        code="invalid_input",
        names=_set(
            "invalid_value",
            "unknown_parameter",
            "invalid_input_fidelity_model",
            "invalid_image_file",
            "invalid_png_output_compression",
            "invalid_type",
            "missing_required_parameter",
            "string_above_max_length",
        ),
        says="The API does not take one of the parameters",
        seen="invalid_value 2026-09-20 live; unknown_parameter 2026-07-22; invalid_image_file 2026-08-10 recorded",
    ),
    # --- limits that clear --------------------------------------------------------------------------------------
    FailureRule(
        code="rate_limited",
        names=_set("rate_limit_exceeded", "slow_down"),
        again="limit",
        says="Too many requests in a short time",
        seen="2026, quoted by users; slow_down quoted by Microsoft's proxy",
    ),
    FailureRule(
        code="service_error",
        names=_set("server_is_overloaded"),
        again="service",
        says="The API is overloaded",
        seen="2026, quoted by Microsoft's proxy",
    ),
    # --- by status alone ----------------------------------------------------------------------------------------
    FailureRule(
        code="api_key_invalid", statuses=_set(401), says="The API does not accept the key", seen="HTTP semantics"
    ),
    FailureRule(
        code="configuration",
        statuses=_set(403),
        says="The API refuses this key, project or place",
        next_step="Ask the user to check the key's permissions, the project and OPENAI_BASE_URL; details.text says "
        "what the server answered.",
        seen="HTTP semantics",
    ),
    FailureRule(
        code="configuration",
        statuses=_set(404, 405),
        says="There is no images endpoint at that address",
        next_step="Ask the user to check OPENAI_BASE_URL and OPENAI_COMPAT.",
        seen="HTTP semantics; none seen at the vendor",
    ),
    FailureRule(
        code="service_error",
        statuses=_set(408, 409),
        again="service",
        says="The API did not take the request",
        seen="official SDK 3.54.0 repeats these",
    ),
    FailureRule(
        code="invalid_input",
        statuses=_set(413),
        says="The API finds the request too large; use smaller reference pictures",
        seen="HTTP semantics",
    ),
    FailureRule(
        code="rate_limited",
        statuses=_set(429),
        types=_set("requests", "tokens", "images", "input-images", "rate_limit_error", "rate_limit_exceeded"),
        again="limit",
        says="Too many requests in a short time",
        seen="2026, quoted by users",
    ),
    FailureRule(
        code="rate_limited",
        statuses=_set(429),
        again="blind",
        says="Too many requests in a short time",
        seen="answers without JSON, from gateways",
    ),
    FailureRule(
        code="service_error",
        statuses=_set(500, 502, 503, 520, 521, 522, 523),
        submitted="unknown",
        again="service",
        says="The API failed on its own side",
        seen="500 and 502 quoted by users, 520 to 523 from Cloudflare",
    ),
    # The gateway gave up waiting; the picture behind it may be made and billed.
    FailureRule(
        code="timeout",
        statuses=_set(504, 524),
        submitted=True,
        spent="unknown",
        retryable=True,
        says="A gateway before the API gave up waiting; the picture may have been made and billed",
        next_step="Ask for a lower quality or size, which is drawn faster, or let the user raise the gateway's limit.",
        seen="524 after 100 to 120 s of silence is a proxy's limit, 2026",
    ),
    FailureRule(
        code="service_error",
        types=_set("image_generation_server_error", "server_error", "service_unavailable_error"),
        submitted=True,
        spent="unknown",
        says="The API failed while it was drawing",
        seen="2026, stream event quoted by a client",
    ),
    FailureRule(
        code="invalid_input",
        types=_set("image_generation_user_error", "invalid_request_error"),
        says="The API does not take the request",
        seen="Streaming is only supported with n=1, 2026-09-06",
    ),
    FailureRule(
        code="invalid_input",
        statuses=frozenset(range(400, 500)),
        says="The API does not take the request",
        seen="HTTP semantics",
    ),
    FailureRule(
        code="configuration",
        statuses=frozenset(range(300, 400)),
        says="The API's address answers with another address, which is not followed: the key would go there",
        next_step="Ask the user to set OPENAI_BASE_URL to the address of the API itself.",
        seen="HTTP semantics",
    ),
    FailureRule(
        code="service_error",
        submitted="unknown",
        spent="unknown",
        says="The API answered with an error of an unknown kind",
        seen="never",
    ),
)


class Verdict(msgspec.Struct, frozen=True):
    """What an error answer means."""

    error: ImageError
    again: Again | None
    wait: float | None
    """Seconds the server asks to wait, None when it says nothing."""
    unknown_parameter: str | None
    """Name of a parameter the server does not know."""


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
SECRET = re.compile(r"\b(?:sk|sess|key)-[A-Za-z0-9_*.-]{6,}")


def clean(text: str, key: str | None, limit: int = 1000) -> str:
    """Foreign text made harmless: bounded, without control characters, without anything that looks like a key."""
    if key:
        text = text.replace(key, "[key]")
    text = SECRET.sub("[key]", CONTROL.sub(" ", text))
    return text[:limit].strip()


def _fields(body: Any) -> Mapping[str, Any]:
    """The error object of a body; relays put it at the top, in a list, or make it a plain sentence."""
    error: Any = cast("Mapping[str, Any]", body).get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, str):
        return {"message": error}
    return cast("Mapping[str, Any]", error) if isinstance(error, Mapping) else {}


def _page_text(text: str) -> str:
    """An error page's title, or its words."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return re.sub(r"\s+", " ", html.unescape(words))


def judge(
    status: int, headers: Mapping[str, str], body: Any, text: str = "", *, key: str | None = None, begun: bool = False
) -> Verdict:
    """Judge an error answer. ``body`` is its JSON or None, ``text`` its bytes as text for bodies that are no JSON.

    ``begun``: the answer had begun as a success (an error inside a 200, or within a stream). Then nothing is sent
    again by itself, and unless the table says that the request was turned away, it may have been paid.
    """
    fields = _fields(body)
    message = fields.get("message") if isinstance(fields.get("message"), str) else _page_text(text)
    message = str(message)
    name, kind = _word(fields.get("code")), _word(fields.get("type"))
    param = _word(fields.get("param"))
    rule = next(rule for rule in RULES if rule.matches(status, name, kind, param, message))
    wait = stated_wait(headers, message) if rule.code in {"rate_limited", "service_error"} else None
    details = _details(status, name, kind, param, headers, fields, clean(message, key), key)
    again, next_step, retryable, says = rule.again, rule.next_step, rule.retryable, rule.says
    submitted, spent = rule.submitted, rule.spent
    if too_many := _beyond_limit(message):
        again, retryable = None, False
        says = f"The request asks for {too_many[0]}, but the account's limit is {too_many[1]}: waiting will not help"
        next_step = "Ask for fewer pictures or references in one call."
    if rule.code == "refused":
        submitted, spent, next_step = True, _moderation_cost(fields), next_step or _moderation_advice(fields)
    if headers.get("x-should-retry") == "false":
        again = None
    elif headers.get("x-should-retry") == "true" and status >= 500 and not begun:
        again = again or "service"
    if begun:
        again = None if rule.submitted else again
        if rule.code in {"service_error", "timeout"}:
            again, submitted, spent = None, True, "unknown"
    where = f" (HTTP {status}{', ' + clean(name, key, 80) if name else ''})"
    named = f": {clean(param, key, 100)}" if rule.code == "invalid_input" and param else ""
    error = ImageError(
        rule.code,
        f"{says}{where}{named}.",
        submitted=submitted,
        spent=spent,
        retryable=retryable,
        retry_after_seconds=wait,
        reset_at=_reset_at(wait),
        next_step=next_step,
        details=details,
    )
    unknown = param if name == "unknown_parameter" else None
    return Verdict(error, again, wait, unknown or None)


def _word(value: Any) -> str:
    """A short field of an error; some servers send numbers, or null."""
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _details(
    status: int,
    name: str,
    kind: str,
    param: str,
    headers: Mapping[str, str],
    fields: Mapping[str, Any],
    text: str,
    key: str | None,
) -> dict[str, Any]:
    details: dict[str, Any] = {"http_status": status}
    words = {"api_code": name, "api_type": kind, "param": param, "request_id": headers.get("x-request-id", "")}
    details |= {label: clean(word, key, 100) for label, word in words.items() if word}
    moderation = fields.get("moderation_details")
    if isinstance(moderation, Mapping):
        found = cast("Mapping[str, Any]", moderation)
        details["moderation_stage"] = clean(_word(found.get("moderation_stage")), key, 40)
        categories = found.get("categories")
        if isinstance(categories, list):
            listed = cast("list[Any]", categories)[:20]
            details["moderation_categories"] = [clean(_word(category), key, 60) for category in listed]
    if text:
        details["text"] = text
    return details


def _stage(fields: Mapping[str, Any]) -> str:
    moderation = fields.get("moderation_details")
    return (
        _word(cast("Mapping[str, Any]", moderation).get("moderation_stage")) if isinstance(moderation, Mapping) else ""
    )


def _moderation_cost(fields: Mapping[str, Any]) -> Fact:
    """A prompt stopped at the door costs nothing; whether a picture drawn and then withheld does, nobody says."""
    return False if _stage(fields) == "input" else "unknown"


def _moderation_advice(fields: Mapping[str, Any]) -> str | None:
    if _stage(fields) != "output":
        return None
    return "The finished picture was withheld. Change the prompt; the same one may pass another time, but is paid anew."


def _beyond_limit(message: str) -> tuple[int, int] | None:
    """Asked and allowed, when one request alone is above a limit: that never clears."""
    limit = re.search(r"\bLimit:?\s+([\d,]+)", message)
    asked = re.search(r"\bRequested:?\s+([\d,]+)", message)
    if not limit or not asked:
        return None
    numbers = int(asked[1].replace(",", "")), int(limit[1].replace(",", ""))
    return numbers if numbers[0] > numbers[1] else None


UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def stated_wait(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, else ``retry-after`` (seconds or a date), else
    "try again in 1m12s" in the message. None when it says nothing usable."""
    for header, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(header, "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value) * factor
        if value and factor == 1.0:
            try:
                at = parsedate_to_datetime(value)
            except ValueError:
                continue
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return max(0.0, (at - datetime.now(UTC)).total_seconds())
    said = re.search(r"try again in ((?:\d+(?:\.\d+)?\s?(?:ms|s|m|h|d)\w*[\s,]*)+)", message, re.IGNORECASE)
    if not said:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)\s?(ms|s|m|h|d)", said[1].lower())
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def _reset_at(wait: float | None) -> str | None:
    if wait is None:
        return None
    at = datetime.now().astimezone() + timedelta(seconds=min(wait, 366 * 86_400))
    return at.isoformat(timespec="seconds")
