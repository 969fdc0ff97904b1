"""The tools' arguments: msgspec structs from which the input schemas are made and by which calls are checked."""

import json
import math
from functools import cache
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cdp_image_mcp.errors import refusal
from cdp_image_mcp.mcp_server.forms import UnusableError, carries, plain, right_name
from cdp_image_mcp.studio.asked import GenerationId, Images, WaitSeconds
from cdp_image_mcp.system.plaintext import clean

MOST_IGNORED = 20
LONGEST_SHOWN = 60
"""Characters of a value that are repeated: enough to recognise it by."""
TO_WORK_FROM = (
    "a picture to work from belongs in reference_images. A place for the new one is to be left out: output_dir takes a "
    "folder."
)
"""Names such as path may mean either, and an edit of what lies where the new one was to lie would be paid for."""


class WaitForImage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    generation_id: GenerationId | UnsetType = UNSET
    wait_seconds: WaitSeconds | UnsetType = UNSET
    images: Annotated[
        Images | UnsetType,
        Meta(
            description="Pictures in the answer beside the paths: preview, full or none. none saves tokens while "
            "several pictures are waited for."
        ),
    ] = UNSET


class CancelImage(msgspec.Struct, forbid_unknown_fields=True):
    generation_id: GenerationId


class BackendStatus(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    backend: Annotated[
        Literal["api", "chatgpt-web", "auto"] | UnsetType,
        Meta(description="Which way to look at: api, chatgpt-web, or auto for both. Leave out for the default."),
    ] = UNSET


class BrowserVisibility(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    action: Annotated[
        Literal["status", "show", "hide", "toggle"],
        Meta(description="status only tells; show and hide the window, or toggle between the two."),
    ] = "status"
    start_browser: Annotated[bool, Meta(description="true also starts the browser if it is not running.")] = False


class WatchPicture(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    generation_id: GenerationId
    wait_seconds: Annotated[float, Meta(ge=0, le=50, description="Seconds this call waits, 0 to 50.")] = 0


class PictureHistory(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    count: Annotated[int, Meta(ge=1, le=50, description="How many at most, 1 to 50.")] = 12


@cache
def input_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of one tool's arguments: flat, root ``type: object``, no references, no root title.

    Every property has one ``type``: Gemini, Kimi and Grok refuse a list with an enum that has none (gemini-cli#4400,
    opencode#40127). Patterns stay out: some clients check them, and would refuse what ``forms`` understands.
    """
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root: dict[str, Any] = components[kind.__name__]
    for decoration in ("title", "description"):
        root.pop(decoration, None)
    for name, schema in root["properties"].items():
        schema.pop("pattern", None)
        root["properties"][name] = {"type": "string", **schema} if "enum" in schema else schema
    return root


def parse(kind: type[msgspec.Struct], arguments: dict[str, Any] | None) -> tuple[Any, list[str]]:
    """The arguments of a call as a struct of ``kind``, and the names that were ignored. ImageError ``invalid_input``
    names the field, and the right name where one was nearly met: ignoring that would pay for what nobody asked for."""
    schema = input_schema(kind)
    known: dict[str, Any] = schema["properties"]
    needed = schema.get("required", ())
    # Clients send null and empty text for "left out".
    given = {name: value for name, value in (arguments or {}).items() if name in needed or value not in (None, "")}
    ignored = [name for name in given if name not in known]
    for name in ignored:
        if (meant := right_name(name, known)) is not None:
            told = f"There is no argument {clean(name, 60)}; it is called {meant}."
            if meant == "continue_from" and right_name(name, ("generation_id",)):
                told += " wait_for_image collects that picture."
            raise refusal(clean(name, 60), told)
        if (meant := carries(name, given.pop(name))) in known:
            told = TO_WORK_FROM if meant == "reference_images" else f"what it holds belongs in {meant}."
            raise refusal(clean(name, 60), f"There is no argument {clean(name, 60)}; {told}")
    for name, value in given.items():
        given[name] = _value(name, value, known[name]["description"])
    try:
        made = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        # It names the field as a path (``$.n``) or, a missing one, between backquotes.
        field = next(name for name in known if f"`$.{name}" in str(error) or f"field `{name}`" in str(error))
        was = f"cannot be {_shown(given[field])}" if field in given else "is missing"
        raise refusal(field, f"{field} {was}. What it takes: {known[field]['description']}") from None
    return made, [clean(name, 60) for name in ignored[:MOST_IGNORED]]


def _value(name: str, value: Any, takes: str) -> Any:
    if not _is_sound(value):
        raise refusal(name, f"{name} cannot be {_shown(value)}. What it takes: {takes}")
    try:
        return plain(name, value)
    except UnusableError as error:
        raise refusal(name, f"{name} cannot be {_shown(value)}: {error}. What it takes: {takes}") from None


def _is_sound(value: Any) -> bool:
    """Whether ``value`` can be used at all: half of a surrogate pair cannot be written to a record or typed into a
    page, and no clock knows infinity."""
    for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
        if isinstance(item, str) and any("\ud800" <= letter <= "\udfff" for letter in item):
            return False
        if isinstance(item, float) and not math.isfinite(item):
            return False
    return True


def _shown(value: Any) -> str:
    """The value in a few words: ``"big"``, ``33,000 characters of text``, ``empty``."""
    if not _is_sound(value):
        return "infinite or no number" if isinstance(value, float) else "text with half a character"
    if value in (None, "", [], {}):
        return "empty"
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(told) <= LONGEST_SHOWN:
        return clean(told)
    if isinstance(value, list | dict):
        return f"{len(cast('list[Any]', value))} entries"
    return f"{len(value):,} characters of text" if isinstance(value, str) else f"{told[:LONGEST_SHOWN]}…"
