"""Judging the API's error answers: our code, whether it was paid, and how long to wait before asking again."""

import html
import re
from collections.abc import Mapping, Sequence
from http.client import responses
from typing import Any, cast

import msgspec

from cdp_image_mcp.errors import Fact, ImageError
from cdp_image_mcp.openai.refusals.objections import Objection, objection_to, unfolded
from cdp_image_mcp.openai.refusals.rules import RULES, Again
from cdp_image_mcp.openai.wire.exchange import BrokenError
from cdp_image_mcp.openai.wire.forms import fields_of
from cdp_image_mcp.system.day import in_seconds
from cdp_image_mcp.system.plaintext import discreet
from cdp_image_mcp.system.waits import stated_wait


class Failure(msgspec.Struct, frozen=True):
    """What an error answer means."""

    error: ImageError
    again: Again | None
    objection: Objection = Objection()
    """What in the request's form it was turned away for."""


def strongest(facts: Sequence[Fact]) -> Fact:
    """Of what is known to have been sent, or spent: what may be paid is never told as free."""
    order: tuple[Fact, ...] = (False, "unknown", True)
    return max(facts, key=order.index)


def joined(first: Failure, second: Failure) -> Failure:
    """The verdict on two errors in one answer: that of what may be paid is told, else the first. What either says to
    have been sent or spent holds, and only what both let be sent again is."""
    told, other = first, second
    if strongest([first.error.spent, second.error.spent]) != first.error.spent:
        told, other = second, first
    told.error.submitted = strongest([told.error.submitted, other.error.submitted])
    return told if other.again else msgspec.structs.replace(told, again=None)


BILLED_NOTE = "The request had been sent and was given up; the API may have made and billed the picture."
WITHHELD = "The finished picture was withheld. Change the prompt; the same one may pass another time, but is paid anew."
SECRET = re.compile(
    r"(?:\b(?:sk|sess)-(?=[\w*.-]*(?:[\d*]|[A-Za-z]{20}))[\w*.-]{8,}|(?<![\w-])key-(?=[A-Za-z]*\d)[\w-]{16,})\b"
)
"""What looks like a key: with a number in it, or the stars of one that is half hidden, or longer than words are."""
LONG_KEY = 16
"""Characters. Those are found within words, too; shorter ones may be parts of words."""
SHORT_KEY = 7
"""What is shorter is a word that somebody gave a server that wants none, as ``x`` or ``none``."""
APART = r"(?:(?<!\w)|(?<=%[\da-fA-F]{2})|(?<=\\[nrt])|(?<=\\x[\da-fA-F]{2})|(?<=\\u[\da-fA-F]{4}))"
"""Before a word; what stands there may be written with letters, as in an address or in quotes."""


def clean(text: str, key: str | None, limit: int = 1000) -> str:
    """Foreign text made harmless, without anything that looks like a key."""
    if key and len(key) >= LONG_KEY:
        text = text.replace(key, "[key]")
    elif key and len(key) >= SHORT_KEY:
        text = re.sub(rf"{APART}{re.escape(key)}(?!\w)", "[key]", text)
    return SECRET.sub("[key]", discreet(text, limit))


def _fields(body: Any) -> Mapping[str, Any]:
    """The error object of a body; relays put it at the top, make it a plain sentence, or have FastAPI's form."""
    error = (fields_of(body) or {}).get("error") or body
    if isinstance(error, str):
        return {"message": error}
    fields = fields_of(error) or {}
    return unfolded(fields["detail"]) if "detail" in fields and "message" not in fields else fields


PAGE_LENGTH = 8_000
"""Characters."""


def _page_text(text: str) -> str:
    """An error page's title, or its words, of as much as anyone reads."""
    text = text[:PAGE_LENGTH]
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return re.sub(r"\s+", " ", html.unescape(words))


OWN_WORDS = ("error", "detail")
"""Fields of the API's own errors and of FastAPI's. A gateway's JSON lacks them (AWS, Kong: a ``message`` alone), or has
the name of the status there (Spring)."""


def _is_its_own(status: int, body: Any) -> bool:
    """Whether the server itself says what is wrong."""
    said = [(fields_of(body) or {}).get(word) for word in OWN_WORDS]
    return any(each and str(each).strip().lower() != responses.get(status, "").lower() for each in said)


