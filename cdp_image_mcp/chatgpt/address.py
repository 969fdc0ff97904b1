"""The site's addresses: where its pages and answers are, and which of them we may open."""

import re
from urllib.parse import parse_qs, urljoin, urlsplit

__all__ = ["Site", "file_id"]

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
LOGIN_HOSTS = frozenset(("auth.openai.com", "auth0.openai.com", "login.openai.com", "accounts.openai.com"))
"""Five tools agree on these (newest 2026-10)."""
FILE = re.compile(r"file[-_][A-Za-z0-9_-]{4,}")


class Site:
    """Addresses of the site at ``base`` (``https://chatgpt.com/`` unless the user set another)."""

    def __init__(self, base: str) -> None:
        self.base = base
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

    # What the page asks for by itself; we only listen (knowledge 5.1 to 5.5, newest 2026-10).

    def is_turn_request(self, address: str, method: str) -> bool:
        """The request that sends a prompt; its answer is the stream."""
        return method == "POST" and self.path(address) in {
            "/backend-api/f/conversation",
            "/backend-api/conversation",
            "/backend-anon/f/conversation",
            "/backend-anon/conversation",
        }

    def is_resumed_stream(self, address: str, method: str) -> bool:
        return method == "POST" and self.path(address).endswith("/f/conversation/resume")

    def is_conversation_answer(self, address: str) -> bool:
        """The conversation's JSON, single or in a batch."""
        path = self.path(address)
        if path in {"/backend-api/conversations/batch", "/backend-api/conversation/batch"}:
            return True
        parts = path.split("/")
        return len(parts) == 4 and parts[:3] == ["", "backend-api", "conversation"] and bool(UUID.match(parts[3]))

    def is_quota_answer(self, address: str) -> bool:
        return self.path(address).endswith("/conversation/init")

    def is_upload_done(self, address: str) -> bool:
        path = self.path(address)
        return path.endswith("/process_upload_stream") or (
            path.startswith("/backend-api/files/") and path.endswith("/uploaded")
        )


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
