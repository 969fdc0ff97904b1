"""The addresses of the site's own calls, by name: data (``page/site/endpoints.json``), so that the site's change is a
change of data."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

__all__ = ["Call", "Endpoint", "Endpoints", "endpoints_of_ours"]

Call: TypeAlias = Literal[
    "turn",
    "sending",
    "resume",
    "conversation",
    "batch",
    "stream_status",
    "history",
    "quota",
    "upload_begun",
    "upload_done",
]

UUID = "(?P<id>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One address of a call. Shape and meaning stand at the head of ``endpoints.json``."""

    path: str
    method: str = ""
    source: str = ""
    date: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path.replace("{id}", UUID))


class _File(msgspec.Struct):
    endpoints: dict[str, tuple[Endpoint, ...]]


@lru_cache(maxsize=1)
def endpoints_of_ours() -> dict[str, tuple[Endpoint, ...]]:
    """The table that ships."""
    data = resources.files("cdp_image_mcp.chatgpt.page").joinpath("site/endpoints.json").read_bytes()
    return msgspec.json.decode(data, type=_File).endpoints


class Endpoints:
    """The table in force."""

    def __init__(self, table: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """Raises re.error for a path that is no regular expression."""
        self._table = {
            call: [(endpoint.method, endpoint.pattern) for endpoint in endpoints] for call, endpoints in table.items()
        }

    def match(self, call: Call, method: str, path: str) -> re.Match[str] | None:
        """The match, with the conversation's ``id`` where the path names one; None when it is another call."""
        for wanted, pattern in self._table.get(call, ()):
            if wanted in {"", method} and (found := pattern.fullmatch(path)) is not None:
                return found
        return None
