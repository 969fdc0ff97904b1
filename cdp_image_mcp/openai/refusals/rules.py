"""What the API's error answers mean: one table, with where and when each was seen."""

import re
from typing import Any, Literal, TypeAlias

import msgspec

from cdp_image_mcp.errors import Code, Fact

__all__ = ["RULES", "Again", "FailureRule"]

Again: TypeAlias = Literal["limit", "service", "blind"]
"""Why a request may be sent again by itself: a limit that clears, a fault before any work, a limit without a word."""


class FailureRule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. An answer matches when every given condition holds; the first match counts.

    ``submitted`` is False where the server turned the request away at the door. ``again`` is set only where nothing
    can have been paid: an answer of 500, 502, 503 or 520 to 523 that held no picture is billed by nobody, but whether
    the server began to work nobody knows either. It is told as ``submitted`` "unknown" and ``spent`` False, and stays
    so over every later try of the same generation unless one of them is worse or brings the pictures.
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
    # --- a relay that could not pass it on ----------------------------------------------------------------------
    FailureRule(
        code="service_error",
        text=r"no available (\w+ )?(accounts?|channels?)|no auth available|auth_not_found|无可用渠道",
        again="service",
        says="The relay has no account or channel free for the model",
        next_step="Call again in a minute. If it stays so, ask the user to look at the relay's accounts for this "
        "model, or to set GPT_IMAGE_MODEL to one that it has; the key is not what is wrong.",
        seen="sub2api#6889, #7140 (2026-09: 503, 400), one-api, new-api (503, 2025-09), CLIProxyAPI#3039 (2026-04)",
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
        statuses=_set(404, 405, 501),
        says="There is no images endpoint at that address",
        next_step="Ask the user to check OPENAI_BASE_URL (most end in /v1) and OPENAI_COMPAT.",
        seen="HTTP semantics; none seen at the vendor",
    ),
    FailureRule(
        code="configuration",
        statuses=_set(407),
        says="The proxy on the way wants a user name and a password",
        next_step="Ask the user to write them into HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: http://name:password@host:port.",
        seen="HTTP semantics",
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
        statuses=_set(500, 502, 503, 520, 521, 522, 523, 529),
        submitted="unknown",
        again="service",
        says="The API failed on its own side",
        seen="500 and 502 quoted by users, 520 to 523 from Cloudflare, 529 OpenRouter's overloaded provider (2026-11)",
    ),
    # The gateway gave up waiting; the picture behind it may be made and billed.
    FailureRule(
        code="timeout",
        statuses=_set(504, 524),
        submitted=True,
        spent="unknown",
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
