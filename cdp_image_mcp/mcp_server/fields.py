"""A generation's standing as the contract's JSON: what the person and the model need comes first."""

import json
import logging
import re
from pathlib import Path
from typing import Any, cast

import msgspec

from cdp_image_mcp.config import APP_NAME
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.library.comparison import actual, honoured, requested
from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import FINAL_STATES, PERSON_STATES
from cdp_image_mcp.studio.ending import cut_off, next_of
from cdp_image_mcp.studio.studio import Standing
from cdp_image_mcp.system.plaintext import clean, clean_tree, sound

logger = logging.getLogger(__name__)

TITLE = 40
"""Characters of the words under which a picture is shown."""
SHORT_PROMPT = 200
OURS = frozenset(
    (
        *("user_message_id", "used_message_ids", "reference_sha256", "turn_pressed", "given_up", "account"),
        *("taken_up", "held"),
    )
)
"""Facts that only this program needs; they stay in ``metadata.json``."""


def status_of(record: Record) -> str:
    """The contract's status of a record: ``failed`` for one that ended without a picture and not by cancelling."""
    state = record.state
    if state in PERSON_STATES or state in {"saved", "partial", "cancelled"}:
        return state
    if state not in FINAL_STATES:
        return "working"
    return "partial" if record.images else "failed"


def _metadata(record: Record) -> dict[str, Any]:
    """The seed's keys, and of the other facts those that tell a person or a model something."""
    names = ("model", "mode", "conversation_mode", "usage", "cost_usd", "conversation_url")
    fields = {name: getattr(record, name) for name in (*names, "session_reused", "profile_dir", "openai_created")}
    fields |= {name: value for name, value in record.facts.items() if name not in fields and name not in OURS}
    told: dict[str, Any] = clean_tree({name: value for name, value in fields.items() if value is not None})
    return _lightened(told, 20_000)


def _lightened(fields: dict[str, Any], most: int) -> dict[str, Any]:
    """Without the heaviest, until the rest takes at most so many characters."""
    while fields and len(json.dumps(fields)) > most:
        fields.pop(max(fields, key=lambda name: len(json.dumps(fields[name]))))
    return fields


def _progress(standing: Standing) -> dict[str, Any]:
    fields: dict[str, Any] = {"state": standing.record.state}
    if standing.news is not None:
        fields["message"] = clean(standing.news.message)
        if standing.news.expected is not None:
            fields["expected_seconds"] = round(standing.news.expected, 1)
    if standing.position is not None:
        fields["queue_position"] = standing.position
    return fields


def markdown(record: Record) -> str:
    """One line that shows the pictures where a program renders Markdown (Codex desktop shows local files so, and
    nothing else: openai/codex#43497, 2026-09)."""
    words = re.sub(r"[\[\]\\`<>!*_\s]+", " ", clean(record.prompt, 400)).strip()
    title = words if len(words) <= TITLE else words[: TITLE - 1].rstrip() + "…"
    return " ".join(f"![{title}]({_destination(image.path)})" for image in record.images)


def _destination(path: str) -> str:
    plain = sound(Path(path).as_posix())  # backslashes of Windows would be escapes there
    if not re.search(r"[\s()<>\\]", plain):
        return plain
    return "<" + re.sub(r"([<>\\])", r"\\\1", plain) + ">"


def fields_of(standing: Standing) -> dict[str, Any]:
    """The contract's fields of a generation, whichever way it stands or has ended."""
    record = standing.record
    if status_of(record) != "failed":
        return describe(standing)
    fields = failure(failure_of(record), record.generation_id)
    if standing.notes:
        # Whose it is comes first: by the prompt it is known.
        fields["next_step"] = " ".join((*standing.notes, fields["next_step"]))
        fields["prompt"] = clean(record.prompt, SHORT_PROMPT)
    return fields | ({"joined": True} if standing.joined else {})


