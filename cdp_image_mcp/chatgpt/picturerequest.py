"""Which of the page's requests are for a picture's bytes."""

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.address import file_id

__all__ = ["carries", "may_carry"]

BINARY = frozenset(("", "application/octet-stream", "binary/octet-stream"))
"""Types under which storage hosts gave pictures before 2026."""


def carries(request: Request, wanted: str) -> bool:
    """Whether a request is for that file's bytes by the type it says."""
    return _is_of(request, wanted) and (request.mime_type.startswith("image/") or request.mime_type in BINARY)


def may_carry(request: Request, wanted: str) -> bool:
    """Whether a request may be for that file's bytes, whatever type it says but JSON: read like a picture, that would
    be asked for a second time, as the way that is left when the first bytes are none."""
    return _is_of(request, wanted) and request.mime_type.partition(";")[0] != "application/json"


def _is_of(request: Request, wanted: str) -> bool:
    """Whether a request's address is that file's own. The JSON that tells the address names the file too, but is the
    page's alone to ask for."""
    return file_id(request.url) == wanted and not request.url.partition("?")[0].endswith("/download")
