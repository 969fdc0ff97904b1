"""What a request becomes for one model at one server: checked, with every parameter that will be sent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.errors import ImageError, refusal
from cdp_image_mcp.openai.models import Model, able, find_model, is_gpt_image
from cdp_image_mcp.openai.prices import Price
from cdp_image_mcp.openai.profiles import EditForm, Profile
from cdp_image_mcp.openai.sizes import nearest, nearest_size, wrong_size
from cdp_image_mcp.request import MOST_AT_API, ImageRequest, Reference, parse_ratio, parse_size

LONGEST_DATA_URL = 20_971_520
"""Characters of one picture in a JSON edit; larger ones go as form parts. Source: OpenAPI file of 2026-08-21."""
LARGE_MASK = 4 * 1024 * 1024
"""The reference page allows less than this, the guide 50 MB; above it the server may refuse (2026-04-21)."""

EXPERIMENTAL_PIXELS = 2560 * 1440
"""Above this many the guide calls sizes experimental, and one answer takes minutes."""

WISHES = ("quality", "background", "output_format", "output_compression", "complexity")
"""What is sent under the name that it has in a request."""
DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(ImageRequest)}
LONG_QUALITIES = frozenset(("high", "xhigh", "max"))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One generation as it will be sent: ``requests`` requests of ``parameters`` each."""

    model: Model
    profile: Profile
    parameters: dict[str, Any]
    """The JSON fields or form values, prompt and model first, without pictures."""
    asked: frozenset[str]
    """Names among them that the caller chose. Only the others may be left out when a server does not know them."""
    pictures: tuple[Reference, ...] = ()
    mask: Reference | None = None
    form: EditForm = "json"
    requests: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def price(self) -> Price | None:
        """None also for SVG, whose author is billed apart and by other rates."""
        return None if self.parameters.get("output_format") == "svg" else self.model.price

    @property
    def edit(self) -> bool:
        return bool(self.pictures)


def make_plan(request: ImageRequest, settings: Settings, profile: Profile) -> Plan:
    """Check ``request`` and lay out what will be sent.

    Raises ImageError ``invalid_input`` with ``details.field`` and what the model takes.
    """
    model = find_model(settings.model)
    pictures = request.reference_images
    if request.continue_image is not None:
        pictures = (request.continue_image, *pictures)
    _check_choices(request, model, profile)
    _check_pictures(request, pictures, profile)
    form: EditForm = profile.form if pictures else "json"
    if form == "json" and not fits_json(pictures, request.mask):
        form = "multipart"
    parameters: dict[str, Any] = {"model": settings.model, "prompt": request.prompt}
    size_field, size = _size(request.size, model, profile)
    if size is not None:
        parameters[size_field] = size
    # What equals the default is left out: fewer fields that a compatible server might not know.
    parameters |= {name: value for name in WISHES if (value := getattr(request, name)) != DEFAULTS[name]}
    asked = frozenset(parameters) | {"n"}
    # As a form, edits have no moderation (official SDK 3.57.0).
    if settings.moderation and not (pictures and form in {"multipart", "image"}):
        parameters["moderation"] = settings.moderation
    if settings.safety_identifier:
        parameters["safety_identifier"] = settings.safety_identifier
    if profile.ask_for_base64 and not is_gpt_image(settings.model):
        parameters["response_format"] = "b64_json"
    # One stream for each picture is better where one takes minutes: each is saved as soon as it is drawn, one that
    # fails takes no other with it, and a single silent answer of many minutes would meet the idle limits of gateways
    # (about 100 s). They cost the input once per picture, so not with reference pictures.
    streams = profile.streams and _is_slow(request, profile)
    requests = request.n if streams and model.price is not None and not pictures else 1
    if requests < request.n:
        parameters["n"] = request.n
    elif streams:
        # Without partial pictures: each costs 100 output tokens, and nothing would show them.
        parameters["stream"] = True
    return Plan(
        model=model,
        profile=profile,
        parameters=parameters,
        asked=asked,
        pictures=pictures,
        mask=request.mask,
        form=form,
        requests=requests,
        warnings=tuple(_warnings(request, profile)),
    )


def _warnings(request: ImageRequest, profile: Profile) -> Iterator[str]:
    if request.mask is not None and request.mask.bytes > LARGE_MASK:
        yield f"The mask has {request.mask.bytes} bytes; the API may refuse masks above 4 MB."
    if (mark := profile.negative_after) and mark in request.prompt:
        yield f"{profile.name} takes what follows '{mark}' in a prompt for what the picture must not show."


