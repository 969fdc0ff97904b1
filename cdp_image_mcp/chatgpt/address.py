"""The site's addresses: where its pages and answers are, and which of them we may open."""

import re
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qs, urljoin, urlsplit

from cdp_image_mcp.chatgpt.network.endpoints import Call, Endpoints, endpoints_of_ours

__all__ = ["Site", "file_id"]

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
LOGIN_HOSTS = frozenset(("auth.openai.com", "auth0.openai.com", "login.openai.com", "accounts.openai.com"))
"""Five tools agree on these (newest 2026-10)."""
FILE = re.compile(r"file[-_][A-Za-z0-9_-]{4,}")


class Asked(Protocol):
    """A request of the page."""

    @property
    def url(self) -> str: ...
    @property
    def method(self) -> str: ...


class Site:
    """Addresses of the site at ``base`` (``https://chatgpt.com/`` unless the user set another)."""

    def __init__(self, base: str, endpoints: Endpoints | None = None) -> None:
        self.base = base
        self._endpoints = endpoints or _ours()
        parts = urlsplit(base)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.hostname or ""

    @property
    def home(self) -> str:
        """A new chat."""
        return self.base

    def conversation(self, conversation_id: str) -> str:
        return urljoin(self.base, f"c/{conversation_id}")

    def ours(self, address: str) -> bool:
        """Whether an address lies on the site itself."""
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.netloc}" == self.origin

    def may_open(self, address: str) -> bool:
        """Whether we may go there by ourselves: the site and nothing else."""
        return self.ours(address)

    def is_login(self, address: str) -> bool:
        """A page of the sign-in, there or at the site itself."""
        parts = urlsplit(address)
        if (parts.hostname or "") in LOGIN_HOSTS:
            return True
        return self.ours(address) and parts.path.startswith(("/auth/", "/login", "/auth"))

    def path(self, address: str) -> str:
        return urlsplit(address).path if self.ours(address) else ""

    def conversation_id(self, address: str) -> str | None:
        """The conversation a page address names; interim ids (``WEB:…``, ``local-…``) are none."""
        parts = self.path(address).rstrip("/").split("/")
        if len(parts) >= 2 and parts[-2] == "c" and UUID.match(parts[-1].lower()):
            return parts[-1].lower()
        return None

    def asks(self, call: Call, request: Asked) -> bool:
        """Whether a request of the page is that call of the site."""
        return self._endpoints.match(call, request.method, self.path(request.url)) is not None

    def reads_conversation(self, request: Asked) -> bool:
        """Whether a request is answered with conversations, one or several."""
        return self.asks("conversation", request) or self.asks("batch", request)

    def lists_newest(self, request: Asked) -> bool:
        """Whether a request is answered with the newest conversations: no later part of the list, no archive, and not
        those with a star alone (``offset=0&is_archived=false&is_starred=false`` is the list itself)."""
        query = parse_qs(urlsplit(request.url).query)
        narrowed = (query.get(key, ["0"])[0].lower() for key in ("offset", "is_archived", "is_starred"))
        return self.asks("history", request) and all(value in {"0", "false"} for value in narrowed)

    def asked_about(self, request: Asked) -> str:
        """The conversation that a request reads or asks the state of; empty when its address names none."""
        path = self.path(request.url)
        calls: tuple[Call, ...] = ("conversation", "stream_status")
        found = next(filter(None, (self._endpoints.match(call, request.method, path) for call in calls)), None)
        return found["id"].lower() if found else ""


@lru_cache(maxsize=1)
def _ours() -> Endpoints:
    return Endpoints(endpoints_of_ours())


def file_id(address: str) -> str | None:
    """The file a picture's address names: ``id=file_…`` or a path part; None for ``blob:`` and others."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"}:
        return None
    for value in parse_qs(parts.query).get("id", []):
        if FILE.fullmatch(value):
            return value
    for part in reversed(parts.path.split("/")):
        if FILE.fullmatch(part):
            return part
    return None
