"""What the API's error answers mean: one table, with where and when each was seen."""

import re
from collections.abc import Collection
from typing import Literal, TypeAlias

import msgspec

from cdp_image_mcp.errors import Code, Fact

Again: TypeAlias = Literal["limit", "service", "blind"]
"""Why a request may be sent again by itself: a limit that clears, a fault before any work, a limit without a word."""


class Rule(msgspec.Struct, frozen=True):
    """One line of the table. An answer matches when every given condition holds; the first match counts.

    ``submitted`` is False where the server turned the request away at the door. ``again`` is set only where nothing
    can have been paid: an answer of 500, 502, 503 or 520 to 523 that held no picture is billed by nobody, but whether
    the server began to work nobody knows either. It is told as ``submitted`` "unknown" and ``spent`` False, and stays
    so over every later try of the same generation unless one of them is worse or brings the pictures.
    """

    code: Code
    says: str
    seen: str
    """Where and when."""
    statuses: Collection[int] = ()
    names: Collection[str] = ()
    """Values of ``error.code``."""
    types: Collection[str] = ()
    param: str | None = None
    text: str | None = None
    """Regular expression, searched in the message without regard to case."""
    submitted: Fact = False
    spent: Fact = False
    again: Again | None = None
    next_step: str | None = None

    def matches(self, status: int, name: str, kind: str, param: str, text: str) -> bool:
        return (
            (not self.statuses or status in self.statuses)
            and (not self.names or name in self.names)
            and (not self.types or kind in self.types)
            and (self.param is None or param == self.param)
            and (self.text is None or re.search(self.text, text, re.IGNORECASE) is not None)
        )


BILLING = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "account_deactivated",
)
MODERATION = (
    "moderation_blocked",
    "content_policy_violation",
    "contentFilter",
    "content_filter",
    "ResponsibleAIPolicyViolation",
)

