"""The site's addresses: its pages, its own calls (data in ``page/site/endpoints.json``), and which we may open; and the
wordings that it is known by."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, urljoin, urlsplit

import msgspec

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.cdp.protocol import NetworkRequest
from cdp_image_mcp.chatgpt.network.wire import uuid_of
from cdp_image_mcp.chatgpt.words import Words

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
LOGIN_HOSTS = frozenset(("auth.openai.com", "auth0.openai.com", "login.openai.com", "accounts.openai.com"))
"""Five tools agree on these (newest 2026-10)."""
UUID = "(?P<id>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
FILE = re.compile(r"file[-_][A-Za-z0-9_-]+")
MADE = re.compile(r"/g/(g-p-[0-9A-Za-z]+|g-(?!p-)[0-9A-Za-z]+)(?:-[^/]*)?(?:/project)?")
"""A GPT's own address, or a project's: the site writes the name behind the id, or leaves it out."""


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One address of a call. Shape and meaning stand at the head of ``endpoints.json``."""

    path: str
    method: str = ""
    source: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        try:
            _ = self.pattern
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.path[:100]!r} is no regular expression ({error})") from None

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path.replace("{id}", UUID))


Endpoints: TypeAlias = Mapping[str, tuple[Endpoint, ...]]


class Site:
    """Addresses of the site at ``home`` (``https://chatgpt.com/`` unless the user set another), a new chat."""

    def __init__(self, home: str, endpoints: Endpoints, words: Words) -> None:
        self.home = home
        self.words = words
        self.origin = _origin(home)
        self._calls = {call: [(one.method, one.pattern) for one in ways] for call, ways in endpoints.items()}

    def conversation(self, conversation_id: str) -> str:
        """Raises ValueError for what is no id of a conversation, and might name any other page of the site."""
        if not uuid_of(conversation_id):
            raise ValueError(f"{conversation_id!r} is no conversation.")
        return urljoin(self.home, f"c/{conversation_id}")

    def facts(self, conversation_id: str | None) -> dict[str, str | None]:
        """What a record holds of a conversation; empty when it is not known."""
        if not conversation_id:
            return {}
        return {"conversation_id": conversation_id, "conversation_url": self.conversation(conversation_id)}

    def ours(self, address: str) -> bool:
        """Whether an address lies on the site itself; we go to no other by ourselves."""
        return _origin(address) == self.origin

    def is_login(self, address: str) -> bool:
        """A page of the sign-in, there or at the site itself."""
        parts = urlsplit(address)
        if (parts.hostname or "") in LOGIN_HOSTS:
            return True
        return self.ours(address) and parts.path.startswith(("/login", "/auth"))

    def leads_out(self, address: str) -> bool:
        """Where the site sends whoever it does not know: to its sign-in, or to somebody else's."""
        return self.is_login(address) or not self.ours(address)

    def path(self, address: str) -> str:
        return urlsplit(address).path if self.ours(address) else ""

    def beginning(self, address: str) -> str:
        """Where chats begin that begin at this address, the same for each way to write it; empty off the site."""
        if not self.ours(address):
            return ""
        path = self.path(address).rstrip("/")
        made = MADE.fullmatch(path)
        if made is not None:
            return made[1]
        return "/" if path in {"", "/new"} else path

    def conversation_id(self, address: str) -> str | None:
        """The conversation a page address names; interim ids (``WEB:…``, ``local-…``) are none."""
        *_, place, name = ["", *self.path(address).rstrip("/").split("/")]
        return uuid_of(name) or None if place == "c" else None

    def is_interim(self, address: str) -> bool:
        """Whether a page address is that of a new chat which has no id of the site's yet."""
        return "/c/" in self.path(address) and self.conversation_id(address) is None

    def _match(self, call: Call, request: Request | NetworkRequest) -> re.Match[str] | None:
        """Whether a request is that call, and which conversation's ``id`` its path names."""
        path = self.path(request.url)
        ways = (pattern for method, pattern in self._calls.get(call, ()) if method in {"", request.method})
        return next(filter(None, (pattern.fullmatch(path) for pattern in ways)), None)

    def asks(self, call: Call, request: Request | NetworkRequest) -> bool:
        return self._match(call, request) is not None

    def reads_conversation(self, request: Request) -> bool:
        """Whether a request is answered with conversations, one or several."""
        return self.asks("conversation", request) or self.asks("batch", request)

    def lists_newest(self, request: Request) -> bool:
        """Whether a request is answered with the newest conversations: no later part of the list, no archive, and not
        those with a star alone (``offset=0&is_archived=false&is_starred=false`` is the list itself)."""
        query = parse_qs(urlsplit(request.url).query)
        narrowed = (query.get(key, ["0"])[0].lower() for key in ("offset", "is_archived", "is_starred"))
        return self.asks("history", request) and all(value in {"0", "false"} for value in narrowed)

    def asked_about(self, request: Request) -> str:
        """The conversation that a request reads or asks the state of; empty when its address names none."""
        found = self._match("conversation", request) or self._match("stream_status", request)
        return found["id"].lower() if found else ""


def _origin(address: str) -> str:
    """As a browser writes it: the host in lower case, and without the port that goes without saying."""
    parts = urlsplit(address)
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual)}"


def file_id(address: str) -> str | None:
    """The file a picture's address names: ``id=file_…`` or a path part; None for ``blob:`` and others."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"}:
        return None
    named = (*parse_qs(parts.query).get("id", []), *reversed(parts.path.split("/")))
    return next(filter(FILE.fullmatch, named), None)
