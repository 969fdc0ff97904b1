"""The messages of a conversation as they were heard, each once, and the place of each to our turn."""

from collections.abc import Collection, Iterator, Mapping

from cdp_image_mcp.chatgpt.network.conversations import Reading
from cdp_image_mcp.chatgpt.network.message import Message, merged, upwards
from cdp_image_mcp.chatgpt.network.placing import Anchors, Place, place

MOST_MESSAGES = 10_000


class Messages:
    """Of more than ``MOST_MESSAGES`` the first heard is forgotten."""

    def __init__(self) -> None:
        self.heard: dict[str, Message] = {}
        self._links: dict[str, str] = {}
        """Parents of messages without content."""
        self._places: dict[str, Place] = {}
        self._anchors: Anchors | None = None
        self._moved = True
        """A message came or changed its ties since the places were last worked out."""

    def take(self, message: Message, *, always: Collection[str]) -> None:
        """Hear of it, perhaps once more; those that are ``always`` kept are not forgotten for it."""
        known = self.heard.get(message.id)
        if known:
            message = merged(known, message)
        self._moved = self._moved or known is None or known.ties != message.ties
        self.heard[message.id] = message
        if len(self.heard) > MOST_MESSAGES:
            del self.heard[next(key for key in self.heard if key not in always)]

    def link(self, links: Mapping[str, str], *, whole: bool) -> None:
        """A conversation's links, all of them or those of a part."""
        self._moved = True
        if whole:
            self._links = dict(links)
        elif len(self._links) < MOST_MESSAGES:
            self._links.update(links)

    def keep(self, conversation: str) -> None:
        """Forget what is known to be another conversation's."""
        self._moved = True
        self.heard = {key: one for key, one in self.heard.items() if one.conversation in {"", conversation}}

    def places(self, anchors: Anchors) -> dict[str, Place]:
        """The place of every message, by what ties them to our turn."""
        if anchors != self._anchors or self._moved:
            self._places = place(self.heard, self._links, anchors)
            self._anchors, self._moved = anchors, False
        return self._places

    def is_of_another(self, key: str) -> bool:
        """Whether a message was, when places were last asked for, known to be another turn's."""
        return self._places.get(key) == "other"

    def answered(self, origin: str, reading: Reading) -> Iterator[Message]:
        """What a person said in the conversation as it was read that messages heard from ``origin`` answer."""
        read = {message.id: message for message in reading.messages}
        for start in [key for key, one in self.heard.items() if origin in one.origins and one.role != "user"]:
            for key in upwards(start, lambda key: reading.links.get(key, "")):
                message = read.get(key)
                if message is not None and message.role == "user" and not message.hidden:
                    yield message
                    break