def _refuse(field: str, message: str, takes: str) -> ImageError:
    return refusal(field, f"{field}: {message}", accepted=takes)


def _check_choices(request: ImageRequest, model: Model, profile: Profile) -> None:
    who = model.name or "the model"
    if request.quality not in model.qualities:
        takes = ", ".join(model.qualities)
        raise _refuse("quality", f"{who} does not know {request.quality!r}; it takes {takes}.", takes)
    formats = [name for name in model.formats if name in profile.formats]
    if request.output_format not in formats:
        takes = ", ".join(formats)
        message = f"{who} at {profile.name} does not make {request.output_format!r}; it takes {takes}."
        if request.output_format in profile.formats:
            others = able(lambda one: request.output_format in one.formats)
            message += f" {others} make it (GPT_IMAGE_MODEL)."
        raise _refuse("output_format", message, takes)
    if request.output_format == "svg" and request.n > 1:
        raise _refuse("n", "SVG is drawn one at a time.", "1 with output_format svg")
    if request.complexity is not None and not model.complexity:
        others = able(lambda one: one.complexity)
        raise _refuse("complexity", f"{who} does not take it; {others} do (GPT_IMAGE_MODEL).", "leave it out")


def _check_pictures(request: ImageRequest, pictures: tuple[Reference, ...], profile: Profile) -> None:
    if len(pictures) > MOST_AT_API:
        message = f"{len(pictures)} pictures are too many, the continued one counts."
        raise _refuse("reference_images", message, f"at most {MOST_AT_API}")
    for picture in pictures:
        if picture.mime_type not in profile.reference_formats:
            takes = ", ".join(profile.reference_formats)
            raise _refuse("reference_images", f"{picture.mime_type} is not taken there; it takes {takes}.", takes)
    if request.mask is not None:
        if request.output_format == "gif":
            raise _refuse("mask", "it does not go with output_format gif.", "none")
        if not profile.masks:
            raise _refuse("mask", f"{profile.name} has no masks of this kind.", "none")
        _check_mask(request.mask, pictures[0])


def _check_mask(mask: Reference, first: Reference) -> None:
    """Whether it fits the first picture that is sent. That there is one the studio has seen to."""
    size = f"{first.width}x{first.height}"
    takes = f"a PNG of {size} with an alpha channel"
    if mask.mime_type != "image/png":
        raise _refuse("mask", f"it must be a PNG, not {mask.mime_type}.", takes)
    if (mask.width, mask.height) != (first.width, first.height):
        raise _refuse("mask", f"it is {mask.width}x{mask.height}, but the first picture is {size}.", takes)
    if not mask.alpha:
        raise _refuse("mask", "it has no alpha channel; clear pixels mark what is to be drawn anew.", takes)


def _size(wish: str, model: Model, profile: Profile) -> tuple[str, str | None]:
    """The field and the value to send; None: leave it to the model."""
    if wish == "auto":
        return "size", None
    if ratio := parse_ratio(wish):
        if wish in profile.ratios:
            return "aspect_ratio", wish
        wide, high = nearest(model.sizes, *ratio)
        return "size", f"{wide}x{high}"
    size = parse_size(wish)
    takes = model.sizes.describe()
    if size is None:
        raise _refuse("size", f"{wish!r} is neither auto nor a size nor a ratio.", takes)
    if why := wrong_size(model.sizes, *size):
        near = nearest_size(model.sizes, *size)
        instead = f" The nearest that it makes is {near[0]}x{near[1]}." if near else ""
        raise _refuse("size", f"{model.name or 'the model'} does not make {wish}: {why}.{instead}", takes)
    return "size", f"{size[0]}x{size[1]}"


def _is_slow(request: ImageRequest, profile: Profile) -> bool:
    """Whether it is better streamed, which moving and drawn pictures never are."""
    if request.output_format in {"gif", "svg"}:
        return False
    size = parse_size(request.size)
    quality = profile.auto_quality if request.quality == DEFAULTS["quality"] else request.quality
    return quality in LONG_QUALITIES or (size is not None and size[0] * size[1] > EXPERIMENTAL_PIXELS)


def fits_json(pictures: tuple[Reference, ...], mask: Reference | None) -> bool:
    """Whether each picture may travel as a data URL."""
    sent = (*pictures, mask) if mask else pictures
    return all(4 * -(-picture.bytes // 3) + 40 <= LONGEST_DATA_URL for picture in sent)
