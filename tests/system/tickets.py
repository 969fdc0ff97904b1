"""Tickets of a queue, counted from outside."""

from pathlib import Path

from cdp_image_mcp.system.presence import OWN_FOLDER, Presence


def waiting(profile: Path) -> int:
    """How many living tickets there are, the holder's included."""
    queue = Presence(profile / OWN_FOLDER / "queue")
    return sum(queue.is_there(name) for name in queue.names())