def judge(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    raw: str = "",
    *,
    key: str | None = None,
    begun: bool = False,
    silence: float = 0.0,
) -> Failure:
    """Judge an error answer. ``body`` is its JSON or None, ``raw`` its bytes as text for bodies that are no JSON.
    ``silence``: seconds that it came after the request had left.

    ``begun``: the answer had begun as a success (an error inside a 200, or within a stream). Then nothing is sent
    again by itself, and unless the table says that the request was turned away, it may have been paid.
    """
    fields = _fields(body)
    said = fields.get("message")
    message = said if isinstance(said, str) else _page_text(raw)
    name, kind, param = (_word(fields.get(field)) for field in ("code", "type", "param"))
    waited = 0.0 if _is_its_own(status, body) else silence
    rule = next(rule for rule in RULES if rule.matches(status, name, kind, param, message, waited))
    wait = stated_wait(headers, message) if rule.code in {"rate_limited", "service_error"} else None
    moderation = _moderation(fields, key)
    stage = moderation.get("moderation_stage")
    words = {"api_code": name, "api_type": kind, "param": param, "request_id": headers.get("x-request-id", "")}
    details: dict[str, Any] = {"http_status": status}
    details |= {label: clean(word, key, 100) for label, word in words.items() if word} | moderation
    if text := clean(message, key):
        details["text"] = text
    again, next_step, says = rule.again, rule.next_step, rule.says
    retryable: bool | None = None
    submitted, spent = rule.submitted, rule.spent
    if too_many := _beyond_limit(message):
        again, retryable = None, False
        says = f"The request asks for {too_many[0]}, but the account's limit is {too_many[1]}: waiting will not help"
        next_step = "Ask for fewer pictures or references in one call."
    if rule.code == "refused":
        # A prompt stopped at the door costs nothing; whether a picture drawn and then withheld does, nobody says.
        submitted, spent = True, False if stage == "input" else "unknown"
        next_step = next_step or (WITHHELD if stage == "output" else None)
    if headers.get("x-should-retry") == "false":
        again = None
    elif headers.get("x-should-retry") == "true" and status >= 500 and not begun and spent is False:
        again = again or "service"
    if begun:
        again = None if rule.submitted else again
        if rule.code in {"service_error", "timeout"}:
            again, submitted, spent = None, True, "unknown"
    if spent == "unknown":
        # Programs call again by themselves what is called retryable; this could pay for one picture twice.
        retryable = False
    where = f" (HTTP {status}{', ' + clean(name, key, 80) if name else ''})"
    named = f": {clean(param, key, 100)}" if rule.code == "invalid_input" and param else ""
    error = ImageError(
        rule.code,
        f"{says}{where}{named}.",
        submitted=submitted,
        spent=spent,
        retryable=retryable,
        retry_after_seconds=wait,
        reset_at=None if wait is None else in_seconds(wait),
        next_step=next_step,
        details=details,
    )
    return Failure(error, again, Objection() if begun else objection_to(status, name, param, message))


def judge_broken(broken: BrokenError, *, left: bool, resend: bool) -> Failure:
    """Judge the end of a request that has ``left``, or not, without a whole answer: up to ``sending`` it was not whole
    and cannot have been paid; after that nobody can tell. ``resend``: it may be sent again all the same."""
    if broken.phase in {"connecting", "sending"} and not left:
        doing = "connecting" if broken.phase == "connecting" else "sending the request"
        error = ImageError(
            "network",
            f"The API could not be reached: {broken.words} while {doing}.",
            submitted=False,
            retryable=False if broken.over else None,
            next_step=broken.next_step,
        )
        return Failure(error, None if broken.over else "service")
    late = "before the answer began" if broken.phase == "waiting" else "within the answer"
    error = ImageError(
        "timeout" if broken.kind == "timeout" else "network",
        f"The connection to the API broke {late} ({broken.words}). {BILLED_NOTE}",
        submitted=True,
        spent="unknown",
        retryable=False,
        next_step="Nothing more can be collected. Call again only if paying twice is acceptable.",
    )
    return Failure(error, "service" if resend else None)


def _word(value: Any) -> str:
    """A short field of an error; some servers send numbers, or null."""
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _moderation(fields: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """Who stopped it and for what, as details."""
    if (found := fields_of(fields.get("moderation_details"))) is None:
        return {}
    details: dict[str, Any] = {"moderation_stage": clean(_word(found.get("moderation_stage")), key, 40)}
    if isinstance(categories := found.get("categories"), list):
        listed = cast("list[Any]", categories)[:20]
        details["moderation_categories"] = [clean(_word(category), key, 60) for category in listed]
    return details


def _beyond_limit(message: str) -> tuple[int, int] | None:
    """Asked and allowed, when one request alone is above a limit: that never clears."""
    limit = re.search(r"\bLimit:?\s+(\d[\d,]{0,15})(?!\d)", message)
    asked = re.search(r"\bRequested:?\s+(\d[\d,]{0,15})(?!\d)", message)
    if not limit or not asked:
        return None
    numbers = int(asked[1].replace(",", "")), int(limit[1].replace(",", ""))
    return numbers if numbers[0] > numbers[1] else None
