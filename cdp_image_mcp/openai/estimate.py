"""What a picture will cost, before anything is sent."""

from typing import Any

import msgspec

from cdp_image_mcp.config import Settings
from cdp_image_mcp.openai.models import MODELS, Model
from cdp_image_mcp.openai.plan import Plan, make_plan
from cdp_image_mcp.openai.prices import Range, grid_tokens, input_image_tokens
from cdp_image_mcp.openai.profiles import Profile, choose_profile
from cdp_image_mcp.openai.sizes import SQUARE, nearest
from cdp_image_mcp.request import ImageRequest, parse_ratio, parse_size

__all__ = ["estimate", "estimate_cost", "estimate_tokens", "most_of", "most_usd"]

ASSUMED = MODELS["gpt-image-2"]
"""Whose figures stand in for a model without any: the dearest tokens per picture in the table."""

MOST_FRAMES = 9
"""Frames of a GIF that says nothing of their number (SDK 3.57.0). Whether each is billed nobody has written."""


def estimate(settings: Settings, request: ImageRequest) -> dict[str, Any]:
    """What ``request`` would cost, in dollars, as a range: ``cost_usd_low`` and ``cost_usd_high`` are None where no
    price is known. Raises ImageError ``invalid_input`` or ``configuration``."""
    profile = choose_profile(settings)
    plan = make_plan(request, settings, profile)
    spread = _spread(request, plan, profile)
    tokens = estimate_tokens(plan.model, request.size, request.quality, request.output_format)
    return {
        "model": settings.model,
        "n": request.n,
        "size": plan.parameters.get("size", plan.parameters.get("aspect_ratio", "auto")),
        "quality": request.quality,
        "requests": plan.requests,
        "output_tokens_low": round(tokens.low) if tokens else None,
        "output_tokens_high": round(tokens.high) if tokens else None,
        "cost_usd_low": round(spread.low, 4) if spread else None,
        "cost_usd_high": round(spread.high, 4) if spread else None,
        "basis": _basis(plan, profile, known=spread is not None),
    }


def estimate_tokens(model: Model, size: str, quality: str, output_format: str = "png") -> Range | None:
    """Output tokens of one picture before it is made; None for a model without figures.

    ``auto`` for the quality spans low to high, for the size the classic ones: count on the high end.
    """
    if model.grid is None and model.tokens is None:
        return None
    if ratio := parse_ratio(size):
        wanted = [nearest(model.sizes, *ratio)] if 0 not in ratio else [SQUARE]
    else:
        known = parse_size(size)
        wanted = [known] if known else [SQUARE, (1536, 1024)]
    qualities = ["low", "high"] if quality == "auto" else [quality]
    counts: list[float] = []
    for name in qualities:
        for dimensions in wanted:
            if model.tokens is not None:
                counts.append(model.tokens.get(name, model.tokens["high"]).get(dimensions, 0))
            elif model.grid is not None:
                tokens = grid_tokens(model.grid.cells.get(name, 96), *dimensions)
                counts += [tokens, tokens * model.grid.uncertain.get(name, 1.0)]
    return Range(min(counts), max(counts) * (MOST_FRAMES if output_format == "gif" else 1))


def estimate_cost(plan: Plan, size: str, quality: str, n: int) -> Range | None:
    """Dollars for the whole plan; None for a model without figures, and for SVG, whose author is billed apart."""
    output_format = str(plan.parameters.get("output_format", "png"))
    tokens = estimate_tokens(plan.model, size, quality, output_format)
    price = plan.model.price
    if tokens is None or price is None or output_format == "svg":
        return None
    text = len(str(plan.parameters["prompt"]).encode()) // 3 + 20
    pictures = sum(input_image_tokens(picture.width, picture.height) for picture in plan.pictures)
    asked = plan.requests * (text * price.text_in + pictures * price.image_in)
    made = tokens.times(n * price.image_out)
    return made.plus(asked).times(1 / 1_000_000)


def most_usd(settings: Settings, request: ImageRequest) -> float:
    """Dollars that ``request`` may cost at most; a model without a price counts as the dearest one known. Raises
    ImageError ``invalid_input`` or ``configuration``."""
    profile = choose_profile(settings)
    return most_of(request, make_plan(request, settings, profile), profile)


def most_of(request: ImageRequest, plan: Plan, profile: Profile) -> float:
    """The same for a plan that is made already."""
    spread = _spread(request, plan, profile)
    if spread is None:
        quality = request.quality if request.quality in {"low", "medium", "high"} else "high"
        parameters = {name: value for name, value in plan.parameters.items() if name != "output_format"}
        assumed = msgspec.structs.replace(plan, model=ASSUMED, parameters=parameters)
        spread = estimate_cost(assumed, "auto", quality, request.n)
    return spread.high if spread is not None else 0.0


def _spread(request: ImageRequest, plan: Plan, profile: Profile) -> Range | None:
    """What it may cost, None where no price is known."""
    return Range(0.0, 0.0) if profile.cost == "free" else estimate_cost(plan, request.size, request.quality, request.n)


def _basis(plan: Plan, profile: Profile, *, known: bool) -> str:
    if profile.cost == "free":
        return f"{profile.name} asks for no money"
    price = plan.model.price
    if not known or price is None:
        what = "SVG of " if plan.parameters.get("output_format") == "svg" else ""
        return f"no price is known for {what}{plan.parameters['model']}"
    return f"prices of {price.seen} ({price.source})"