def describe(standing: Standing) -> dict[str, Any]:
    """The contract's fields of a generation that has not failed."""
    record = standing.record
    fields = _first(standing) | _wishes(standing) | {"elapsed_seconds": round(record.elapsed_seconds, 1)}
    if record.finished:
        parts = msgspec.structs.asdict(record.timings)
        fields["timings"] = {name: round(value, 3) for name, value in parts.items()}
    return fields | {"metadata": _metadata(record)}


def _first(standing: Standing) -> dict[str, Any]:
    """What the person and the model need: where it stands, what to do, the picture."""
    record = standing.record
    status = status_of(record)
    fields: dict[str, Any] = {"status": status, "generation_id": record.generation_id}
    if sentences := [each for each in (*standing.notes, next_of(record, status)) if each]:
        fields["next"] = " ".join(sentences)
    if status == "cancelled":
        fields |= {"submitted": record.submitted, "spent": record.spent}
    if not record.finished:
        fields["progress"] = _progress(standing)
        if record.over_time:
            fields["over_time"] = True
    images = [msgspec.to_builtins(image) | {"path": sound(image.path)} for image in record.images]
    if images:
        fields["image_path"] = images[0]["path"]
        fields["markdown"] = markdown(record)
    fields["images"] = images
    if record.failures:
        fields["failures"] = [
            {"index": each.index, "code": each.code, "message": clean(each.message)} for each in record.failures
        ]
    if standing.joined:
        fields["joined"] = True
    return fields


def _wishes(standing: Standing) -> dict[str, Any]:
    """What was asked for, by which way, and what came of it."""
    record = standing.record
    fields: dict[str, Any] = {}
    if record.images or record.finished:
        fields["honoured"] = honoured(record, standing.unmet)
    # Whoever waits reads an answer again and again, and has the words already.
    for name, text in (("prompt", record.prompt), ("sent_prompt", record.sent_prompt)):
        if text is not None:
            whole = record.finished or len(text) <= SHORT_PROMPT
            fields[name] = sound(text if whole else text[: SHORT_PROMPT - 1] + "…")
    fields |= {"requested_backend": record.requested_backend, "backend": record.backend}
    if record.fallback_from is not None:
        fields["fallback_from"] = record.fallback_from
        if record.fallback_reason:
            fields["fallback_reason"] = clean(record.fallback_reason)
    fields |= {"output_dir": sound(standing.folder), "requested": requested(record)}
    if record.images or record.finished:
        fields["actual"] = actual(record)
    return fields


def failure_of(record: Record) -> ImageError:
    """Why a generation ended without a picture; a process that died could not write it down."""
    return record.failure() or cut_off(record)


def failure(error: ImageError, generation_id: str | None = None) -> dict[str, Any]:
    """The contract's fields of a failure; words of the site inside it are bounded and harmless."""
    told = error.as_dict()
    fields: dict[str, Any] = {"status": "failed", "code": told.pop("code"), "message": clean(told.pop("message"), 4000)}
    if generation_id is not None:
        fields["generation_id"] = generation_id
    if "details" in told:
        told["details"] = _lightened(clean_tree(told["details"], 8000), 100_000)
    return fields | told


def _known(error: BaseException) -> ImageError | None:
    """An error that was meant for the caller, task groups or not, or a file that could not be looked at, as in a folder
    of another user: no fault of ours."""
    if isinstance(error, BaseExceptionGroup):
        each = [_known(part) for part in cast("BaseExceptionGroup[BaseException]", error).exceptions]
        return each[0] if all(each) else None
    if isinstance(error, OSError) and error.filename is not None:
        return ImageError("disk", f"{error.filename}: {error.strerror}.", submitted="unknown")
    return error if isinstance(error, ImageError) else None


def known_error(error: Exception, what: str) -> ImageError:
    """What ended ``what``; a fault of ours goes into the log, and is told by its kind alone."""
    if (known := _known(error)) is not None:
        return known
    logger.error("%s failed", what, exc_info=error)
    return ImageError("internal", f"A fault in {APP_NAME} ({type(error).__name__}).", submitted="unknown")
