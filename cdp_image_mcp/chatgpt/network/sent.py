"""The page's own request of a turn: what was really sent, and by which id its answer is recognised."""

import re
import unicodedata
from typing import Any

import msgspec

from cdp_image_mcp.chatgpt.network.message import file_id_of
from cdp_image_mcp.chatgpt.network.wire import items, obj, read_json, text, uuid_of

WRITTEN_OTHERWISE = re.compile(r"\S*(?:://|www\.|[a-z]\.[a-z]{2,}|\]\(|@)\S*")
"""Addresses, links and mentions in a folded text: a page may show or send them in another form."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What the POST body says."""

    text: str
    message_ids: tuple[str, ...]
    """The ids of the user messages in it, the prompt's last."""
    parent_id: str
    conversation_id: str
    reference_ids: tuple[str, ...]


def read_request(body: bytes) -> Sent | None:
    """Read a body; None when it is no request that sends a user's message."""
    request = obj(read_json(body))
    messages = [obj(message) for message in items(request.get("messages"))[:50]]
    ours = [m for m in messages if obj(m.get("author")).get("role") == "user" and text(m.get("id"))]
    if not ours:
        return None
    said = items(obj(ours[-1].get("content")).get("parts"))
    return Sent(
        text="\n".join(part for part in said if isinstance(part, str)),
        message_ids=tuple(text(message["id"]) for message in ours),
        parent_id=text(request.get("parent_message_id")),
        conversation_id=uuid_of(request.get("conversation_id")),
        reference_ids=tuple(dict.fromkeys(file_id for message in ours for file_id in _references(message))),
    )


def _references(message: dict[str, Any]) -> list[str]:
    parts = [file_id_of(obj(part).get("asset_pointer")) for part in items(obj(message.get("content")).get("parts"))]
    attached = items(obj(message.get("metadata")).get("attachments"))
    return [file_id for file_id in (*parts, *(text(obj(item).get("id")) for item in attached)) if file_id]


def same_text(standing: str, wanted: str) -> bool:
    """Whether two texts are the same to a reader: editors double line ends and use no-break spaces (four drivers)."""
    return _folded(standing) == _folded(wanted)


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFC", text).replace("\u200b", "").replace("\ufeff", "")
    return re.sub(r"\s+", " ", text).strip()


def same_words(sent: str, wanted: str) -> bool:
    """Whether two texts have the same words one after the other, addresses and mentions aside, which a page may write
    otherwise. In an account's history the next wish is often the last one with a single word changed."""
    return same_text(sent, wanted) or (like_text(sent, wanted) and _plain_words(sent) == _plain_words(wanted))


def _plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", WRITTEN_OTHERWISE.sub(" ", _folded(text).casefold()))


def like_text(sent: str, wanted: str) -> bool:
    """Whether a text that was sent in our own tab is the wanted one as a page may have changed it: an address that
    became a link, a mention, a line's end. What a person types there meanwhile shares a few words at most."""
    if same_text(sent, wanted):
        return True
    words = set(re.findall(r"\w+", _folded(wanted).casefold()))
    there = set(re.findall(r"\w+", _folded(sent).casefold()))
    return bool(words) and len(words & there) >= 0.8 * len(words) and len(sent) <= 2 * len(wanted) + 100
