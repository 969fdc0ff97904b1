"""Asked versus got: what a generation was asked for, what its bytes are, and which wishes were not met."""

from typing import Any

from cdp_image_mcp.library.record import Record
from cdp_image_mcp.request import SavedImage, parse_size, ratio_of

DEFAULTS: dict[str, Any] = {"n": 1, "size": "auto", "quality": "auto", "output_format": "png", "background": "auto"}
NOT_WISHES = frozenset(
    (
        *("prompt", "wait_seconds", "images", "backend", "timeout_seconds", "output_dir"),
        *("conversation_mode", "continue_from"),
    )
)
"""Arguments that say nothing about the picture; ``backend`` stands beside it as ``requested_backend``."""

RATIO_TOLERANCE = 0.02
"""Sides are whole pixels, often multiples of 16: the nearest legal 16:9 is not exactly 16:9."""


def requested(record: Record) -> dict[str, Any]:
    """The wishes about the picture, defaults filled in."""
    return DEFAULTS | {name: value for name, value in record.request.items() if name not in NOT_WISHES}


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _format(image: SavedImage) -> str:
    return image.mime_type.removeprefix("image/").removesuffix("+xml")


def actual(record: Record) -> dict[str, Any]:
    """What was delivered, read from the bytes; one value when all pictures agree, else a list in their order.

    ``quality`` is there only when the back end reported it.
    """
    images = record.images
    fields: dict[str, Any] = {"n": len(images)}
    if images:
        fields["size"] = _one_or_all([f"{image.width}x{image.height}" for image in images])
        fields["output_format"] = _one_or_all([_format(image) for image in images])
        fields["alpha"] = _one_or_all([image.alpha for image in images])
    for name in ("quality", "background"):
        if isinstance(told := record.facts.get(name), str):
            fields[name] = told
    return fields


def _size_met(wish: str, image: SavedImage) -> bool:
    if (size := parse_size(wish)) is not None:
        return (image.width, image.height) == size
    wanted = ratio_of(wish)
    if wanted is None or image.height == 0:
        return False
    return abs(image.width / image.height - wanted) <= wanted * RATIO_TOLERANCE


def honoured(record: Record, unmet: tuple[str, ...] = ()) -> bool | list[str]:
    """True, or the names of the arguments that were not met; where no picture came, no wish was. ``unmet``: those of
    the call that the record does not know of."""
    wish, images = requested(record), record.images
    web, nothing = record.on_web, not images
    told = record.facts.get("quality")
    format_wanted = "output_format" in record.request or not (web or nothing)
    another_background = {
        "auto": False,
        "transparent": nothing or not all(image.alpha for image in images),
        "opaque": nothing or record.facts.get("background") == "transparent",
    }
    missed = {
        "n": len(images) != wish["n"],
        "size": wish["size"] != "auto" and (nothing or not all(_size_met(wish["size"], image) for image in images)),
        "quality": wish["quality"] != "auto"
        and (web or nothing or (isinstance(told, str) and told != wish["quality"])),
        "output_format": format_wanted and (nothing or any(_format(one) != wish["output_format"] for one in images)),
        "background": another_background.get(wish["background"], False),
    }
    missed |= {name: web and wish.get(name) is not None for name in ("output_compression", "complexity", "mask")}
    return [*(name for name, is_so in missed.items() if is_so), *unmet] or True
