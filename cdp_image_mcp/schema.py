"""The tools' arguments: msgspec structs from which the input schemas are made and by which calls are checked."""

import re
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta

from cdp_image_mcp.complaint import is_sound, missing, unknown, unusable
from cdp_image_mcp.errors import ImageError
from cdp_image_mcp.plaintext import clean

__all__ = [
    "BackendStatus",
    "BrowserVisibility",
    "CancelImage",
    "GenerateImage",
    "Images",
    "WaitForImage",
    "input_schema",
    "parse",
]

Images: TypeAlias = Literal["preview", "full", "none"]
GenerationId: TypeAlias = Annotated[
    str, Meta(pattern="^[0-9a-f]{32}$", description="generation_id from an earlier answer.")
]
WaitSeconds: TypeAlias = Annotated[
    float,
    Meta(ge=0, le=1800, description="Seconds this call waits before it answers with what there is. Default 45."),
]
Inline: TypeAlias = Annotated[
    Images, Meta(description="Pictures in the answer beside the paths: small previews, originals that fit, or none.")
]
Path: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]


class GenerateImage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of ``generate_image``. What is not given is ``UNSET``, for the server's default. Null is refused."""

    prompt: Annotated[str, Meta(min_length=1, max_length=32_000, description="What to draw, in any language.")]
    backend: Annotated[
        Literal["api", "chatgpt-web", "auto"] | msgspec.UnsetType,
        Meta(description="Which way to make it; leave out for the user's default."),
    ] = msgspec.UNSET
    n: Annotated[int, Meta(ge=1, le=10, description="How many pictures. Each one is paid for.")] = 1
    size: Annotated[
        str,
        Meta(
            pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5}|[0-9]{1,3}:[0-9]{1,3})$",
            description="auto, WIDTHxHEIGHT in pixels, or a ratio such as 16:9.",
        ),
    ] = "auto"
    quality: Annotated[Literal["auto", "low", "medium", "high", "xhigh", "max"], Meta(description="API only.")] = "auto"
    output_format: Annotated[
        Literal["png", "jpeg", "webp"], Meta(description="API only; on the web the site decides.")
    ] = "png"
    background: Literal["auto", "opaque", "transparent"] = "auto"
    output_compression: Annotated[int, Meta(ge=0, le=100, description="jpeg and webp only.")] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    reference_images: Annotated[
        list[Path], Meta(max_length=16, description="Absolute paths of pictures to edit or to build on.")
    ] = []
    mask: Annotated[Path, Meta(description="Absolute path of a PNG with alpha; API only, with a reference image.")] | (
        msgspec.UnsetType
    ) = msgspec.UNSET
    conversation_mode: Annotated[
        Literal["new", "continue"], Meta(description="continue = go on from the last finished generation.")
    ] = "new"
    continue_from: GenerationId | msgspec.UnsetType = msgspec.UNSET
    timeout_seconds: Annotated[
        float, Meta(ge=30, le=1800, description="Limit for the whole generation, without queue and sign-in.")
    ] = 420
    wait_seconds: WaitSeconds | msgspec.UnsetType = msgspec.UNSET
    output_dir: Annotated[Path, Meta(description="Absolute path inside an allowed folder.")] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    images: Inline | msgspec.UnsetType = msgspec.UNSET


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
