"""The one exception that travels to a caller, and the table of its codes."""

from typing import Any, Literal, TypeAlias, get_args

import msgspec

Code: TypeAlias = Literal[
    "invalid_input",
    "not_found",
    "configuration",
    "api_key_missing",
    "api_key_invalid",
    "organization_unverified",
    "model_unavailable",
    "billing",
    "rate_limited",
    "quota_reached",
    "refused",
    "text_only",
    "needs_sign_in",
    "verification_required",
    "browser_not_found",
    "browser_failed",
    "profile_in_use",
    "site_changed",
    "service_error",
    "network",
    "timeout",
    "cancelled",
    "disk",
    "internal",
]

Fact: TypeAlias = bool | Literal["unknown"]
"""True, False, or "unknown" where the other side never told us."""


class ErrorRule(msgspec.Struct, frozen=True):
    """What a code means for the caller when the place that raised it said nothing more exact."""

    meaning: str
    retryable: bool
    next_step: str
    person: bool = False
    """A person has to do something; the command line then ends with exit code 3."""


THEN_CALL = "then call wait_for_image where a generation_id is named, else generate_image."

CODES: dict[Code, ErrorRule] = {
    "invalid_input": ErrorRule(
        "An argument is outside what the tool or the model takes.", False, "Correct the named field and call again."
    ),
    "not_found": ErrorRule(
        "There is no generation, file or folder of that name.",
        False,
        "Call backend_status for the newest generation ids, or check the path.",
    ),
    "configuration": ErrorRule(
        "A setting of the server is wrong.",
        False,
        "Ask the user to correct the named variable in the client's configuration and restart the server.",
        person=True,
    ),
    "api_key_missing": ErrorRule(
        "The API back end was asked for and OPENAI_API_KEY is not set.",
        False,
        "Ask the user to set OPENAI_API_KEY, or call again with backend chatgpt-web.",
        person=True,
    ),
    "api_key_invalid": ErrorRule(
        "The API does not accept the key.", False, "Ask the user to check OPENAI_API_KEY.", person=True
    ),
    "organization_unverified": ErrorRule(
        "The API wants the organization verified before it makes pictures.",
        False,
        "Ask the user to verify the organization in the API's settings, or use backend chatgpt-web.",
        person=True,
    ),
    "model_unavailable": ErrorRule(
        "The model does not exist, has ended, or is not open to this key.",
        False,
        "Ask the user to set GPT_IMAGE_MODEL to a model that is available to the key.",
        person=True,
    ),
    "billing": ErrorRule(
        "The account has no credit left, or the day's own budget is used up.",
        False,
        "Ask the user to add credit or raise GPT_IMAGE_BUDGET_USD, or use backend chatgpt-web.",
        person=True,
    ),
    "rate_limited": ErrorRule(
        "Too many requests in a short time.", True, "Wait as long as stated, else a minute, then call again."
    ),
    "quota_reached": ErrorRule(
        "The plan's picture limit is used up.",
        False,
        "Wait until the stated time, else until the plan's limit resets, or use the other back end.",
    ),
    "refused": ErrorRule(
        "Moderation or a guardrail stopped the picture.",
        False,
        "Change the prompt; this one will be refused again.",
    ),
    "text_only": ErrorRule(
        "The site answered in words and made no picture.",
        False,
        "Read details.text; answer it with a new prompt and continue_from, or change the prompt.",
    ),
    "needs_sign_in": ErrorRule(
        "Nobody is signed in at the site and nobody could be asked.",
        False,
        "Ask the user to run 'cdp-image-mcp login' on this machine, then call again.",
        person=True,
    ),
    "verification_required": ErrorRule(
        "The site wants a person to pass a check and nobody could be asked.",
        False,
        "Ask the user to run 'cdp-image-mcp login' on this machine, at its desktop or over 'ssh -X', and to pass the "
        "check there.",
        person=True,
    ),
    "browser_not_found": ErrorRule(
        "No Chrome, Edge, Chromium or Brave was found.",
        False,
        "Ask the user to install Google Chrome or Microsoft Edge, or to set CHROME_PATH to the program file.",
        person=True,
    ),
    "browser_failed": ErrorRule(
        "The browser did not start, crashed or was closed.",
        True,
        "Call wait_for_image to collect what the site finished; run 'cdp-image-mcp doctor' if it happens again.",
    ),
    "profile_in_use": ErrorRule(
        "Another program has the browser profile open.",
        True,
        "Ask the user to close that browser window, then call again.",
        person=True,
    ),
    "site_changed": ErrorRule(
        "Something on the page was not found where it used to be.",
        False,
        "Ask the user to update cdp-image-mcp and to restart the client; backend api works meanwhile.",
    ),
    "service_error": ErrorRule("The service failed on its own side.", True, "Call again after a minute."),
    "network": ErrorRule("The service could not be reached.", True, "Check the connection, then call again."),
    "timeout": ErrorRule(
        "The time set for the whole generation ran out.",
        True,
        "Call wait_for_image first: the picture may still be collected. Then try a longer timeout_seconds.",
    ),
    "cancelled": ErrorRule("The generation was cancelled.", False, "Nothing needs to be done."),
    "disk": ErrorRule(
        "A file could not be written.",
        True,
        f"Ask the user to free space or to correct the folder's permissions, {THEN_CALL}",
        person=True,
    ),
    "internal": ErrorRule(
        "A fault in cdp-image-mcp itself.",
        False,
        "Report it with the log on stderr; call wait_for_image once.",
    ),
}

