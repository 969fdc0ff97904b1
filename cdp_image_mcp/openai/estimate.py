"""What a picture will cost, before anything is sent."""

from typing import Any, NamedTuple

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.models import MODELS, Model
from cdp_image_mcp.openai.plan import Plan, make_plan
from cdp_image_mcp.openai.prices import grid_tokens, input_image_tokens
from cdp_image_mcp.openai.profiles import choose_profile
from cdp_image_mcp.openai.sizes import SQUARE, nearest
from cdp_image_mcp.request import ImageRequest, parse_ratio, parse_size

ASSUMED = MODELS["gpt-image-2"]
"""Whose figures stand in for a model without any: the dearest tokens per picture in the table."""

MOST_FRAMES = 9
"""Frames of a GIF that says nothing of their number (SDK 3.57.0). Whether each is billed nobody has written."""


class Range(NamedTuple):
    """Least and most; equal when it is known."""

    low: float
    high: float


def estimate(settings: Settings, request: ImageRequest) -> dict[str, Any]:
    """What ``request`` would cost, in dollars, as a range: ``cost_usd_low`` and ``cost_usd_high`` are None where no
    price is known. Raises ImageError ``invalid_input`` or ``configuration``."""
    plan = make_plan(request, settings, choose_profile(settings))
    dollars = _dollars(plan, request.size, request.quality, request.n)
    tokens = _tokens(plan.model, request.size, request.quality, request.output_format)
    return {
        "model": settings.model,
        "n": request.n,
        "size": plan.parameters.get("size", plan.parameters.get("aspect_ratio", "auto")),
        "quality": request.quality,
        "requests": plan.requests,
        "output_tokens_low": round(tokens.low) if tokens else None,
        "output_tokens_high": round(tokens.high) if tokens else None,
        "cost_usd_low": round(dollars.low, 4) if dollars else None,
        "cost_usd_high": round(dollars.high, 4) if dollars else None,
        "basis": _basis(plan, known=dollars is not None),
    }


def most_usd(settings: Settings, request: ImageRequest) -> float:
    """Dollars that ``request`` may cost at most; a model without a price counts as the dearest one known. Raises
    ImageError ``invalid_input`` or ``configuration``."""
    return most_of(request, make_plan(request, settings, choose_profile(settings)))


def most_of(request: ImageRequest, plan: Plan) -> float:
    """The same for a plan that is made already."""
    dollars = _dollars(plan, request.size, request.quality, request.n)
    if dollars is None:
        quality = request.quality if request.quality in {"low", "medium", "high"} else "high"
        parameters = dict(item for item in plan.parameters.items() if item != ("output_format", "svg"))
        assumed = msgspec.structs.replace(plan, model=ASSUMED, parameters=parameters)
        dollars = _dollars(assumed, request.size, quality, request.n)
    return dollars.high if dollars is not None else 0.0


def _dollars(plan: Plan, size: str, quality: str, n: int) -> Range | None:
    """For the whole plan; None for a model without figures, or what has no price."""
    if plan.profile.cost == "free":
        return Range(0.0, 0.0)
    tokens = _tokens(plan.model, size, quality, str(plan.parameters.get("output_format", "png")))
    price = plan.price
    if tokens is None or price is None:
        return None
    text = len(str(plan.parameters["prompt"]).encode()) // 3 + 20
    pictures = sum(input_image_tokens(picture.width, picture.height) for picture in plan.pictures)
    asked = plan.requests * (text * price.text_in + pictures * price.image_in)
    return Range(*((count * n * price.image_out + asked) / 1_000_000 for count in tokens))


def _tokens(model: Model, size: str, quality: str, output_format: str) -> Range | None:
    """Output tokens of one picture; None for a model without figures. ``auto`` for the quality spans low to high, for
    the size the classic ones: count on the high end."""
    if ratio := parse_ratio(size):
        wanted = [nearest(model.sizes, *ratio)] if 0 not in ratio else [SQUARE]
    else:
        known = parse_size(size)
        wanted = [known] if known else [SQUARE, (1536, 1024)]
    counts: list[float] = []
    for name in ["low", "high"] if quality == "auto" else [quality]:
        for dimensions in wanted:
            if model.tokens is not None:
                counts.append(model.tokens.get(name, model.tokens["high"]).get(dimensions, 0))
            elif model.grid is not None:
                tokens = grid_tokens(model.grid.cells.get(name, 96), *dimensions)
                counts += [tokens, tokens * model.grid.uncertain.get(name, 1.0)]
    return Range(min(counts), max(counts) * (MOST_FRAMES if output_format == "gif" else 1)) if counts else None


def _basis(plan: Plan, *, known: bool) -> str:
    if plan.profile.cost == "free":
        return f"{plan.profile.name} asks for no money"
    price = plan.model.price
    if not known or price is None:
        what = "SVG of " if plan.parameters.get("output_format") == "svg" else ""
        return f"no price is known for {what}{plan.parameters['model']}"
    return f"prices of {price.seen} ({price.source})"
