"""The picture models: what each takes, what it costs and when it ends. A dated table, not code."""

import re
from collections.abc import Callable
from datetime import date
from functools import partial

import msgspec

from cdp_image_mcp.openai.prices import Grid, Price
from cdp_image_mcp.openai.sizes import ANY, FIXED, FREE, SizeRule

CLASSIC_QUALITIES = ("auto", "low", "medium", "high")
ALL_QUALITIES = (*CLASSIC_QUALITIES, "xhigh", "max")
RASTER = ("png", "jpeg", "webp")
ALL_FORMATS = (*RASTER, "gif", "svg")
"""The last two since SDK 3.46.0 (2026-11-05), for 2.6 and for projects that have the preview."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. ``source`` and ``seen`` name where its rules were read and when."""

    name: str
    sizes: SizeRule
    qualities: tuple[str, ...]
    transparent: bool
    """Whether it draws them for certain. It is asked all the same: a refusal costs nothing, and says more."""
    formats: tuple[str, ...] = RASTER
    complexity: bool = False
    price: Price | None
    """None: unknown."""
    grid: Grid | None = None
    tokens: dict[str, dict[tuple[int, int], int]] | None = None
    """Output tokens by quality and size, for models with fixed sizes."""
    ends: date | None = None
    """Day on which the vendor stops it."""
    ends_at_azure: date | None = None
    replaced_by: str | None = None
    source: str
    seen: str


def _table(square: int, portrait: int, landscape: int) -> dict[tuple[int, int], int]:
    return {(1024, 1024): square, (1024, 1536): portrait, (1536, 1024): landscape}


FIXED_TOKENS = {"low": _table(272, 408, 400), "medium": _table(1056, 1584, 1568), "high": _table(4160, 6240, 6208)}
"""Output tokens of the 1.x models. Source: image generation guide; 272, 1056 and 4160 also in recorded answers."""

PRICE_2 = Price(5, 8, 30, 10, "image generation guide; text output from a third-party table", "2026-04-21")
PRICE_25 = Price(5, 8, 30, 0, "image generation guide, 2.5 edition", "2026-09-10")
PRICE_26 = Price(5, 8, 30, 0, "the vendor's model page", "2026-11-05")
PRICE_15 = Price(5, 8, 32, 10, "third-party price table; text output unverified", "2025-12-17")
PRICE_MINI = Price(2, 2.5, 8, 8, "third-party price table", "2025-12-17")

GRID_2 = Grid({"low": 16, "medium": 48, "high": 96})
GRID_25 = Grid({"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96})
GRID_26 = Grid(GRID_25.cells, uncertain={"low": 4, "medium": 4})
"""One vendor saw low and medium cost three to four times the tokens of 2.5, high and above the same (2026-11-05)."""

LAST_DAY_OF_1 = date(2026, 12, 1)
"""Source: the vendor's deprecations page, notice of 2026-06-02."""


_free = partial(Model, sizes=FREE, transparent=True, source="official SDK", seen="2026-11-17")
_free_26 = partial(_free, qualities=ALL_QUALITIES, formats=ALL_FORMATS, complexity=True, price=PRICE_26, grid=GRID_26)
_free_25 = partial(_free, qualities=ALL_QUALITIES, price=PRICE_25, grid=GRID_25)
_fixed = partial(
    Model,
    sizes=FIXED,
    qualities=CLASSIC_QUALITIES,
    transparent=True,
    tokens=FIXED_TOKENS,
    ends=LAST_DAY_OF_1,
    replaced_by="gpt-image-2.6-sunburst",
    source="official SDK and the vendor's deprecations page",
    seen="2026-11-17",
)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _free_26(name="gpt-image-2.6-sunburst"),
        _free_26(name="gpt-image-2.6-flare"),
        _free_25(name="gpt-image-2.5-sunburst"),
        _free_25(name="gpt-image-2.5-flare"),
        # Transparent is announced as a preview for this one, but was refused live on 2026-10-08.
        _free(name="gpt-image-2", qualities=CLASSIC_QUALITIES, transparent=False, price=PRICE_2, grid=GRID_2),
        # Azure's day: its documentation, change of 2026-09-15. Of the others it says nothing.
        _fixed(name="gpt-image-1.5", price=PRICE_15, ends_at_azure=date(2026, 12, 16)),
        _fixed(name="gpt-image-1-mini", price=PRICE_MINI),
        _fixed(name="chatgpt-image-latest", price=PRICE_15),
        _fixed(name="gpt-image-1", price=PRICE_15, ends=date(2026, 10, 23)),
    )
}

UNKNOWN = Model(
    name="",
    sizes=ANY,
    qualities=ALL_QUALITIES,
    transparent=True,
    formats=ALL_FORMATS,
    complexity=True,
    price=None,
    source="none: the loosest rules, the server decides",
    seen="2026-11-23",
)


def find_model(name: str) -> Model:
    """The rules for ``name``, also with a snapshot's date at its end or a router's ``vendor/`` before it.

    A name that is not in the table gets the loosest rules.
    """
    bare = name.rpartition("/")[2]
    known = MODELS.get(bare) or MODELS.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", bare))
    return known or msgspec.structs.replace(UNKNOWN, name=name)


def is_gpt_image(name: str) -> bool:
    """Whether ``name`` is of the family that refuses ``response_format`` and always answers in base64."""
    return name.rpartition("/")[2].startswith(("gpt-image", "chatgpt-image"))


def end_of(model: Model, *, azure: bool) -> date | None:
    """The day on which the server that is asked stops it, None: not that we know."""
    return model.ends_at_azure if azure else model.ends


def successor(model: Model) -> str:
    """What to set instead, for people."""
    if model.replaced_by:
        return f"Set GPT_IMAGE_MODEL to {model.replaced_by}."
    return f"GPT_IMAGE_MODEL takes, as far as the key may use them, {able(lambda one: one.ends is None)}."


def able(what: Callable[[Model], bool]) -> str:
    """The living models of which ``what`` holds, for people."""
    return ", ".join(name for name, model in MODELS.items() if model.ends is None and what(model))


def end_warning(model: Model, today: date, *, azure: bool) -> str | None:
    """A sentence for ``backend_status`` when the model has ended or will; None otherwise."""
    ends = end_of(model, azure=azure)
    if ends is None:
        return None
    days = (ends - today).days
    if days <= 0:
        return f"{model.name} was to be shut down on {ends.isoformat()}. {successor(model)}"
    when = f"on {ends.isoformat()}, in {days} day{'s' * (days != 1)}"
    return f"{model.name} will be shut down {when}. {successor(model)}"