if set(CODES) != set(get_args(Code)):
    raise RuntimeError("every error code needs its rule")

FIELDS = (
    "code",
    "message",
    "submitted",
    "spent",
    "retryable",
    "retry_after_seconds",
    "reset_at",
    "next_step",
    "details",
)
"""Of a failure, in the order of the contract."""


class ImageError(Exception):
    """A failure with everything a caller needs to decide what to do.

    Made where the knowledge is and carried unchanged to the edge. ``submitted`` tells whether the prompt
    reached the other side, ``spent`` whether money or quota is gone; both may be ``"unknown"``.
    ``retry_after_seconds`` counts from now, ``reset_at`` is an ISO 8601 time with offset.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        submitted: Fact = False,
        spent: Fact | None = None,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
        reset_at: str | None = None,
        next_step: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        # More may be said behind it, and the words of a fault are often those of another program.
        message = message if message[-1:] in ".!?…。" else f"{message}."
        super().__init__(message)
        rule = CODES[code]
        self.code: Code = code
        self.message = message
        self.submitted: Fact = submitted
        # What was never sent cannot have cost anything; what was sent may have.
        self.spent: Fact = spent if spent is not None else (False if submitted is False else "unknown")
        self.retryable = rule.retryable if retryable is None else retryable
        self.invited = False
        """The other side itself asks for another try, whatever the one that failed may have cost."""
        self.retry_after_seconds = retry_after_seconds
        self.reset_at = reset_at
        self.next_step = next_step or rule.next_step
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """The failure's fields in the order of the contract, without the empty ones."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in FIELDS}
        if self.retry_after_seconds is not None:
            fields["retry_after_seconds"] = round(self.retry_after_seconds, 3)
        return {name: value for name, value in fields.items() if value is not None and value != {}}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "ImageError":
        """The error as a record on disk kept it; unknown codes become ``internal``."""
        code = fields.get("code")
        return cls(
            code if code in CODES else "internal",
            str(fields.get("message", "")),
            submitted=fields.get("submitted", "unknown"),
            spent=fields.get("spent", "unknown"),
            retryable=bool(fields.get("retryable", False)),
            retry_after_seconds=fields.get("retry_after_seconds"),
            reset_at=fields.get("reset_at"),
            next_step=fields.get("next_step"),
            details=fields.get("details"),
        )


def fault(error: Exception, *, submitted: Fact = "unknown", spent: Fact | None = None) -> ImageError:
    """A fault of the program itself, told by its kind alone; the rest is for the log."""
    return ImageError("internal", f"{type(error).__name__} in the program.", submitted=submitted, spent=spent)


def refusal(
    field: str, message: str, *, code: Code = "invalid_input", next_step: str | None = None, **details: Any
) -> ImageError:
    """What is refused before anything was sent, because of the argument ``field``."""
    told = {"field": field, **details}
    return ImageError(code, f"Nothing was sent. {message}", next_step=next_step, details=told)
