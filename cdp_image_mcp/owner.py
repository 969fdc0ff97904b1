"""Which process works on something, and whether that process still lives."""

from cdp_image_mcp.record import Owner

__all__ = ["is_alive", "this_process"]


def this_process() -> Owner:
    """The owner to write into records and tickets of this process."""
    raise NotImplementedError


def is_alive(owner: Owner) -> bool:
    """Whether that very process is running on this machine; a reused pid does not count."""
    raise NotImplementedError
