"""What was asked: the arguments of ``generate_image`` as they were given, and what makes two of them the same."""

import hashlib
from typing import Annotated, Any, Literal, TypeAlias, TypeGuard, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cdp_image_mcp.request import LONGEST_PROMPT, LONGEST_WAIT, MOST_AT_API, Reference

T = TypeVar("T")

UNSENT = ("wait_seconds", "timeout_seconds", "images", "output_dir")
"""Arguments that do not change what is drawn; two calls that differ only here are the same request."""

Images: TypeAlias = Literal["preview", "full", "none"]
ID = "[0-9a-f]{32}"
GenerationId: TypeAlias = Annotated[
    str, Meta(pattern=f"^{ID}$", description="generation_id from an earlier answer, 32 hexadecimal digits.")
]
WaitSeconds: TypeAlias = Annotated[
    float,
    Meta(
        ge=0,
        le=LONGEST_WAIT,
        description="Seconds this call waits before it answers with what there is, 0 to 1800. Leave out: set for this "
        "client.",
    ),
]
Path: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]


class GenerateImage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Arguments of ``generate_image``. What is not given is ``UNSET``, for the server's default. Descriptions say the
    limits in words: several clients pass the schema's own on to no model (Codex, Copilot CLI, 2026-11-26)."""

    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_PROMPT,
            description="What to draw, in any language; 1 to 32,000 characters.",
        ),
    ]
    backend: Annotated[
        Literal["api", "chatgpt-web", "auto"] | UnsetType,
        Meta(description="Which way to make it: api, chatgpt-web or auto. Leave out for the user's default."),
    ] = UNSET
    n: Annotated[int, Meta(ge=1, le=10, description="How many pictures, 1 to 10. Each one is paid for.")] = 1
    size: Annotated[
        str,
        Meta(
            pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5}|[0-9]{1,3}:[0-9]{1,3})$",
            description="auto, WIDTHxHEIGHT in pixels such as 1024x1536, or a ratio such as 16:9.",
        ),
    ] = "auto"
    quality: Annotated[
        Literal["auto", "low", "medium", "high", "xhigh", "max"],
        Meta(description="auto, low, medium, high, xhigh or max; API only."),
    ] = "auto"
    output_format: Annotated[
        Literal["png", "jpeg", "webp", "gif", "svg"],
        Meta(
            description="png, jpeg or webp; with gpt-image-2.6 also gif (moving) or svg, which come as files only. API "
            "only, on the web the site decides."
        ),
    ] = "png"
    background: Annotated[
        Literal["auto", "opaque", "transparent"], Meta(description="auto, opaque or transparent.")
    ] = "auto"
    output_compression: (
        Annotated[int, Meta(ge=0, le=100, description="0 to 100; jpeg and webp only, API only.")] | UnsetType
    ) = UNSET
    complexity: Annotated[
        Literal["low", "medium", "high"] | UnsetType,
        Meta(description="low, medium or high: planning before drawing; gpt-image-2.6 only, API only."),
    ] = UNSET
    reference_images: Annotated[
        list[Path],
        Meta(
            max_length=MOST_AT_API,
            description="Absolute paths of up to 16 pictures (on the web 10) to edit or build on (PNG, JPEG, WebP).",
        ),
    ] = []
    mask: Annotated[
        Path | UnsetType,
        Meta(description="Absolute path of a PNG whose clear parts are drawn anew; API only, with a reference."),
    ] = UNSET
    conversation_mode: Annotated[
        Literal["new", "continue"], Meta(description="new, or continue: go on from the last finished generation.")
    ] = "new"
    continue_from: (
        Annotated[
            str,
            Meta(
                pattern=f"^{ID}(/[1-9][0-9]{{0,2}})?$",
                description="generation_id of the picture to change. Of several pictures the first is taken; for the "
                "third write ID/3.",
            ),
        ]
        | UnsetType
    ) = UNSET
    timeout_seconds: Annotated[
        float,
        Meta(
            ge=30,
            le=LONGEST_WAIT,
            description="30 to 1800. Leave out. Ends a generation that has not been sent by then; it is not the "
            "time limit of this call or of the client.",
        ),
    ] = 420
    wait_seconds: WaitSeconds | UnsetType = UNSET
    output_dir: Annotated[
        Path | UnsetType, Meta(description="Absolute path inside an allowed folder. Leave out for the user's folder.")
    ] = UNSET
    images: Annotated[
        Images | UnsetType,
        Meta(description="Pictures in the answer beside the paths: preview (small), full (if they fit) or none."),
    ] = UNSET


DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(GenerateImage)}


def given(value: T | UnsetType) -> TypeGuard[T]:
    """Whether an optional argument was given."""
    return value is not UNSET


def asked(arguments: GenerateImage) -> dict[str, Any]:
    """The arguments as they were given, without the prompt, for the record and for calling again."""
    fields: dict[str, Any] = msgspec.to_builtins(arguments)
    fields.pop("prompt")
    return fields


def fingerprint(
    arguments: GenerateImage,
    account: tuple[str, str],
    references: tuple[Reference, ...],
    mask: Reference | None,
    continued: str | None,
) -> str:
    """SHA-256 over what decides the picture; reference files count by their bytes, not their names. ``account`` is the
    back end that makes it and who is asked there, ``continued`` the conversation's address, or the SHA-256 of the
    picture, that is gone on from."""
    wishes = msgspec.to_builtins(arguments)
    # An equal value that was given is left in by msgspec where it is another object than the default.
    fields = {name: wish for name, wish in wishes.items() if name not in UNSENT and wish != DEFAULTS.get(name)}
    if given(arguments.continue_from):
        fields["continue_from"] = arguments.continue_from.removesuffix("/1")
    fields["backend"] = account
    fields["reference_images"] = [reference.sha256 for reference in references]
    fields["mask"] = mask.sha256 if mask else None
    if continued is not None:
        fields["continued"] = continued
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