RULES: tuple[Rule, ...] = (
    # --- refused for what was asked -----------------------------------------------------------------------------
    Rule(
        "refused",
        "The API's moderation stopped the picture",
        "2026-09-20 live; content_policy_violation from the DALL-E years; contentFilter from Azure, 2026-03-20",
        names=MODERATION,
        submitted=True,
    ),
    Rule(
        "refused",
        "The API's moderation stopped the picture",
        "2026-03-20, Azure and relays that lose the code",
        statuses=(400, 403),
        text="safety system|content management policy",
        submitted=True,
    ),
    # --- a relay that could not pass it on ----------------------------------------------------------------------
    Rule(
        "service_error",
        "The relay has no account or channel free for the model",
        "sub2api#6889, #7140 (2026-09: 503, 400), one-api, new-api (503, 2025-09), CLIProxyAPI#3039 (2026-04)",
        text=r"no available (\w+ )?(accounts?|channels?)|no auth available|auth_not_found|无可用渠道",
        again="service",
        next_step="Call again in a minute. If it stays so, ask the user to look at the relay's accounts for this "
        "model, or to set GPT_IMAGE_MODEL to one that it has; the key is not what is wrong.",
    ),
    # --- who pays, and whether they may -------------------------------------------------------------------------
    Rule(
        "billing",
        "The account cannot pay for pictures",
        "insufficient_quota recorded 2026-08-22, spend limits live 2026-09-16, the rest from the help pages",
        names=BILLING,
    ),
    Rule(
        "billing", "The account cannot pay for pictures", "help page on 429, autumn 2026", types=("insufficient_quota",)
    ),
    Rule("billing", "The server wants to be paid first", "OpenRouter, 2026", statuses=(402,)),
    Rule(
        "organization_unverified",
        "The API wants the organization verified for this model",
        "2025-04-25",
        text="must be verified",
        next_step="Ask the user to verify the organization in the API's settings (it may take 15 minutes to count), "
        "or use backend chatgpt-web.",
    ),
    Rule(
        "model_unavailable",
        "The model is not open to this key or project",
        "2026-09-16 live",
        names=("model_not_found", "DeploymentNotFound"),
    ),
    Rule(
        "model_unavailable",
        "The API does not know the model",
        "2026-09-20 live",
        names=("invalid_value",),
        param="model",
    ),
    Rule(
        "api_key_invalid",
        "The API does not accept the key",
        "2026-09-16, fixture of a third party",
        names=("invalid_api_key",),
    ),
    # --- arguments ----------------------------------------------------------------------------------------------
    Rule(
        "invalid_input",
        "The API does not take one of the parameters",
        "invalid_value 2026-09-20 live; unknown_parameter 2026-07-22; invalid_image_file 2026-08-10 recorded",
        names=(
            "invalid_value",
            "unknown_parameter",
            "invalid_input_fidelity_model",
            "invalid_image_file",
            "invalid_png_output_compression",
            "invalid_type",
            "missing_required_parameter",
            "string_above_max_length",
        ),
    ),
    # --- limits that clear --------------------------------------------------------------------------------------
    Rule(
        "rate_limited",
        "Too many requests in a short time",
        "2026, quoted by users; slow_down quoted by Microsoft's proxy",
        names=("rate_limit_exceeded", "slow_down"),
        again="limit",
    ),
    Rule(
        "service_error",
        "The API is overloaded",
        "2026, quoted by Microsoft's proxy",
        names=("server_is_overloaded",),
        again="service",
    ),
    # --- by status alone ----------------------------------------------------------------------------------------
    Rule("api_key_invalid", "The API does not accept the key", "HTTP semantics", statuses=(401,)),
    Rule(
        "configuration",
        "The API refuses this key, project or place",
        "HTTP semantics",
        statuses=(403,),
        next_step="Ask the user to check the key's permissions, the project and OPENAI_BASE_URL; details.text says "
        "what the server answered.",
    ),
    Rule(
        "configuration",
        "There is no images endpoint at that address",
        "HTTP semantics; none seen at the vendor",
        statuses=(404, 405, 501),
        next_step="Ask the user to check OPENAI_BASE_URL (most end in /v1) and OPENAI_COMPAT.",
    ),
    Rule(
        "configuration",
        "The proxy on the way wants a user name and a password",
        "HTTP semantics",
        statuses=(407,),
        next_step="Ask the user to write them into HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: http://name:password@host:port.",
    ),
    Rule(
        "service_error",
        "The API did not take the request",
        "official SDK 3.54.0 repeats these",
        statuses=(408, 409),
        again="service",
    ),
    Rule(
        "invalid_input",
        "The API finds the request too large; use smaller reference pictures",
        "HTTP semantics",
        statuses=(413,),
    ),
    Rule(
        "rate_limited",
        "Too many requests in a short time",
        "2026, quoted by users",
        statuses=(429,),
        types=("requests", "tokens", "images", "input-images", "rate_limit_error", "rate_limit_exceeded"),
        again="limit",
    ),
    Rule(
        "rate_limited",
        "Too many requests in a short time",
        "answers without JSON, from gateways",
        statuses=(429,),
        again="blind",
    ),
    Rule(
        "service_error",
        "The API failed on its own side",
        "500 and 502 quoted by users, 520 to 523 from Cloudflare, 529 OpenRouter's overloaded provider (2026-11)",
        statuses=(500, 502, 503, 520, 521, 522, 523, 529),
        submitted="unknown",
        again="service",
    ),
    # The gateway gave up waiting; the picture behind it may be made and billed.
    Rule(
        "timeout",
        "A gateway before the API gave up waiting; the picture may have been made and billed",
        "524 after 100 to 120 s of silence is a proxy's limit, 2026",
        statuses=(504, 524),
        submitted=True,
        spent="unknown",
        next_step="Ask for a lower quality or size, which is drawn faster, or let the user raise the gateway's limit.",
    ),
    Rule(
        "service_error",
        "The API failed while it was drawing",
        "2026, stream event quoted by a client",
        types=("image_generation_server_error", "server_error", "service_unavailable_error"),
        submitted=True,
        spent="unknown",
    ),
    Rule(
        "invalid_input",
        "The API does not take the request",
        "Streaming is only supported with n=1, 2026-09-06",
        types=("image_generation_user_error", "invalid_request_error"),
    ),
    Rule("invalid_input", "The API does not take the request", "HTTP semantics", statuses=range(400, 500)),
    Rule(
        "configuration",
        "The API's address answers with another address, which is not followed: the key would go there",
        "HTTP semantics",
        statuses=range(300, 400),
        next_step="Ask the user to set OPENAI_BASE_URL to the address of the API itself.",
    ),
    Rule(
        "service_error",
        "The API answered with an error of an unknown kind",
        "never",
        submitted="unknown",
        spent="unknown",
    ),
)
