"""The tools' arguments: msgspec structs from which the input schemas are made and by which calls are checked."""

import re
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta

from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.mcp_server.complaint import is_sound, missing, unknown, unusable
from cdp_image_mcp.studio.asked import GenerateImage, GenerationId, Inline, WaitSeconds
from cdp_image_mcp.system.plaintext import clean

__all__ = [
    "BackendStatus",
    "BrowserVisibility",
    "CancelImage",
    "WaitForImage",
    "input_schema",
    "parse",
]


class WaitForImage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of ``wait_for_image``."""

    generation_id: GenerationId | msgspec.UnsetType = msgspec.UNSET
    wait_seconds: WaitSeconds | msgspec.UnsetType = msgspec.UNSET
    images: Inline | msgspec.UnsetType = msgspec.UNSET


class CancelImage(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of ``cancel_image``."""

    generation_id: GenerationId


class BackendStatus(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of ``backend_status``."""

    backend: Literal["api", "chatgpt-web", "auto"] | msgspec.UnsetType = msgspec.UNSET


class BrowserVisibility(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of ``browser_visibility``."""

    action: Literal["status", "show", "hide", "toggle"] = "status"
    start_browser: Annotated[bool, Meta(description="Start the browser if it is not running.")] = False


Arguments: TypeAlias = GenerateImage | WaitForImage | CancelImage | BackendStatus | BrowserVisibility


def input_schema(kind: type[Arguments]) -> dict[str, Any]:
    """The JSON schema of one tool's arguments: flat, root ``type: object``, no references, no root title."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root: dict[str, Any] = components.pop(kind.__name__)
    if components:
        raise TypeError(f"{kind.__name__} must stay flat, but refers to {', '.join(components)}")
    for decoration in ("title", "description"):
        root.pop(decoration, None)
    return root


def parse(kind: type[msgspec.Struct], arguments: Any) -> Any:
    """The arguments of a call as a struct of ``kind``; ImageError ``invalid_input`` names the field.

    The prompt is trimmed first, so that its limits count what would be sent.
    """
    if not isinstance(arguments, dict | None):
        raise ImageError("invalid_input", "Nothing was sent. The arguments must be a JSON object.")
    given: dict[str, Any] = dict(cast("dict[str, Any]", arguments or {}))
    if isinstance(prompt := given.get("prompt"), str):
        given["prompt"] = prompt.strip()
    for name in kind.__struct_fields__:
        if not is_sound(given.get(name)):
            raise _complaint(kind, given, name)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise _complaint(kind, given, _field_of(error)) from None


def _field_of(error: msgspec.ValidationError) -> str:
    """The argument that msgspec's words are about; they name it as a path (``$.n``) or between backquotes."""
    found = re.search(r"field `(.*)`$|at `\$\.([a-z_]+)", str(error), re.DOTALL)
    return (found[1] or found[2]) if found is not None else ""


def _complaint(kind: type[msgspec.Struct], given: dict[str, Any], field: str) -> ImageError:
    known: dict[str, Any] = input_schema(cast("type[Arguments]", kind))["properties"]
    if field not in known:
        told = unknown(field, known)
    elif field not in given:
        told = missing(field, known[field])
    else:
        told = unusable(field, given[field], known[field])
    return ImageError("invalid_input", f"Nothing was sent. {told}", details={"field": clean(field, 60)})
