"""Arguments that exclude each other whatever makes the picture."""

from cdp_image_mcp.size import parse_ratio, parse_size

__all__ = ["wrong_combination"]


def wrong_combination(
    *, size: str, output_format: str, background: str, output_compression: int | None
) -> tuple[str, str, str] | None:
    """The argument at fault, what is wrong with it and what it takes; None when all go together."""
    if output_compression is not None and output_format == "png":
        return "output_compression", "it goes with output_format jpeg or webp, not png.", "output_format jpeg, webp"
    if background == "transparent" and output_format == "jpeg":
        return "background", "transparent needs output_format png or webp.", "auto, opaque"
    if 0 in (parse_size(size) or parse_ratio(size) or ()):
        return "size", f"{size!r} has a side of length 0.", "sides from 1"
    return None
