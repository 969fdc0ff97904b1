"""What a refusal objects to in the request's form, so that it can be asked again at once in another: a request that is
turned away before anything is drawn costs nothing.

Servers that only resemble the vendor's say it in their own words; seen 2025-12 to 2026-11 in the threads named below.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

STATUSES = frozenset((400, 404, 405, 415, 422))

UNKNOWN = re.compile(
    # OpenAI, Azure: Unknown parameter: 'x'. LiteLLM (litellm#10760): Setting `x` is not supported by …
    r"(?:unknown|unsupported|unrecognized|unexpected) (?:request )?(?:parameter|argument|field|property)s?:? *\W?(\w+)"
    r"|setting \W(\w+)\W is not supported|\W(\w+)\W? (?:parameter )?is not (?:supported|allowed|permitted)",
    re.IGNORECASE,
)
MISSING = re.compile(r"\W?(response_format)\W? (?:is|must be) (?:required|\W?b64_json|set)", re.IGNORECASE)
CARRIAGE = re.compile(
    # Go servers that read JSON only, or forms only.
    r"multipart|form-data|content.type|invalid character '-'|unsupported media",
    re.IGNORECASE,
)
NO_PICTURE = re.compile(
    # FastAPI without a field for image[] (Aquiles-Image#3).
    r"\bimage(?:\[\]|s)?\W* (?:file )?(?:is )?(?:required|missing|field required)|expected a file",
    re.IGNORECASE,
)
READ = re.compile(r"\b(?:mask|alpha)\b", re.IGNORECASE)
"""Said of pictures that did arrive: mask image missing alpha channel."""
FORM_NAMES = frozenset(("convert_request_failed", "duplicate_parameter"))
"""new-api's word for a body that it could not read, with whatever status; the vendor's for ``image`` twice."""
PICTURE_FIELDS = frozenset(("image", "image[]", "images"))


class Objection(msgspec.Struct, frozen=True):
    """What is objected to: a parameter that is not known, one that is missing, or the way pictures were sent."""

    unknown: str | None = None
    missing: str | None = None
    form: bool = False


def objection_to(status: int, name: str, param: str, message: str) -> Objection:
    """Read from an error answer: its status, code, param and message."""
    if name not in FORM_NAMES and status not in STATUSES:
        return Objection()
    bare = param.partition("[")[0]
    if name == "unknown_parameter" and bare and param not in PICTURE_FIELDS:
        return Objection(unknown=bare)
    if name == "missing_required_parameter" and param == "response_format":
        return Objection(missing=param)
    if status == 415 or name in FORM_NAMES or (param in PICTURE_FIELDS and name.endswith("_parameter")):
        return Objection(form=True)
    if found := MISSING.search(message):
        return Objection(missing=found[1].lower())
    if name != "invalid_image_file" and (
        CARRIAGE.search(message) or (NO_PICTURE.search(message) and not READ.search(message))
    ):
        return Objection(form=True)
    if found := UNKNOWN.search(message):
        return Objection(unknown=next(word for word in found.groups() if word))
    return Objection()


def unfolded(detail: Any) -> Mapping[str, Any]:
    """FastAPI's own refusals (422: a list of faults, each with its place) as fields of the vendor's form."""
    if isinstance(detail, str):
        return {"message": detail}
    if not isinstance(detail, list) or not detail:
        return {}
    faults = [cast("Mapping[str, Any]", fault) for fault in cast("list[Any]", detail) if isinstance(fault, Mapping)]
    steps = [cast("list[Any]", loc) if isinstance(loc := fault.get("loc"), list) else [] for fault in faults]
    places = [".".join(map(str, each[1:])) for each in steps]
    told = [f"{place}: {fault.get('msg', '')}" for place, fault in zip(places, faults, strict=True)]
    codes = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}
    kind = str(faults[0].get("type", "")) if faults else ""
    return {"message": "; ".join(told), "param": places[0] if places else None, "code": codes.get(kind, kind)}
