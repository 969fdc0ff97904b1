"""Where a navigation ended, judged before any script looks at it; and the one judgement of what is a check.

A check is known by its header first (recorded 2026-06-11: 403 with ``cf-mitigated: challenge``, and no title before its
own script ran). A bare 403 may be one too: no script of ours runs in such a document. A bare 503 is a site that is
overloaded.
"""

from collections.abc import Mapping

import msgspec

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.address import Site

OVERLOADED = 503

TOO_LARGE = 431
"""HTTP status when the cookies have grown too large: keys of temporary chats pile up (two tools, 2026-07)."""


class Landing(msgspec.Struct, frozen=True):
    """The document a navigation ended in."""

    address: str
    status: int
    challenged: bool
    """It is a check for certain."""
    check: bool
    """It is one, or may be: no script of ours may run in it."""


def landing(request: Request, site: Site) -> Landing:
    """Judge a document by its response, as far as that is known."""
    status, challenged = request.status or 0, mitigated(request.headers)
    maybe = status == 403 and not site.is_login(request.url)
    return Landing(address=request.url, status=status, challenged=challenged, check=challenged or maybe)


def mitigated(headers: Mapping[str, str]) -> bool:
    """Whether something before the site answered with a check; names of headers in lower case."""
    return headers.get("cf-mitigated", "").lower() == "challenge"
